"""`make fuzz-recordings`: whatever bytes a recording holds, it is read or refused in one line, and the program goes on.

Usage: fuzz_recordings.py COUNT SEED. The same seed makes the same files. Those that show a fault are kept in .fuzz/.
"""

import io
import math
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from wavewright.corpus import isolate
from wavewright.corpus.audio import resample
from wavewright.corpus.decoding import Decoded, decode, mix
from wavewright.corpus.inspection import Inspected, examine
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import AudioError, WavewrightError

BATCH = 2500  # files that one decoder process reads in turn
KEPT = Path(".fuzz")
SETTINGS = PrepareSettings(rate=4000, section_seconds=0.05)
MOST = 1 << 22  # frames
FORMATS = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "GSM610")),
    *(("FLAC", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24")),
    *(("OGG", subtype) for subtype in ("VORBIS", "OPUS")),
    *(("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("RF64", "PCM_16"), ("W64", "PCM_16")),
    *(("CAF", "PCM_16"), ("AU", "PCM_16")),
]
ODD = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]


def sounds() -> list[bytes]:
    """Make a healthy recording of each format, of a fifth of a second."""
    tone = 0.4 * np.sin(np.arange(1600) / 7) + 0.05 * np.random.default_rng(0).standard_normal(1600)
    made = []
    for i, (container, subtype) in enumerate(FORMATS):
        channels = 1 if subtype == "GSM610" else 1 + i % 2
        buffer = io.BytesIO()
        soundfile.write(buffer, np.stack([tone] * channels, axis=1), 8000, subtype, format=container)
        made.append(buffer.getvalue())
    return made


def mutate(rng: np.random.Generator, content: bytes, others: Sequence[bytes]) -> bytes:
    """Change a file in one to three places, half of them in its header."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if not data:
            break
        at = int(rng.integers(min(len(data), 100) if rng.random() < 0.5 else len(data)))
        length = int(rng.integers(1, 1 + min(64, len(data) - at)))
        match int(rng.integers(9)):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at : at + length] = rng.bytes(length)
            case 2 | 3:
                width = int(rng.choice([1, 2, 4, 8]))
                value = int(rng.choice(ODD)) % (1 << 8 * width)
                data[at : at + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")
            case 4:
                del data[at:]
            case 5:
                del data[at : at + length]
            case 6:
                data[at:at] = rng.bytes(length)
            case 7:
                data[at:at] = data[at : at + 50 * length]
            case 8:
                other = others[int(rng.integers(len(others)))]
                data[at:] = other[int(rng.integers(len(other))) :]
    return bytes(data)


def check_refusal(error: AudioError) -> None:
    """Check that a refusal is one line of a length that a person reads."""
    assert str(error).isprintable(), error
    assert 10 < len(error.reason) < 300, error


def check(seen: Inspected | AudioError, rate: int | AudioError, mixed: Path, made: Decoded | AudioError) -> str:
    """Check that three ways to read a file agree, and return what became of it."""
    for result in (seen, rate, made):
        if isinstance(result, AudioError):
            check_refusal(result)
    if isinstance(seen, AudioError):
        assert isinstance(rate, AudioError)
        assert isinstance(made, AudioError)
        assert seen.reason == rate.reason == made.reason
        return seen.reason.split("(")[0].strip() if "its decoder" in seen.reason else "refused"
    measures = (seen.seconds, seen.peak, seen.rms_dbfs or 0, seen.dc, seen.silence_seconds)
    assert all(map(math.isfinite, measures)), seen
    assert min(seen.seconds, seen.rate, seen.channels) > 0
    if isinstance(rate, AudioError):
        assert "longer than" in rate.reason, rate
    else:
        samples = np.fromfile(mixed, np.float32)
        assert np.isfinite(samples).all() or seen.peak > 1e37
        assert len(samples) == round(seen.seconds * seen.rate)
        assert rate == seen.rate
    if isinstance(made, AudioError):
        allowed = ("shorter than one sample", "overflows", "channels cancel", "cancel one another", "rate")
        assert any(words in made.reason for words in allowed), made
        return "refused"
    blocks = list(made.blocks())
    assert sum(map(len, blocks)) == made.frames > 0
    assert all(np.isfinite(block).all() and block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    if not isinstance(rate, AudioError) and SETTINGS.trim is None and seen.channels == 1:
        assert made.frames == sum(map(len, resample([samples], rate, SETTINGS.rate)))
    return "read"


def batch(folder: Path, contents: Sequence[bytes], outcomes: Counter[str]) -> None:
    """Read files in three ways, each in one decoder process, and count what became of them."""
    paths = [folder / f"{i}" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    tasks: list[tuple[Callable[..., Any], list[tuple[Any, ...]]]] = [
        (examine, [(path, path.name) for path in paths]),
        (mix, [(path, folder / f"{path.name}.mix", MOST) for path in paths]),
        (decode, [(path, folder / f"{path.name}.f32", SETTINGS) for path in paths]),
    ]
    try:
        results = [isolate.each(task, jobs, workers=1) for task, jobs in tasks]
    except (RuntimeError, WavewrightError, OSError) as error:
        outcomes["FAULT"] += 1
        print(f"FAULT: {error}", flush=True)
        for path in paths:
            if f"{path} " in str(error) or f"{path}:" in str(error):
                shutil.copy(path, KEPT / f"fault-{outcomes['FAULT']}")
        return
    for path, seen, rate, made in zip(paths, *results, strict=True):
        try:
            outcome = check(seen, rate, folder / f"{path.name}.mix", made)
        except AssertionError as error:
            outcome = "FAULT"
            print(f"FAULT: {seen} | {rate} | {made} | {error}", flush=True)
        outcomes[outcome] += 1
        if outcome not in ("read", "refused"):
            shutil.copy(path, KEPT / f"{outcome.replace(' ', '-')}-{outcomes[outcome]}")


def main(count: int, seed: int) -> int:
    """Read `count` files and return the number of faults."""
    rng = np.random.default_rng(seed)
    healthy = sounds()
    outcomes: Counter[str] = Counter()
    KEPT.mkdir(exist_ok=True)
    began = time.monotonic()
    for first in range(0, count, BATCH):
        files = range(first, min(first + BATCH, count))
        contents = [mutate(rng, healthy[i % len(healthy)], healthy) for i in files]
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
            batch(Path(name), contents, outcomes)
        if files.stop % (2 * BATCH) == 0 or files.stop == count:
            said = ", ".join(f"{number:,} {what}" for what, number in outcomes.most_common())
            print(f"{files.stop:,} files in {time.monotonic() - began:.0f} s: {said}", flush=True)
    return outcomes["FAULT"]


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])) > 0)
