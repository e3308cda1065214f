"""The command `wavewright push`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from wavewright.commands.console import say
from wavewright.commands.options import Flag


def push(
    model: Path,
    repository: str,
    *,
    data: str = "",
    licence: str = "",
    sounds: Annotated[tuple[Path, ...], Parameter(negative="", consume_multiple=True, show_default=False)] = (),
    public: Flag = False,
) -> None:
    """Share a model on the Hugging Face hub, with a page that describes it.

    Others then play it by the name hub:USER/NAME, wherever a command takes a model. Log in with `hf auth login` first.

    Parameters
    ----------
    model
        Model file that `export` made.
    repository
        Where to put the model, as USER/NAME. It is made if it is not there.
    data
        Whose recordings the model was trained on, how long they are, and who allowed it. It is never guessed.
    licence
        Terms under which the model may be used, by the hub's names, such as `cc0-1.0`, `cc-by-4.0` or `mit`. Respect
        those of the recordings.
    sounds
        Sounds that the model made, for the page to play.
    public
        Let everyone see a new repository. Without it, only you do.
    """
    from wavewright.sharing.card import Statement
    from wavewright.sharing.hub import push_to_hub

    say(f"shared: {push_to_hub(model, repository, Statement(licence, data), sounds, public=public)}")
