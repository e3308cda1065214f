"""The command `wavewright play`."""

import math
from pathlib import Path

from wavewright.commands.console import progress
from wavewright.commands.options import DEFAULT, Playing


def play(model: Path, *, seconds: float | None = None, playing: Playing = DEFAULT, checkpoint: str = "best") -> None:
    """Play a trained model through the sound card until Ctrl-C.

    Parameters
    ----------
    model
        Run folder that `train` made, or model file that `export` made. `piano` is the model in the package.
    seconds
        Length in seconds. The default is the score's length, or without end where there is no score.
    playing
        The options that `generate` and `play` share.
    checkpoint
        Checkpoint of a run folder: `best`, `last` or a step number.
    """
    from wavewright.playing.live import play_aloud
    from wavewright.playing.opening import open_model

    opened = open_model(model, checkpoint)
    play_aloud(opened, progress=progress, **playing.options(opened, seconds, math.inf))
