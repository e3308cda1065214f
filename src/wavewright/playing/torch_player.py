"""Play streams of a torch model by stepping it in torch, on any device. The engine must draw the same codes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import parametrize

from wavewright.conditioning.events import Events
from wavewright.conditioning.frames import Frames, checked_dense
from wavewright.errors import ConfigError
from wavewright.models.base import Model
from wavewright.models.output import mixed
from wavewright.playing.playable import DEFAULT, Dense, per_voice
from wavewright.quantize import silence
from wavewright.sampling import Controls, Uniforms

PRIME_BLOCK = 8192  # most samples at once


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, since a step is too small to share, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class TorchPlayer:
    """A `Player` of a torch model, or of two that are mixed.

    Args:
        model: torch module on any device.
        streams: number of streams side by side. Each equals the same stream alone.
        seed: decides every stream.
        rate: samples in a second, for a model with a keyboard.
        second: model that is mixed with the first by `Controls.amount`.

    Raises:
        ConfigError: a model has a keyboard, but there is no rate.
    """

    def __init__(
        self,
        model: Model[Any],
        streams: int = 1,
        seed: int = 0,
        rate: int | None = None,
        second: Model[Any] | None = None,
    ) -> None:
        self.streams = streams
        self._voices = [_Voice(voice, streams, rate) for voice in (model, second) if voice]
        self._output = model.config.output
        self._uniforms = Uniforms(seed, streams)
        self._code = np.full(streams, silence(model.config.q_levels))

    def feed(self, stream: int, events: Events, voice: int = 0) -> int:
        """See Player."""
        if not 0 <= voice < len(self._voices):
            raise ConfigError(f"voice: {voice}; give 0 to {len(self._voices) - 1}")
        return self._voices[voice].feed(stream, events)

    @one_thread()
    @torch.inference_mode()
    def prime(self, codes: NDArray[np.integer], dense: Dense = None, second: Dense = None) -> None:
        """See Player."""
        self._give(dense, second, codes.shape[-1])
        block = np.broadcast_to(codes, (self.streams, codes.shape[-1]))
        inputs = np.concatenate((self._code[:, None], block), 1)
        with parametrize.cached():  # compute weight norm once, not at every step
            for part in np.array_split(inputs[:, :-1], -(-block.shape[1] // PRIME_BLOCK), 1):
                for voice in self._voices:
                    voice.read(part)
        self._code = inputs[:, -1]

    @one_thread()
    @torch.inference_mode()
    def generate(
        self, samples: int, controls: Controls = DEFAULT, dense: Dense = None, second: Dense = None
    ) -> NDArray[np.int64]:
        """See Player."""
        controls = controls.between(0, samples)
        controls.check_amount(len(self._voices))
        self._give(dense, second, samples)
        codes = np.empty((self.streams, samples), np.int64)
        parts = self._output.parts
        uniforms = self._uniforms(samples * len(parts)).reshape(self.streams, samples, len(parts))
        amounts = np.broadcast_to(np.asarray(controls.amount, np.float64), samples)
        for voice in self._voices:
            voice.begin(samples)
        with parametrize.cached():
            for t in range(samples):
                for voice in self._voices:
                    voice.step(self._code)
                drawn: list[NDArray[np.int64]] = []
                for i, part in enumerate(parts):
                    logits, *others = (voice.logits(drawn) for voice in self._voices)
                    for other in others:
                        logits = mixed(logits, other, amounts[t])
                    drawn.append(part.draw(logits, uniforms[:, t, i], controls.at(t)))
                codes[:, t] = self._code = self._output.join(drawn)
        return codes

    def _give(self, dense: Dense, second: Dense, samples: int) -> None:
        given = list(zip(self._voices, per_voice(len(self._voices), dense, second), strict=True))
        for voice, values in given:
            voice.check(values, samples)
        for voice, values in given:
            voice.give(values, samples)


class _Voice:
    """A model of a player, with its state and its control frames."""

    def __init__(self, model: Model[Any], streams: int, rate: int | None) -> None:
        model.config.check_streams(streams)
        self._model, self._streams = model.eval(), streams
        condition = model.config.condition
        self._frames = None if condition is None else Frames(condition, streams, rate)
        self._ahead: Tensor | None = None  # control frames (streams, M, F) of the samples to come
        self._place = 0  # samples of the first of them that have gone by
        self._outputs: Tensor | None = None  # of the last step
        with torch.inference_mode():
            self._state = model.initial_state(streams)

    def feed(self, stream: int, events: Events) -> int:
        if self._frames is None:
            raise ConfigError("events: this model was made without a condition; leave them out")
        return self._frames.feed(stream, events)

    def check(self, dense: Dense, samples: int) -> None:
        if self._frames is None:
            checked_dense(None, dense, self._streams)
        else:
            self._frames.checked(dense, samples)

    def give(self, dense: Dense, samples: int) -> None:
        if self._frames is not None:
            self._frames.give(dense, samples)

    def read(self, codes: NDArray[np.integer]) -> None:
        """Go on by codes (streams, n)."""
        condition = self._condition(codes.shape[1])
        _, self._state = self._model(torch.from_numpy(codes).to(self._model.device), self._state, condition)

    def begin(self, samples: int) -> None:
        """Prepare so many steps."""
        self._place, self._ahead = int(self._state.phase or 0), self._condition(samples)

    def step(self, codes: NDArray[np.integer]) -> None:
        """Go on by codes (streams,)."""
        frame = None if self._ahead is None else self._ahead[:, self._place // self._model.config.condition.hop]
        self._place += 1
        code = torch.from_numpy(codes).to(self._model.device)
        self._outputs, self._state = self._model.step(code, self._state, frame)

    def logits(self, drawn: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Return the logits (streams, n) of the next code's next draw, after the parts (streams,) that were drawn."""
        assert self._outputs is not None
        parts = (torch.from_numpy(part).to(self._outputs.device) for part in drawn)
        values: NDArray[np.float32] = self._model.next_logits(self._outputs, *parts).float().cpu().numpy()
        return values

    def _condition(self, samples: int) -> Tensor | None:
        """Return the control frames (streams, M, F) of the next samples, for a model that takes any."""
        if self._frames is None:
            return None
        return torch.from_numpy(self._frames.next(samples)).to(self._model.device, self._model.dtype)
