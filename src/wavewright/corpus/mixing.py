"""Mix channels to one, and tell where they cancel one another, so that little or nothing is left of the sound."""

import math

import numpy as np

from wavewright.corpus.audio import Channel, Samples, mono
from wavewright.corpus.levelling import SILENT
from wavewright.metrics import Meter

WEAK_DB = 20.0  # a mix that is quieter than its channels by more is noted
CANCELLED_DB = 60.0  # of a mix that is quieter by more, only rounding may be left
REMEDY = "use --channel left, or a mono file of one channel"
SILENCE = "silent: it stays below -80 dBFS, so it is not raised to full scale"


class Mixdown:
    """Turn blocks of one recording into one channel, compare the mix with its channels, and tell whether it is silent.

    Heights are half the distance from the least to the greatest amplitude, so DC counts for nothing.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._channels, self._mix = Meter(), Meter()

    def mono(self, block: Samples) -> Samples:
        """Return the channel (n,) of a block (n, channels)."""
        mixed = mono(block, self.channel)
        if self.channel == "mix" and block.shape[1] > 1:
            self._channels.add(block)
        self._mix.add(mixed)
        return mixed

    def silent(self) -> bool:
        """Tell whether the channel stays below -80 dBFS around its mean.

        The answer comes before any resampling, which turns the edges of DC into clicks.
        """
        return bool(max(self._mix.high - self._mix.mean, self._mix.mean - self._mix.low) <= SILENT)

    def loss_db(self) -> float:
        """Return by how many dB the mix is quieter than its loudest channel. It is 0 where nothing was mixed."""
        channels, mix = _height(self._channels), _height(self._mix)
        if not (SILENT < channels < math.inf and mix < math.inf):  # a sum of huge channels overflows
            return 0.0
        return 20 * math.log10(channels / mix) if mix > 0 else math.inf

    def notes(self) -> tuple[str, ...]:
        """Return notes on what is odd in the mix."""
        if reason := self.cancelled():
            return (reason,)
        return tuple(filter(None, [self.weak(), SILENCE if self.silent() else None]))

    def cancelled(self) -> str | None:
        """Return why the mix cannot be used, where only rounding is left of it."""
        if self.loss_db() <= CANCELLED_DB:
            return None
        return f"its channels cancel one another and only rounding is left of their mix; {REMEDY}"

    def weak(self) -> str | None:
        """Return a note on a mix that can be used but is much quieter than its channels."""
        loss = self.loss_db()
        if not WEAK_DB < loss <= CANCELLED_DB:
            return None
        return f"its channels cancel one another, the mix is {loss:.0f} dB quieter; {REMEDY}"


def _height(meter: Meter) -> float:
    """Return half the distance from the least to the greatest amplitude, of the channel where it is largest."""
    return float(np.max(np.asarray(meter.high, np.float64) - meter.low)) / 2
