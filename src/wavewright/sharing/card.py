"""Write the model card, which tells a stranger what a model is, what it was made from, and how to play it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from wavewright.conditioning.controls import in_words
from wavewright.errors import ConfigError
from wavewright.formats.model_file import ModelFile
from wavewright.measuring.catalogue import Described

SOUNDS_FOLDER = "samples"  # beside the card
FAILURES = (
    "It makes sound sample by sample, and can fall silent, get stuck in a tone or turn to noise. wavewright notices "
    "this where no keyboard plays, and draws again."
)


@dataclass(frozen=True)
class Statement:
    """What only its maker knows of a model, and what is never guessed.

    Attributes:
        licence: terms under which the model may be used, an identifier of the hub such as `cc0-1.0` or `mit`.
        data: whose recordings it was trained on, how long they are, and who allowed it.

    Raises:
        ConfigError: one of them is empty.
    """

    licence: str
    data: str

    def __post_init__(self) -> None:
        if not self.licence.strip():
            raise ConfigError("--licence: missing; say under which terms the model may be used, such as cc0-1.0")
        if not self.data.strip():
            raise ConfigError("--data: missing; say whose recordings the model was trained on, and who allowed it")


def card(
    model: ModelFile,
    described: Described,
    statement: Statement,
    *,
    repository: str,
    sounds: Sequence[Path],
    digest: str,
) -> str:
    """Return the text of a model card, Markdown under a head of YAML.

    Args:
        model: the model.
        described: its description.
        statement: what its maker says.
        repository: its name on the hub.
        sounds: files in the card's SOUNDS_FOLDER.
        digest: SHA-256 of the model's file.
    """
    head = {
        "license": statement.licence,
        "library_name": "wavewright",
        "tags": ["audio", model.config.name, "conditional" if described.controls else "unconditional"],
    }
    bits = model.training.best_bits
    facts = {
        "model": f"{described.kind}, {described.parameters:,} parameters in {described.precision}",
        "sample rate": f"{described.rate:,} Hz",
        "codes": f"{described.levels:,}, {described.encoding}",
        "controls": "; ".join(map(in_words, described.controls)) or "none",
        "training": f"{model.training.step:,} steps, {model.training.samples:,} samples",
        "bits per sample in validation": "not measured" if bits is None else f"{bits:.3f}",
        "speed": _speed(described.times_real_time),
        "SHA-256 of the file": f"`{digest}`",
    }
    rows = "\n".join(f"| {name} | {value.replace('|', '/')} |" for name, value in facts.items())
    players = "\n".join(f'<audio controls src="{SOUNDS_FOLDER}/{sound.name}"></audio>\n' for sound in sounds)
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {described.title or repository.partition('/')[2]}",
        *([described.description] if described.description else []),
        *([f"Made by {described.author}."] if described.author else []),
        *([f"## Sounds\n\n{players.rstrip()}"] if sounds else []),
        f"## What it was trained on\n\n{statement.data}",
        f"## Play it\n\n```\n{_commands(described, repository)}\n```",
        f"## Facts\n\n| | |\n|---|---|\n{rows}",
        f"## How it fails\n\n{FAILURES}",
    ]
    return "\n\n".join(parts) + "\n"


def _speed(times: float | None) -> str:
    return "not measured" if times is None else f"{times:g} times real time on one thread of the maker's computer"


def _commands(described: Described, repository: str) -> str:
    live = "--keys" if any(control.kind == "notes" for control in described.controls) else ""
    lines = [
        "pip install 'wavewright[hub,play]'",
        f"wavewright play hub:{repository} {live}".rstrip(),
        f"wavewright generate hub:{repository} --out take.wav",
    ]
    return "\n".join(lines)
