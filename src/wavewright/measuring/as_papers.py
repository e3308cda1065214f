"""Compute bits per sample to compare with SampleRNN's (arXiv:1612.07837) and SaShiMi's (arXiv:2202.09729)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.corpus import INDEX, Corpus
from wavewright.corpus.discovery import find
from wavewright.corpus.rendering import audio_like_corpus
from wavewright.corpus.settings import LEVELLING, PrepareSettings, SplitName
from wavewright.errors import ConfigError
from wavewright.measuring.evaluation import Evaluation, Tracks, score
from wavewright.playing.playable import TrainedModel
from wavewright.progress import Progress, silent
from wavewright.quantize import FULL_SCALE, to_int16

PAPER = PrepareSettings(rate=16000, section_seconds=8, levels="section", remove_dc=False)
LEVELS = 256


def evaluate_as_papers(
    run: TrainedModel, path: Path, split: SplitName = "test", progress: Progress = silent
) -> Evaluation:
    """Return bits per sample as the papers report them.

    Recordings are mono at 16 kHz. Each is cut from its start into examples of 8 s, and the shorter rest is dropped.
    Each example is min-max scaled, its least sample to -1 and its greatest to 1. There are 256 quantisation levels,
    linear or mu-law as in the model. Each example starts from the initial state. The result is the mean over all
    samples.

    Besides the recordings, some details differ from the papers. Samples are rounded to 16 bits first. SampleRNN's
    mu-law has 255 steps, ours and SaShiMi's 256 bins. Silence becomes the silence code, where the papers' code divides
    by zero or gives code 0. A corpus keeps the trimming, limiting and rounding of `prepare`, so recordings are the
    better input.

    Args:
        run: a model of 16 kHz and 256 levels, best trained on examples that are scaled in the same way.
        path: a corpus of 16 kHz, or audio or a folder of audio, all of which is scored.
        split: split of the corpus.
        progress: shows the samples scored.

    Raises:
        ConfigError: the model or corpus has another rate or number of levels, the model has emphasis, or no recording
            is as long as 8 s.
        AudioError: a recording cannot be read whole.
    """
    if (run.rate, run.config.q_levels) != (PAPER.rate, LEVELS):
        has = f"{run.path} has {run.rate} Hz and {run.config.q_levels}"
        raise ConfigError(f"--paper-compatible: needs a model of {PAPER.rate} Hz and {LEVELS} levels, but {has}")
    if run.emphasis:
        raise ConfigError(f"--paper-compatible: needs a model without emphasis, but {run.path} has {run.emphasis:g}")
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
    scored = score(run, np.concatenate(examples), sections, tracks, split, progress=progress)
    return replace(scored, paper_compatible=True)


def _recordings(path: Path, split: SplitName) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Yield name and samples (N,) at 16 kHz of a split's tracks, or of the audio at and below `path`."""
    if (path / INDEX).is_file():
        corpus = Corpus.open(path)
        if corpus.rate != PAPER.rate:
            raise ConfigError(f"{path}: {corpus.rate} Hz, but --paper-compatible needs {PAPER.rate} Hz")
        for track in corpus.tracks_of(split):
            yield track.name, corpus.reader(split)[track.start : track.start + track.frames]
        return
    levelling = {**PAPER.model_dump(mode="json", include=LEVELLING), "common_gain": None}
    for file in find([path])[0]:
        if file.certain:
            blocks = [to_int16(block) for block in audio_like_corpus(file.path, levelling)]
            yield file.name, np.concatenate(blocks)


def min_max(sound: NDArray[np.int16]) -> NDArray[np.int16]:
    """Scale a sound (N,) so that its least sample is -32767 and its greatest 32767. Silence becomes 0."""
    low, high = float(sound.min()), float(sound.max())
    scale = 2 * FULL_SCALE / (high - low) if high > low else 0.0
    return np.rint((sound - (low + high) / 2) * scale).astype(np.int16)
