"""The engine as it is used: a run and a file alike, without torch, in a stream, in every precision."""

import io
import subprocess
import sys
import types
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wavewright
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ModelFileError
from wavewright.playing import native_model, opening
from wavewright.playing.export import export
from wavewright.playing.live import play_aloud, stream_wav
from wavewright.playing.torch_model import TorchModel
from wavewright.sampling import Controls

FADED = 40  # samples at either end of a sound, 10 ms at 4 kHz

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def file(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained SampleRNN of conftest as a model file."""
    out = tmp_path_factory.mktemp("file") / "m.safetensors"
    export(opening.open_run(trained), out)
    return out


@pytest.mark.slow
def test_the_engine_and_torch_write_the_same_take(
    trained: Path, file: Path, wavewright: Command, tmp_path: Path
) -> None:
    for source in (trained, file):
        for engine in ("native", "torch", "auto"):
            made = wavewright("generate", source, "--out", tmp_path / "a.wav", "--seconds", 0.5, "--engine", engine)
            assert made.returncode == 0, made.stderr
            take = (tmp_path / "a.wav").read_bytes()
            assert source != trained or engine != "native" or (tmp_path / "first.wav").write_bytes(take)
            assert take == (tmp_path / "first.wav").read_bytes(), (source, engine)


def test_the_engine_and_torch_score_alike(trained: Path, corpus: Corpus) -> None:
    run = opening.open_run(trained)
    for split in ("train", "valid"):
        samples, sections = corpus.samples(split), corpus.sections(split)
        expected = run.score(samples, sections)
        np.testing.assert_allclose(opening.to_native(run).score(samples, sections), expected, rtol=1e-5)


def test_a_file_plays_without_torch(file: Path) -> None:
    code = f"""if True:
        import sys, wavewright
        block = next(wavewright.load({str(file)!r}).stream(block=300))
        assert block.shape == (300,) and block.dtype == "float32"
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_stream_is_the_take_in_blocks_of_any_size(file: Path) -> None:
    model = wavewright.load(file)
    whole = model.quantizer.decode(model.player(seed=4).generate(1200, Controls(0.8))[0])
    for block in (1, 7, 512):
        blocks = islice(model.stream(block, seed=4, temperature=0.8), 1200 // block)
        found = np.concatenate(list(blocks))
        assert np.array_equal(found[FADED:], whole[FADED : len(found)])


def test_a_wav_stream_is_the_file(file: Path, tmp_path: Path) -> None:
    model, out = wavewright.load(file), io.BytesIO()
    stream_wav(model, out, seconds=1.5, seed=2)
    out.seek(0)
    samples, rate = soundfile.read(out)
    assert (rate, len(samples)) == (model.rate, round(1.5 * model.rate))
    command = [
        sys.executable,
        "-m",
        "wavewright",
        "generate",
        str(file),
        "--out",
        "-",
        "--seconds",
        "1.5",
        "--seed",
        "2",
    ]
    assert subprocess.run(command, capture_output=True, check=True).stdout == out.getvalue()


def test_an_endless_stream_ends_when_nobody_listens(file: Path) -> None:
    command = [sys.executable, "-m", "wavewright", "generate", str(file), "--out", "-", "--seconds", "inf"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(50_000)[:4] == b"RIFF"
        process.stdout.close()
        assert process.wait(30) == 0
        assert b"Error" not in process.stderr.read()


def test_play_sends_the_take_to_the_sound_card(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, heard = wavewright.load(file), []

    class Card:
        def __init__(self, rate: int, channels: int, dtype: str) -> None:
            assert (rate, channels, dtype) == (model.rate, 1, "float32")

        def __enter__(self) -> "Card":
            return self

        def __exit__(self, *error: object) -> None:
            heard.append("closed")

        def write(self, block: np.ndarray) -> None:
            heard.append(block)

    fake = types.SimpleNamespace(OutputStream=Card, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    play_aloud(model, seconds=1, seed=6)
    assert heard.pop() == "closed"
    whole = model.quantizer.decode(model.player(seed=6).generate(model.rate)[0])
    assert np.array_equal(np.concatenate(heard)[FADED:-FADED, 0], whole[FADED:-FADED])
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(wavewright.WavewrightError, match="pip install"):
        play_aloud(model, seconds=1)


def test_without_the_engine_torch_plays_and_says_so_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wavewright.playing.engine._engine", None)
    model = opening.open_model(file)
    assert isinstance(model, TorchModel)
    assert caplog.text.count("not built") == 1
    with pytest.raises(wavewright.WavewrightError, match="C\\+\\+ compiler"):
        wavewright.load(file).player()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_file_plays_in_its_own_precision_or_another(
    file: Path, precision: native_model.Precision, tmp_path: Path
) -> None:
    reduced = tmp_path / "r.safetensors"
    export(opening.open_run(file), reduced, precision)
    assert wavewright.load(reduced).player().precision == precision
    assert np.array_equal(
        wavewright.load(reduced).player().generate(400),
        wavewright.load(reduced, precision=precision).player().generate(400),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("generate", "FILE", "--out", "-", "--count", 2), "--count"),
        (("generate", "FILE", "--out", "-", "--seconds", 0), "--seconds"),
        (("generate", "FILE", "--out", "a.wav", "--engine", "native", "--device", "cuda"), "--device"),
        (("generate", "FILE", "--out", "a.wav", "--checkpoint", "last"), "--checkpoint"),
        (("bench",), "--model"),
        (("bench", "FILE", "--threads", "0"), "--threads"),
        (("bench", "FILE", "--precision", "int4"), "--precision"),
    ],
)
def test_bad_input_is_one_line(file: Path, wavewright: Command, arguments: tuple[object, ...], named: str) -> None:
    from conftest import refusal

    assert named in refusal(wavewright(*(file if a == "FILE" else a for a in arguments)))


@pytest.mark.slow
def test_the_bench_tells_of_torch_and_of_every_way(file: Path, wavewright: Command) -> None:
    import json

    made = wavewright("bench", file, "--streams", "1,3", "--threads", "1", "--seconds", 0.05, "--json")
    rows = json.loads(made.stdout)
    assert [(row["precision"], row["streams"]) for row in rows if row["engine"] != "torch"] == [
        (precision, streams) for precision in ("float32", "bfloat16", "int8") for streams in (1, 3)
    ]
    assert all(row["samples_per_second"] > 0 and 0 < row["of_limit"] < 5 for row in rows if row["engine"] != "torch")
    assert [row["times_torch"] for row in rows if row["engine"] == "torch"] == [1.0, 1.0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        wavewright.load(tmp_path / "none.safetensors")
