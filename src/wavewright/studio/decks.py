"""The instruments of a player: one, or two that are given the same, of which one is heard."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.controls import merged
from wavewright.errors import ConfigError
from wavewright.models.condition import Control, Notes
from wavewright.playing.instrument import Instrument

MOST_WAITING = 1000  # changes
FADE = 0.005  # seconds from one deck to the other


class Decks:
    """Instruments of one sample rate that are given the same keys, controls and scores.

    Attributes:
        rate: samples in a second.
        chosen: number of the instrument that is heard from the next block on, counted from 0.

    Args:
        instruments: the instruments.
        block: samples in a block.
        in_turns: whether one that is not heard stands still and later goes on from there, which costs nothing.
            Otherwise all of them play all the time.
    """

    def __init__(self, instruments: Sequence[Instrument], block: int, *, in_turns: bool = False) -> None:
        self._instruments, self._block, self._in_turns = instruments, block, in_turns
        self.rate = instruments[0].rate
        self.chosen = self._heard = 0
        for instrument in instruments:
            instrument.clock = time.monotonic
        self._sounds = [instrument.stream(block) for instrument in instruments]

    def __len__(self) -> int:
        return len(self._instruments)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._instruments)

    @property
    def controls(self) -> tuple[Control, ...]:
        """The controls of all instruments. Where several have one of a name, it is the first's."""
        return merged(instrument.controls for instrument in self._instruments)

    @property
    def keyboard(self) -> Notes | None:
        """The first keyboard among the controls."""
        return next((control for control in self.controls if isinstance(control, Notes)), None)

    @property
    def held(self) -> frozenset[int]:
        """The keys that are down, as of the last block."""
        return frozenset().union(*(self._instruments[place].held for place in self._sounding))

    @property
    def plays_score(self) -> bool:
        """Whether a score goes on."""
        return any(self._instruments[place].plays_score for place in self._sounding)

    def give(self, change: Callable[[Instrument], object]) -> None:
        """Give every instrument a change. An instrument that has no such thing is passed over.

        Raises:
            ConfigError: so many wait that no more are taken, or all instruments refuse.
        """
        if any(instrument.waiting >= MOST_WAITING for instrument in self._instruments):
            raise Full(f"message: {MOST_WAITING} changes wait already; let sound be made, or send fewer")
        refused = []
        for instrument in self._instruments:
            try:
                change(instrument)
            except ConfigError as error:
                refused.append(error)
        if len(refused) == len(self._instruments):
            raise refused[0]

    def block(self) -> NDArray[np.float32]:
        """Return the next block of what is heard."""
        blocks = {place: self._next(place) for place in {*self._sounding, self._heard}}
        for place, instrument in enumerate(self._instruments):
            if place not in blocks:
                instrument.stand_by()
        before, self._heard = blocks[self._heard], self.chosen
        if before is blocks[self._heard]:
            return before
        share = np.minimum(np.arange(1, self._block + 1) / (FADE * self.rate), 1).astype(np.float32)
        return (1 - share) * before + share * blocks[self._heard]

    @property
    def _sounding(self) -> Sequence[int]:
        return (self.chosen,) if self._in_turns else range(len(self._instruments))

    def _next(self, place: int) -> NDArray[np.float32]:
        try:
            return next(self._sounds[place])
        except StopIteration:  # after an error, of which the page was told
            self._sounds[place] = self._instruments[place].stream(self._block)
            return np.zeros(self._block, np.float32)

    def state(self) -> list[Any]:
        """Return the state of every instrument."""
        return [instrument.state() for instrument in self._instruments]

    def restore(self, states: Sequence[Any]) -> None:
        """Go back to a `state()` of these instruments."""
        for instrument, state in zip(self._instruments, states, strict=True):
            instrument.restore(state)


class Full(ConfigError):
    """A message that is refused since too many wait. The page is told once."""
