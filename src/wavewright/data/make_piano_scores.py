"""Write scores of our own making, and let FluidSynth render them, for hours of piano that is aligned and free to ship.

    python make_piano_scores.py OUT --render /usr/share/sounds/sf2/FluidR3_GM.sf2

The scores hold scales, arpeggios, chords, repeated notes, melodies over an accompaniment and single notes, with and
without the pedal, over all keys and velocities of a piano, and rests. Every score comes from a fixed seed. We dedicate
them to the public domain (CC0 1.0). The recordings have the sound font's licence.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr

LOW, HIGH = 21, 108
SECONDS = 60.0
TICKS = 1000  # in a second, at the tempo below
RENDERED = 44100  # Hz
GAIN = 2.5  # with which the loudest of 90 exercises stays below full scale
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), tuple(range(12)))
CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 11), (0, 3, 7, 10), (0, 5, 7), (0, 12), (0, 7, 16))

Note = tuple[float, float, int, int]  # start and length in seconds, key, velocity
Phrase = Callable[[np.random.Generator], list[Note]]


def _key(random: np.random.Generator) -> int:
    """Draw a key. The middle of the keyboard comes more often, as in music, but every key comes."""
    if random.random() < 0.3:
        return int(random.integers(LOW, HIGH + 1))
    return int(np.clip(round(random.normal(62, 13)), LOW, HIGH))


def _line(random: np.random.Generator, keys: list[int]) -> list[Note]:
    """Play keys one after another, more or less even, and more or less connected."""
    gap = np.exp(random.uniform(np.log(0.09), np.log(0.6)))
    length = gap * random.uniform(0.4, 1.1)
    velocity = random.uniform(25, 110) + np.linspace(0, random.uniform(-25, 25), len(keys))
    starts = gap * np.arange(len(keys)) + random.normal(0, 0.006, len(keys))
    return [
        (start, length, key, int(loud + random.normal(0, 5)))
        for start, key, loud in zip(starts, keys, velocity, strict=True)
    ]


def single(random: np.random.Generator) -> list[Note]:
    """Return one note, held for up to four seconds."""
    return [(0.0, float(np.exp(random.uniform(np.log(0.15), np.log(4)))), _key(random), int(random.integers(12, 128)))]


def scale(random: np.random.Generator) -> list[Note]:
    """Return a scale up or down."""
    steps, root = SCALES[random.integers(len(SCALES))], _key(random)
    keys = [root + 12 * (i // len(steps)) + steps[i % len(steps)] for i in range(random.integers(5, 18))]
    return _line(random, keys[:: random.choice((1, -1))])


def arpeggio(random: np.random.Generator) -> list[Note]:
    """Return a broken chord, up and sometimes down again."""
    chord, root = CHORDS[random.integers(len(CHORDS))], _key(random)
    keys = [root + 12 * octave + step for octave in range(random.integers(1, 4)) for step in chord]
    return _line(random, keys + keys[-2::-1] if random.random() < 0.5 else keys)


def repeated(random: np.random.Generator) -> list[Note]:
    """Return one key struck again and again."""
    return _line(random, [_key(random)] * int(random.integers(3, 10)))


def melody(random: np.random.Generator) -> list[Note]:
    """Return a line of small and large steps."""
    steps = random.choice((-7, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 7, 12), random.integers(4, 14))
    return _line(random, list(np.cumsum([_key(random), *steps])))


def chords(random: np.random.Generator) -> list[Note]:
    """Return several chords of two to four keys."""
    gap, velocity = random.uniform(0.3, 1.2), random.uniform(25, 105)
    notes = []
    for i in range(random.integers(1, 6)):
        root = _key(random)
        for step in CHORDS[random.integers(len(CHORDS))]:
            start = gap * i + abs(random.normal(0, 0.006))
            notes.append((start, gap * random.uniform(0.5, 1.0), root + step, int(velocity + random.normal(0, 6))))
    return notes


def accompanied(random: np.random.Generator) -> list[Note]:
    """Return a melody over broken chords an octave or two below."""
    upper, lower = melody(random), arpeggio(random)
    down = 12 * int(random.integers(1, 3))
    return upper + [(start, length, key - down, int(0.8 * velocity)) for start, length, key, velocity in lower]


PHRASES: dict[Phrase, float] = {
    single: 0.30,
    scale: 0.12,
    arpeggio: 0.12,
    repeated: 0.08,
    melody: 0.16,
    chords: 0.12,
    accompanied: 0.10,
}


def messages(seed: int) -> Iterator[tuple[float, mido.Message]]:
    """Return a score's messages with their times in seconds, in no order."""
    random = np.random.default_rng(seed)
    now = 0.5
    taken: dict[int, float] = {}  # when each key comes up
    while now < SECONDS - 6:
        phrase = list(PHRASES)[random.choice(len(PHRASES), p=list(PHRASES.values()))](random)
        end = now
        for start, length, key, velocity in sorted(phrase):
            begin = now + max(start, 0)
            if not LOW <= key <= HIGH or taken.get(key, 0) > begin - 0.02:
                continue
            taken[key] = begin + max(length, 0.05)
            end = max(end, taken[key])
            yield begin, mido.Message("note_on", note=int(key), velocity=int(np.clip(velocity, 8, 127)))
            yield taken[key], mido.Message("note_off", note=int(key), velocity=0)
        if random.random() < 0.35:
            yield now - 0.05, mido.Message("control_change", control=64, value=127)
            end += random.uniform(0, 1.5)
            yield end, mido.Message("control_change", control=64, value=0)
        now = end + (random.uniform(0.05, 0.4) if random.random() < 0.7 else random.uniform(0.5, 2.0))


def write(path: Path, seed: int) -> None:
    """Write one score, whose last note rings out before its end."""
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    past = 0
    for seconds, message in sorted(messages(seed), key=lambda one: (one[0], one[1].type != "note_off")):
        ticks = round(TICKS * seconds)
        track.append(message.copy(time=ticks - past))
        past = ticks
    mido.MidiFile(type=0, ticks_per_beat=TICKS // 2, tracks=[track]).save(path)


def render(score: Path, font: Path, rate: int) -> None:
    """Write the recording of a score beside it, dry, in mono, and as FLAC of 16 bits."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        options = ["-ni", "-q", "-g", "0.5", "-R", "0", "-C", "0", "-r", str(RENDERED), "-T", "wav", "-O", "s16"]
        command = ["fluidsynth", *options, "-F", file.name, str(font), str(score)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        sound, _ = soundfile.read(file.name)
    sound = soxr.resample(GAIN * sound.mean(1), RENDERED, rate)
    soundfile.write(score.with_suffix(".flac"), sound.clip(-1, 1), rate, "PCM_16")


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=90, help="number of scores, each of a minute")
    parser.add_argument("--render", type=Path, metavar="FONT", help="sound font with which fluidsynth renders them")
    parser.add_argument("--rate", type=int, default=RENDERED, help="sample rate of the recordings in Hz")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in range(args.count):
        score = args.out / f"exercise-{seed:03d}.mid"
        write(score, seed)
        if args.render:
            render(score, args.render, args.rate)
            print(f"\r{seed + 1} of {args.count}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
