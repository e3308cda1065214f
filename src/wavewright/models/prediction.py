"""Linear prediction under a model: what the past alone says of the coming sample, without anything learned.

The predictor adapts to the samples heard and costs about a microsecond a sample. The native module computes it, for
torch too, so that both give the same codes. A model that predicts hears the forecast as an input, and learns the error
that is left. LPCNet (arXiv:1810.11846) predicts with order 16 under speech.

No torch here.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from wavewright.errors import WavewrightError
from wavewright.models.condition import Key, Name
from wavewright.models.config import STRICT
from wavewright.quantize import Encoding, Quantizer

if TYPE_CHECKING:
    from wavewright import _engine

LEVELS = 64  # into which the spread of a forecast is divided, four to an octave
FREEDOM = 10.0  # degrees of freedom of Student's t, the density around a prediction
WIDEST = 8.0  # greatest logarithm of the factor by which a model changes the spread of that density


@dataclass(frozen=True, config=STRICT)
class Strings:
    """The keys that a predictor expects to sound at their pitch when they are struck, as a piano's do.

    Attributes:
        rate: samples in a second.
        name: name of the keyboard among the model's controls.
        low: its lowest MIDI key.
        high: its highest MIDI key.
    """

    rate: Annotated[int, Field(ge=1, le=768000)]
    name: Name = "notes"
    low: Key = 21
    high: Key = 108

    @property
    def keys(self) -> int:
        """Number of keys."""
        return self.high - self.low + 1


@dataclass(frozen=True, config=STRICT)
class Prediction:
    """The fields of a linear predictor.

    Attributes:
        order: number of past samples that a prediction weighs. 512 reach across the periods of several notes.
        window: time constant in samples with which the past is forgotten.
        hop: samples after which the weights are computed anew.
        encoding: how codes stand for amplitudes, which is the run's encoding.
        density: start from the predictor's own density, whose width follows the last errors. An untrained model is then
            as good as the predictor. Bits are lower, but free play falls silent.
        strings: keys that it expects to sound when they are struck. None means that it hears them first.
    """

    order: Annotated[int, Field(ge=1, le=4096)] = 512
    window: Annotated[float, Field(ge=1, le=1e9)] = 2500.0
    hop: Annotated[int, Field(ge=1, le=4096)] = 128
    encoding: Encoding = "mu-law"
    density: bool = False
    strings: Strings | None = None

    @property
    def state_bytes(self) -> int:
        """Bytes that a stream remembers."""
        strings = self.order + 1 + self.strings.keys + 1 if self.strings else 0
        return 8 * (4 + self.order + self.hop + self.order + 1 + self.order + strings)

    def rows(self, q_levels: int) -> int:
        """Return the number of rows of the table by which a forecast enters a model of so many codes."""
        return 2 * q_levels + (LEVELS if self.density else 0)

    def amplitudes(self, q_levels: int) -> NDArray[np.float32]:
        """Return the amplitudes of all codes (Q,)."""
        return Quantizer(q_levels, self.encoding).decode(np.arange(q_levels))


@lru_cache(maxsize=16)
def native(prediction: Prediction, q_levels: int, hop: int) -> "_engine.Predictor":
    """Return the native predictor for so many codes, and control frames of `hop` samples.

    Raises:
        WavewrightError: the native module is not built.
    """
    try:
        from wavewright import _engine
    except ImportError:
        raise WavewrightError(
            "model.prediction: needs the native engine; install wavewright again where there is a C++ compiler"
        ) from None
    strings = prediction.strings
    keyboard = (strings.low, strings.keys, strings.rate, hop) if strings else (0, 0, 0, 0)
    amplitudes = prediction.amplitudes(q_levels).tolist()
    return _engine.Predictor(prediction.order, prediction.window, prediction.hop, amplitudes, *keyboard)
