"""Labels from patterns, tables and instruments; what does not fit is one line."""

from pathlib import Path

import pytest

from wavewright.conditioning.labels import label
from wavewright.errors import WavewrightError
from wavewright.models.condition import Category, Number

STEINWAY = ["pp_a0.flac", "ff_fs3.flac", "mp_b-1.flac"]


def test_a_pattern_over_names() -> None:
    found = label([f"piano/{name}" for name in STEINWAY], "{layer}_{note}")
    assert found.sorts == {"layer": "category", "note": "note"}
    assert found.rows["piano/ff_fs3.flac"] == {"layer": "ff", "note": 54}
    assert [row["note"] for row in found.rows.values()] == [21, 54, 11]
    assert found.controls() == (Category("layer", ("ff", "mp", "pp")),)


def test_a_pattern_over_folders() -> None:
    names = ["digits/theo/7_theo_0.flac", "digits/lucas/0_lucas_12.flac"]
    found = label(names, "{speaker}/{digit}_*_{take:ignore}")
    assert found.rows[names[1]] == {"speaker": "lucas", "digit": "0"}
    assert found.sorts["digit"] == "category"  # a name, though all are numbers
    assert label(names, "{digit:number}_*").sorts == {"digit": "number"}


def test_a_table(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text('file,note,velocity,room size,kind\na/kick.wav,36,100,2.5,drum\nb.wav,f#3,1,10,"bell, big"\n')
    found = label(["x/a/kick.wav", "x/b.wav"], str(table))
    assert found.sorts == {"note": "note", "velocity": "velocity", "room size": "number", "kind": "category"}
    assert found.rows["x/b.wav"] == {"note": 54, "velocity": 1.0, "room size": 10.0, "kind": "bell, big"}


def test_numbers_keep_their_range(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,size,same\na.wav,2.5,1\nb.wav,-10,1\n")
    assert label(["a.wav", "b.wav"], str(table)).controls() == (Number("size", -10, 2.5), Number("same", 1, 2))


def test_an_instrument(tmp_path: Path) -> None:
    sfz = tmp_path / "piano.sfz"
    sfz.write_text(
        "// a piano\n#define $EXT flac\n<control> default_path=samples/\n<global> ampeg_release=0.5\n"
        "<group> lovel=1 hivel=40\n<region> sample=soft c4.$EXT lokey=58 hikey=62 pitch_keycenter=60\n"
        "<group> lovel=41 hivel=127\n<region>\nsample=loud c4.$EXT key=c4\n<region> sample=*sine key=1\n"
    )
    found = label(["p/samples/soft c4.flac", "p/samples/loud c4.flac"], str(sfz))
    assert list(found.rows.values()) == [{"note": 60, "velocity": 21}, {"note": 60, "velocity": 84}]


def test_a_region_without_velocities_has_the_middle_of_all(tmp_path: Path) -> None:
    sfz = tmp_path / "piano.sfz"
    sfz.write_text("<region> sample=a.wav key=60\n<region> sample=b.wav key=61 lovel=101\n")
    assert list(label(TWO, str(sfz)).rows.values()) == [{"note": 60, "velocity": 64}, {"note": 61, "velocity": 114}]
    sfz.write_text("<region> sample=a.wav key=60\n<region> sample=b.wav key=61 lovel=soft\n")
    with pytest.raises(WavewrightError, match=r"piano\.sfz: velocities soft to 127; give 1 to 127"):
        label(TWO, str(sfz))


TWO = ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    ("names", "table", "line"),
    [
        (TWO, "file,x\na.wav,1\n", "no labels for b.wav"),
        ([*TWO, "c.wav"], "file,x\na.wav,1\n", "no labels for b.wav and 1 more recordings"),
        (TWO, "file,x\na.wav,1\nb.wav,2\nc.wav,3\n", "labels for c.wav, which is not among the recordings"),
        (TWO, "file,x\na.wav,1\nb.wav,2\na.wav,3\n", "two different labels for a.wav"),
        (["p/a.wav", "q/a.wav"], "file,x\na.wav,1\n", "a.wav may be p/a.wav and q/a.wav; name its folder too"),
        (TWO, "name,x\na.wav,1\n", "the first line must be file"),
        (TWO, "file,x,x\na.wav,1,2\n", "a different name for each column"),
        (TWO, "", "the first line must be file"),
        (TWO, "file,x\na.wav,1,2\n", "line 2: 3 fields, not 2"),
        (TWO, "file\na.wav\nb.wav\n", "no column but for the files' names"),
        (TWO, "file,note\na.wav,60\nb.wav,h4\n", "b.wav, note: 'h4' is no note; give 0 to 127 or a name"),
        (TWO, "file,velocity\na.wav,60\nb.wav,128\n", "b.wav, velocity: velocity 128; give 1 to 127"),
        (TWO, "file,x:number\na.wav,60\nb.wav,soft\n", "b.wav, x: 'soft' is not a number"),
        (TWO, "file,x\na.wav," + 200_000 * "1" + "\nb.wav,1\n", "labels.csv: not a table"),
        (TWO, "file,x\na.wav,1\nb.wav,\n", "b.wav, x: empty; give a value"),
        (TWO, "file,x:size\na.wav,60\nb.wav,1\n", "column x:size; after the colon give category, number, ignore"),
    ],
)
def test_tables_that_do_not_fit(names: list[str], table: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(WavewrightError, match=line) as caught:
        label(names, str(tmp_path / "labels.csv"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("{layer}_{note}", "a.wav: does not match the labels' pattern {layer}_{note}"),
        ("{x}_{x}", "name each column once"),
        ("{x}{y}", "put a character between columns"),
        ("nowhere.csv", "nowhere.csv: cannot be read: No such file or directory"),
        ("labels.txt", r"--labels labels.txt: give a .csv file, an .sfz file or a pattern"),
    ],
)
def test_sources_that_do_not_fit(source: str, line: str) -> None:
    with pytest.raises(WavewrightError, match=line):
        label(["a.wav"], source)


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WavewrightError, match="not a text file in UTF-8"):
        label(["a.wav"], str(tmp_path / "x.csv"))


def test_the_steinway_and_the_digits(data: Path) -> None:
    piano = sorted(path.name for path in (data / "oneshots" / "piano_steinway").glob("*.flac"))
    found = label(piano, "{layer}_{note}")
    assert len(found.rows) == 63
    assert found.controls() == (Category("layer", ("ff", "mp", "pp")),)
    digits = [str(path.relative_to(data)) for path in (data / "speech_digits").rglob("*.flac")]
    assert [len(control.classes) for control in label(digits, "{digit}_{speaker}_{take:ignore}").controls()] == [10, 4]  # type: ignore[union-attr]
