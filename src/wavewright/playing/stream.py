"""Codes of a model, a block at a time, guarded or raw: memory does not grow with length."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import InitVar, dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.playing.guard import BLOCK, PAST, PATIENCE, GenerationGuard, Trouble
from wavewright.playing.playable import DEFAULT, Playable, Player
from wavewright.progress import Advance, ignore
from wavewright.sampling import Controls

log = logging.getLogger(__name__)

ATTEMPTS = 3  # redraws of one trouble, each going back a second further
RECOVERED = 10.0  # healthy seconds after a redraw that make the next trouble another one
HEARD = 3.0  # seconds that a redraw's player hears first
HELD = max(PATIENCE.values()) + ATTEMPTS * (ATTEMPTS + 1) / 2 + 1  # seconds that redraws can go back in all, and one


def stream(
    player: Player,
    samples: int,
    controls: Controls = DEFAULT,
    prime: Iterable[NDArray[np.integer]] | None = None,
) -> Iterator[NDArray[np.integer]]:
    """Yield blocks of new codes (streams, up to BLOCK), `samples` in all.

    Args:
        player: streams to go on with.
        samples: how many to make.
        controls: how codes are drawn; its curves have a value for each of `samples`.
        prime: blocks of codes to hear first, (n,) for all streams or (streams, n).
    """
    for block in prime or ():
        player.prime(block)
    for start in range(0, samples, BLOCK):
        stop = min(start + BLOCK, samples)
        yield player.generate(stop - start, controls.between(start, stop))


def play(
    model: Playable,
    samples: int,
    *,
    count: int = 1,
    seed: int = 0,
    controls: Controls = DEFAULT,
    prime: Iterable[NDArray[np.integer]] | None = None,
    guard: bool = True,
    live: bool = False,
    advance: Advance = ignore,
) -> Iterator[NDArray[np.integer]]:
    """`stream`, of whose streams one that falls silent, sticks or turns to noise is rolled back and drawn again.

    A stream that never does has the codes of `stream`. After a Ctrl-C while a block is made comes what was held back,
    then KeyboardInterrupt.

    Args:
        model: whose streams.
        samples: how many to make.
        count: streams; stream k is the same whatever their number.
        seed: decides every stream, and what is drawn in place of trouble.
        controls: see `stream`.
        prime: blocks of codes (n,) that all streams hear first.
        guard: off is `stream` itself.
        live: yield blocks as soon as they are made, so that what was heard stays and a redraw goes on in the present.
            Else they are held back for HELD seconds, as far as redraws can go back.
        advance: told of the samples of every block when it is made.
    """
    player = model.player(count, seed)
    heard = np.zeros(0, np.int64)
    for block in prime or ():
        player.prime(block)
        heard = np.concatenate((heard, block))[-round(PAST * model.rate) :]
    takes = [_Take(model, k, seed, controls, live, guard, heard) for k in range(count)]
    most = round(HELD * model.rate / BLOCK) if guard and not live else 0
    try:
        for start in range(0, samples, BLOCK):
            size = min(BLOCK, samples - start)
            if any(take.own is None for take in takes):
                common = player.generate(size, controls.between(start, start + size))
            for take in takes:
                take.go_on(size, common)
            advance(size)
            yield from _given(takes, most)
    except KeyboardInterrupt:
        yield from _given(takes, 0)
        raise
    yield from _given(takes, 0)


@dataclass
class _Take:
    """A stream under guard: what it played last, what of that is held back, and who plays it once it was redrawn."""

    model: Playable
    number: int
    seed: int
    controls: Controls
    live: bool
    guard: bool
    heard: InitVar[NDArray[np.integer]]

    def __post_init__(self, heard: NDArray[np.integer]) -> None:
        model = self.model
        self.own: Player | None = None
        self.held: deque[NDArray[np.integer]] = deque()
        self._guard = GenerationGuard(model.quantizer, model.rate, heard) if self.guard else None
        self._played = deque([heard], maxlen=round((HELD + HEARD) * model.rate / BLOCK) + 1)
        self._made = 0  # blocks, without those rolled back
        self._redraws = 0
        self._attempts, self._cut = 0, 0  # redraws of this trouble; where the last one began

    def go_on(self, size: int, common: NDArray[np.integer]) -> None:
        """One block more, from `common` (streams, size) or its own player, and again what a redraw rolled back."""
        wanted = len(self.held) + 1
        if self.own is None:
            self._add(common[self.number])
        while self.own and len(self.held) < wanted:
            start = self._made * BLOCK
            self._add(self.own.generate(size, self.controls.between(start, start + size))[0])

    def _add(self, codes: NDArray[np.integer]) -> None:
        self.held.append(codes)
        self._played.append(codes)
        self._made += 1
        trouble = self._guard.judge(codes) if self._guard and len(codes) == BLOCK else None
        if trouble:
            since = self._made - trouble.blocks
            recovered = since - self._cut >= RECOVERED * self.model.rate / BLOCK
            self._attempts = 1 if recovered else self._attempts + 1
            what = f"take {self.number + 1}: {trouble.what} at {self._time(since)}"
            if hopeless := self._hopeless(trouble):
                self._guard = None
                log.warning(f"{what}; {hopeless}: it goes on as it is, unguarded")
            else:
                back = trouble.blocks + round(self._attempts * self.model.rate / BLOCK)
                log.warning(f"{what}; {self._redraw(min(back, len(self._played) - 1))} ({self._attempts})")

    def _hopeless(self, trouble: Trouble) -> str:
        if not trouble.past:
            return "there is no healthy sound before to go back to"
        if self.controls.greedy:
            return "the likeliest code alone would be drawn again"
        return f"{ATTEMPTS} redraws did not help" if self._attempts > ATTEMPTS else ""

    def _redraw(self, back: int) -> str:
        """Leave the last blocks to a new player, which has heard what was before them; what was done, in words."""
        place = self._made - back
        for _ in range(back):
            self._played.pop()
        for _ in range(min(back, len(self.held))):
            self.held.pop()
            self._made -= 1
        self._cut = self._made
        self._redraws += 1
        seed = np.random.SeedSequence([self.seed, self.number, self._redraws]).generate_state(1, np.uint64)
        self.own = self.model.player(1, int(seed[0]))
        heard = np.concatenate(self._played)[-round(HEARD * self.model.rate) :]
        if len(heard):
            self.own.prime(heard)
        return f"{'goes on as from' if self.live else 'back to'} {self._time(place)} and drawn again"

    def _time(self, blocks: int) -> str:
        return f"{blocks * BLOCK / self.model.rate:.1f} s"


def _given(takes: list[_Take], most: int) -> Iterator[NDArray[np.integer]]:
    """The oldest blocks of which the takes hold back more than `most`, which are fewer from then on."""
    while all(len(take.held) > most for take in takes):
        yield np.stack([take.held.popleft() for take in takes])
