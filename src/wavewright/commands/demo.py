"""The command `wavewright demo`."""

from pathlib import Path

from wavewright.commands.console import progress, put
from wavewright.errors import need_torch


def demo(*, out: Path = Path("demo")) -> None:
    """Overfit a small model on 1.5 seconds of piano, as the thesis did, and play it. Takes about three minutes.

    Parameters
    ----------
    out
        Folder for the sounds and pictures.
    """
    need_torch()
    from wavewright.experiments.demo import run

    likeness = run(out, progress)
    put(
        f"""
{out}/original.wav      the recording that the model was trained on
{out}/generated.wav     the model at temperature 0, sample by sample: {likeness:.0%} correlation with the recording
{out}/variation.wav     the model at temperature 1, where chance leads it away from the recording
{out}/original-and-generated.png and {out}/loss.png show both sounds and the training loss

Listen for the attack of each note, and for the hiss of 8-bit codes that the model guesses.
Now your own recordings:  wavewright train FOLDER --model sample-rnn --out runs/mine --minutes 30
                          wavewright generate runs/mine --out new.wav --seconds 10"""
    )
