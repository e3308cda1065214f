"""The entry point of `python -m wavewright`, which `accelerate launch -m wavewright` and torchrun call."""

from wavewright.cli import main

main()
