"""Collects what a CUDA machine without a network needs (`make gpu-pack`): wheels and recordings, in `.gpu/`.

The wheels are those that such a machine lacks beside torch and numpy, for CPython 3.12 on x86-64 Linux, in the versions
of requirements.lock and of pyproject.toml's build system. The recordings are piano exercises with their scores, as many
as fit, from which a model learns to play a keyboard. They need fluidsynth and a sound font.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import resources
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKED = ROOT / ".gpu"
WHEELS = (
    *("annotated-types", "attrs", "cffi", "cyclopts", "docstring_parser", "markdown-it-py", "mdurl", "mido"),
    *("packaging", "pycparser"),
    *("pydantic", "pydantic_core", "Pygments", "PyYAML", "rich", "rich-rst", "soundfile", "soxr"),
    *("typing-inspection", "typing_extensions"),
)
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
RATE = 14700  # of the recordings, in Hz
FONT = Path(os.environ.get("SOUND_FONT", "/usr/share/sounds/sf2/FluidR3_GM.sf2"))
MOST = 600  # exercises, each of a minute


def main() -> None:
    """Collect both, and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=44.0, help="how large wheels and recordings may be together")
    limit = parser.parse_args().megabytes * 1e6
    wheels = download(PACKED / "wheels")
    recordings = collect(PACKED / "recordings", limit - wheels - 5e5)
    print(f"{PACKED}: {wheels / 1e6:.1f} MB of wheels, {recordings / 1e6:.1f} MB of recordings", file=sys.stderr)


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
    return size_of(folder)


def collect(folder: Path, limit: float) -> int:
    """Render exercises into `folder`, up to `limit` bytes, and return their bytes. Without a font, take the clip."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data = resources.files("wavewright") / "data"
    if shutil.which("fluidsynth") is None or not FONT.is_file():
        print(f"no fluidsynth, or no {FONT} (SOUND_FONT): the recording is the bundled clip", file=sys.stderr)
        for name in ("bwv846_prelude.flac", "scores/bwv846_prelude.mid"):
            (folder / Path(name).name).write_bytes((data / name).read_bytes())
        return size_of(folder)
    with resources.as_file(data / "make_piano_scores.py") as script:
        exercises: Any = SourceFileLoader("make_piano_scores", str(script)).load_module()
    for seed in range(MOST):
        score = folder / f"exercise-{seed:03d}.mid"
        exercises.write(score, seed)
        exercises.render(score, FONT, RATE)
        if size_of(folder) > limit:
            score.unlink()
            score.with_suffix(".flac").unlink()
            print(f"{seed} exercises of a minute", file=sys.stderr)
            break
    return size_of(folder)


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.iterdir())


if __name__ == "__main__":
    main()
