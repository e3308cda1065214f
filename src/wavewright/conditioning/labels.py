"""Labels of recordings: from a table (CSV), from an instrument (SFZ), or by a pattern from the recordings' own names.

A column named `note` or `velocity` is what a keyboard plays. Any other column of a table is a number where all of its
values are numbers, and else a category. What stands in a file's name is a category, since `0` to `9` are names there.
A column called `NAME:number`, `NAME:category` or `NAME:ignore` is what it says.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from wavewright.errors import WavewrightError, printable
from wavewright.models.condition import Category, Number

Sort = Literal["category", "number", "note", "velocity"]
Row = dict[str, str]

SORTS = ("category", "number", "ignore")
PITCHES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
SHARPS = {"": 0, "#": 1, "s": 1, "b": -1}
MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Labels:
    """What is known of every recording.

    Attributes:
        sorts: what each column is, by its name.
        rows: the value of each column, by the recording's name: a text for a category, else a number.
    """

    sorts: dict[str, Sort]
    rows: dict[str, dict[str, str | float]]

    def controls(self) -> tuple[Category | Number, ...]:
        """Return the controls that the categories and numbers make, with the classes and the range that occur."""
        found: list[Category | Number] = []
        for name, sort in self.sorts.items():
            values = [row[name] for row in self.rows.values()]
            if sort == "category":
                found.append(Category(name, tuple(sorted({str(value) for value in values}))))
            elif sort == "number":
                low, high = min(map(float, values)), max(map(float, values))
                found.append(Number(name, low, high if high > low else low + 1))
        return tuple(found)


def label(names: Sequence[str], source: str, others: Sequence[str] = ()) -> Labels:
    """Return the labels of the recordings called `names`.

    Args:
        names: names of the recordings, as `prepare` lists them.
        source: a CSV file whose first column is `file`, an SFZ file, or a pattern such as `{layer}_{note}`. A pattern
            is held against the end of a name without its extension, as many folders deep as it has slashes. `*` stands
            for anything.
        others: names of files that may have labels in a table, too, and need none.

    Raises:
        WavewrightError: a recording without labels or with two, a label for no recording, or a source that cannot be
            read.
    """
    if "{" in source:
        return _typed({name: _matched(source, name) for name in names}, "category", source)
    path = Path(source)
    read = {".csv": _csv, ".sfz": _sfz}.get(path.suffix.lower())
    if read is None:
        raise WavewrightError(
            f"--labels {printable(source)}: give a .csv file, an .sfz file or a pattern like {{layer}}_{{note}}"
        )
    rows = _by_name(names, read(path), source, others)
    return _typed(rows, "number", source)


def _typed(rows: Mapping[str, Row], default: Literal["category", "number"], source: str) -> Labels:
    sorts: dict[str, Sort] = {}
    typed: dict[str, dict[str, str | float]] = {name: {} for name in rows}
    for heading in next(iter(rows.values()), {}):
        name, _, said = heading.partition(":")
        if said and said not in SORTS:
            raise WavewrightError(f"--labels: column {printable(heading)}; after the colon give {', '.join(SORTS)}")
        if said == "ignore":
            continue
        texts = {recording: row[heading] for recording, row in rows.items()}
        sort: Sort = said or name if name in ("note", "velocity") else said or default  # type: ignore[assignment]
        if sort == "number" and not said and not all(map(_is_number, texts.values())):
            sort = "category"
        sorts[name] = sort
        for recording, text in texts.items():
            if not text:
                raise WavewrightError(f"{printable(recording)}, {printable(name)}: empty; give a value")
            typed[recording][name] = text if sort == "category" else _value(sort, text, f"{recording}, {name}")
    if not sorts:
        raise WavewrightError(f"--labels {printable(source)}: no column but for the files' names")
    return Labels(sorts, typed)


def _value(sort: Sort, text: str, where: str) -> float:
    if sort == "note":
        return _key(text, where)
    if not _is_number(text):
        raise WavewrightError(f"{printable(where)}: {printable(text)!r} is not a number")
    value = float(text)
    if sort == "velocity" and not 0 < value <= 127:
        raise WavewrightError(f"{printable(where)}: velocity {text}; give 1 to 127")
    return value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", text) is not None


def _key(text: str, where: str) -> int:
    """Return the MIDI key of a note's number or name, such as 60, c4, F#3, fs3 or Bb2, where c4 is 60."""
    named = re.fullmatch(r"([a-gA-G])([#sb]?)(-?\d)", text)
    key = int(text) if re.fullmatch(r"\d{1,3}", text) else -1
    if named:
        key = 12 * (int(named[3]) + 1) + PITCHES[named[1].lower()] + SHARPS[named[2]]
    if not 0 <= key <= 127:
        raise WavewrightError(
            f"{printable(where)}: {printable(text)!r} is no note; give 0 to 127 or a name like c4 or f#3"
        )
    return key


def _matched(pattern: str, name: str) -> Row:
    expression = "".join(
        f"(?P<p{i}>[^/]+?)" if part.startswith("{") else re.escape(part).replace(r"\*", "[^/]*?")
        for i, part in enumerate(re.split(r"(\{[^{}]+\})", pattern))
    )
    headings = {
        f"p{i}": part[1:-1] for i, part in enumerate(re.split(r"(\{[^{}]+\})", pattern)) if part.startswith("{")
    }
    if not headings or len(set(headings.values())) < len(headings):
        raise WavewrightError(f"--labels {printable(pattern)}: name each column once, as in {{layer}}_{{note}}")
    if "}{" in pattern:  # which could match a long name in too many ways to try
        raise WavewrightError(
            f"--labels {printable(pattern)}: put a character between columns, as in {{layer}}_{{note}}"
        )
    path = PurePosixPath(name)
    tail = PurePosixPath(*path.parts[-1 - pattern.count("/") :]).with_suffix("").as_posix()
    found = re.fullmatch(expression, tail)
    if not found:
        raise WavewrightError(f"{printable(name)}: does not match the labels' pattern {printable(pattern)}")
    return {heading: found[group] for group, heading in headings.items()}


def _by_name(
    names: Sequence[str], rows: Iterable[tuple[str, Row]], source: str, others: Sequence[str]
) -> dict[str, Row]:
    """Give each recording the row of its name, or of the end of its name, as many folders deep as the row names."""
    by_end: dict[str, list[str]] = {}
    for name in dict.fromkeys((*names, *others)):
        parts = PurePosixPath(name).parts
        for i in range(len(parts)):
            by_end.setdefault("/".join(parts[i:]), []).append(name)
    found: dict[str, Row] = {}
    for file, row in rows:
        ends = by_end.get(PurePosixPath(file.replace("\\", "/")).as_posix(), [])
        if not ends:
            raise WavewrightError(
                f"{printable(source)}: labels for {printable(file)}, which is not among the recordings"
            )
        if len(ends) > 1:
            both = " and ".join(map(printable, ends[:2]))
            raise WavewrightError(f"{printable(source)}: {printable(file)} may be {both}; name its folder too")
        if found.setdefault(ends[0], row) != row:
            raise WavewrightError(f"{printable(source)}: two different labels for {printable(file)}")
    if missing := [name for name in names if name not in found]:
        more = f" and {len(missing) - 1} more recordings" if len(missing) > 1 else ""
        raise WavewrightError(f"{printable(source)}: no labels for {printable(missing[0])}{more}")
    return {name: found[name] for name in names}


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise WavewrightError(f"{printable(path)}: more than {MOST_BYTES >> 20} MB; give a smaller file")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise WavewrightError(f"{printable(path)}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WavewrightError(f"{printable(path)}: not a text file in UTF-8") from None


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        lines = iter([*csv.reader(_text(path).splitlines())])
    except csv.Error as error:
        raise WavewrightError(f"{printable(path)}: not a table ({error})") from None
    heading = [name.strip() for name in next(lines, [])]
    if not heading or heading[0] != "file" or len(set(heading)) < len(heading) or "" in heading:
        raise WavewrightError(
            f"{printable(path)}: the first line must be file and then a different name for each column"
        )
    for number, fields in enumerate(lines, 2):
        if not fields:
            continue
        if len(fields) != len(heading):
            raise WavewrightError(f"{printable(path)}, line {number}: {len(fields)} fields, not {len(heading)}")
        file, *values = (field.strip() for field in fields)
        yield file, dict(zip(heading[1:], values, strict=True))


def _sfz(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield note and velocity of each region's sample: its key centre, and the middle of its range of velocities."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", _text(path), flags=re.DOTALL)
    for name, value in re.findall(r"#define\s+(\$\w+)\s+(\S+)", text):
        text = text.replace(name, value)
    above: dict[str, dict[str, str]] = {}
    regions: list[dict[str, str]] = []
    levels = ("control", "global", "master", "group", "region")
    for header, body in re.findall(r"<(\w+)>([^<]*)", text):
        opcodes = {
            key: value.strip()
            for key, value in re.findall(r"(\w+)=(.*?)(?=\s+\w+=|\s*$)", body, re.DOTALL | re.MULTILINE)
        }
        if header not in levels:
            continue
        for below in levels[levels.index(header) :]:
            above.pop(below, None)
        above[header] = opcodes
        if header == "region":
            regions.append({key: value for level in levels for key, value in above.get(level, {}).items()})
    with_velocity = any("lovel" in opcodes or "hivel" in opcodes for opcodes in regions)
    for opcodes in regions:
        sample = opcodes.get("sample", "*")
        if not sample.startswith("*"):  # a generator that the player has built in
            yield opcodes.get("default_path", "") + sample, _region(path, opcodes, with_velocity)


def _region(path: Path, opcodes: dict[str, str], with_velocity: bool) -> Row:
    row = {"note": opcodes.get("pitch_keycenter", opcodes.get("key", opcodes.get("lokey", "60")))}
    if with_velocity:
        low, high = opcodes.get("lovel", "1"), opcodes.get("hivel", "127")
        if not (low + high).isdecimal():
            raise WavewrightError(f"{printable(path)}: velocities {printable(low)} to {printable(high)}; give 1 to 127")
        row["velocity"] = str((int(low) + int(high) + 1) // 2)
    return row
