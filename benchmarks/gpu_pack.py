"""Collects what a CUDA machine without a network needs (`make gpu-pack`): wheels and a corpus, in `.gpu/`.

The wheels are those that such a machine lacks beside torch and numpy, for CPython 3.12 on x86-64 Linux, in the versions
of requirements.lock and of pyproject.toml's build system. The corpus has as many piano recordings as fit.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import soundfile

from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings

ROOT = Path(__file__).resolve().parents[1]
PACKED = ROOT / ".gpu"
WHEELS = (
    *("annotated-types", "attrs", "cffi", "cyclopts", "docstring_parser", "markdown-it-py", "mdurl", "pycparser"),
    *("pydantic", "pydantic_core", "Pygments", "PyYAML", "rich", "rich-rst", "soundfile", "soxr"),
    *("typing-inspection", "typing_extensions"),
)
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
RATE, SECTION_SECONDS, BYTES = 14700, 30.0, 2  # of the corpus; bytes a sample


def main() -> None:
    """Collect both, and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=44.0, help="how large wheels and corpus may be together")
    limit = parser.parse_args().megabytes * 1e6
    wheels = download(PACKED / "wheels")
    corpus = collect(PACKED / "corpus", limit - wheels - 5e5)
    print(f"{PACKED}: {wheels / 1e6:.1f} MB of wheels, {corpus / 1e6:.1f} MB of corpus", file=sys.stderr)


def requirements() -> list[str]:
    """Return the wheels to fetch, each with its version."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = {line.partition("==")[0]: line for line in lines if "==" in line}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    return [*(locked[name] for name in WHEELS), *build]


def download(folder: Path) -> int:
    """Fetch the wheels into `folder`, and return their bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    target = ["--python-version", "3.12", "--implementation", "cp"]
    target += [part for platform in PLATFORMS for part in ("--platform", f"{platform}_x86_64")]
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", *target]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *requirements()], check=True
    )
    return sum(file.stat().st_size for file in folder.iterdir())


def collect(folder: Path, limit: float) -> int:
    """Prepare the corpus in `folder` from recordings of about `limit` bytes, and return its bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    data = Path(os.environ.get("WAVEWRIGHT_DATA", ROOT.parent / "shared" / "data")) / "piano"
    if not (data / "splits.json").is_file():
        print(f"no {data}: the corpus is the bundled clip", file=sys.stderr)
        with resources.as_file(resources.files("wavewright") / "data" / "bwv846_prelude.flac") as clip:
            prepare([clip], folder, PrepareSettings(rate=RATE, section_seconds=SECTION_SECONDS))
    else:
        splits = chosen(data, limit)
        settings = PrepareSettings(rate=RATE, section_seconds=SECTION_SECONDS, splits=splits)
        prepare([data], folder, settings, workers=os.cpu_count() or 1)
    return sum(file.stat().st_size for file in folder.iterdir())


def chosen(data: Path, limit: float) -> dict[str, list[str]]:
    """Return the shortest recording for validation and, in their order, those for training that fit beside it."""
    splits = json.loads((data / "splits.json").read_text(encoding="utf-8"))
    sizes = {name: soundfile.info(data / name).duration * RATE * BYTES for names in splits.values() for name in names}
    valid = min(splits["valid"], key=sizes.__getitem__)
    train, used = [], sizes[valid]
    for name in splits["train"]:
        if used + sizes[name] <= limit:
            train.append(name)
            used += sizes[name]
    left_out = sum(len(names) for names in splits.values()) - len(train) - 1
    print(f"{len(train)} recordings for training and 1 for validation fit; {left_out} are left out", file=sys.stderr)
    return {"train": train, "valid": [valid]}


if __name__ == "__main__":
    main()
