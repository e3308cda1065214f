"""What a process of `support.tiny.start` does. It imports nothing more, so that the process begins at once."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence


def command(arguments: Sequence[str], out: str, err: str, environment: Mapping[str, str]) -> None:
    """Run `wavewright ARGUMENTS` in this process, with its output and errors in files, which may be one."""
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    sys.stdout, sys.stderr = (open(one, "w", encoding="utf-8", buffering=1, closefd=False) for one in (1, 2))  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from wavewright.cli import main

    main([*arguments])
