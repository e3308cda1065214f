"""Make the control frames of a corpus's sections, whole or in windows, as a model is trained and scored with them."""

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.describe import HOP
from wavewright.conditioning.events import elapsed, events
from wavewright.conditioning.excerpt import Excerpt
from wavewright.conditioning.roll import Roll, settled, sounding
from wavewright.corpus.corpus import Corpus, Track
from wavewright.corpus.settings import SplitName
from wavewright.errors import ConfigError, unknown
from wavewright.models.condition import Category, Condition, Control, Notes, Number, Time

Frames = NDArray[np.float32]  # (M, F)

OPEN = 1024  # sections whose keyboard is kept between their windows


class Conditions:
    """The control frames of a split.

    Frames are counted from a section's start. A frame holds the keyboard at the frame's end, and the values of curves
    at its first sample. A time runs from the keyboard's last strike, or from the track's start. Numbers beyond the
    range of their control are clipped. A control is absent where a track has no score or label for it, and where a
    curve has no value.

    Args:
        corpus: the corpus.
        split: the split.
        condition: all or some of the corpus's controls. Their ranges and classes may be others than the corpus's.

    Raises:
        ConfigError: the corpus lacks a control, or a track has a class that its control lacks.
        WavewrightError: a file of the corpus cannot be read, or is not the one that was prepared.
    """

    def __init__(self, corpus: Corpus, split: SplitName, condition: Condition) -> None:
        self.condition, self.rate = condition, corpus.rate
        for control in condition.controls:
            _check(corpus, control)
        tracks = corpus.tracks_of(split)
        self._starts = np.array([track.start for track in tracks])
        self._stops = np.array([track.start + track.frames for track in tracks])
        self._keyboards = corpus.keyboards(split) if condition.notes else (None,) * len(tracks)
        curves = {control: corpus.curve(split, control.name) for control in condition.controls}
        self._curves = {control: curve for control, curve in curves.items() if curve is not None}
        self._rows = [self._row(track) for track in tracks]
        self._rolls: OrderedDict[int, tuple[Roll, Frames]] = OrderedDict()  # each with the last frame made

    def frames(self, section: int, offset: int, samples: int) -> Frames:
        """Return the control frames (M, F) that a window of a section touches, the frame in progress first.

        Any order of windows gives the same frames, and windows that follow one another cost least.

        Args:
            section: sample of the split at which the section starts.
            offset: where the window starts, in samples from the section's start.
            samples: length of the window.
        """
        hop = self.condition.hop
        first, count = offset // hop, self.condition.frames(samples, offset % hop)
        place = int(np.searchsorted(self._starts, section, "right")) - 1
        frames = np.tile(self._rows[place], (count, 1))
        if (notes := self.condition.notes) and self._keyboards[place] is not None:
            frames[:, self._own(notes)] = self._keys(notes, place, section, first, count)
        begins = section + hop * (first + np.arange(count))
        if time := self.condition.time:
            since = elapsed(self._keyboards[place], begins, hop, int(self._starts[place]))
            frames[:, self._own(time)] = time.features(since / self.rate)
        samples_from_track = begins - self._starts[place]
        for control, curves in self._curves.items():
            values = curves[place][np.minimum(samples_from_track // HOP, len(curves[place]) - 1)]
            frames[:, self._own(control)] = np.nan_to_num(_scaled(control, values))[:, None]
            frames[:, self._flag(control)] = np.isnan(values)
        return frames

    def excerpt(self, section: int, samples: int) -> Excerpt:
        """Return what a player is given to play a section's controls.

        Keys that sound already are struck at the section's start, since a player's events have no past. Behind the
        end of the section's track, every control is absent.

        Args:
            section: see `frames`.
            samples: length to play.
        """
        condition = self.condition
        place = int(np.searchsorted(self._starts, section, "right")) - 1
        frames = condition.absent(condition.frames(samples))
        own = self.frames(section, 0, min(samples, int(self._stops[place]) - section))
        frames[: len(own)] = own
        if (notes := condition.notes) is None:
            return Excerpt(condition.hop, events(), frames)
        dense = np.delete(frames, self._own(notes), 1)
        keyboard = self._keyboards[place]
        if keyboard is None:
            return Excerpt(condition.hop, events(), dense)
        begin, end = np.searchsorted(keyboard["sample"], (section, section + len(frames) * condition.hop))
        played = np.concatenate((sounding(keyboard[:begin], section), keyboard[begin:end]))
        played["sample"] -= section
        return Excerpt(condition.hop, played, dense)

    def _keys(self, notes: Notes, place: int, section: int, first: int, count: int) -> Frames:
        """Return the keyboard's features (count, size) of a section's frames from `first` on."""
        keyboard, hop = self._keyboards[place], self.condition.hop
        assert keyboard is not None
        roll, last = self._rolls.pop(section, (None, None))
        kept = None
        if roll is not None and last is not None and count and roll.frame == first + 1:  # the frame in progress
            kept, first, count = last, first + 1, count - 1
        due = keyboard["sample"]
        begin, end = (int(np.searchsorted(due, section + frame * hop)) for frame in (first, first + count))
        if roll is None or roll.frame != first:
            roll = Roll(notes, hop, self.rate)
            roll.frame = first
            new = np.concatenate((settled(keyboard[:begin]), keyboard[begin:end]))
        else:
            new = keyboard[begin:end].copy()
        new["sample"] -= section
        features = roll.frames(new, count)
        if kept is not None:
            features = np.concatenate((kept, features))
        if len(features):
            self._rolls[section] = roll, features[-1:].copy()
            if len(self._rolls) > OPEN:
                self._rolls.popitem(last=False)
        return features

    def _row(self, track: Track) -> NDArray[np.float32]:
        """Return the features (F,) of a track that never change, with the flags of all that is absent throughout."""
        row = np.zeros(self.condition.features, np.float32)
        for control in self.condition.controls:
            if isinstance(control, Notes):
                row[self._flag(control)] = track.events is None
            elif control in self._curves or isinstance(control, Time):
                pass
            elif control.name not in track.labels:
                row[self._flag(control)] = 1
            elif isinstance(control, Category):
                row[self._own(control)][_class(control, track)] = 1
            else:
                row[self._own(control)] = _scaled(control, np.float64(track.labels[control.name]))
        return row

    def _own(self, control: Control) -> slice:
        start = self.condition.offset(control)
        return slice(start, start + control.size)

    def _flag(self, control: Control) -> int:
        return self.condition.flag(control)


def _check(corpus: Corpus, control: Control) -> None:
    """Check that a corpus has a control of this name and kind."""
    kinds = {one.name: one.kind for one in corpus.controls}
    if control.name not in kinds:
        there = (
            unknown(control.name, kinds) if kinds else "it has none; prepare it with --scores, --labels or --describe"
        )
        raise ConfigError(f"{corpus.path}: no control {control.name!r}; {there}")
    if kinds[control.name] != control.kind:
        raise ConfigError(f"{corpus.path}: {control.name} is a {kinds[control.name]} there, not a {control.kind}")


def _class(control: Category, track: Track) -> int:
    value = track.labels[control.name]
    if value not in control.classes:
        raise ConfigError(f"{track.name}: {control.name} {value!r}; {unknown(str(value), control.classes)}")
    return control.classes.index(str(value))


def _scaled(control: Control, values: NDArray[np.floating] | np.float64) -> NDArray[np.float64]:
    """Return a number's values as features, clipped to -1 to 1."""
    assert isinstance(control, Number)
    return np.clip(control.feature(np.asarray(values, np.float64)), -1, 1)
