"""What the tests share: the data folder, small recordings, the command line as a user calls it."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# One thread for torch, here and in every command that a test starts, before torch is imported: pytest-xdist already
# uses every core, and OpenMP's threads spin while they wait for one another, which on shared cores takes for ever.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

if TYPE_CHECKING:
    import httpx

    from support.studio import Server
    from wavewright.corpus.corpus import Corpus

HANGS = 600  # seconds: what is not done by then never will be; the machines are shared, and tests do not measure time
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The shared recordings; WAVEWRIGHT_DATA names them where they are not in their usual place."""
    folder = Path(os.environ.get("WAVEWRIGHT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}; set WAVEWRIGHT_DATA")
    return folder


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """`record(name, samples, rate=44100, subtype=None)` writes a sound file below `tmp_path`."""

    def write(name: str, samples: NDArray[np.floating], rate: int = 44100, subtype: str | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, subtype=subtype)
        return path

    return write


@pytest.fixture
def album(record: Callable[..., Path], tmp_path: Path) -> Path:
    """Ten recordings of several rates, of 1.2 to 6 s."""
    for i in range(10):
        record(
            f"album/{i % 3}/{i}.flac", melody(1.2 + i * i * 0.06, 8000 * (1 + i % 2), 200 + 30 * i), 8000 * (1 + i % 2)
        )
    return tmp_path / "album"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> "Corpus":
    """A few seconds of melody at 4 kHz in sections of 500 samples, on which tiny models train."""
    from support.tiny import make_corpus

    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def trained(corpus: "Corpus", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 steps of a tiny SampleRNN on `corpus`, with a checkpoint every 7."""
    from support.tiny import tiny
    from wavewright.training.loop import Budget
    from wavewright.training.run import train

    run = tmp_path_factory.mktemp("trained") / "run"
    train(tiny("sample-rnn"), corpus, run, Budget(steps=60), device="cpu")
    return run


@pytest.fixture(scope="session")
def original(corpus: "Corpus", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 16 steps: regular checkpoints of steps 7 and 14, and the last."""
    from support.tiny import again, checkpoints

    run = tmp_path_factory.mktemp("original") / "run"
    again(corpus, run, 16)
    assert checkpoints(run) == ["step-00000007", "step-00000014", "step-00000016"]
    return run


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of `original`."""
    return shutil.copytree(original, tmp_path / "run")


@pytest.fixture
def wavewright() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`wavewright("prepare", folder, ...)` runs the command line as a user would, in a process that starts at once."""
    from support.tiny import call

    return call


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command refused: exit status 2, no traceback."""
    assert result.returncode == 2, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("wavewright: ")
    return last


def melody(seconds: float, rate: int = 44100, pitch: float = 220.0, peak: float = 0.5) -> NDArray[np.float64]:
    """A decaying tone that repeats twice a second, with a little DC."""
    t = np.arange(round(seconds * rate)) / rate
    return peak * np.sin(2 * np.pi * pitch * t) * np.exp(-3 * (t % 0.5)) + 0.01


FAST = {"rate": 4000, "section_seconds": 0.5}  # settings for small recordings


def fingerprint(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a folder, by name."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Server]":
    """A studio over an empty folder."""
    from support.studio import serving

    with serving(tmp_path_factory.mktemp("studio") / "work") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: "Server") -> "Iterator[httpx.Client]":
    """A client that is logged in to the studio."""
    with server.client() as opened:
        yield opened
