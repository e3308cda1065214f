"""The command line. Each sub-command parses its options, makes one library call and prints."""

import sys
from collections.abc import Callable
from typing import Any

from cyclopts import App, CycloptsError

from wavewright import __version__
from wavewright.commands import (
    bench,
    demo,
    evaluate,
    experiment,
    export,
    generate,
    inspect,
    play,
    prepare,
    report,
    train,
)
from wavewright.commands.console import close_streams, open_streams, say, show_log
from wavewright.commands.options import expanding
from wavewright.errors import WavewrightError

app = App(
    name="wavewright",
    version=__version__,
    help="""Learn to make sound, one sample at a time, from your own recordings.

    For a first try, run `wavewright demo`. With your own recordings, run
    `wavewright train FOLDER --model sample-rnn --out RUN --minutes 30`, then
    `wavewright generate RUN --out new.wav --seconds 10`.""",
)
commands: tuple[App | Callable[..., None], ...] = (  # in the order of use, which `--help` keeps
    demo.demo,
    inspect.inspect,
    prepare.prepare,
    train.train,
    generate.generate,
    play.play,
    export.export,
    evaluate.evaluate,
    bench.bench,
    experiment.app,
    report.report,
)
for place, command in enumerate(commands):
    if isinstance(command, App):
        command.sort_key = place
        app.command(command)
    else:
        app.command(expanding(command), sort_key=place)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line.

    Bad input gives one line on standard error and exit status 2. Ctrl-C gives exit status 130.
    A reader of standard output that goes away ends the command quietly, with exit status 141.
    """
    open_streams()
    show_log()
    try:
        try:
            app(arguments, exit_on_error=False, print_error=False)
        finally:
            close_streams()
    except (WavewrightError, CycloptsError) as error:
        say(f"wavewright: {' '.join(str(error).split())}")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
