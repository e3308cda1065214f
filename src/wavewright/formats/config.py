"""Build the validated configuration of a run from a preset, then a YAML file, then single overrides.

{"model": {"name": "sample-rnn", "units": 512, ...}, "encoding": "mu-law", "emphasis": 0.0, "training": {...}}
"""

import dataclasses
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from wavewright.corpus.batches import LEAD_SECONDS
from wavewright.errors import ConfigError, explain, unknown
from wavewright.models import CONFIGS, configure
from wavewright.models.condition import Control, Notes
from wavewright.models.config import ModelConfig
from wavewright.quantize import Encoding, Quantizer
from wavewright.sampling import SEED_MAX

STEPS_MAX = 10**9
BRIEF = 80  # characters of a value in a message
FIELDS = ("model", "encoding", "emphasis", "training")
MOST_LOGITS = 2**31  # of a step: 8.6 GB in float32, 36 times the largest preset's


Emphasis = Annotated[float, Field(ge=0, lt=1)]


@validated(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class TrainingConfig:
    """How a model is trained.

    Attributes:
        batch_size: lanes, that is sections side by side, over all processes.
        length: samples of a lane in one step, through which gradients flow (truncated BPTT).
        learning_rate: Adam's learning rate, 1e-3 in the thesis.
        beta1, beta2, epsilon: Adam's constants. The thesis has TensorFlow's defaults.
        schedule: `constant`, `cosine` (down to minimum_rate, along half a cosine), or `plateau` (times plateau_factor
            after plateau_patience validations without a better one).
        warmup_steps: steps over which the rate first rises from 0, for any schedule.
        schedule_steps: steps until the cosine ends. None means that it ends with the run's budget.
        minimum_rate: least rate of any schedule, as a share of learning_rate.
        clip: limit gradients by `value` (each element, as the thesis's SampleRNN), by `norm` (all together) or `none`.
        clip_limit: limit for `clip`.
        ema: decay of a running average of the weights, 0 for none. The average is validated and played.
        checkpoint_every: steps between checkpoints, each with a validation and a listening sample.
        validation_seconds: seconds of audio that a validation reads, spread over the validation split.
        sample_seconds: length of a listening sample in seconds.
        precision: `fp32`, or `bf16` for matrix products (autocast) with fp32 weights, where the processor has it.
        seed: seed of the weights, the order of sections, the controls left out and the listening samples.
        condition_dropout: probability that a section is trained with all controls absent, and of each single control
            that it is absent. It counts only for a model with a condition, as does the next.
        lead_seconds: seconds that a section is heard before its start, without training on them. A lead never reaches
            into another recording.
        noise: greatest number of codes by which a sample may be heard wrongly while training, 0 for none. Half of the
            sections are heard as they are. With model.split, it counts 256ths of all codes.
        balance: name of a category of the corpus whose classes are trained on equally often. None means that an epoch
            reads every section once.
    """

    batch_size: int = Field(default=16, ge=1, le=65536)
    length: int = Field(default=512, ge=1, le=2**20)
    learning_rate: float = Field(default=1e-3, gt=0, le=1e6)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0, le=1)
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    warmup_steps: int = Field(default=0, ge=0, le=STEPS_MAX)
    schedule_steps: int | None = Field(default=None, ge=1, le=STEPS_MAX)
    minimum_rate: float = Field(default=0.05, ge=0, le=1)
    plateau_patience: int = Field(default=5, ge=1, le=STEPS_MAX)
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    clip: Literal["none", "value", "norm"] = "norm"
    clip_limit: float = Field(default=1.0, gt=0, le=1e12)
    ema: float = Field(default=0.0, ge=0, lt=1)
    checkpoint_every: int = Field(default=1000, ge=1, le=STEPS_MAX)
    validation_seconds: float = Field(default=20.0, gt=0, le=1e6)
    sample_seconds: float = Field(default=5.0, ge=0, le=3600)
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = Field(default=0, ge=0, le=SEED_MAX)
    condition_dropout: float = Field(default=0.1, ge=0, le=1)
    lead_seconds: float = Field(default=LEAD_SECONDS, ge=0, le=60)
    noise: int = Field(default=0, ge=0, le=256)
    balance: str | None = Field(default=None, min_length=1, max_length=64)


@dataclass(frozen=True)
class RunConfig:
    """All choices that decide a run, except its corpus and its length. For encoding and emphasis, see Quantizer."""

    model: ModelConfig
    encoding: Encoding
    training: TrainingConfig
    emphasis: float = 0.0

    def __post_init__(self) -> None:
        if self.training.batch_size * self.training.length * self.model.output.classes > MOST_LOGITS:
            raise ConfigError(
                f"training: batch_size times length times model.q_levels is more than {MOST_LOGITS:,}; make one smaller"
            )
        prediction = self.model.prediction
        if prediction is not None and prediction.encoding != self.encoding:
            raise ConfigError(
                f"model.prediction.encoding: {prediction.encoding}, but encoding is {self.encoding}; leave it out"
            )

    @property
    def quantizer(self) -> Quantizer:
        """The quantiser between amplitudes and the model's codes."""
        return Quantizer(self.model.q_levels, self.encoding, self.emphasis)

    @property
    def noise(self) -> int:
        """Greatest number of codes by which an input may be off. Of split codes, it counts 256ths of all."""
        return self.training.noise * (max(1, self.model.q_levels // 256) if self.model.split else 1)

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON values, which `from_dict` takes back."""
        return {
            "model": self.model.as_dict(),
            "encoding": self.encoding,
            "emphasis": self.emphasis,
            "training": dataclasses.asdict(self.training),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunConfig":
        """Return the validated configuration of JSON values.

        Raises:
            ConfigError: a field that is unknown or out of range, or fields that contradict one another.
        """
        _known(values, FIELDS, "")
        fields = values.get("model") or {}
        if not isinstance(fields, dict):
            raise ConfigError("model: holds no fields; give a name and fields")
        fields = dict(fields)
        if "name" not in fields:
            raise ConfigError(f"model: has no name; there are {', '.join(CONFIGS)}")
        training = values.get("training") or {}
        _known(training, [field.name for field in dataclasses.fields(TrainingConfig)], "training.")
        return cls(
            model=configure(str(fields.pop("name")), **fields),
            encoding=_validate(Encoding, values.get("encoding", "mu-law"), "encoding"),
            training=_validate(TrainingConfig, training, "training"),
            emphasis=_validate(Emphasis, values.get("emphasis", 0.0), "emphasis"),
        )


def resolve(
    model: str,
    preset: str = "small",
    file: Path | None = None,
    overrides: list[str] | None = None,
    controls: tuple[Control, ...] = (),
    *,
    rate: int | None = None,
    **flags: Any,
) -> RunConfig:
    """Return the configuration that a command line asks for.

    Args:
        model: a model's name.
        preset: a preset's name (models/presets.py).
        file: a YAML file of fields that replace the preset's.
        overrides: single fields, such as `model.units=256`, with values in YAML.
        controls: what the model is conditioned on. Without any, fields such as `model.condition.hop` do not count.
        rate: samples in a second. With it and a keyboard among the controls, a linear predictor has strings.
        flags: training fields that have a flag of their own. None means not given.

    Raises:
        ConfigError: the first mistake in the configuration.
    """
    if model not in CONFIGS:
        raise ConfigError(f"model: no {model!r}; {unknown(model, CONFIGS)}")
    presets = CONFIGS[model].presets
    if preset not in presets:
        raise ConfigError(f"preset: {model} has no {preset!r}; {unknown(preset, presets)}")
    values: dict[str, Any] = {"model": {"name": model}}
    _merge(values, presets[preset], "preset")
    if file is not None:
        _merge(values, _read_yaml(file), str(file))
    for override in overrides or []:
        _merge(values, _parse(override), override)
    _merge(values, {"training": {key: value for key, value in flags.items() if value is not None}}, "flags")
    if values["model"]["name"] != model:
        raise ConfigError(f"model.name: {values['model']['name']!r} contradicts --model {model}")
    prediction = values["model"].get("prediction")
    if isinstance(prediction, bool):  # YAML's on and off
        values["model"]["prediction"] = prediction = {} if prediction else None
    if isinstance(prediction, dict):
        prediction.setdefault("encoding", values.get("encoding", "mu-law"))
        notes = next((control for control in controls if isinstance(control, Notes)), None)
        if rate is not None and notes is not None:
            prediction.setdefault("strings", {"rate": rate, "name": notes.name, "low": notes.low, "high": notes.high})
    condition = values["model"].pop("condition", {})
    if not isinstance(condition, dict) or "controls" in condition:
        values["model"]["condition"] = condition
    elif controls:
        values["model"]["condition"] = {"controls": controls, **condition}
    return RunConfig.from_dict(values)


def differences(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> list[str]:
    """Return each field in which two configurations differ, as `training.length: 512 before, 256 now`."""
    found = []
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and any(map(_nested, old)):
            old, new = dict(enumerate(old)), dict(enumerate(new))
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: {_brief(old)} before, {_brief(new)} now")
    return found


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= BRIEF else f"{text[: BRIEF - 3]}..."


def _known(values: dict[str, Any], names: Sequence[str], prefix: str) -> None:
    for name in values:
        if name not in names:
            raise ConfigError(f"{prefix}{name}: no such field; {unknown(name, names)}")


def _validate(kind: Any, value: Any, field: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ConfigError(explain(error, field)) from None


def _merge(into: dict[str, Any], values: dict[str, Any], source: str) -> None:
    for name, value in values.items():
        key = str(name)  # in YAML, a number can be a key too
        if isinstance(into.get(key), dict):
            if not isinstance(value, dict):
                raise ConfigError(f"{source}: {key} holds fields; give them as {key}.FIELD")
            _merge(into[key], value, source)
        else:
            into[key] = dict(value) if isinstance(value, dict) else value


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: not readable as YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise ConfigError(f"{file}: not readable as YAML (nested too deeply)") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: holds no fields; write `model:` and below it `  units: 256`")
    return values


def _parse(override: str) -> dict[str, Any]:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}: write FIELD=VALUE, such as model.units=256")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise ConfigError(f"--set {path}: {reprlib.repr(text)} is not a value") from None
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)
