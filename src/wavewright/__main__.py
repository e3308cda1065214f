"""Run the command line: `python -m wavewright`, which torchrun calls."""

from wavewright.cli import main

main()
