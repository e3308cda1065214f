"""The thesis's models stepped by torch as fast as we can write it, for one stream and one thread.

The algebra is the engine's (docs/engine.md, "Exact algebra saves reads"): matrices in a row are one matrix, what a
slower tier gives is multiplied once for all its steps, and a past tap reads a ring. The classes know the thesis's
configurations alone. Each is called with the last code, and returns the logits (256,) of the next one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plain import scalars
from wavewright.models.config import ModelConfig
from wavewright.models.naive_rnn.config import NaiveRNNConfig
from wavewright.models.sample_rnn.config import SampleRNNConfig
from wavewright.models.wavenet.config import WaveNetConfig
from wavewright.quantize import silence

Weights = dict[str, Tensor]
CODES = scalars(torch.arange(256))
SILENCE = silence(256)


class Lstm:
    """An LSTM's state, which `step` moves on by the sum of what enters its gates."""

    def __init__(self, units: int) -> None:
        self.h, self.c = torch.zeros(units), torch.zeros(units)

    def step(self, gates: Tensor) -> Tensor:
        i, f, g, o = gates.view(4, -1)
        self.c.mul_(f.sigmoid_()).addcmul_(i.sigmoid_(), g.tanh_())
        torch.tanh(self.c, out=self.h)
        return self.h.mul_(o.sigmoid_())


class NaiveRNN:
    def __init__(self, config: NaiveRNNConfig, w: Weights) -> None:
        self.inputs = CODES[:, None] * w["input.weight"][:, 0] + w["input.bias"]
        self.layers = []
        for i in range(config.layers):
            weight, hidden, bias = (w[f"layers.{i}.{name}"] for name in ("input_weight", "hidden_weight", "input_bias"))
            self.layers.append((weight, hidden, bias, Lstm(config.units)))
        first, _, bias, _ = self.layers[0]
        self.gates = self.inputs @ first.t() + bias  # the first layer's input matrix becomes a table of codes
        self.output = w["output.bias"], w["output.weight"]

    def __call__(self, code: int) -> Tensor:
        x = self.inputs[code].clone()
        for i, (weight, hidden, bias, lstm) in enumerate(self.layers):
            entering = torch.addmv(bias, weight, x) if i else self.gates[code]
            x += lstm.step(torch.addmv(entering, hidden, lstm.h))
        return torch.addmv(*self.output, x)


class SampleRNN:
    def __init__(self, config: SampleRNNConfig, w: Weights) -> None:
        slow, fast, units = "tiers.0.layers.0.", "tiers.1.layers.0.", config.units
        self.slow, self.fast = Lstm(units), Lstm(units)
        self.slow_in, self.slow_hidden, self.slow_bias = (
            w[slow + name] for name in ("input_weight", "hidden_weight", "input_bias")
        )
        self.up, self.up_bias = w["tiers.0.upsample.weight"], w["tiers.0.upsample.bias"]
        self.shared, self.fast_hidden = w[fast + "input_weight"], w[fast + "hidden_weight"]
        self.frames = self.shared @ w["tiers.1.frame_input.weight"]
        self.fast_bias = self.shared @ w["tiers.1.frame_input.bias"] + w[fast + "input_bias"]
        first = w["hidden.0.weight"]
        ups = w["tiers.1.upsample.weight"].view(2, units, units)
        self.samples = (first @ ups).reshape(2 * units, units)  # the last upsampling and the first hidden matrix
        added = first @ w["sample_input.bias"] + w["hidden.0.bias"]
        self.samples_bias = (w["tiers.1.upsample.bias"].view(2, units) @ first.t() + added).flatten()
        self.window = first @ w["sample_input.weight"]
        self.hidden, self.output = ((w[f"{name}.bias"], w[f"{name}.weight"]) for name in ("hidden.1", "output"))
        self.past, self.clock = torch.full((8,), float(CODES[SILENCE])), 0

    def __call__(self, code: int) -> Tensor:
        self.past = torch.cat((self.past[1:], CODES[code : code + 1]))
        if self.clock % 8 == 0:
            entering = torch.addmv(self.slow_bias, self.slow_in, self.past)
            h = self.slow.step(entering.addmv_(self.slow_hidden, self.slow.h))
            above = torch.addmv(self.up_bias, self.up, h).view(4, -1)
            self.conditioning = torch.addmm(self.fast_bias, above, self.shared.t())
        if self.clock % 2 == 0:
            entering = torch.addmv(self.conditioning[self.clock % 8 // 2], self.frames, self.past[6:])
            h = self.fast.step(entering.addmv_(self.fast_hidden, self.fast.h))
            self.below = torch.addmv(self.samples_bias, self.samples, h).view(2, -1)
        x = torch.addmv(self.below[self.clock % 2], self.window, self.past[6:]).relu_()
        self.clock += 1
        x = torch.addmv(*self.hidden, x).relu_()
        return torch.addmv(*self.output, x)


class WaveNet:
    def __init__(self, config: WaveNetConfig, w: Weights) -> None:
        self.layers, x = [], CODES[SILENCE : SILENCE + 1]
        for i, dilation in enumerate(config.dilations):
            old, new = (w[f"layers.{i}.weight"][:, :, tap].contiguous() for tap in (0, 1))
            self.layers.append((old, new, x.expand(dilation, -1).clone()))
            x = torch.relu(old @ x + new @ x)
        self.output, self.clock = (w["output.bias"], w["output.weight"]), 0

    def __call__(self, code: int) -> Tensor:
        x = CODES[code : code + 1]
        for old, new, ring in self.layers:
            past = ring[self.clock % len(ring)]
            y = torch.mv(old, past).addmv_(new, x).relu_()
            past.copy_(x)
            x = y
        self.clock += 1
        return torch.addmv(*self.output, x)


STEPPED: dict[str, Callable[[Any, Weights], Callable[[int], Tensor]]] = {
    "naive-rnn": NaiveRNN,
    "sample-rnn": SampleRNN,
    "wavenet": WaveNet,
}


class Stepped:
    """A stream of a model of the thesis, after a check that its logits are the model's.

    Raises:
        ValueError: the logits of the first samples are not those of the model.
    """

    def __init__(self, config: ModelConfig, weights: dict[str, np.ndarray]) -> None:
        given = {name: torch.from_numpy(weight) for name, weight in weights.items()}
        model = config.build()
        model.load_state_dict(given)
        codes = torch.randint(256, (1, 100), generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            step = STEPPED[config.name](config, given)
            found = torch.stack([step(int(code)) for code in codes[0]])
            due = model.logits(model(codes, model.initial_state(1))[0], codes)[0]
            if not torch.allclose(found, due, rtol=1e-3, atol=1e-4 * float(due.abs().max())):
                raise ValueError(f"{config.title}: the logits differ by {float((found - due).abs().max())}")
            self._step = STEPPED[config.name](config, given)
        self._code = SILENCE

    @torch.inference_mode()
    def generate(self, samples: int) -> None:
        for uniform in torch.rand(samples, dtype=torch.float64):
            sums = torch.softmax(self._step(self._code).double(), 0).cumsum(0)
            self._code = min(int(torch.searchsorted(sums, uniform)), 255)
