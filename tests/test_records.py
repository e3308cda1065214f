"""What a run records on its way: metrics, the time, TensorBoard events and listening samples."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from support.tiny import SETTINGS, again, checkpoints, contents, losses, records, tiny
from wavewright.corpus.corpus import Corpus
from wavewright.formats import checkpoint
from wavewright.formats.config import TrainingConfig
from wavewright.metrics import zero_order_entropy
from wavewright.playing import opening
from wavewright.playing.torch_player import TorchPlayer
from wavewright.training import loop
from wavewright.training import records as written
from wavewright.training.loop import Budget
from wavewright.training.records import Records
from wavewright.training.run import train
from wavewright.training.spectrogram import spectrogram
from wavewright.training.trainer import Trainer

pytestmark = pytest.mark.slow


def test_tensorboard_has_scalars_sounds_and_their_pictures(original: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(original))
    events.Reload()
    tags = events.Tags()
    assert {"train/bits_per_sample", "train/learning_rate", "validation/bits_per_sample"} <= set(tags["scalars"])
    assert tags["audio"] == ["generated/sample"]
    (point,) = [point for point in events.Scalars("train/bits_per_sample") if point.step == 10]
    assert point.value == pytest.approx(losses(original)[9] / torch.tensor(2.0).log().item(), rel=1e-5)
    assert [image.step for image in events.Images("generated/spectrogram")] == [7, 14, 16]
    assert events.Images("generated/spectrogram")[0].height == 257


def test_tensorboard_has_one_chart_of_bits_and_the_configuration(original: Path, corpus: Corpus) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    events = EventAccumulator(str(original))
    events.Reload()
    layout = Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    (chart,) = layout.category[0].chart
    tags = list(chart.multiline.tag)
    assert tags == ["train/bits_per_sample", "validation/bits_per_sample", "zero_order/bits_per_sample"]
    assert set(tags) <= set(events.Tags()["scalars"])
    entropy = zero_order_entropy(corpus.samples("train"), SETTINGS.quantizer)
    assert events.Scalars(tags[2])[0].value == pytest.approx(entropy)
    text = events.Tensors("configuration/text_summary")[0].tensor_proto.string_val[0].decode()
    assert yaml.safe_load(text) == json.loads(json.dumps(SETTINGS.as_dict()))


def test_a_resume_keeps_the_checkpoints_own_points_in_tensorboard(run: Path, corpus: Corpus) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shutil.rmtree(checkpoint.path(run, 16))
    again(corpus, run, 22)
    events = EventAccumulator(str(run))
    events.Reload()
    assert [point.step for point in events.Scalars("validation/bits_per_sample")] == [7, 14, 21, 22]


def test_a_spectrogram_shows_a_tone_at_its_pitch() -> None:
    """A tone at an eighth of the rate is a quarter of the way up, and nothing else is bright."""
    picture = spectrogram(np.sin(2 * np.pi * np.arange(20_000) / 8)).astype(int).sum(2)
    assert picture.shape == (257, 77)
    assert set(picture.argmax(0)) == {192}
    assert picture[:150].max() < 20
    assert spectrogram(np.zeros(3)).shape == (257, 1, 3)
    assert spectrogram(np.zeros(10_000_000)).shape[1] <= 1000


@pytest.mark.parametrize("left", [0, 200, 1001, None], ids=["empty", "short", "in a line", "missing"])
def test_missing_metrics_are_told_and_not_made_up(
    left: int | None, run: Path, corpus: Corpus, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = run / "metrics.jsonl"
    metrics.unlink() if left is None else os.truncate(metrics, left)
    again(corpus, run)
    assert b"\0" not in metrics.read_bytes()
    steps = [record["step"] for record in records(run) if "loss" in record]
    assert steps == [*range(1, len(steps) - 3), 17, 18, 19, 20]
    assert any("metrics.jsonl" in line and "are missing" in line for line in caplog.messages)
    again(corpus, run, 25)  # it counts on what there is
    assert [record["step"] for record in records(run) if "loss" in record] == [*steps, *range(21, 26)]


def test_metrics_are_on_disk_before_the_checkpoint_that_counts_on_them(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[int | str] = []
    fsync, save = os.fsync, checkpoint.save

    def flushed(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("metrics.jsonl"):
            order.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    def saved(run: Path, made: checkpoint.Checkpoint) -> None:
        assert made.facts.metrics_bytes <= order[-1]
        order.append("saved")
        save(run, made)

    monkeypatch.setattr(written.os, "fsync", flushed)
    monkeypatch.setattr(checkpoint, "save", saved)
    train(SETTINGS, corpus, tmp_path / "run", Budget(steps=9), device="cpu")
    assert order.count("saved") == 3


def test_a_kill_before_old_checkpoints_are_removed_leaves_none(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune, steps = checkpoint.prune, 21

    def killed(run: Path, keep: set[int]) -> None:
        if steps in keep:
            raise SystemExit
        prune(run, keep)

    for run in ("whole", "killed"):
        with suppress(SystemExit):
            again(corpus, tmp_path / run, steps)
        monkeypatch.setattr(checkpoint, "prune", killed)
    left = checkpoints(tmp_path / "killed")
    monkeypatch.setattr(checkpoint, "prune", prune)
    again(corpus, tmp_path / "killed", steps)
    assert checkpoints(tmp_path / "killed") == checkpoints(tmp_path / "whole") != left


@pytest.mark.parametrize("steps", [16, 14, 3])
def test_resuming_a_finished_run_changes_nothing(steps: int, run: Path, corpus: Corpus) -> None:
    before = contents(run)
    again(corpus, run, steps)
    assert contents(run) == before


# Time, validations and listening samples


def test_a_checkpoint_counts_the_time_of_its_validation_and_its_sample(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def taking(seconds: float, ordinary: Any) -> Any:
        def call(*arguments: Any) -> Any:
            clock[0] += seconds
            return ordinary(*arguments)

        return call

    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(Trainer, "train_step", taking(1, Trainer.train_step))
    monkeypatch.setattr(Trainer, "validate", taking(100, Trainer.validate))
    monkeypatch.setattr(Records, "sample", taking(1000, Records.sample))
    run = tmp_path / "run"
    train(SETTINGS, corpus, run, Budget(steps=9), device="cpu")
    assert checkpoint.read_facts(checkpoint.path(run, 7)).seconds == 1107
    assert checkpoint.read_facts(checkpoint.path(run, 9)).seconds == 2209
    summary = train(SETTINGS, corpus, run, Budget(minutes=2210 / 60), resume=True, device="cpu")
    assert summary.step == 10
    assert [r["time"]["seconds"] for r in map(json.loads, (run / "metrics.jsonl").open()) if "time" in r][-1] == 2210


def test_progress_goes_on_through_validations_and_samples(corpus: Corpus, tmp_path: Path) -> None:
    texts: list[str] = []

    @contextmanager
    def progress(text: str, total: float | None) -> Iterator[Any]:
        yield lambda amount=1, text=None: texts.append(text)

    settings = tiny("naive-rnn", sample_seconds=2.0)
    train(settings, corpus, tmp_path / "run", Budget(steps=9), device="cpu", progress=progress)
    for what in ("validating", "listening"):
        shares = [text.split(what)[1].strip() for text in texts if text.startswith("step 7,") and what in text]
        assert shares[0] == "0%"
        assert shares[-1] == "100%"
        assert len(shares) >= 2


@pytest.mark.parametrize("fields", [{}, {"weight_norm": True}], ids=["plain", "weight norm"])
def test_listening_samples_are_the_engines(
    fields: dict[str, Any], corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny("sample-rnn", fields, sample_seconds=0.2)
    with monkeypatch.context() as patch:
        patch.setattr(TorchPlayer, "generate", None)
        train(settings, corpus, tmp_path / "run", Budget(steps=9), device="cpu")
    for step in (7, 9):
        found, rate = soundfile.read(tmp_path / f"run/samples/step-{step:08d}.wav", dtype="int16")
        model = opening.open_model(tmp_path / "run", str(step))
        expected = model.quantizer.decode(model.player().generate(800)[0])
        assert (rate, len(found)) == (4000, 800)
        assert np.abs(found / 32768 - expected).max() < 2e-4


def test_without_the_engine_torch_makes_the_samples_and_says_so_once(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (loop, opening):
        monkeypatch.setattr(module, "available", lambda: False)
    train(SETTINGS, corpus, tmp_path / "run", Budget(steps=16), device="cpu")
    assert len(list((tmp_path / "run/samples").iterdir())) == 3
    assert caplog.messages.count(opening.SLOW) == 1


def test_samples_are_long_enough_to_judge_and_may_change_at_a_resume(run: Path, corpus: Corpus) -> None:
    assert TrainingConfig().sample_seconds >= 5
    again(corpus, run, settings=tiny("naive-rnn", sample_seconds=0.25))
    assert soundfile.info(run / "samples/step-00000020.wav").frames == 1000
