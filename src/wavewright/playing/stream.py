"""Generate codes a block at a time, with or without the generation guard. Memory does not grow with length."""

import logging
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import InitVar, dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.events import CAPACITY
from wavewright.conditioning.roll import sounding
from wavewright.playing.guard import BLOCK, PAST, PATIENCE, GenerationGuard, Trouble
from wavewright.playing.playable import DEFAULT, Playable, Player
from wavewright.progress import Progress, silent
from wavewright.sampling import Controls, Part
from wavewright.signals import Stop, never

log = logging.getLogger(__name__)

ATTEMPTS = 3  # redraws of one fault, each rolling back a second further
RECOVERED = 10.0  # healthy seconds after a redraw, after which the next fault is a new one
CONTEXT = 3.0  # seconds of earlier sound with which a redraw's player is primed
HELD = max(PATIENCE.values()) + ATTEMPTS * (ATTEMPTS + 1) / 2 + 1  # seconds that redraws can roll back, plus one


class Performer:
    """A player whose models are given their parts (`sampling.Part`) block by block, from `begin` on."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._voices: Sequence[Sequence[Part]] = ()
        self._clock = 0  # samples that the player has read and made
        self._offset = 0  # the player's clock where the parts begin
        self._fed: list[int] = []  # sample of the part up to which a model has the events

    def begin(self, *voices: Sequence[Part], place: int = 0) -> None:
        """Give the player its parts from sample `place` on, and what the keyboards hold there from before.

        Args:
            voices: parts of each model: none, one for all streams, or one for each.
            place: sample of the parts that comes next.
        """
        self._voices, self._offset, self._fed = voices, self._clock - place, [place] * len(voices)
        if place > 0:
            for voice, parts in enumerate(voices):
                self._feed(voice, [sounding(part.events(0, place), place) for part in parts])

    def prime(self, codes: NDArray[np.integer]) -> None:
        """Read codes (streams, n), or (n,) for all streams."""
        self._player.prime(codes, *self._dense(codes.shape[-1]))

    def generate(self, samples: int, controls: Controls) -> NDArray[np.integer]:
        """Return new codes (streams, samples)."""
        return self._player.generate(samples, controls, *self._dense(samples))

    def _dense(self, samples: int) -> list[NDArray[np.float32] | None]:
        """Feed the events of the frames that begin in the next samples, and return the frames' dense values."""
        first = self._clock
        self._clock += samples
        return [self._dense_of(voice, parts, first) if parts else None for voice, parts in enumerate(self._voices)]

    def _dense_of(self, voice: int, parts: Sequence[Part], first: int) -> NDArray[np.float32]:
        hop = parts[0].hop
        frames = np.arange(-(-first // hop), -(-self._clock // hop))
        stop = -(-self._clock // hop) * hop - self._offset
        self._feed(voice, [part.events(self._fed[voice], stop) for part in parts])
        self._fed[voice] = stop
        dense = [part.dense(frames * hop - self._offset) for part in parts]
        return dense[0] if len(dense) == 1 else np.stack(dense)

    def _feed(self, voice: int, by_part: Sequence[NDArray[np.void]]) -> None:
        for stream in range(self._player.streams if by_part else 0):
            placed = by_part[stream % len(by_part)].copy()
            placed["sample"] += self._offset
            if len(placed) and (dropped := self._player.feed(stream, placed, voice)):
                log.warning(f"{dropped} notes were left out: more than {CAPACITY} events came at once")


def stream(
    player: Player,
    samples: int,
    controls: Controls = DEFAULT,
    prime: Iterable[NDArray[np.integer]] | None = None,
) -> Iterator[NDArray[np.integer]]:
    """Yield blocks of new codes (streams, up to BLOCK), `samples` in all.

    Args:
        player: player of the streams.
        samples: number of samples to generate in each stream.
        controls: how codes are drawn. A curve has a value for each of `samples`.
        prime: blocks of codes to read first, (n,) for all streams or (streams, n).
    """
    performer = Performer(player)
    for block in prime or ():
        performer.prime(block)
    performer.begin(*_of_take(controls))
    for start in range(0, samples, BLOCK):
        stop = min(start + BLOCK, samples)
        yield performer.generate(stop - start, controls.between(start, stop))


def perform(
    player: Player,
    excerpts: Sequence[Part],
    samples: int,
    prime: NDArray[np.integer] | None = None,
    controls: Controls = DEFAULT,
) -> Iterator[NDArray[np.integer]]:
    """Yield blocks of new codes (streams, up to BLOCK), each stream under its own excerpt.

    Args:
        player: player of as many streams, at their start.
        excerpts: what the streams play, primes included.
        samples: number of samples to generate in each stream.
        prime: codes (streams, n) to read first.
        controls: how codes are drawn, with single values.
    """
    performer = Performer(player)
    performer.begin(excerpts)
    if prime is not None:
        for start in range(0, prime.shape[1], BLOCK):  # since only so many events can wait
            performer.prime(prime[:, start : start + BLOCK])
    for start in range(0, samples, BLOCK):
        yield performer.generate(min(BLOCK, samples - start), controls)


def _of_take(controls: Controls) -> list[Sequence[Part]]:
    """Return the part of each model that all streams of a take play, if there is one."""
    first, second = ([part] if part else [] for part in (controls.part, controls.second))
    return [first, second] if second else [first] if first else []


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
    progress: Progress = silent,
    stop: Stop = never,
) -> Iterator[NDArray[np.integer]]:
    """Yield blocks of new codes like `stream`, and roll back and redraw a stream that goes wrong.

    A stream goes wrong when it falls silent, sticks or turns to noise. Under a keyboard, it may fall silent. Healthy
    streams are identical to those of `stream`.

    Args:
        model: model to play.
        samples: number of samples to generate in each stream.
        count: number of streams. Stream k does not depend on it.
        seed: decides every stream and every redraw.
        controls: see `stream`.
        prime: blocks of codes (n,) that all streams read first.
        guard: False gives the same as `stream`.
        live: yield blocks as soon as they are made. A redraw then replaces only what follows. Otherwise, blocks are
            held back for HELD seconds, as far as redraws can roll back.
        progress: shows the samples of the prime and those made. A live stream shows only the former.
        stop: ends the streams early, once it returns True. What was made until then is yielded.
    """
    player = Performer(model.player(count, seed))
    primed = _prime(player, model, prime, progress, stop) if prime else np.zeros(0, np.int64)
    player.begin(*_of_take(controls))
    takes = [_Take(model, k, seed, controls, live, guard, primed) for k in range(count)]
    most = round(HELD * model.rate / BLOCK) if guard and not live else 0
    with (silent if live else progress)("generating", samples) as advance:
        for start in range(0, samples, BLOCK):
            if stop():
                break
            size = min(BLOCK, samples - start)
            if any(take.own is None for take in takes):
                common = player.generate(size, controls.between(start, start + size))
            for take in takes:
                take.go_on(size, common)
            advance(size)
            yield from _given(takes, most)
    yield from _given(takes, 0)


def _prime(
    player: Performer, model: Playable, blocks: Iterable[NDArray[np.integer]], progress: Progress, stop: Stop
) -> NDArray[np.integer]:
    """Prime a player, and return the last codes of the prime, by which the guard knows the usual sound.

    A model with a receptive field reads no more than that, so a long prime takes no longer than a short one.
    """
    reach = model.receptive_field
    kept = round(max(PAST * model.rate, reach if reach < math.inf else 0))
    primed = np.zeros(0, np.int64)
    with progress("hearing the prime", None) as advance:
        for block in blocks:
            if stop():
                break
            if reach == math.inf:
                player.prime(block)
            primed = np.concatenate((primed, block))[-kept:]
            advance(len(block))
        if reach < math.inf and len(primed):
            player.prime(primed[-round(reach) :])
    return primed


@dataclass
class _Take:
    """A stream under guard, with its last blocks, the blocks held back, and its own player after a redraw."""

    model: Playable
    number: int
    seed: int
    controls: Controls
    live: bool
    guard: bool
    primed: InitVar[NDArray[np.integer]]

    def __post_init__(self, primed: NDArray[np.integer]) -> None:
        model = self.model
        self.own: Performer | None = None
        self.held: deque[NDArray[np.integer]] = deque()
        self._guard = GenerationGuard(model.quantizer, model.rate, primed) if self.guard else None
        self._played = deque([primed], maxlen=round((HELD + CONTEXT) * model.rate / BLOCK) + 1)
        self._made = 0  # blocks, without those rolled back
        self._redraws = 0
        self._attempts, self._cut = 0, 0  # redraws of this fault, and the block where the last redraw began

    def go_on(self, size: int, common: NDArray[np.integer]) -> None:
        """Add a block from `common` (streams, size) or the own player, and replace the blocks that are rolled back."""
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
        rests = any(part.rests for part in (self.controls.part, self.controls.second) if part)
        if trouble and not (trouble.what == "silent" and rests):
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
        """Roll back the last blocks, prime a new player with the sound before them, and return a description."""
        place = self._made - back
        for _ in range(back):
            self._played.pop()
        for _ in range(min(back, len(self.held))):
            self.held.pop()
            self._made -= 1
        self._cut = self._made
        self._redraws += 1
        seed = np.random.SeedSequence([self.seed, self.number, self._redraws]).generate_state(1, np.uint64)
        self.own = Performer(self.model.player(1, int(seed[0])))
        context = np.concatenate(self._played)[-round(CONTEXT * self.model.rate) :]
        self.own.begin(*_of_take(self.controls), place=self._made * BLOCK - len(context))
        if len(context):
            self.own.prime(context)
        return f"{'goes on as from' if self.live else 'back to'} {self._time(place)} and drawn again"

    def _time(self, blocks: int) -> str:
        return f"{blocks * BLOCK / self.model.rate:.1f} s"


def _given(takes: list[_Take], most: int) -> Iterator[NDArray[np.integer]]:
    """Yield the oldest blocks until each take holds back at most `most`."""
    while all(len(take.held) > most for take in takes):
        yield np.stack([take.held.popleft() for take in takes])
