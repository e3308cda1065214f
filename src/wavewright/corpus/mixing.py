"""Mix channels to one, and tell where they cancel one another, so that little or nothing is left of the sound."""

import math

import numpy as np

from wavewright.corpus.audio import Channel, Samples, mono
from wavewright.corpus.levelling import SILENT

WEAK_DB = 20.0  # a mix that is quieter than its channels by more is noted
CANCELLED_DB = 60.0  # of a mix that is quieter by more, only rounding may be left
REMEDY = "use --channel left, or a mono file of one channel"


class Mixdown:
    """Turn blocks of one recording into one channel, and compare the mix with its channels.

    Heights are half the distance from the least to the greatest amplitude, so DC counts for nothing.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._low, self._high = np.float64(np.inf), np.float64(-np.inf)
        self._mix_low, self._mix_high = np.inf, -np.inf

    def mono(self, block: Samples) -> Samples:
        """Return the channel (n,) of a block (n, channels)."""
        mixed = mono(block, self.channel)
        if self.channel == "mix" and block.shape[1] > 1 and len(block):
            self._low = np.minimum(self._low, block.min(0).astype(np.float64))
            self._high = np.maximum(self._high, block.max(0).astype(np.float64))
            self._mix_low = min(self._mix_low, float(mixed.min()))
            self._mix_high = max(self._mix_high, float(mixed.max()))
        return mixed

    def loss_db(self) -> float:
        """Return by how many dB the mix is quieter than its loudest channel. It is 0 where nothing was mixed."""
        channels, mix = float(np.max(self._high - self._low)) / 2, (self._mix_high - self._mix_low) / 2
        if not (SILENT < channels < math.inf and mix < math.inf):  # a sum of huge channels overflows
            return 0.0
        return 20 * math.log10(channels / mix) if mix > 0 else math.inf

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
