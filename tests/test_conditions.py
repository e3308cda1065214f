"""The control frames of a corpus's sections against a slow reading of what they are, whole and in windows."""

import dataclasses
import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import FAST, melody
from wavewright import files
from wavewright.conditioning.events import EVENT, Events, Kind, events
from wavewright.conditioning.roll import Roll, settled
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import INDEX, Corpus, curve_file, events_file
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import ConfigError, WavewrightError
from wavewright.models.condition import Category, Condition, Notes, Number, Time

NOTES = Notes(low=60, high=62)
KIND, SIZE, LOUDNESS = Category("kind", ("bell", "drum")), Number("size", 0, 10), Number("loudness", -80, 0)
TIME = Time(0.5)
CONTROLS = (KIND, NOTES, LOUDNESS, SIZE, TIME)
LABELS = ({"kind": "drum", "size": 2.5}, {"size": 40.0}, {"kind": "bell"})  # 40 is out of range
PEDAL = Kind.pedal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three tracks, all in train, without controls."""
    import soundfile

    place = tmp_path_factory.mktemp("conditions")
    for i in range(3):
        soundfile.write(place / f"{i}.wav", melody(1.2 + 0.3 * i, 4000, 200 + 50 * i), 4000)
    prepare([place], place / "corpus", PrepareSettings(**FAST, split=(1, 0, 0)))
    return place / "corpus"


def with_controls(folder: Path, keyboards: tuple[Events | None, ...], loudness: list[NDArray[np.float32]]) -> Corpus:
    """The corpus at `folder`, with a keyboard and a curve of each track. Events count from their track's start."""
    plain = Corpus.open(folder).contents
    tracks, placed = [], []
    for track, keyboard, labels in zip(plain.tracks, keyboards, LABELS, strict=True):
        tracks.append(dataclasses.replace(track, labels=labels, events=None if keyboard is None else len(keyboard)))
        if keyboard is not None:
            placed.append(keyboard.copy())
            placed[-1]["sample"] += track.start
    written = {events_file(folder, "train"): b"".join(part.tobytes() for part in placed)}
    written[curve_file(folder, "train", "loudness")] = np.concatenate(loudness).tobytes()
    for file, content in written.items():
        file.write_bytes(content)
    digests = {file.name: hashlib.sha256(content).hexdigest() for file, content in written.items()}
    contents = dataclasses.replace(plain, tracks=tuple(tracks), controls=CONTROLS, control_sha256=digests)
    files.write_json(folder / INDEX, contents.as_json())
    return Corpus.open(folder)


def curves(corpus: Corpus) -> list[NDArray[np.float32]]:
    """Values from -90 to 10, every fifth of which is missing."""
    rng = np.random.default_rng(0)
    found = [rng.uniform(-90, 10, track.values).astype(np.float32) for track in corpus.tracks]
    for curve in found:
        curve[::5] = np.nan
    return found


def keys_by_definition(keyboard: Events, end: int, rate: int) -> list[float]:
    """The keyboard's features at sample `end`, from all that happened before it, as the page on conditions has them."""
    features: list[float] = []
    past = [tuple(int(x) for x in event) for event in keyboard if event["sample"] < end]
    pedal = [value for _, kind, _, value in past if kind == PEDAL][-1:] or [0]
    for key in range(60, 63):
        held = sounding = down = False
        velocity, struck = 0.0, 0
        for sample, kind, of, value in past:
            if kind == PEDAL:
                down = value >= 64
            elif of == key:
                held = kind == Kind.strike
                velocity, struck = (value / 127, sample) if held else (velocity, struck)
            sounding = held or (sounding and down)
        age = (end - struck) / rate
        traces = [velocity * math.exp(-age / tau) if age <= 8 * tau else 0.0 for tau in (0.010, 0.150)]
        features += [float(sounding), sounding * velocity, *traces]
    return [*features, pedal[0] / 127, float(pedal[0] >= 64)]


def time_by_definition(keyboard: Events | None, start: int, hop: int, rate: int) -> list[float]:
    """The features of the time at a frame `start` samples from its track's start, with the last strike in sight."""
    strikes = [] if keyboard is None else [int(e["sample"]) for e in keyboard if e["kind"] == Kind.strike]
    begun = max([0, *(sample for sample in strikes if sample < start + hop)])
    u = math.log2(1 + min(max(start - begun, 0) / rate, 0.5) / 0.01)
    return [turn(2 * math.pi * u / period) for turn in (math.sin, math.cos) for period in (1, 2, 4, 8, 16)]


def frame_by_definition(place: int, keyboard: Events | None, curve: NDArray[np.float32], start: int, hop: int):
    """The frame that begins `start` samples from its track's start, control by control and then the flags."""
    labels = LABELS[place]
    kind = [float(labels.get("kind") == name) for name in ("bell", "drum")]
    notes = [0.0] * NOTES.size if keyboard is None else keys_by_definition(keyboard, start + hop, 4000)
    value = float(curve[start // 256])
    loudness = 0.0 if math.isnan(value) else (min(max(value, -80), 0) + 80) / 40 - 1
    size = min(labels["size"], 10) / 5 - 1 if "size" in labels else 0.0
    absent = ["kind" not in labels, keyboard is None, math.isnan(value), "size" not in labels, False]
    time = time_by_definition(keyboard, start, hop, 4000)
    return [*kind, *notes, loudness, size, *time, *map(float, absent)]


rows = st.tuples(st.integers(-50, 4000), st.sampled_from(Kind), st.integers(58, 64), st.sampled_from([1, 63, 64, 127]))
keyboards = st.one_of(st.none(), st.lists(rows, max_size=30).map(lambda found: events(*found)))


@given(
    st.tuples(keyboards, keyboards, keyboards), st.sampled_from([7, 16, 300]), st.lists(st.integers(1, 900)), st.data()
)
@settings(max_examples=30, deadline=None)
def test_windows_are_the_whole_and_the_whole_is_the_definition(
    folder: Path, given_events: tuple[Events | None, ...], hop: int, parts: list[int], data: st.DataObject
) -> None:
    curves_ = curves(Corpus.open(folder))
    corpus = with_controls(folder, given_events, curves_)
    condition = Condition(CONTROLS, hop)
    found = Conditions(corpus, "train", condition)
    start, stop = data.draw(st.sampled_from(corpus.sections("train").tolist()))
    place = [track.start for track in corpus.tracks if track.start <= start]
    begin, place = start - place[-1], len(place) - 1
    whole = found.frames(start, 0, stop - start)
    expected = [
        frame_by_definition(place, given_events[place], curves_[place], begin + m * hop, hop) for m in range(len(whole))
    ]
    np.testing.assert_allclose(whole, expected, rtol=1e-5, atol=1e-6)
    offset = 0
    for part in [*parts, stop - start]:  # one after the other
        samples = min(part, stop - start - offset)
        if samples:
            window = found.frames(start, offset, samples)
            assert np.array_equal(window, whole[offset // hop : -(-(offset + samples) // hop)])
            found.frames(0, 0, 10)  # another section in between
        offset += samples
    fresh = Conditions(corpus, "train", condition)
    for offset in data.draw(st.lists(st.integers(0, stop - start - 1), max_size=4)):  # in any order
        window = fresh.frames(start, offset, 20)[: len(whole) - offset // hop]
        assert np.array_equal(window, whole[offset // hop :][: len(window)])


@given(st.lists(rows, max_size=60).map(lambda found: events(*found)))
@settings(max_examples=200, deadline=None)
def test_settled_events_leave_the_same_keyboard(all_events: Events) -> None:
    few = settled(all_events)
    assert len(few) <= 2 * 128 + 3
    assert len(settled(few)) == len(few)
    for more in (events(), events((4001, PEDAL, 0, 0)), events((4001, PEDAL, 0, 100), (4005, Kind.release, 61, 0))):
        whole, short = (Roll(NOTES, 5000, 4000).frames(np.concatenate((part, more)), 1) for part in (all_events, few))
        assert np.array_equal(whole, short)


def test_a_part_of_the_controls(folder: Path) -> None:
    corpus = with_controls(folder, (None, events(), None), curves(Corpus.open(folder)))
    controls = (Number("size", 0, 5), Category("kind", ("x", "bell", "drum")))
    found = Conditions(corpus, "train", Condition(controls))
    assert found.frames(0, 0, 1).tolist() == [[0, 0, 0, 1, 0, 0]]


@pytest.mark.parametrize(
    ("control", "line"),
    [
        (Number("brightness", 0, 1), "no control 'brightness'; there are kind, notes, loudness, size"),
        (Number("kind", 0, 1), "kind is a category there, not a number"),
        (Category("kind", ("bell",)), "0.wav: kind 'drum'; there is bell"),
    ],
)
def test_a_control_that_the_corpus_lacks(control: Number | Category, line: str, folder: Path) -> None:
    corpus = with_controls(folder, (None, None, None), curves(Corpus.open(folder)))
    with pytest.raises(ConfigError, match=line):
        Conditions(corpus, "train", Condition((control,)))


def test_a_damaged_file_of_controls_is_refused(folder: Path) -> None:
    corpus = with_controls(folder, (events((5, Kind.strike, 60, 99)), None, None), curves(Corpus.open(folder)))
    file = events_file(folder, "train")
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(WavewrightError, match=r"train\.events: damaged, its SHA-256 is not the one in corpus.json"):
        Conditions(corpus, "train", Condition((NOTES,)))
    file.write_bytes(content[:-1])
    with pytest.raises(WavewrightError, match=rf"{EVENT.itemsize - 1} bytes instead of {EVENT.itemsize}; prepare"):
        Corpus.open(folder)
