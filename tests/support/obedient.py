"""A model that does at once what its keyboard says: loud noise while a key sounds, and else silence."""

from pathlib import Path

import torch

from support.kinds import CONDITION, LEVELS
from support.model_files import run_of
from wavewright.playing.export import export
from wavewright.quantize import silence

RATE = 4000
HOP = 16
LOUD = 0.5  # below every amplitude of the noise, and above every other


@torch.no_grad()
def make_obedient(path: Path) -> Path:
    """A model file with a category, a number and a keyboard of keys 60 and 61.

    The encoded condition holds the number of keys that sound, which goes straight to the logits.
    """
    run = run_of("tiers 8 4 2, conditioned", condition={**CONDITION, "hop": HOP})
    model, condition = run.model, run.config.condition
    for parameter in model.parameters():
        parameter.zero_()
    first = condition.offset(condition.notes)
    model.encoder.input.weight[0, first : first + 4 * condition.notes.keys : 4] = 1
    for layer in (model.encoder.output, model.condition, *model.hidden):
        layer.weight[0, 0] = 1
    model.output.bias[silence(LEVELS)] = 30
    model.output.weight[silence(LEVELS), 0] = -30
    model.output.weight[[0, LEVELS - 1], 0] = 30
    export(run, path)
    return path
