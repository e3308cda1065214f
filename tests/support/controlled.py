"""Small corpora with controls that are heard: two voices of different pitch, and notes that sound as long as held."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from support.tiny import RATE, tiny
from wavewright import files
from wavewright.conditioning.events import Events, Kind, events
from wavewright.corpus.corpus import INDEX, Corpus, events_file
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import SPLITS, PrepareSettings
from wavewright.formats.config import RunConfig
from wavewright.models.condition import Category, Notes

VOICE, NOTES = Category("voice", ("low", "high")), Notes(low=60, high=62)
HERTZ = {"low": 170.0, "high": 530.0, 60: 190.0, 61: 330.0, 62: 610.0}
HOP = 12  # divides no length in these tests


def make_controlled(folder: Path, controls: tuple[Any, ...] = (VOICE, NOTES)) -> Corpus:
    """Recordings of half a second in sections of 500 samples. Each has a steady voice, a melody, or both."""
    rng, recordings = np.random.default_rng(0), folder / "recordings"
    recordings.mkdir(parents=True)
    names: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    facts: dict[str, tuple[str, Events]] = {}
    for i in range(14):
        name, voice = f"{i:02}.wav", VOICE.classes[i % 2]
        names["train" if i < 8 else "valid" if i < 11 else "test"].append(name)
        facts[name] = voice, _melody(rng) if NOTES in controls else events()
        soundfile.write(recordings / name, _sound(voice if VOICE in controls else None, facts[name][1], rng), RATE)
    chosen = PrepareSettings(
        rate=RATE,
        section_seconds=0.125,
        trim=0,
        levels="none",
        remove_dc=False,
        splits={s: tuple(names[s]) for s in SPLITS},
    )
    corpus = prepare([recordings], folder / "corpus", chosen)
    labels = {name: {"voice": voice} for name, (voice, _) in facts.items() if VOICE in controls}
    keyboards = {name: table for name, (_, table) in facts.items() if NOTES in controls}
    return with_controls(corpus, controls, labels, keyboards)


def with_controls(
    corpus: Corpus, controls: tuple[Any, ...], labels: dict[str, Any], keyboards: dict[str, Events]
) -> Corpus:
    """The same corpus with controls. Labels and events go by the names of tracks, and events count from its start."""
    tracks = [
        dataclasses.replace(
            track,
            labels=labels.get(track.name, {}),
            events=len(keyboards[track.name]) if track.name in keyboards else None,
        )
        for track in corpus.tracks
    ]
    digests = {}
    for split in SPLITS:
        placed = []
        for track in corpus.tracks_of(split):
            if track.name in keyboards:
                placed.append(keyboards[track.name].copy())
                placed[-1]["sample"] += track.start
        file, content = events_file(corpus.path, split), b"".join(table.tobytes() for table in placed)
        file.write_bytes(content)
        digests[file.name] = hashlib.sha256(content).hexdigest()
    contents = dataclasses.replace(corpus.contents, tracks=tuple(tracks), controls=controls, control_sha256=digests)
    files.write_json(corpus.path / INDEX, contents.as_json())
    return Corpus.open(corpus.path)


def _melody(rng: np.random.Generator) -> Events:
    """Five notes of 300 samples, with pauses of 100."""
    keys = rng.integers(60, 63, 5)
    return events(
        *((400 * i + 50, Kind.strike, int(key), 100) for i, key in enumerate(keys)),
        *((400 * i + 350, Kind.release, int(key), 0) for i, key in enumerate(keys)),
    )


def _sound(voice: str | None, table: Events, rng: np.random.Generator) -> NDArray[np.float64]:
    t = np.arange(2000) / RATE
    sound = 0.3 * np.sin(2 * np.pi * (HERTZ[voice] * t + rng.random())) if voice else np.zeros(2000)
    strikes = table[table["kind"] == Kind.strike]
    for start, key in zip(strikes["sample"].tolist(), strikes["key"].tolist(), strict=True):
        sound[start : start + 300] += 0.5 * np.sin(2 * np.pi * (HERTZ[key] * t[:300] + rng.random()))
    return sound


def conditioned(model: str = "naive-rnn", controls: Any = (VOICE, NOTES), **training: Any) -> RunConfig:
    """A tiny model with controls. Leads are shorter and longer than a window of 128 samples."""
    condition = {"controls": controls, "hop": HOP, "width": 8}
    return tiny(model, {"condition": condition}, **{"lead_seconds": 0.05, **training})
