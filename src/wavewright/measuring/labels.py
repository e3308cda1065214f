"""Measure whether a model's sounds have the classes that it was asked for, and what lies between two classes.

A small classifier judges, a logistic regression on log-mel bands that learns from the corpus's own sounds.
docs/evaluation.md says what each figure means, and when to trust it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.controls import Performance, curve
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.settings import SplitName
from wavewright.errors import ConfigError
from wavewright.measuring import perceptual
from wavewright.metrics import evenly
from wavewright.models.condition import Category
from wavewright.playing.playable import TrainedModel
from wavewright.playing.stream import perform
from wavewright.quantize import to_amplitude

PACKAGES = (*perceptual.PACKAGES, "sklearn", "scipy")
SEED = 0
LEARNED, JUDGED = 2000, 64  # most sections that the classifier learns from, and that are generated
PARTS = 4  # of a sound, whose bands are averaged apart
TRIM = 40.0  # dB below the peak, where a sound's quiet ends are cut
LONGEST = 4.0  # seconds of a section that are generated
STEPS = np.linspace(0, 1, 11)  # shares of the second class
TAKES = 16  # at each share

Sounds = Sequence[NDArray[np.floating]]


@dataclass(frozen=True)
class Recognised:
    """Shares of sounds whose class a classifier recognises.

    Attributes:
        control: name of the control.
        classes: number of classes in the split.
        generated: of sounds that the model made for the labels of the split's sections.
        real: of those sections themselves, at the model's levels.
        chance: of sections in the most frequent class.
    """

    control: str
    classes: int
    generated: float
    real: float
    chance: float


@dataclass(frozen=True)
class Between:
    """What a model makes of mixtures of two classes, from 0 to 1 of the second in steps of a tenth, 16 takes each.

    Attributes:
        control: name of the control.
        first, second: the classes.
        ends: share of the takes at both ends that the classifier recognises.
        monotony: Spearman's correlation of the share and the distance from the first class less that from the second.
            It is 0 where nothing changes.
        largest_step: greatest step of the mean's path, as a share of the path's length. It is 0.1 for an even path.
    """

    control: str
    first: str
    second: str
    ends: float
    monotony: float
    largest_step: float


class Classifier:
    """Tells the classes of one control apart.

    Args:
        corpus: where the classifier learns, from sections of the train split.
        control: the control.
        run: whose levels the sounds are given.
    """

    def __init__(self, corpus: Corpus, control: Category, run: TrainedModel) -> None:
        from sklearn.linear_model import LogisticRegression

        chosen = evenly(_labelled(corpus, "train", control), LEARNED)
        self.rate, self._model = corpus.rate, LogisticRegression(max_iter=2000)
        sounds = _real(run, corpus, "train", chosen)
        self._model.fit(self.features(sounds), _classes(corpus, "train", control, chosen))

    def __call__(self, sounds: Sounds) -> NDArray[Any]:
        """Return the class (N,) of each sound."""
        return self._model.predict(self.features(sounds))

    def features(self, sounds: Sounds) -> NDArray[np.float64]:
        """Return the log-mel bands of each quarter of each sound, without its quiet ends, in bels (N, 4 bands).

        They have one unit, and so no band is scaled apart. A band that hardly differs in the corpus then counts little.
        """
        return np.stack([_bands(sound, self.rate) for sound in sounds]) / 10


def recognised(run: TrainedModel, corpus: Corpus, split: SplitName) -> list[Recognised]:
    """Return how many sounds are recognised, for each category of the model that the corpus has.

    A control is left out where the train split has fewer than two classes, or `split` none of its sections.
    """
    condition, found = run.config.condition, []
    for control in condition.controls if condition else ():
        if not isinstance(control, Category) or not _can_be_judged(corpus, split, control):
            continue
        classifier = Classifier(corpus, control, run)
        chosen = evenly(_labelled(corpus, split, control), JUDGED)
        wanted = _classes(corpus, split, control, chosen)
        made = _generated(run, corpus, split, chosen)
        names, counts = np.unique(wanted, return_counts=True)
        found.append(
            Recognised(
                control.name,
                len(names),
                float((classifier(made) == wanted).mean()),
                float((classifier(_real(run, corpus, split, chosen)) == wanted).mean()),
                float(counts.max() / counts.sum()),
            )
        )
    return found


def between(run: TrainedModel, corpus: Corpus, name: str, first: str, second: str) -> Between:
    """Measure mixtures of two classes. All other controls are absent.

    Raises:
        ConfigError: the model has no such control or class, or the corpus has too little of them.
    """
    from scipy.stats import spearmanr

    condition = run.config.condition
    control = next((one for one in condition.controls if one.name == name), None) if condition else None
    if condition is None or not isinstance(control, Category):
        raise ConfigError(f"--between {name}: no such category; give one that the model has, as in voice=low..high")
    for one in (first, second):
        curve(control, one)  # refuses a class that is not known
    labelled = _labelled(corpus, "train", control)
    classes = _classes(corpus, "train", control, labelled)
    if first == second or not {first, second} <= set(classes):
        raise ConfigError(f"--between {name}={first}..{second}: the train split needs sounds of two classes")
    classifier = Classifier(corpus, control, run)
    centres = [
        classifier.features(_real(run, corpus, "train", evenly(labelled[classes == one], JUDGED))).mean(0)
        for one in (first, second)
    ]
    length = round(np.median(np.minimum(labelled[:, 1] - labelled[:, 0], LONGEST * run.rate)))
    made, ends = [], []
    for i, share in enumerate(STEPS):
        part = Performance(condition, run.rate, {name: curve(control, f"{first}:{1 - share},{second}:{share}")})
        player = run.player(TAKES, SEED + i)
        sounds = run.quantizer.decode(
            np.concatenate(list(perform(player, [part] * TAKES, length, controls=run.draw)), 1)
        )
        made.append(classifier.features(list(sounds)))
        if share in (0, 1):
            ends.append((classifier(list(sounds)) == (second if share else first)).mean())
    far = [[np.linalg.norm(one - centre, axis=1) for centre in centres] for one in made]
    nearer = np.concatenate([from_first - from_second for from_first, from_second in far])
    steps = np.linalg.norm(np.diff([one.mean(0) for one in made], axis=0), axis=1)
    return Between(
        name,
        first,
        second,
        float(np.mean(ends)),
        float(spearmanr(np.repeat(STEPS, TAKES), nearer).statistic) if np.ptp(nearer) else 0.0,
        float(steps.max() / max(steps.sum(), 1e-12)),
    )


def _can_be_judged(corpus: Corpus, split: SplitName, control: Category) -> bool:
    learned = _labelled(corpus, "train", control)
    return len(set(_classes(corpus, "train", control, learned))) > 1 and len(_labelled(corpus, split, control)) > 0


def _labelled(corpus: Corpus, split: SplitName, control: Category) -> NDArray[np.int64]:
    """Return the sections (S, 2) of a split whose track has a label for the control, and that are long enough."""
    tracks, sections = corpus.tracks_of(split), corpus.sections(split)
    known = np.array([control.name in track.labels for track in tracks], bool)
    long = sections[:, 1] - sections[:, 0] >= perceptual.LEAST_SECONDS * corpus.rate
    return sections[long & known[_places(corpus, split, sections)]] if len(sections) else sections


def _classes(corpus: Corpus, split: SplitName, control: Category, sections: NDArray[np.int64]) -> NDArray[Any]:
    tracks = corpus.tracks_of(split)
    return np.array([str(tracks[place].labels[control.name]) for place in _places(corpus, split, sections)])


def _places(corpus: Corpus, split: SplitName, sections: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number (S,) of each section's track."""
    starts = [track.start for track in corpus.tracks_of(split)]
    return np.searchsorted(starts, sections[:, 0], "right") - 1


def _real(run: TrainedModel, corpus: Corpus, split: SplitName, sections: NDArray[np.int64]) -> Sounds:
    """Return sections of a corpus as the model's levels have them."""
    samples, longest = corpus.reader(split), round(LONGEST * run.rate)
    cut = (samples[start : min(stop, start + longest)] for start, stop in sections)
    return [run.quantizer.decode(run.quantizer.encode(to_amplitude(part))) for part in cut]


def _generated(run: TrainedModel, corpus: Corpus, split: SplitName, sections: NDArray[np.int64]) -> Sounds:
    """Return what a model makes of the controls of sections, each as long as its section."""
    assert run.config.condition is not None
    lengths = np.minimum(sections[:, 1] - sections[:, 0], round(LONGEST * run.rate))
    conditions = Conditions(corpus, split, run.config.condition)
    parts = [conditions.excerpt(int(start), int(lengths.max())) for start in sections[:, 0]]
    longest = int(lengths.max())
    codes = np.concatenate(list(perform(run.player(len(parts), SEED), parts, longest, controls=run.draw)), 1)
    return [run.quantizer.decode(row[:length]) for row, length in zip(codes, lengths, strict=True)]


def _bands(sound: NDArray[np.floating], rate: int) -> NDArray[np.float64]:
    loud = np.flatnonzero(np.abs(sound) >= np.abs(sound).max() * 10 ** (-TRIM / 20))
    least = round(perceptual.LEAST_SECONDS * rate)
    kept = sound[loud[0] : max(loud[-1] + 1, loud[0] + least)]
    kept = np.pad(kept, (0, max(0, least - len(kept))))
    bands = perceptual.log_mel(kept, rate)
    return np.concatenate([part.mean(1) for part in np.array_split(bands, PARTS, 1)])
