"""The settings of `prepare`, one frozen and validated model, and its presets."""

import math
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wavewright.corpus.impulse import LEAST_RATE
from wavewright.errors import ConfigError, explain

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")

Description = Literal["loudness", "brightness", "pitch", "time"]
DESCRIPTIONS: tuple[Description, ...] = get_args(Description)

WHOLE = 1 << 62  # samples of a section that never ends
LEVELLING = {"rate", "section_seconds", "levels", "resample", "remove_dc", "limiter", "channel"}
"""The settings that make another recording like those of a corpus."""
OPTIONAL = "impulse_responses"
"""One more of these settings, which is written only where it is true."""


class PrepareSettings(BaseModel):
    """How recordings become a corpus. The defaults follow good engineering practice."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: int = Field(14700, ge=1000, le=192000)
    """Sample rate of the corpus, in Hz."""
    section_seconds: float | None = Field(4.0, gt=0, le=86400)
    """Length of a section in seconds. Training shuffles sections. With `levels: section`, each has its own gain. None
    makes a section of every recording, and becomes the length of the longest."""
    levels: Literal["section", "track", "corpus", "none"] = "track"
    """Unit that gets its own gain to full scale. `none` leaves the amplitudes as they are."""
    resample: Literal["band-limited", "decimate"] = "band-limited"
    """`decimate` keeps every k-th sample with no filter, as the thesis did, and aliases."""
    remove_dc: bool = True
    """Subtract the mean of each section for `levels: section`, else of each track."""
    limiter: float | None = Field(None, lt=0, ge=-60)
    """Limit peaks to this many dB below full scale, then raise the whole by as much."""
    trim: float = Field(60.0, ge=0, le=120)
    """Cut both ends where they are more than this many dB below the recording's peak. 0 keeps everything. A model
    trained on long silence learns to stay silent."""
    channel: Literal["mix", "left", "right"] = "mix"
    """Channel to take of a recording with several."""
    split: tuple[float, float, float] = (0.88, 0.06, 0.06)
    """Shares of the whole duration for train, valid and test, which add up to 1."""
    splits: dict[SplitName, tuple[str, ...]] | None = None
    """Names of each split's tracks, instead of `split`."""
    seed: int = 0
    """Seed for dealing the tracks to the splits."""
    scores: Literal["use", "require", "ignore"] = "use"
    """What becomes of the MIDI files beside recordings. `require` refuses recordings without one that fits."""
    describe: tuple[Description, ...] = ()
    """What is measured of every recording, so that a model can be trained to follow it. `time` is the time since the
    recording began."""

    impulse_responses: bool = False
    """Take every recording for the impulse response of a room, and take its decay out (`corpus.impulse`)."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if min(self.split) < 0 or abs(sum(self.split) - 1) > 1e-6:
            raise ValueError("split: the three fractions must be 0 or more and add up to 1, as 0.88,0.06,0.06")
        if self.section < 1:
            raise ValueError(f"section_seconds: {self.section_seconds} s is less than one sample")
        if self.impulse_responses and (self.rate < LEAST_RATE or self.resample == "decimate"):
            raise ValueError(f"impulse_responses: needs a rate of {LEAST_RATE} or more, and band-limited resampling")
        names = [name for names in (self.splits or {}).values() for name in names]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"splits: {min(twice)} is listed twice")
        return self

    @property
    def section(self) -> int:
        """Length of a section, in samples. It has no end where a section is a whole recording."""
        return WHOLE if self.section_seconds is None else round(self.section_seconds * self.rate)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "thesis": {"levels": "section", "resample": "decimate", "remove_dc": False, "trim": 0.0},
    "one-shots": {"section_seconds": None},
    "impulse-responses": {
        "impulse_responses": True,
        "rate": 44100,
        "section_seconds": None,
        "remove_dc": False,  # a constant would die away with what it was taken from
        "trim": 0.0,
        "describe": ("time",),
    },
}


def prepare_settings(preset: str = "default", **fields: Any) -> PrepareSettings:
    """Return a preset with `fields` in place of its own. Fields that are None count as not given.

    Raises:
        ConfigError: an unknown preset, or fields out of range or contradicting one another.
    """
    if preset not in PRESETS:
        raise ConfigError(f"--preset {preset}: unknown; there are {', '.join(PRESETS)}")
    given = {key: value for key, value in fields.items() if value is not None}
    try:
        return PrepareSettings(**{**PRESETS[preset], **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        value = f" (given: {first['input']})" if first["loc"] else ""
        raise ConfigError(f"{where}{first['msg'].removeprefix('Value error, ')}{value}") from None


def parse_levelling(levelling: dict[str, Any]) -> tuple[PrepareSettings, float | None]:
    """Return the settings and the common gain in a value of `Corpus.levelling()`.

    Raises:
        ConfigError: a field is missing, unknown or out of range.
    """
    if odd := (set(levelling) - {OPTIONAL}) ^ {*LEVELLING, "common_gain"}:
        raise ConfigError(f"levelling.{min(odd)}: {'unknown' if min(odd) in levelling else 'missing'}")
    gain = levelling["common_gain"]
    if gain is not None and not (isinstance(gain, int | float) and 0 < gain < math.inf):
        raise ConfigError(f"levelling.common_gain: {gain!r} is not a gain")
    fields = {field: levelling[field] for field in levelling if field != "common_gain"}
    try:
        return PrepareSettings(**fields, trim=0), gain
    except ValidationError as error:
        raise ConfigError(explain(error, "levelling")) from None
