"""The thesis's three models, and the gated WaveNet, from the plainest torch modules: what we must beat.

Each takes codes (B, T) and returns logits (B, T, Q); states start at zero. `weights` counts what a sample meets.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def scalars(codes: Tensor) -> Tensor:
    return (2 * codes + 1) / 256 - 1


class NaiveRNN(nn.Module):
    def __init__(self, layers: int = 2, units: int = 512) -> None:
        super().__init__()
        self.input = nn.Linear(1, units)
        self.layers = nn.ModuleList(nn.LSTM(units, units, batch_first=True) for _ in range(layers))
        self.output = nn.Linear(units, 256)
        self.weights = layers * 8 * units * units + 256 * units + units

    def forward(self, codes: Tensor) -> Tensor:
        x = self.input(scalars(codes)[..., None])
        for layer in self.layers:
            x = x + layer(x)[0]
        return self.output(x)


class SampleRNN(nn.Module):
    def __init__(self, units: int = 512, big: int = 8, small: int = 2) -> None:
        super().__init__()
        self.big, self.small, self.units = big, small, units
        self.slow = nn.LSTM(big, units, batch_first=True)
        self.slow_up = nn.Linear(units, big // small * units)
        self.frames = nn.Linear(small, units)
        self.fast = nn.LSTM(units, units, batch_first=True)
        self.fast_up = nn.Linear(units, small * units)
        self.window = nn.Linear(small, units)
        self.head = nn.Sequential(
            nn.Linear(units, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU(), nn.Linear(units, 256)
        )
        slow = 4 * units * (units + big) + big // small * units * units
        fast = 8 * units * units + small * units * units + small * units
        self.weights = slow // big + fast // small + 2 * units * units + (256 + small) * units

    def forward(self, codes: Tensor) -> Tensor:
        batch, length = codes.shape
        x = functional.pad(scalars(codes), (self.big - 1, 0))  # silence before the first sample
        slow = self.slow_up(self.slow(x[:, :length].reshape(batch, -1, self.big))[0])
        frames = self.frames(
            x[:, self.big - self.small : length + self.big - self.small].reshape(batch, -1, self.small)
        )
        fast = self.fast_up(self.fast(frames + slow.reshape(batch, -1, self.units))[0])
        windows = x[:, self.big - self.small :].unfold(1, self.small, 1)
        return self.head(self.window(windows) + fast.reshape(batch, length, self.units))


class WaveNet(nn.Module):
    def __init__(self, blocks: int, layers: int, channels: int = 128) -> None:
        super().__init__()
        dilations = [2**i for i in range(layers)] * blocks
        self.layers = nn.ModuleList(
            nn.Conv1d(1 if i == 0 else channels, channels, 2, dilation=dilation, bias=False)
            for i, dilation in enumerate(dilations)
        )
        self.output = nn.Conv1d(channels, 256, 1)
        self.weights = 2 * channels + (len(dilations) - 1) * 2 * channels**2 + 256 * channels

    def forward(self, codes: Tensor) -> Tensor:
        x = scalars(codes)[:, None]
        for layer in self.layers:
            x = torch.relu(layer(functional.pad(x, (layer.dilation[0], 0))))
        return self.output(x).transpose(1, 2)


class GatedWaveNet(nn.Module):
    def __init__(self, blocks: int, layers: int, channels: int = 128, skip: int = 256) -> None:
        super().__init__()
        dilations = [2**i for i in range(layers)] * blocks
        self.input = nn.Embedding(256, channels)
        self.layers = nn.ModuleList(nn.Conv1d(channels, 2 * channels, 2, dilation=dilation) for dilation in dilations)
        self.residual = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in dilations)
        self.skip = nn.ModuleList(nn.Conv1d(channels, skip, 1) for _ in dilations)
        self.output = nn.Sequential(nn.ReLU(), nn.Conv1d(skip, skip, 1), nn.ReLU(), nn.Conv1d(skip, 256, 1))
        self.weights = len(dilations) * channels * (5 * channels + skip) + skip * skip + 256 * skip

    def forward(self, codes: Tensor) -> Tensor:
        x, total = self.input(codes).transpose(1, 2), torch.zeros(())
        for layer, residual, skip in zip(self.layers, self.residual, self.skip, strict=True):
            filtered, gate = layer(functional.pad(x, (layer.dilation[0], 0))).chunk(2, 1)
            z = torch.tanh(filtered) * torch.sigmoid(gate)
            x, total = x + residual(z), total + skip(z)
        return self.output(total).transpose(1, 2)
