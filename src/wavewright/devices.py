"""Choose the device for torch, and set up its memory and its arithmetic."""

import contextlib
import ctypes
import os
import warnings
from collections.abc import Iterator

import torch

from wavewright import processes
from wavewright.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """Return the device `name`, where `auto` is the GPU if there is one.

    Raises:
        ConfigError: this machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, present in there.items() if present)
    if not there.get(name):
        raise ConfigError(f"--device {name}: not on this machine; use {' or '.join(k for k in there if there[k])}")
    if name == "cuda":
        torch.cuda.set_device(processes.rank() % torch.cuda.device_count())
        _make_repeatable()
    return torch.device(name)


def _make_repeatable() -> None:
    """Have CUDA's libraries add in one order, so that a resumed run has the bits of an uninterrupted one."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuDNN's recurrences heed it too
    torch.backends.cudnn.deterministic = True
    # A layer's four weights are copied together at every call, which takes microseconds.
    warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether torch computes in bfloat16 on `device`. oneDNN's LSTM needs AVX-512 (or ARM's bf16)."""
    by_onednn = device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return not by_onednn or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def keep_memory() -> None:
    """Let glibc keep freed memory, since fresh pages for a step's activations cost more than the arithmetic.

    WaveNet at 8 windows trains three times as fast (docs/log/2026-11-24-training-speed.md). Without glibc, this does
    nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**28)):
            mallopt(option, value)


@contextlib.contextmanager
def no_denormals() -> Iterator[None]:
    """Have torch take denormal numbers as zero, in this thread and in those that torch starts meanwhile.

    In silence, the states and gradients of recurrent layers become so small, and processors are slow with them. A
    SampleRNN on scores with rests trains four times as fast (docs/log/2026-11-28-denormals.md).
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
