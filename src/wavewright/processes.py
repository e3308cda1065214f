"""Train one model in several processes, as torchrun starts them.

Every process computes the gradient of its own lanes. The sum over processes is the gradient of the whole batch, so
many processes do the same as one, rounding apart. Usually there is one process.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from wavewright.errors import WavewrightError


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: torch.device) -> None:
    """Connect to the other processes, with NCCL between GPUs and gloo elsewhere."""
    if world() > 1 and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")


def leave() -> None:
    """Disconnect from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def sum_(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in one exchange."""
    if world() == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _together():
        dist.all_reduce(flat)
    for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def gather(tensor: Tensor) -> Tensor:
    """Return the lanes of all processes, in order. A tensor without a batch is returned as it is."""
    if world() == 1 or not tensor.dim():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(world())]
    with _together():
        dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def wait() -> None:
    """Wait until all processes have come here."""
    if world() > 1:
        with _together():
            dist.barrier()


def check_same(what: str, value: str) -> None:
    """Check that all processes have the value of the first. Every process must call this.

    Raises:
        WavewrightError: one of them has another.
    """
    if world() == 1:
        return
    values: list[str] = [""] * world()
    with _together():
        dist.all_gather_object(values, value)
    for number, other in enumerate(values):
        if other != values[0]:
            raise WavewrightError(f"{what}: process {number} has another than process 0; give all the same")


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Turn the end of another process, by which an exchange fails, into one line."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise WavewrightError(f"another process has ended, and this one ends with it ({reason:.80})") from None
