"""Values of controls as a musician writes them, and the features that they become."""

from pathlib import Path

import numpy as np
import pytest

from wavewright.conditioning.controls import Performance, curve, features
from wavewright.conditioning.events import Kind, events
from wavewright.conditioning.roll import Roll, sounding
from wavewright.errors import ConfigError
from wavewright.models.condition import Category, Condition, Notes, Number, Time

LOUDNESS = Number(name="loudness", low=-60, high=0)
VOICE = Category(name="voice", classes=("high", "mid:dle", "low.csv"))
TIME = Time(2.0)
PLAIN = Category(name="voice", classes=("a", "b", "c"))


@pytest.mark.parametrize(("value", "feature"), [("-60", -1), ("0", 1), (-45, -0.5), ("-3e1", 0)])
def test_a_number_lies_between_the_ends_of_its_range(value: float | str, feature: float) -> None:
    assert features(LOUDNESS, value).tolist() == [feature]


@pytest.mark.parametrize(
    ("value", "weights"),
    [
        ("b", [0, 1, 0]),
        ("a:0.3,b:0.7", [0.3, 0.7, 0]),
        ("a:1,c:3", [0.25, 0, 0.75]),
        (" c : 2 , a : 0 ", [0, 0, 1]),
    ],
)
def test_a_mixture_is_divided_by_its_sum(value: str, weights: list[float]) -> None:
    assert features(PLAIN, value).tolist() == pytest.approx(weights)


@pytest.mark.parametrize(
    ("value", "weights"), [("mid:dle", [0, 1, 0]), ("mid:dle:1,high:1", [0.5, 0.5, 0]), ("low.csv", [0, 0, 1])]
)
def test_classes_may_have_odd_names(value: str, weights: list[float]) -> None:
    assert curve(VOICE, value).at(np.zeros(1)).tolist() == [weights]


@pytest.mark.parametrize(
    ("control", "value", "line"),
    [
        (LOUDNESS, "1", "loudness: 1; give -60 to 0"),
        (LOUDNESS, "-61", "loudness: -61; give -60 to 0"),
        (LOUDNESS, "nan", "loudness: nan; give -60 to 0"),
        (LOUDNESS, "loud", "loudness: loud is not a number; give -60 to 0"),
        (TIME, "2.1", "time: 2.1; give 0 to 2"),
        (TIME, "late", "time: late is not a number; give 0 to 2"),
        (PLAIN, "d", "voice: no class d; there are a, b, c"),
        (PLAIN, "B", "voice: no class B; did you mean b[?] there are a, b, c"),
        (PLAIN, "a:0.5,d:0.5", "voice: no class d; there are a, b, c"),
        (PLAIN, "a:-1,b:2", "voice: a:-1,b:2; give weights from 0 up, such as a:0.3,b:0.7"),
        (PLAIN, "a:0", "voice: a:0; give weights"),
        (PLAIN, "a:inf,b:1", "voice: a:inf,b:1; give weights"),
        (PLAIN, "a:nan", "voice: a:nan; give weights"),
        (PLAIN, "a:1,a:1", "voice: a:1,a:1; give weights"),
        (PLAIN, "a:x", "voice: a:x; give weights"),
        (PLAIN, "a:1,", "voice: a:1,; give weights"),
    ],
)
def test_what_is_no_value(control: Category | Number | Time, value: str, line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        curve(control, value)


def test_many_classes_are_not_all_listed() -> None:
    many = Category(name="file", classes=tuple(f"take {i}" for i in range(100)))
    with pytest.raises(ConfigError, match=r"no class x; there are take 0, .*, take 19 and 80 more$"):
        features(many, "x")


def written(folder: Path, text: str) -> str:
    (folder / "curve.csv").write_text(text, encoding="utf-8")
    return str(folder / "curve.csv")


def test_numbers_glide_and_the_ends_are_held(tmp_path: Path) -> None:
    found = curve(LOUDNESS, written(tmp_path, "seconds,loudness\n1,-60\n\n2,0\n2,-30\n4,-60\n"))
    times = np.array([0, 1, 1.25, 1.999999, 2, 3, 4, 9])
    assert found.at(times)[:, 0].tolist() == pytest.approx([-1, -1, -0.5, 1, 0, -0.5, -1, -1], abs=1e-5)


def test_a_time_glides_in_seconds(tmp_path: Path) -> None:
    """Halfway between two lines it is halfway between their times, as no mean of their features is."""
    found = curve(TIME, written(tmp_path, "0,0\n1,2\n"))
    for second, time in ((0, 0), (0.25, 0.5), (0.8, 1.6), (1, 2), (5, 2)):
        u = np.log2(1 + time / 0.01)
        expected = [turn(2 * np.pi * u / period) for turn in (np.sin, np.cos) for period in (1, 2, 4, 8, 16)]
        np.testing.assert_allclose(found.at(np.array([second]))[0], expected, atol=1e-5)
    np.testing.assert_allclose(curve(TIME, "1.6").at(np.zeros(1)), found.at(np.array([0.8])), atol=1e-5)


def test_a_time_runs_from_the_start_or_the_last_strike() -> None:
    """It stays at its end, and is absent before the start and in free play."""
    samples = np.array([-4, 0, 40, 80, 400])
    alone = Condition(controls=(TIME,), hop=4)
    values = Performance(alone, 100, {}).dense(samples)
    np.testing.assert_array_equal(values[1:, :-1], TIME.features(np.array([0, 0.4, 0.8, 2.0])))
    assert values[:, -1].tolist() == [1, 0, 0, 0, 0]
    assert not values[0, :-1].any()
    struck = Performance(
        Condition((Notes(), TIME), 4), 100, {}, events((42, Kind.strike, 60, 1), (60, Kind.release, 60, 0))
    )
    np.testing.assert_array_equal(struck.dense(samples)[1:, :-2], TIME.features(np.array([0, 0, 0.38, 2.0])))
    assert Performance(alone, 100, {}, free=True).dense(samples)[:, -1].tolist() == [1] * 5
    held = Performance(alone, 100, {"time": curve(TIME, "1.5")}).dense(samples)
    np.testing.assert_array_equal(held[1:, :-1], np.repeat(TIME.features(np.array([1.5])), 4, 0))


def test_mixtures_glide_and_classes_are_held(tmp_path: Path) -> None:
    found = curve(PLAIN, written(tmp_path, "0,a\n1,b\n2,b:1\n4,a:1,c:1\n6,c\n"))
    expected = {
        0: "a",
        0.99: "a",
        1: "b",
        1.5: "b",
        2: "b",
        3: "a:1,b:2,c:1",
        4: "a:1,c:1",
        5: "a:1,c:3",
        6: "c",
        7: "c",
    }
    for second, value in expected.items():
        assert found.at(np.array([second]))[0].tolist() == pytest.approx(features(PLAIN, value).tolist()), second


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "curve.csv: no points; give lines of seconds and a value"),
        ("seconds,loudness\n", "curve.csv: no points"),
        ("0,-10\n1,5", "curve.csv, line 2: loudness: 5; give -60 to 0"),
        ("1,-10\n0,-5", "curve.csv, line 2: 0 s comes after 1 s; give lines in the order of time"),
        ("0,-10,-20", "curve.csv, line 1: loudness: -10,-20 is not a number"),
        ("-1,-10", "curve.csv, line 1: -1,-10; give seconds from 0 up, a comma and a value"),
        ("inf,-10", "curve.csv, line 1: inf,-10; give seconds"),
        ("5", "curve.csv, line 1: 5; give seconds"),
        ("five,-10", "curve.csv, line 1: five,-10; give seconds"),
        ("0;-10", "curve.csv, line 1: 0;-10; give seconds"),
    ],
)
def test_what_is_no_curve(text: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=line):
        curve(LOUDNESS, written(tmp_path, text))


def test_files_that_are_no_curves(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.csv: cannot be read: No such file"):
        curve(LOUDNESS, str(tmp_path / "none.csv"))
    (tmp_path / "curve.csv").write_bytes(b"0,-10\n\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"curve.csv: not a CSV file in UTF-8"):
        curve(LOUDNESS, str(tmp_path / "curve.csv"))


def test_dense_values_stand_in_the_order_of_a_frame(tmp_path: Path) -> None:
    """Each control's features in turn, without the keyboard's, and then a flag for each that says it is absent."""
    condition = Condition(controls=(PLAIN, Notes(low=60, high=61), LOUDNESS), hop=4)
    glide = curve(LOUDNESS, written(tmp_path, "0,-60\n1,0\n"))
    part = Performance(condition, 100, {"loudness": glide}, events((0, Kind.strike, 60, 1)))
    assert part.dense(np.array([-4, 0, 50])).tolist() == [
        [0, 0, 0, 0, 1, 1, 1],
        [0, 0, 0, -1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0, 0],
    ]
    part = Performance(condition, 100, {"voice": curve(PLAIN, "c")})
    assert part.dense(np.array([8])).tolist() == [[0, 0, 1, 0, 0, 1, 1]]


def test_what_sounds_is_brought_back() -> None:
    """The keyboard's own features go on the same, but for the age of the strikes, whatever was played before."""
    rng, notes = np.random.default_rng(0), Notes(low=60, high=64)
    for _ in range(50):
        rows = [
            (int(sample), Kind(rng.integers(3)), int(rng.integers(60, 65)), int(rng.integers(1, 128)))
            for sample in np.sort(rng.integers(0, 300, 12))
        ]
        later = events((310, Kind.release, 62, 0), (320, Kind.pedal, 0, 0), (330, Kind.strike, 63, 9))
        whole, again = Roll(notes, 5, 1000), Roll(notes, 5, 1000)
        expected = whole.frames(np.concatenate((events(*rows), later)), 80)[60:]
        again.frame = 60
        found = again.frames(np.concatenate((sounding(events(*rows), 300), later)), 20)
        steady = [*range(0, 20, 4), *range(1, 20, 4), 20, 21]  # sounding, its velocity, and the pedal
        assert np.array_equal(found[:, steady], expected[:, steady])
