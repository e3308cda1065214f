"""Bits per sample to put beside those of SampleRNN (arXiv:1612.07837) and SaShiMi (arXiv:2202.09729)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.corpus import INDEX, Corpus
from wavewright.corpus.discovery import find
from wavewright.corpus.prepare import audio_like_corpus
from wavewright.corpus.settings import LEVELLING, PrepareSettings, SplitName
from wavewright.errors import ConfigError
from wavewright.measuring.evaluation import Evaluation, Tracks, score
from wavewright.playing.playable import Playable
from wavewright.quantize import FULL_SCALE, to_int16

PAPER = PrepareSettings(rate=16000, section_seconds=8, levels="section", remove_dc=False)
LEVELS = 256


def evaluate_as_papers(run: Playable, path: Path, split: SplitName = "test") -> Evaluation:
    """Bits per sample as the papers report them.

    Mono at 16 kHz, every recording cut from its start into examples of 8 s, the shorter rest dropped; each example
    min-max scaled, its least sample to -1 and its greatest to 1; 256 levels, linear or mu-law as the model has them;
    state zero and silence heard before each example; the mean over all samples.

    Different from the papers: the recordings, unless they are theirs; samples are rounded to 16 bits before they are
    quantised; SampleRNN's mu-law has 255 steps, ours and SaShiMi's 256 bins; silence becomes the silence code, where
    theirs divides by zero or gives code 0. A corpus keeps what `prepare` did: its trimming, limiter, and the rounding
    of quiet stretches, so recordings are the truer input.

    Args:
        run: a model of 16 kHz and 256 levels; it ought to have been trained on examples levelled likewise.
        path: a corpus of 16 kHz; or audio, or a folder of it, all of which is scored.
        split: of the corpus.

    Raises:
        ConfigError: a model or corpus of another rate or number of levels, or nothing as long as 8 s.
        AudioError: a recording that cannot be read whole.
    """
    if (run.rate, run.config.q_levels) != (PAPER.rate, LEVELS):
        has = f"{run.path} has {run.rate} Hz and {run.config.q_levels}"
        raise ConfigError(f"--paper-compatible: needs a model of {PAPER.rate} Hz and {LEVELS} levels, but {has}")
    examples: list[NDArray[np.int16]] = []
    tracks: Tracks = {}
    for name, sound in _recordings(path, split):
        start = len(examples) * PAPER.section
        whole = len(sound) // PAPER.section * PAPER.section
        examples += map(min_max, sound[:whole].reshape(-1, PAPER.section))
        tracks[name] = (start, len(examples) * PAPER.section)
    if not examples:
        raise ConfigError(f"{path}: no recording is as long as an example of {PAPER.section_seconds:g} s")
    starts = np.arange(len(examples)) * PAPER.section
    sections = np.stack([starts, starts + PAPER.section], 1)
    return replace(score(run, np.concatenate(examples), sections, tracks, split), paper_compatible=True)


def _recordings(path: Path, split: SplitName) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Name and samples (N,) at 16 kHz of a split's tracks, or of the audio at and below `path`."""
    if (path / INDEX).is_file():
        corpus = Corpus.open(path)
        if corpus.rate != PAPER.rate:
            raise ConfigError(f"{path}: {corpus.rate} Hz, but --paper-compatible needs {PAPER.rate} Hz")
        for track in corpus.tracks_of(split):
            yield track.name, corpus.samples(split)[track.start : track.start + track.frames]
        return
    levelling = {**PAPER.model_dump(mode="json", include=LEVELLING), "common_gain": None}
    for file in find([path])[0]:
        if file.certain:
            blocks = [to_int16(block) for block in audio_like_corpus(file.path, levelling)]
            yield file.name, np.concatenate(blocks)


def min_max(sound: NDArray[np.int16]) -> NDArray[np.int16]:
    """A sound (N,) moved and scaled so that its least sample is -32767 and its greatest 32767; silence becomes 0."""
    low, high = float(sound.min()), float(sound.max())
    scale = 2 * FULL_SCALE / (high - low) if high > low else 0.0
    return np.rint((sound - (low + high) / 2) * scale).astype(np.int16)
