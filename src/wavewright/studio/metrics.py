"""What a run's metrics.jsonl tells, read while the run writes it."""

import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from wavewright.corpus.corpus import INDEX, Corpus
from wavewright.errors import WavewrightError
from wavewright.files import parse_json
from wavewright.formats.checkpoint import Facts
from wavewright.formats.run_folder import Begun
from wavewright.metrics import bits, zero_order_entropy
from wavewright.quantize import Quantizer
from wavewright.studio.corpora import Corpora

FILE = "metrics.jsonl"
TAIL = 1 << 19  # bytes from whose lines the latest values come
PART = 8 << 20  # bytes that are read at a time
POINTS = 1000  # training steps in a reply


def read(run: Path, after: int) -> dict[str, Any]:
    """Return the records after byte `after`, and the byte at which the next call goes on.

    Validations and other events are all there, and at most 1,000 training steps, evenly spread. `from` is the byte of
    the first record. It is 0 where the file was cut, as when a run is resumed.
    """
    try:
        with (run / FILE).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = after if 0 <= after <= size else 0
            file.seek(start)
            found = file.read(PART)
    except OSError:
        return {"from": 0, "next": 0, "records": []}
    whole = found[: found.rfind(b"\n") + 1]
    records = [record for line in whole.splitlines() if (record := _record(line))]
    steps = [record for record in records if "event" not in record]
    stride = max(1, math.ceil(len(steps) / POINTS))
    kept = {id(record) for record in (*steps[stride - 1 :: stride], *steps[-1:])}
    thinned = [record for record in records if "event" in record or id(record) in kept]
    return {"from": start, "next": start + len(whole), "records": thinned}


def latest(run: Path) -> dict[str, Any]:
    """Return the last step, the seconds trained until then, and the bits of the last and the best validation."""
    told: dict[str, Any] = {"seconds": None, "step": None}
    records = _tail(run)
    found = [record["bits"] for record in records if record.get("event") == "validation" and _is_number(record, "bits")]
    for record in reversed(records):
        times = record.get("time")
        if "event" not in record and told["step"] is None and isinstance(times, dict):
            told |= {"step": record.get("step"), "seconds": times.get("seconds")}
    return {**told, "bits": found[-1] if found else None, "best": min(found, default=None)}


def is_concluded(run: Path, facts: Facts) -> bool:
    """Tell whether a run whose budget is not known has used it up, by the validation at its very end.

    A run that ended in a scheduled checkpoint has a validation there in any case. It counts as stopped.
    """
    last = _tail(run)[-1:]
    return not facts.regular and [(one.get("event"), one.get("step")) for one in last] == [("validation", facts.step)]


def entropy(begun: Begun, corpora: Corpora, corpus: str | None) -> float | None:
    """Return the bits per sample that a model has to beat, or None where the run's corpus is not here."""
    if corpus is None:
        return None
    try:
        path = corpora.path(corpus)
        return _entropy(path, (path / INDEX).stat().st_mtime_ns, begun.config.quantizer)
    except (WavewrightError, OSError):
        return None


@lru_cache(64)
def _entropy(path: Path, changed: int, quantizer: Quantizer) -> float:
    return zero_order_entropy(Corpus.open(path).reader("train"), quantizer)


def _tail(run: Path) -> list[dict[str, Any]]:
    try:
        facts = (run / FILE).stat()
        return _last_records(run / FILE, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return []


@lru_cache(16)
def _last_records(path: Path, size: int, changed: int) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL))
        lines = file.read().splitlines()
    return [record for line in lines if (record := _record(line))]


def _is_number(record: dict[str, Any], field: str) -> bool:
    return isinstance(record.get(field), int | float)


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, with its loss in bits, or None where it is not whole."""
    try:
        record = parse_json(line.decode())
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    loss = record.get("loss")
    return {**record, "bits": bits(loss)} if isinstance(loss, int | float) else record
