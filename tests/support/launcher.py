"""The processes that torchrun starts."""

import os
from pathlib import Path

# Else a restart waits for ever for a store of the processes that ended (PyTorch 2.13).
ELASTIC = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def process_of(launcher: int, rank: int) -> int | None:
    """The number of the launcher's process of that rank, while it lives."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == launcher and f"\0RANK={rank}\0" in folder.joinpath("environ").read_text():
                return int(folder.name)
        except (OSError, IndexError):  # it has ended
            pass
    return None
