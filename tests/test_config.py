"""One configuration out of preset, YAML, overrides and flags; what contradicts itself is refused in one line."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavewright.errors import ConfigError
from wavewright.formats.config import RunConfig, TrainingConfig, differences, resolve
from wavewright.models import CONFIGS
from wavewright.training.schedule import Schedule


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in CONFIGS for preset in CONFIGS[name].presets])
def test_every_preset_is_valid_and_survives_json(name: str, preset: str) -> None:
    config = resolve(name, preset)
    assert RunConfig.from_dict(config.as_dict()) == config
    for key, value in CONFIGS[name].presets[preset]["model"].items():
        found = getattr(config.model, key)
        assert (list(found) if isinstance(found, tuple) else found) == value
    for key, value in CONFIGS[name].presets[preset]["training"].items():
        assert getattr(config.training, key) == value


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    """tiny has units 64, batch size 8, length 128, learning rate 3e-3, a checkpoint every 200 steps."""
    file = tmp_path / "run.yaml"
    file.write_text("model: {units: 20}\ntraining: {length: 99, batch_size: 5, seed: 1}\nencoding: linear\n")
    config = resolve(
        "naive-rnn", "tiny", file, ["training.length=77", "training.batch_size=6"], batch_size=7, seed=None
    )
    training = config.training
    assert config.model.units == 20  # YAML over preset
    assert config.encoding == "linear"
    assert training.length == 77  # --set over YAML
    assert training.batch_size == 7  # flag over --set
    assert training.seed == 1  # a flag that was not given changes nothing
    assert (training.learning_rate, training.checkpoint_every) == (3e-3, 200)  # the preset's
    assert resolve("naive-rnn", "tiny").model.units == 64  # which is as it was


def test_overrides_are_yaml() -> None:
    config = resolve(
        "sample-rnn",
        "tiny",
        None,
        ["model.frame_sizes=[16, 4]", "model.window=null", "model.learned_state=true", "training.learning_rate=1e-2"],
    )
    assert config.model.frame_sizes == (16, 4)
    assert config.model.window is None
    assert config.model.learned_state is True
    assert config.training.learning_rate == 0.01


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["model.unit=3"],
            r"model.unit: no such field of sample-rnn; did you mean units\? there are frame_sizes, window",
        ),
        (["training.epochs=3"], "training.epochs: no such field; there are batch_size"),
        (
            ["modle.units=3"],
            "modle: no such field; did you mean model\\? there are model, encoding, emphasis, training",
        ),
        (["model.units=many"], r"model.units: .*valid integer.* \(got 'many'\)"),
        (["model.units=2.5"], r"model.units: .*integer"),
        (["training.learning_rate=-1"], r"training.learning_rate: .*greater than 0"),
        (["training.learning_rate=.inf"], r"training.learning_rate: .*finite"),
        (["training.clip=hard"], r"training.clip: .*'none', 'value' or 'norm'"),
        (["training.length=0"], r"training.length: .*greater than or equal to 1"),
        (["training.ema=1"], r"training.ema: .*less than 1"),
        (["encoding=alaw"], r"encoding: .*'linear' or 'mu-law'"),
        (["emphasis=1"], r"emphasis: .*less than 1"),
        (["emphasis=-0.1"], r"emphasis: .*greater than or equal to 0"),
        (["emphasis=.nan"], r"emphasis: .*got nan"),
        (["emphasis=much"], r"emphasis: .*valid number"),
        (["model.frame_sizes=[8, 3]"], r"frame_sizes: 3 does not divide 8"),
        (["model.frame_sizes=8.5"], r"model.frame_sizes"),
        (["model.name=wavenet"], r"model.name: 'wavenet' contradicts --model sample-rnn"),
        (["model=3"], r"model=3: model holds fields; give them as model.FIELD"),
        (["units"], r"--set units: write FIELD=VALUE"),
        (["=3"], r"--set =3: write FIELD=VALUE"),
        (["model.units=[1"], r"--set model.units: '\[1' is not a value"),
        (["model.units.size=3"], r"model.units"),
        (["training.seed="], r"training.seed"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(overrides: list[str], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        resolve("sample-rnn", "tiny", None, overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"model: {units: 3", "run.yaml: not readable as YAML"),
        (b"\xff\xfe\x00", "run.yaml: not readable as YAML"),
        (b"just words", "run.yaml: holds no fields"),
        (b"", "run.yaml: holds no fields"),
        (b"model: 3", "run.yaml: model holds fields"),
        (b"model: {units: [1]}", "model.units"),
        (b"3: 4", "3: no such field"),
        (b"3: 4\nspeed: 3", "3: no such field"),
        (b"model: {3: 4}", "3"),
        (b"training: null", "run.yaml: training holds fields"),
        (None, "run.yaml: not readable as YAML .*No such file"),
    ],
)
def test_a_yaml_file_that_will_not_do(text: bytes | None, line: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(ConfigError, match=line) as caught:
        resolve("naive-rnn", "tiny", file)
    assert "\n" not in str(caught.value)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=f"model: no 'rnn'; there are {', '.join(CONFIGS)}"):
        resolve("rnn")
    with pytest.raises(ConfigError, match=r"preset: naive-rnn has no 'paper'; there are thesis, small, tiny"):
        resolve("naive-rnn", "paper")


trees = st.recursive(
    st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda children: st.dictionaries(st.sampled_from(["x", "y", "z"]), children, max_size=3),
    max_leaves=8,
)
settings_trees = st.dictionaries(st.sampled_from(["p", "q"]), trees, max_size=2)


@given(settings_trees, settings_trees)
def test_differences_are_found_where_there_are_any(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert differences(before, before) == []
    assert bool(differences(before, after)) == (before != after)


def test_a_difference_names_the_field() -> None:
    before = {"model": {"units": 3, "frame_sizes": [8, 2]}, "encoding": "linear"}
    after = {"model": {"units": 4, "frame_sizes": [8, 2]}, "encoding": "linear", "new": 1}
    assert differences(before, after) == ["model.units: 3 before, 4 now", "new: None before, 1 now"]


def test_a_difference_deep_in_a_list_names_its_place_in_a_short_line() -> None:
    before, after = ({"controls": [{"name": "a"}, {"classes": [f"{i}" for i in range(last)]}]} for last in (90, 91))
    (found,) = differences(before, after)
    assert found.startswith("controls.1.classes: ['0', '1', ")
    assert len(found) < 250


# Learning rates


def test_warm_up_then_cosine() -> None:
    """Half of the way down it is half of what is between the ends."""
    config = TrainingConfig(learning_rate=2.0, schedule="cosine", warmup_steps=10, schedule_steps=110, minimum_rate=0.1)
    schedule = Schedule(config)
    assert schedule.rate(0) == pytest.approx(0.2)
    assert schedule.rate(9) == pytest.approx(2.0)
    assert schedule.rate(10) == pytest.approx(2.0)
    assert schedule.rate(60) == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert schedule.rate(35) == pytest.approx(2 * (0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2))
    for step in (110, 111, 10_000):
        assert schedule.rate(step) == pytest.approx(0.2)
    assert all(schedule.rate(step + 1) <= schedule.rate(step) for step in range(10, 200))


def test_a_cosine_without_an_end_of_its_own_ends_with_the_budget() -> None:
    own, following = (
        Schedule(TrainingConfig(schedule="cosine", warmup_steps=10, schedule_steps=steps)) for steps in (110, None)
    )
    assert following.rate(60) == following.rate(10) == 1e-3  # while the end is unknown
    following.end = 110.0
    assert [following.rate(step) for step in range(200)] == [own.rate(step) for step in range(200)]
    own.end = 20.0
    assert own.rate(60) == following.rate(60)


def test_a_plateau_lowers_the_rate_to_its_minimum() -> None:
    schedule = Schedule(
        TrainingConfig(learning_rate=1.0, schedule="plateau", plateau_patience=2, plateau_factor=0.5, minimum_rate=0.2)
    )
    rates = []
    for improved in (True, False, True, False, False, False, False, True, False, False, False, False):
        schedule.validated(improved)
        rates.append(schedule.rate(5))
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_constant_is_constant_but_for_what_roll_backs_took() -> None:
    schedule = Schedule(TrainingConfig(learning_rate=0.5), scale=0.3)
    schedule.validated(False)
    assert [schedule.rate(step) for step in (0, 1, 10**6)] == [0.15] * 3


def test_models_are_built_from_what_was_resolved() -> None:
    config = resolve("wavenet", "tiny", None, ["model.channels=5"])
    assert config.model.build().config.channels == 5
