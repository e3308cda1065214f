"""`wavewright play`: parse, one library call."""

from pathlib import Path

from wavewright.commands.options import DEFAULT, Playing


def play(model: Path, *, seconds: float = float("inf"), playing: Playing = DEFAULT, checkpoint: str = "best") -> None:
    """Play a trained model through the sound card, until Ctrl-C.

    Parameters
    ----------
    model
        A model file, or a folder that `train` made; `piano` is the model in the package.
    seconds
        How long; without end unless given.
    playing
        How it is played.
    checkpoint
        `best`, `last` or a step number.
    """
    from wavewright.playing.live import play_aloud
    from wavewright.playing.opening import open_model

    options = playing.options()
    play_aloud(open_model(model, checkpoint), seconds=seconds, **options)
