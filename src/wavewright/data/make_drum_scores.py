"""Play a kit of one-shots at random and write recordings with their scores: python make_drum_scores.py ONE_SHOTS OUT.

ONE_SHOTS is a folder with the sounds of KIT, CC0 1.0 samples of Sonic Pi (Debian's sonic-pi-samples, as FLAC). Keys are
those of General MIDI's drums, on a channel that is not the drums'. Every score comes from a fixed seed. We dedicate the
scores to the public domain (CC0 1.0).
"""

import argparse
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr

KIT = {
    35: "bd_808",
    36: "bd_haus",
    37: "elec_wood",
    38: "drum_snare_hard",
    39: "perc_snap2",
    40: "sn_dub",
    42: "drum_cymbal_pedal",
    43: "drum_tom_lo_soft",
    45: "drum_tom_mid_soft",
    48: "drum_tom_hi_soft",
    49: "drum_cymbal_soft",
    56: "drum_cowbell",
    60: "tabla_na_s",
    61: "tabla_ghe1",
    76: "elec_blip2",
}
RATE = 44100
SECONDS = 30.0
PEAK = 0.6  # of each sound at velocity 127
CHOKE = 0.003  # seconds in which a sound fades when it is struck again
TICKS = 1000  # in a second
HELD = 20  # ticks until a key comes up, before it can be struck again


def read(folder: Path) -> dict[int, np.ndarray]:
    """Return the kit's sounds (n,) by their keys."""
    sounds = {}
    for key, name in KIT.items():
        sound, rate = soundfile.read(next(folder.rglob(f"{name}.flac")), always_2d=True)
        sound = soxr.resample(sound.mean(1), rate, RATE)
        loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
        sounds[key] = PEAK * sound[loud[0] :] / np.abs(sound).max()
    return sounds


def hits(seed: int) -> list[tuple[float, int, int]]:
    """Return when which key is struck how hard."""
    random = np.random.default_rng(seed)
    now, found = 0.3, []
    while now < SECONDS - 1.5:
        gap = np.exp(random.uniform(np.log(0.08), np.log(0.7)))
        for _ in range(random.integers(1, 9)):  # a figure of a few keys in one tempo
            for key in random.choice(list(KIT), 1 + (random.random() < 0.2), replace=False):
                found.append((now, int(key), int(random.integers(25, 128))))
            now += gap * (1 if random.random() < 0.8 else 0.5)
        now += random.exponential(0.3)
    return [hit for hit in found if hit[0] < SECONDS - 1.5]


def beat() -> list[tuple[float, int, int]]:
    """Return four bars at 100 beats a minute, which are in no training data (scores/beat.mid)."""
    eighth, found = 0.3, []
    for bar in range(4):
        start = 0.3 + 8 * eighth * bar
        found += [(start + eighth * i, 42, 95 if i % 2 == 0 else 60) for i in range(8)]
        found += [(start + eighth * i, 36, 115) for i in ((0, 4, 5) if bar % 2 == 0 else (0, 3, 4))]
        found += [(start + eighth * i, 38, 110) for i in (2, 6)]
    found += [(start + eighth * (4 + i / 2), key, 100) for i, key in enumerate((48, 48, 45, 45, 43, 43, 43, 43))]
    return [*found, (start + 8 * eighth, 49, 110), (start + 8 * eighth, 36, 120)]


def score(played: list[tuple[float, int, int]], path: Path) -> None:
    """Write the score of (seconds, key, velocity)."""
    messages = []
    for seconds, key, velocity in played:
        ticks = round(TICKS * seconds)
        messages.append((ticks, mido.Message("note_on", note=key, velocity=velocity)))
        messages.append((ticks + HELD, mido.Message("note_off", note=key)))
    track, past = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)]), 0
    for ticks, message in sorted(messages, key=lambda one: one[0]):
        track.append(message.copy(time=ticks - past))
        past = ticks
    mido.MidiFile(type=0, ticks_per_beat=TICKS // 2, tracks=[track]).save(path)


def write(stem: Path, seed: int, sounds: dict[int, np.ndarray]) -> None:
    """Write a recording and its score."""
    made, last = np.zeros(round(SECONDS * RATE)), {}
    for seconds, key, velocity in hits(seed):
        start, sound = round(round(TICKS * seconds) / TICKS * RATE), sounds[key] * (velocity / 127) ** 1.5
        if key in last:  # the key's own sound ends where it is struck again
            before, until = last[key]
            fade = min(round(CHOKE * RATE), until - start)
            if fade > 0:
                rest = before[-(until - start) :].copy()
                rest[:fade] *= np.linspace(0, 1, fade)
                made[start:until] -= rest
        until = min(start + len(sound), len(made))
        made[start:until] += sound[: until - start]
        last[key] = sound[: until - start], until
    score(hits(seed), stem.with_suffix(".mid"))
    soundfile.write(stem.with_suffix(".flac"), made.clip(-1, 1), RATE, "PCM_16")


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one_shots", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=60, help="number of scores, each of half a minute")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sounds = read(args.one_shots)
    for seed in range(args.count):
        write(args.out / f"drums-{seed:03d}", seed, sounds)


if __name__ == "__main__":
    main()
