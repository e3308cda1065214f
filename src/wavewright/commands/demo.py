"""The command `wavewright demo`."""

from pathlib import Path

from wavewright.commands.console import progress
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
    print(
        f"""
{out}/original.wav      what it heard
{out}/generated.wav     what it plays at temperature 0, one sample after another: {likeness:.0%} alike by correlation
{out}/variation.wav     the same model at temperature 1, where chance leads it astray
{out}/original-and-generated.png and {out}/loss.png show both, and how it learned

Listen for the attack of each note and for the hiss: 8-bit codes and a model that guesses them.
Now your own recordings:  wavewright train FOLDER --model sample-rnn --out runs/mine --minutes 30
                          wavewright generate runs/mine --out new.wav --seconds 10"""
    )
