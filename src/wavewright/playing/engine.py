"""Check what the C++ module `_engine` (engine/, docs/engine.md) is given. numpy only, no torch."""

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.events import CAPACITY, EVENT, Events, checked_events
from wavewright.conditioning.frames import checked_dense, needed_rate
from wavewright.errors import ConfigError, WavewrightError
from wavewright.formats.model_file import Weights
from wavewright.formats.precision import Precision
from wavewright.models.config import ModelConfig
from wavewright.playing.playable import DEFAULT, Dense, per_voice
from wavewright.sampling import Controls, Uniforms

try:
    from wavewright import _engine
except ImportError:  # installed without a compiler
    _engine = None  # type: ignore[assignment]

STATE = b"wavewright2"  # how a saved state begins; the number is the version of its layout
DIGEST = hashlib.sha256().digest_size


def available() -> bool:
    """Tell whether the engine was built when wavewright was installed."""
    return _engine is not None


def instruction_sets() -> list[str]:
    """Return the vector instructions that the engine has code for and this machine can run, the best first."""
    return _native().instruction_sets()


class Limits(NamedTuple):
    """The machine's best in a second, with so many threads and an instruction set.

    Attributes:
        bytes: read from the same memory again and again.
        multiply_adds: of float32.
        integer_multiply_adds: of int8, as the engine's products make them.
    """

    bytes: float
    multiply_adds: float
    integer_multiply_adds: float


def measure_limits(size: int, threads: int, isa: str = "") -> Limits:
    """Measure the limits of this machine on so many threads, where `size` bytes of memory are read.

    Raises:
        ConfigError: `isa` is none of `instruction_sets()`. An empty one means the best.
    """
    try:
        return Limits(*_native().measure_limits(size, threads, isa))
    except _native().Error as error:
        raise ConfigError(str(error)) from None


class Work(NamedTuple):
    """What one sample of one stream costs on average.

    Attributes:
        multiply_adds: of matrices and recurrences.
        bytes_read: bytes of weights that are read. A weight that several vectors of a stream share is read once.
        bytes: bytes of all weights, which are read in turn.
    """

    multiply_adds: float
    bytes_read: float
    bytes: float


def draw(logits: NDArray[np.float32], uniform: float, temperature: float, top_k: int, top_p: float) -> int:
    """Draw as `output.Softmax.draw` does from one stream's logits (Q,)."""
    return _native().draw(logits, uniform, temperature, top_k, top_p)


@dataclass(frozen=True)
class Voice:
    """A model that an engine plays.

    Attributes:
        config: the model's name and fields.
        weights: float32, by their names in a model file.
        precision: of the matrices; `int8` is fastest, `float32` exact.
    """

    config: ModelConfig
    weights: Weights = field(repr=False)
    precision: Precision = "float32"


class Engine:
    """Streams of one model, or of two that are mixed, played side by side.

    In float32 a stream has the same bits whatever the number of streams and threads and the length of blocks. Several
    Python threads may share an engine; their calls take turns. A process that was forked must make its own engine.

    Args:
        config: the model's name and fields.
        weights: float32, by their names in a model file.
        streams: how many.
        threads: none means two where there are two processors and a sample costs 300,000 multiply-adds or more.
        precision: of the matrices; `int8` is fastest, `float32` exact.
        seed: of the draws; stream k draws as stream k of any other number of streams.
        isa: one of `instruction_sets()`; none means the best.
        rate: samples in a second, for a model with a keyboard.
        second: model that is mixed with the first by `Controls.amount`.

    Raises:
        WavewrightError: the engine is not built, a number is out of range, there is a keyboard, but no rate, or the
            second model has another number of codes.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        *,
        streams: int = 1,
        threads: int | None = None,
        precision: Precision = "float32",
        seed: int = 0,
        isa: str = "",
        rate: int | None = None,
        second: Voice | None = None,
    ) -> None:
        voices = [_contiguous(voice) for voice in (Voice(config, weights, precision), second) if voice]
        for voice in voices:
            voice.config.check_streams(streams)
        self.streams, self.precision = streams, precision
        self.q_levels, self._classes = config.q_levels, config.output.classes
        self._conditions = [voice.config.condition for voice in voices]
        native = _native()
        sources = [(v.config.name, engine_fields(v.config, rate), v.weights, v.precision) for v in voices]
        try:
            self._engine = native.Engine(sources, streams, threads, isa)
        except native.Error as error:
            raise ConfigError(str(error)) from None
        self._model = _digest_of(voices, rate)
        self._turn = threading.Lock()
        self._process = os.getpid()
        self.reset(seed)

    @property
    def isa(self) -> str:
        """The vector instructions in use."""
        return self._engine.isa

    @property
    def threads(self) -> int:
        """How many threads play."""
        return self._engine.threads

    @property
    def work(self) -> Work:
        """What one sample costs, of both models where there are two."""
        return Work(*self._engine.work)

    @property
    def samples_alone(self) -> int:
        """Samples of each stream that the calling thread has made alone, where that was faster than together.

        It is faster where cores are far apart, or where other programs have them. The count is always 0 with one
        thread, and only ever grows. Where nearly all samples are alone, `threads=1` is the better choice.
        """
        return self._engine.samples_alone

    def reset(self, seed: int = 0) -> None:
        """Put all streams back to their beginning, after endless silence."""
        self._call("reset", Uniforms(seed, self.streams).keys)

    def feed(self, stream: int, events: Events, voice: int = 0) -> int:
        """See Player."""
        rows = np.stack([checked_events(events)[name].astype(np.int64) for name in EVENT.names or ()], 1)
        dropped: int = self._call("feed", stream, rows, voice)
        return dropped

    def prime(self, codes: NDArray[np.integer], dense: Dense = None, second: Dense = None) -> None:
        """Read codes (streams, n), or (n,) for all streams.

        Raises:
            ConfigError: a code out of range, or of another number of streams. See also Player.
        """
        self._call("prime", self._codes(codes), *self._dense(dense, second))

    def logits(self, codes: NDArray[np.integer], dense: Dense = None) -> NDArray[np.float32]:
        """Read codes (streams, n), and return the logits (streams, n, L) from which each would have been drawn.

        Raises:
            ConfigError: a code out of range, or of another number of streams, or two models. See also Player.
        """
        read = self._codes(codes)
        logits = np.empty((*read.shape, self._classes), np.float32)
        self._call("logits", read, logits, checked_dense(self._conditions[0], dense, self.streams))
        return logits

    def score(self, codes: NDArray[np.integer], dense: Dense = None) -> NDArray[np.float64]:
        """Read codes (streams, n), and return the nats (streams, n) of each.

        Raises:
            ConfigError: a code out of range, or of another number of streams, or two models. See also Player.
        """
        read = self._codes(codes)
        nats = np.empty(read.shape)
        self._call("score", read, nats, checked_dense(self._conditions[0], dense, self.streams))
        return nats

    def generate(
        self, samples: int, controls: Controls = DEFAULT, dense: Dense = None, second: Dense = None
    ) -> NDArray[np.int32]:
        """See Player."""
        codes = np.empty((self.streams, samples), np.int32)
        controls = controls.between(0, samples)
        controls.check_amount(len(self._conditions))
        curves = (
            np.atleast_1d(np.asarray(controls.temperature, np.float64)),
            np.atleast_1d(np.asarray(self.q_levels if controls.top_k is None else controls.top_k, np.int32)),
            np.atleast_1d(np.asarray(1.0 if controls.top_p is None else controls.top_p, np.float64)),
            np.atleast_1d(np.asarray([] if controls.amount is None else controls.amount, np.float64)),
        )
        self._call("generate", *curves, codes, *self._dense(dense, second))
        return codes

    def state(self) -> bytes:
        """Return all that the streams remember, their draws too, behind a header.

        An engine of the same model and as many streams takes the bytes, in any precision. The header has a version, a
        hash of the model and a hash of what follows.
        """
        body: bytes = self._call("state")
        return STATE + self._model + hashlib.sha256(body).digest() + body

    def restore(self, state: bytes) -> None:
        """Go on from a `state()`, to the same bits.

        Raises:
            ConfigError: it is no state, damaged, or not of this model and number of streams.
        """
        start, model, digest = (len(STATE) + i * DIGEST for i in range(3))
        if not state.startswith(STATE) or len(state) < digest:
            raise ConfigError("state: not an engine's state, or of another version; save it again with Engine.state()")
        if state[start:model] != self._model:
            raise ConfigError("state: of another model; restore it in an engine of the model that saved it")
        if hashlib.sha256(state[digest:]).digest() != state[model:digest]:
            raise ConfigError("state: damaged; restore another copy")
        self._call("restore", state[digest:])

    def _codes(self, codes: NDArray[np.integer]) -> NDArray[np.int32]:
        if codes.ndim == 2 and len(codes) != self.streams:
            raise ConfigError(f"codes: of {len(codes)} streams, but the engine has {self.streams}")
        return np.ascontiguousarray(np.broadcast_to(codes, (self.streams, codes.shape[-1])), np.int32)

    def _dense(self, dense: Dense, second: Dense) -> list[NDArray[np.float32]]:
        """Return the dense values of the first and the second model, none where there is no second."""
        given = zip(self._conditions, per_voice(len(self._conditions), dense, second), strict=True)
        checked = [checked_dense(condition, values, self.streams) for condition, values in given]
        return [*checked, checked_dense(None, None, self.streams)][:2]

    def _call(self, method: str, *arguments: Any) -> Any:
        if os.getpid() != self._process:  # a fork has the engine's memory, but not its threads
            raise WavewrightError("engine: made before this process was forked; make a new one here")
        try:
            with self._turn:
                return getattr(self._engine, method)(*arguments)
        except _native().Error as error:
            raise ConfigError(str(error)) from None


def engine_fields(config: ModelConfig, rate: int | None) -> dict[str, Any]:
    """Return a configuration's fields for the engine, with those of its condition and prediction beside the others.

    Raises:
        ConfigError: there is a keyboard, but no rate.
    """
    fields = {name: value for name, value in vars(config).items() if name not in ("condition", "prediction")}
    if (prediction := config.prediction) is not None:
        fields |= {
            "prediction_order": prediction.order,
            "prediction_window": prediction.window,
            "prediction_hop": prediction.hop,
            "prediction_density": prediction.density,
            "prediction_amplitudes": prediction.amplitudes(config.q_levels).tolist(),
        }
    if (condition := config.condition) is not None:
        if prediction and (strings := prediction.strings):
            fields |= {
                "strings_low": strings.low,
                "strings_keys": strings.keys,
                "strings_rate": strings.rate,
                "strings_offset": condition.offset(condition.named(strings.name)),
            }
        fields |= {
            "condition_hop": condition.hop,
            "condition_width": condition.width,
            "condition_dense": condition.dense,
            "condition_controls": len(condition.controls),
        }
        if notes := condition.notes:
            fields |= {
                "keyboard_low": notes.low,
                "keyboard_keys": notes.keys,
                "keyboard_offset": condition.offset(notes),
                "keyboard_flag": condition.dense_flag(notes),
                "keyboard_rate": needed_rate(rate),
                "keyboard_events": CAPACITY,
            }
    return fields


def _contiguous(voice: Voice) -> Voice:
    weights = {name: np.ascontiguousarray(weight, np.float32) for name, weight in voice.weights.items()}
    return replace(voice, weights=weights)


def _digest_of(voices: Sequence[Voice], rate: int | None) -> bytes:
    """Return a hash of all models' configurations and weights, and of the rate by which a keyboard's notes age."""
    digest = hashlib.sha256()
    for voice in voices:
        digest.update(json.dumps(voice.config.as_dict()).encode())
        if voice.config.condition and voice.config.condition.notes:
            digest.update(str(rate).encode())
        for name in sorted(voice.weights):
            digest.update(name.encode())
            digest.update(voice.weights[name].data)
    return digest.digest()


def _native() -> Any:
    if _engine is None:
        raise WavewrightError("the native engine is not built: install wavewright again where there is a C++ compiler")
    return _engine
