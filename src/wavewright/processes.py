"""Train one model in several processes, as torchrun starts them.

Every process computes the gradient of its own lanes. The sum over processes is the gradient of the whole batch, so
many processes do the same as one, rounding apart. With a split model, processes also hand tensors on to one another
(`training/pipeline.py`). Usually there is one process.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from wavewright.errors import WavewrightError

DTYPES = (torch.float32, torch.bfloat16, torch.float64)  # of what a process sends to another
FACTS = 8  # numbers that tell a tensor's shape


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


def sum_(tensors: Sequence[Tensor], group: dist.ProcessGroup | None = None) -> None:
    """Replace each tensor by its sum over all processes, or over those of a group, in one exchange."""
    if world() > 1 and tensors:
        with _flat(tensors) as flat, _together():
            dist.all_reduce(flat, group=group)


def share(tensors: Sequence[Tensor], source: int) -> None:
    """Replace each tensor by that of the process `source`, in one exchange."""
    if tensors:
        with _flat(tensors) as flat, _together():
            dist.broadcast(flat, source)


def groups(stride: int) -> list[dist.ProcessGroup | None]:
    """Return `stride` groups of processes, the first of processes 0, stride, 2 stride ... and so on."""
    if stride == 1:
        return [None]
    with _together():
        return [dist.new_group(list(range(first, world(), stride))) for first in range(stride)]


def gather(tensor: Tensor, which: slice = slice(None)) -> Tensor:
    """Return the lanes of all processes, or of some, in order. A tensor without a batch is returned as it is."""
    if world() == 1 or not tensor.dim():
        return tensor
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world())]
    with _together():
        dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts[which])


def collect(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return in the first process what all have, and in the others what they have. Tensors are on the CPU."""
    found: list[dict[str, Tensor]] = [{} for _ in range(world())]
    with _together():
        dist.gather_object(own, found if rank() == 0 else None)
    return {name: tensor for each in found for name, tensor in each.items()} if rank() == 0 else own


def swap(peer: int, sent: Tensor | None, like: Tensor | None) -> Tensor | None:
    """Send a tensor to a process and receive one `like` another from it, both at once. None is not sent or received."""
    received = None if like is None else torch.empty_like(like, memory_format=torch.contiguous_format)
    operations = [
        dist.P2POp(operation, tensor, peer)
        for operation, tensor in ((dist.isend, sent), (dist.irecv, received))
        if tensor is not None and tensor.numel()
    ]
    if operations:
        with _together():
            for work in dist.batch_isend_irecv(operations):
                work.wait()
    return received


def send_shape(tensor: Tensor, peer: int) -> None:
    """Tell a process the shape and the type of tensors to come."""
    facts = [DTYPES.index(tensor.dtype), tensor.dim(), *tensor.shape]
    with _together():
        dist.send(torch.tensor(facts + [0] * (FACTS - len(facts))), peer)


def receive_shape(peer: int, device: torch.device) -> Tensor:
    """Return a tensor, of no particular values, of the shape and the type that a process tells."""
    told = torch.empty(FACTS, dtype=torch.int64)
    with _together():
        dist.recv(told, peer)
    kind, dims, *shape = told.tolist()
    return torch.empty(shape[:dims], dtype=DTYPES[kind], device=device)


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
def _flat(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the values of tensors in one, and write them back."""
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    yield flat
    for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(part.view_as(tensor))


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Turn the end of another process, by which an exchange fails, into one line."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise WavewrightError(f"another process has ended, and this one ends with it ({reason:.80})") from None
