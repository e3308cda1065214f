"""`wavewright train` with the controls of a corpus: chosen by name, kept at a resume, and refused where they differ."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.controlled import VOICE, conditioned, make_controlled
from support.tiny import again, hashes, start
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_controlled(tmp_path_factory.mktemp("controlled"))


FIELDS = ["--model", "naive-rnn", "--device", "cpu", "--preset", "tiny", "--set", "training.sample_seconds=0"]
FIELDS += ["--set", "model.condition.hop=8", "--set", "model.q_levels=64"]


def begun(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))["model"]
    return found


def test_controls_are_chosen_by_name_and_kept_at_a_resume(sounds: Corpus, corpus: Corpus, tmp_path: Path) -> None:
    def command(run: str, steps: int, *more: object, of: Corpus = sounds) -> Any:
        return start(tmp_path / "log", "train", of.path, *FIELDS, "--out", tmp_path / run, "--steps", steps, *more)

    for run, options, names in (
        ("all", (), ["voice", "notes"]),
        ("voice", ("--condition", "voice"), ["voice"]),
        ("both", ("--condition", "notes,voice"), ["voice", "notes"]),
        ("none", ("--condition", "none"), None),
    ):
        asked = command(run, 1, *options)
        assert asked.wait() == 0, asked.output
        condition = begun(tmp_path / run).get("condition")
        assert (condition and [control["name"] for control in condition["controls"]]) == names
        assert condition is None or (condition["hop"], condition["width"]) == (8, 64)
    for run in ("voice", "none"):
        resumed = command(run, 2, "--resume")
        assert resumed.wait() == 0, resumed.output
        assert (tmp_path / run / "checkpoints/step-00000002").exists()
    refusal = command("voice", 3, "--resume", "--condition", "all").refusal()
    assert "model.condition.controls" in refusal
    refusal = command("new", 1, "--condition", "voice,pitch").refusal()
    assert f"--condition pitch: {sounds.path} has no such control; it has voice, notes" in refusal
    refusal = command("voice", 3, "--resume", of=corpus).refusal()
    assert "--condition voice" in refusal
    assert "it has none" in refusal
    assert not (tmp_path / "new/config.json").exists()


def test_a_corpus_of_other_controls_is_refused_at_a_resume(sounds: Corpus, tmp_path: Path) -> None:
    settings = conditioned(controls=(VOICE,))
    again(sounds, tmp_path / "run", 1, settings)
    more = replace(VOICE, classes=("low", "high", "middle"))
    with pytest.raises(ConfigError, match=r"model\.condition\.controls\.0\.classes: \['low', 'high'\] before") as found:
        again(sounds, tmp_path / "run", 2, conditioned(controls=(more,)))
    assert "\n" not in str(found.value)


def test_a_mistake_in_a_field_is_found_before_recordings_are_prepared(tmp_path: Path, album: Path) -> None:
    refused = start(tmp_path / "log", "train", album, *FIELDS, "--out", tmp_path / "run", "--set", "model.unitz=3")
    assert "model.unitz: no such field" in refused.refusal()
    assert not (tmp_path / "run/corpus").exists()


def test_a_run_without_the_newer_fields_goes_on_to_the_same_bits(corpus: Corpus, tmp_path: Path) -> None:
    """As runs of earlier versions, which had no controls."""
    again(corpus, tmp_path / "whole", 12)
    again(corpus, tmp_path / "parts", 9)
    path = tmp_path / "parts/config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for field in ("lead_seconds", "condition_dropout"):
        del values["training"][field]
    path.write_text(json.dumps(values), encoding="utf-8")
    again(corpus, tmp_path / "parts", 12)
    assert hashes(tmp_path / "parts", 12) == hashes(tmp_path / "whole", 12)
