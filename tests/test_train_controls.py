"""Models are trained, validated, resumed and continued with the controls of a corpus, and learn to follow them."""

import json
import math
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.controlled import HOP, NOTES, VOICE, conditioned, make_controlled, with_controls
from support.kinds import TINY
from support.tiny import RATE, again, as_arguments, hashes, losses, records, start, tiny, wait_for_lines
from wavewright.conditioning.events import CAPACITY, Events, Kind, events
from wavewright.conditioning.excerpt import Excerpt
from wavewright.conditioning.frames import Frames
from wavewright.conditioning.roll import Roll
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError
from wavewright.formats.config import RunConfig
from wavewright.measuring.evaluation import evaluate
from wavewright.models.condition import Condition
from wavewright.playing import opening
from wavewright.playing.export import export
from wavewright.playing.stream import perform
from wavewright.training.loop import Budget
from wavewright.training.run import train
from wavewright.training.trainer import Trainer

pytestmark = pytest.mark.slow


def replace_keyboards(sounds: Corpus, table: Events) -> Corpus:
    """The corpus with this keyboard in every track."""
    folder = shutil.copytree(sounds.path, sounds.path.with_name(f"copy-{len(list(sounds.path.parent.iterdir()))}"))
    copy = Corpus.open(folder)
    return with_controls(copy, (NOTES,), {}, {track.name: table for track in copy.tracks})


CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_controlled(tmp_path_factory.mktemp("controlled"))


@pytest.fixture(scope="module")
def run(sounds: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 400 steps on both controls."""
    folder = tmp_path_factory.mktemp("conditioned") / "run"
    settings = conditioned(checkpoint_every=400, validation_seconds=9)
    train(settings, sounds, folder, Budget(steps=400), device="cpu")
    return folder


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_the_right_condition_scores_best(run: Path, sounds: Corpus, engine: Any) -> None:
    model = opening.open_model(run, engine=engine)
    result = evaluate(model, sounds, "valid", continuations=0)
    assert result.conditioned is not None
    assert result.conditioned.other is not None
    assert result.conditioned.own == result.bits_per_sample
    assert result.conditioned.own < result.conditioned.other - 0.1
    assert result.conditioned.own < result.conditioned.none - 0.05


@pytest.mark.parametrize("strings", [False, True])
def test_the_engine_and_torch_score_alike(strings: bool, run: Path, sounds: Corpus, tmp_path: Path) -> None:
    if strings:
        keys = {"rate": sounds.rate, "low": NOTES.low, "high": NOTES.high}
        condition = {"controls": (VOICE, NOTES), "hop": HOP, "width": 8}
        fields = {"condition": condition, "prediction": {"order": 40, "window": 300.0, "hop": 20, "strings": keys}}
        run = tmp_path / "run"
        train(tiny("naive-rnn", fields), sounds, run, Budget(steps=2), device="cpu")
    model = opening.open_run(run, "last")
    assert model.config.condition is not None
    samples, sections = sounds.samples("train"), sounds.sections("train")
    leads = sounds.leads("train", sections, 0.07)
    for conditions in (Conditions(sounds, "train", model.config.condition), None):
        expected = model.score(samples, sections, leads=leads, conditions=conditions)
        found = opening.to_native(model).score(samples, sections, leads=leads, conditions=conditions)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_command_shows_all_three_scores(run: Path, sounds: Corpus, corpus: Corpus, tmp_path: Path) -> None:
    shown = start(tmp_path / "log", "evaluate", run, sounds.path, "--split", "valid", "--generate", 0)
    assert shown.wait() == 0, shown.output
    for named in ("condition given", "its own", "another section's", "none"):
        assert named in shown.output
    written = start(
        tmp_path / "json",
        "evaluate",
        run,
        sounds.path,
        "--split",
        "valid",
        "--generate",
        0,
        "--continuations",
        0,
        "--json",
    )
    assert written.wait() == 0, written.output
    found = json.loads(written.output[written.output.index("{") : written.output.rindex("}") + 1])["conditioned"]
    assert found["own"] < found["other"] < found["none"] + 0.1
    for bits in found.values():
        assert f"{bits:.4f}" in shown.output
    without = evaluate(opening.open_model(run), corpus, "valid", continuations=0)  # it has no controls
    assert without.conditioned is None
    assert without.bits_per_sample > 0


@pytest.mark.parametrize("control", [VOICE, NOTES], ids=["voice", "notes"])
def test_each_control_alone_is_learned(control: Any, tmp_path: Path) -> None:
    settings = conditioned(controls=(control,), checkpoint_every=300, lead_seconds=0.0)
    sounds = make_controlled(tmp_path, (control,))
    train(settings, sounds, tmp_path / "run", Budget(steps=300), device="cpu")
    result = evaluate(opening.open_model(tmp_path / "run"), sounds, "valid", continuations=0).conditioned
    assert result is not None
    assert result.other is not None
    assert result.own < result.other - 0.04


def test_the_score_is_that_of_validation(run: Path, sounds: Corpus) -> None:
    """Through leads, windows that end inside a frame, and sections of several lengths."""
    model = opening.open_run(run)
    said = [record["bits"] for record in records(run) if record.get("event") == "validation"]
    sections, condition = sounds.sections("valid"), model.config.condition
    assert condition is not None
    nats = 0.0
    conditions = Conditions(sounds, "valid", condition)
    for begin, stop in sections.tolist():
        lead = min(200, begin % 2000)  # a track has 2000 samples
        codes = model.quantizer.encode_int16(sounds.samples("valid")[begin - lead : stop])
        frames = torch.from_numpy(conditions.frames(begin - lead, 0, stop - begin + lead))[None]
        inputs = np.concatenate(([32], codes[:-1]))
        with torch.no_grad():
            logits, _ = model.model(torch.from_numpy(inputs)[None], None, frames)
        nats -= float(torch.log_softmax(logits[0].double(), 1)[torch.arange(len(codes)), codes][lead:].sum())
    assert said[-1] == pytest.approx(nats / (sections[:, 1] - sections[:, 0]).sum() / math.log(2), rel=1e-5)


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_continuations_play_the_sections_own_condition(run: Path, sounds: Corpus, engine: Any) -> None:
    """Against a player that is given every feature of the frames as it is."""
    model = opening.open_model(run, engine="native")
    found = evaluate(opening.open_model(run, engine=engine), sounds, "test", continuations=1, seconds=0.05)
    assert found.continuations is not None
    condition = model.config.condition
    assert condition is not None
    player = replace(model, config=model.config.with_condition(condition.given)).player()
    sound = sounds.samples("test")[:450]
    frames = Conditions(sounds, "test", condition).frames(0, 0, 450)
    player.prime(model.quantizer.encode_int16(sound[:250]), frames[:21])
    made = model.quantizer.decode(player.generate(200, dense=frames[21:])[0])
    expected = np.mean(np.abs(made - sound[250:] / np.float32(32767)))
    assert found.continuations.mean_absolute_difference == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("pedal", [0, 100])
def test_an_excerpt_begins_with_the_keys_that_sound(pedal: int, sounds: Corpus) -> None:
    """A player of it has the section's own frames, but for the age of those keys."""
    table = events(
        (10, Kind.strike, 60, 90),
        (20, Kind.strike, 61, 50),
        (30, Kind.pedal, 0, pedal),
        (100, Kind.release, 61, 0),
        (519, Kind.release, 60, 0),
        (530, Kind.pedal, 0, 0),
        (599, Kind.strike, 62, 80),
    )
    corpus = replace_keyboards(sounds, table)
    condition = Condition((NOTES,), HOP)
    conditions = Conditions(corpus, "valid", condition)
    played = conditions.excerpt(500, 1600)
    frames = Frames(condition, 1, RATE)
    frames.feed(0, played.keyboard)
    frames.give(played.values, 1600)
    found, expected = frames.next(1600)[0], conditions.frames(500, 0, 1500)
    ages = [i for i in range(NOTES.size - 2) if i % 4 > 1 and i < 8]  # traces of the first two keys
    assert np.array_equal(np.delete(found[: len(expected)], ages, 1), np.delete(expected, ages, 1))
    assert (found[len(expected) :] == condition.absent(1)).all()  # behind the track's end
    assert found[0, [0, 4]].tolist() == [1.0, float(pedal > 0)]
    assert not (found[:, 6:8].any() and pedal == 0)  # a key released long ago is not struck anew


def test_an_excerpt_is_played_a_block_at_a_time(run: Path, sounds: Corpus) -> None:
    """With more events than can wait, and primes and blocks that end inside frames."""
    model = opening.open_model(run)
    condition = model.config.condition
    assert condition is not None
    rng = np.random.default_rng(0)
    rows = [(int(sample), Kind(int(rng.integers(2))), 61, 90) for sample in rng.integers(0, 9000, CAPACITY * 2 + 100)]
    absent = condition.absent(750)
    dense = np.delete(absent, slice(2, 2 + NOTES.size), 1)
    dense[:, -1] = 0  # the keyboard is there
    excerpts = [Excerpt(HOP, events(*rows), dense), Excerpt(HOP, events(), dense)]
    frames = np.tile(absent, (2, 1, 1))
    frames[:, :, -1] = 0
    frames[0, :, 2 : 2 + NOTES.size] = Roll(NOTES, HOP, RATE).frames(events(*rows), 750)
    given = replace(model, config=model.config.with_condition(condition.given)).player(2)
    prime = rng.integers(0, 64, (2, 4444))
    found = np.concatenate(list(perform(model.player(2), excerpts, 4500, prime)), 1)
    begun = condition.frames(4444)
    given.prime(prime, frames[:, :begun])
    expected = given.generate(4500, dense=frames[:, begun : condition.frames(8944)])
    assert np.array_equal(found, expected)


# Training


@pytest.mark.parametrize("model", TINY)
def test_a_stop_in_mid_section_changes_no_bit(model: str, sounds: Corpus, tmp_path: Path) -> None:
    """Windows of 50 samples end inside frames of 12, and the checkpoint of step 13 lies inside a section."""
    settings = conditioned(model, length=50, lead_seconds=0.04, checkpoint_every=20, ema=0.9, condition_dropout=0.3)
    again(sounds, tmp_path / "whole", 43, settings)
    for steps in (5, 13, 26, 43):
        again(sounds, tmp_path / "parts", steps, settings)
    assert hashes(tmp_path / "parts", 43) == hashes(tmp_path / "whole", 43)
    saved = opening.open_run(tmp_path / "whole", "last")
    assert all(weight.any() for name, weight in saved.model.state_dict().items() if name.endswith("condition.weight"))
    changed = replace(settings, training=replace(settings.training, condition_dropout=0.0))
    again(sounds, tmp_path / "other", 43, changed)
    assert losses(tmp_path / "other") != losses(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("model", TINY)
def test_killed_in_mid_section(model: str, sounds: Corpus, tmp_path: Path) -> None:
    settings = conditioned(model, length=50, lead_seconds=0.04, checkpoint_every=5)
    command = ["train", sounds.path, *as_arguments(settings), "--steps", 63]
    whole = start(tmp_path / "log", *command, "--out", tmp_path / "whole")
    assert whole.wait() == 0, whole.output
    for i, lines in enumerate((9, 14, 22)):
        parts = start(tmp_path / f"log-{i}", *command, "--out", tmp_path / "parts", "--resume")
        wait_for_lines(parts, tmp_path / "parts", lines)
        parts.send(signal.SIGKILL)
        assert parts.wait() == -signal.SIGKILL, parts.output
    parts = start(tmp_path / "log", *command, "--out", tmp_path / "parts", "--resume")
    assert parts.wait() == 0, parts.output
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    assert hashes(tmp_path / "parts", 63) == hashes(tmp_path / "whole", 63)


def test_a_lead_is_heard_but_not_learned(sounds: Corpus) -> None:
    """A lead of several windows makes no steps of its own."""
    trainer = Trainer(conditioned(length=50, lead_seconds=0.1, batch_size=64), sounds, CPU)
    whole = sum(int(stop - begin) for begin, stop in sounds.sections("train"))
    steps = 0
    while trainer.batches.position.epoch < 1:
        record = trainer.train_step()
        assert record.loss is not None
        steps += 1
    assert trainer.samples == whole
    assert trainer.step == steps


def test_a_bad_step_keeps_the_clock_of_control_frames(sounds: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch after it begins inside a frame."""
    trainer = Trainer(conditioned(length=50, lead_seconds=0), sounds, CPU)
    output = type(trainer.config.model.output)
    for bad in (0, 3, 4):  # from the first step on, too
        while trainer.step < bad:
            trainer.train_step()
        with monkeypatch.context() as context:
            context.setattr(output, "loss", lambda *_: (math.nan * next(trainer.model.parameters())).sum())
            assert trainer.train_step().verdict == "skip"
    assert trainer.train_step().loss is not None
    assert int(trainer.lane_state.phase) == trainer.batches.position.offset % HOP


def test_a_listening_sample_plays_the_first_validation_section(run: Path, sounds: Corpus, tmp_path: Path) -> None:
    """It is the take of a player that is given that section's own frames, for longer than the track lasts."""
    import soundfile

    settings = conditioned(sample_seconds=0.6, checkpoint_every=50)
    train(settings, sounds, tmp_path / "run", Budget(steps=30), device="cpu")
    sound, _ = soundfile.read(tmp_path / "run/samples/step-00000030.wav", dtype="float32")
    model = opening.to_native(opening.open_run(tmp_path / "run", "last"))
    assert model.config.condition is not None
    frames = model.config.condition.absent(200)
    frames[:167] = Conditions(sounds, "valid", model.config.condition).frames(0, 0, 2000)
    given = replace(model, config=model.config.with_condition(model.config.condition.given))
    for dense, same in ((frames, True), (model.config.condition.absent(200), False)):
        made = model.quantizer.decode(given.player().generate(2400, dense=dense)[0])
        assert np.allclose(made, sound, atol=1e-3) == same


# Beginning from a trained model


@pytest.fixture(scope="module")
def plain(sounds: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each model without a condition."""
    folder = tmp_path_factory.mktemp("plain")
    for model in TINY:
        train(tiny(model), sounds, folder / model, Budget(steps=14), device="cpu")
    return {model: folder / model for model in TINY}


def bits_at_first(settings: RunConfig, corpus: Corpus, run: Path, **options: Any) -> float:
    """The validation at the end of a run of one step, at a learning rate of nearly nothing."""
    slow = replace(settings, training=replace(settings.training, learning_rate=1e-12))
    train(slow, corpus, run, Budget(steps=1), device="cpu", **options)
    return [record["bits"] for record in records(run) if record.get("event") == "validation"][-1]


@pytest.mark.parametrize("model", TINY)
def test_an_added_condition_changes_nothing_at_first(
    model: str, plain: dict[str, Path], sounds: Corpus, tmp_path: Path
) -> None:
    export(opening.open_run(plain[model]), tmp_path / "model.safetensors")
    expected = bits_at_first(tiny(model), sounds, tmp_path / "same", start=plain[model])
    best = [record["bits"] for record in records(plain[model]) if record.get("event") == "validation"]
    assert expected == pytest.approx(min(best), rel=1e-6)
    settings = conditioned(model, lead_seconds=0.0, ema=0.9)
    for i, trained in enumerate((plain[model], tmp_path / "model.safetensors")):
        assert bits_at_first(settings, sounds, tmp_path / f"{i}", start=trained) == pytest.approx(expected, rel=1e-6)
    assert bits_at_first(settings, sounds, tmp_path / "fresh") > expected + 0.1


def test_classes_are_trained_on_equally_often(sounds: Corpus, corpus: Corpus, tmp_path: Path) -> None:
    """Also through a stop. A corpus without the category is refused before anything is written."""
    tracks = sounds.tracks_of("train")
    found = sounds.classes("train", "voice")
    places = np.searchsorted([track.start for track in tracks], sounds.sections("train")[:, 0], "right") - 1
    assert [VOICE.classes[number] for number in found] == [tracks[place].labels["voice"] for place in places]
    settings = tiny("naive-rnn", balance="voice")
    train(settings, sounds, tmp_path / "whole", Budget(steps=20), device="cpu")
    for steps in (9, 20):
        train(settings, sounds, tmp_path / "run", Budget(steps=steps), resume=True, device="cpu")
    assert hashes(tmp_path / "run", 20) == hashes(tmp_path / "whole", 20)
    train(tiny("naive-rnn"), sounds, tmp_path / "other", Budget(steps=20), device="cpu")
    assert hashes(tmp_path / "other", 20) != hashes(tmp_path / "whole", 20)
    for where, name, line in (
        (corpus, "voice", "no category 'voice'; it has none; prepare it with --labels"),
        (sounds, "voices", "no category 'voices'; did you mean voice?"),
        (sounds, "notes", "no category 'notes'; there is voice"),
    ):
        with pytest.raises(ConfigError, match=re.escape(line)):
            train(tiny("naive-rnn", balance=name), where, tmp_path / "refused", Budget(steps=1), device="cpu")
        assert not (tmp_path / "refused" / "config.json").exists()


def test_what_differs_from_the_model_begun_from_is_refused(
    run: Path, plain: dict[str, Path], sounds: Corpus, corpus: Corpus, tmp_path: Path
) -> None:
    def refused(settings: RunConfig, trained: Path) -> str:
        with pytest.raises(ConfigError) as found:
            train(settings, sounds, tmp_path / "run", Budget(steps=1), start=trained, device="cpu")
        assert not (tmp_path / "run" / "config.json").exists()
        assert "\n" not in str(found.value)
        return str(found.value)

    wider = tiny("naive-rnn", {"units": 13})
    assert "model.units: 12 before, 13 now" in refused(wider, plain["naive-rnn"])
    assert "model.name: wavenet before, naive-rnn now" in refused(tiny("naive-rnn"), plain["wavenet"])
    assert "encoding: mu-law before, linear now" in refused(
        replace(tiny("naive-rnn"), encoding="linear"), plain["naive-rnn"]
    )
    for other in (tiny("naive-rnn"), conditioned(controls=(VOICE,)), conditioned(controls=(NOTES, VOICE))):
        assert "made with controls (voice, notes; hop 12, width 8)" in refused(other, run)
    bits_at_first(conditioned(), sounds, tmp_path / "run", start=run)  # the same controls


def test_a_resumed_run_does_not_begin_anew(plain: dict[str, Path], sounds: Corpus, tmp_path: Path) -> None:
    settings, trained = conditioned(ema=0.9), plain["naive-rnn"]
    again(sounds, tmp_path / "whole", 9, settings, start=trained)
    again(sounds, tmp_path / "parts", 5, settings, start=trained)
    again(sounds, tmp_path / "parts", 9, settings, start=tmp_path / "gone")
    assert hashes(tmp_path / "parts", 9) == hashes(tmp_path / "whole", 9)
    begun = json.loads((tmp_path / "whole/config.json").read_text(encoding="utf-8"))
    assert begun["from"] == {"path": str(trained), "step": 14}
