"""The command line. Each sub-command parses its options, makes one library call and prints."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
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
    models,
    page,
    play,
    prepare,
    push,
    report,
    reverb,
    studio,
    train,
)
from wavewright.commands.console import say, show_log, standard_streams
from wavewright.commands.options import expanding
from wavewright.errors import WavewrightError

app = App(
    name="wavewright",
    version=__version__,
    suppress_keyboard_interrupt=False,  # else every signal has the exit status of Ctrl-C
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
    reverb.reverb,
    export.export,
    models.models,
    page.page,
    push.push,
    evaluate.evaluate,
    bench.bench,
    experiment.app,
    report.report,
    studio.studio,
)
for place, command in enumerate(commands):
    if isinstance(command, App):
        command.sort_key = place
        app.command(command)
    else:
        app.command(expanding(command), sort_key=place)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line.

    Bad input gives one line on standard error and exit status 2. So does a file or folder that the system refuses.
    Ctrl-C, SIGTERM and SIGHUP stop a command in an orderly way, with exit status 130, 143 and 129.
    A reader of standard output that goes away ends the command quietly, with exit status 141.
    """
    with standard_streams(), _signals() as came:
        show_log()
        try:
            try:
                app(arguments, exit_on_error=False, print_error=False)
            finally:
                sys.stdout.flush()
        except (WavewrightError, CycloptsError) as error:
            say(f"wavewright: {' '.join(str(error).split())}")
            sys.exit(2)
        except OSError as error:
            where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
            say(f"wavewright: {where}{error.strerror or error}")
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(128 + came())


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], int]]:
    """Let SIGTERM and SIGHUP stop a command as Ctrl-C does, and yield a function that tells which of them came first.

    A signal that is ignored, as SIGHUP under nohup, stays so. Training has handlers of its own, so Python writes the
    numbers of the signals to a pipe.
    """

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    kinds = [kind for kind in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(kind) != signal.SIG_IGN]
    before = [signal.signal(kind, stop) for kind in kinds]
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    descriptor = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def came() -> int:
        try:
            return os.read(reader, 1)[0]
        except BlockingIOError:  # the signal came to another process of the training
            return signal.SIGINT

    try:
        yield came
    finally:
        signal.set_wakeup_fd(descriptor)
        os.close(reader)
        os.close(writer)
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
