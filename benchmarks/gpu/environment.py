"""What the drill needs: packages, wavewright by its name and version, and the native engine, built here if missing."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from gpu.work import Row

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "gpu-site"
NEEDED = ("cyclopts", "numpy", "pydantic", "pytest", "rich", "safetensors", "soundfile", "soxr", "tensorboard", "yaml")
BUILD_SECONDS = 120


def prepare() -> tuple[dict[str, Row], str]:
    """Return what was found and done, and the PYTHONPATH with which the parts run."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    path = [str(Path(entry).resolve()) for entry in before]
    if engine_is_here():
        built: Row = {"native_engine": True, "how": "it was installed already"}
    else:
        built = build(SITE)
        path.insert(0, str(SITE))
    return {"packages": {"missing": missing}, "engine": built}, os.pathsep.join(path)


def engine_is_here() -> bool:
    """Tell whether wavewright is installed with its native engine."""
    try:
        importlib.metadata.version("wavewright")
        return importlib.util.find_spec("wavewright._engine") is not None
    except (importlib.metadata.PackageNotFoundError, ModuleNotFoundError):
        return False


def build(site: Path) -> Row:
    """Install this tree below `site` without the network, its engine too if there is a compiler, and tell what came."""
    begun = time.monotonic()
    offline = ("--no-build-isolation", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--verbose",
        *offline,
        "--upgrade",
        "--target",
        str(site),
        str(ROOT),
    ]
    cores = {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1)}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=BUILD_SECONDS,
            env={**os.environ, **cores},
            check=False,
        )
        said = done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        said = f"not built within {BUILD_SECONDS} s"
    except OSError as error:
        said = str(error)
    there = any((site / "wavewright").glob("_engine*.so"))
    row: Row = {"native_engine": there, "how": f"pip install --target {site.name}"}
    if not there:
        row["error"] = said[-3000:]
    if not list(site.glob("wavewright-*.dist-info")):
        give_name(site)
    return {**row, "seconds": round(time.monotonic() - begun, 1)}


def give_name(site: Path) -> None:
    """Let wavewright be found by name and version below `site`, where it could not be installed."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    folder = site / f"wavewright-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    facts = f"Metadata-Version: 2.1\nName: wavewright\nVersion: {version}\n"
    (folder / "METADATA").write_text(facts, encoding="utf-8")
