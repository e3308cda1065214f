"""Compare the length that a file's header tells with the samples that are there.

A recorder that lost power, or a size that wrapped past 4 GB, leaves a header that tells of less than the file holds. A
decoder stops where the header says. An interrupted download leaves less than the header tells.
"""

from dataclasses import dataclass
from typing import BinaryIO, Literal

from wavewright.corpus.tags import end_before_tags, id3_end

PADDING = 1 << 16  # bytes of zeros that may fill a file up to the end of a block of a disk
ENDING = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"JUNK")  # chunks after the samples, even if cut short


@dataclass(frozen=True)
class Lengths:
    """How long a file's samples are, in bytes."""

    told: int  # by the header
    there: int  # with what follows them, where that is neither chunks nor a tag nor padding
    rest: int  # from the first sample to the end of the file


@dataclass(frozen=True)
class _Layout:
    """How a container stores its chunks."""

    first: int  # place of the first chunk
    name: int  # length of a chunk's name
    size: int  # length of a chunk's size
    order: Literal["little", "big"]
    align: int  # chunks begin at multiples of this, counted from the first
    samples: bytes  # beginning of the name of the chunk of samples
    before: int = 0  # bytes in that chunk before the first sample
    counted: int = 0  # bytes that a size has too many


_WAV = _Layout(12, 4, 4, "little", 2, b"data")
_LAYOUTS = {
    b"RIFF": _WAV,
    b"RF64": _WAV,
    b"BW64": _WAV,
    b"RIFX": _Layout(12, 4, 4, "big", 2, b"data"),
    b"FORM": _Layout(12, 4, 4, "big", 2, b"SSND", before=8),
    b"riff": _Layout(40, 16, 8, "little", 8, b"data", counted=24),
    b"caff": _Layout(8, 4, 8, "big", 1, b"data", before=4),
}


class _Chunks:
    """The chunks of a file that ends at `end`."""

    def __init__(self, file: BinaryIO, end: int, layout: _Layout) -> None:
        self.file, self.end, self.layout = file, end, layout

    def at(self, position: int) -> tuple[bytes, int, int] | None:
        """Return the name of the chunk at `position`, and the place and size of its content, if there is a chunk."""
        layout = self.layout
        if position > self.end:
            return None
        head = _at(self.file, position, layout.name + layout.size)
        name = head[: layout.name]
        if len(head) < layout.name + layout.size or not (name[:4].isascii() and name[:4].decode().isprintable()):
            return None
        size = int.from_bytes(head[layout.name :], layout.order) - layout.counted
        return (name, position + len(head), size) if size >= 0 else None

    def after(self, end: int) -> int:
        """Return where the chunk after the one that ends at `end` begins. Some programs leave out the padding."""
        aligned = end + -(end - self.layout.first) % self.layout.align
        return aligned if self.at(aligned) or not self.at(end) else end


def lengths(file: BinaryIO) -> Lengths | None:
    """Return the lengths of a WAV, RF64, W64, AIFF, CAF, AU or MP3 file, or None where its header tells of none."""
    end = end_before_tags(file)
    head = _at(file, 0, 12)
    if head[:4] == b".snd":
        start, told = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        return None if told == 0xFFFFFFFF or start > end else _compared(file, None, start, told, end)
    if head[:4] not in _LAYOUTS:
        return _mp3(file, end)
    layout = _LAYOUTS[head[:4]]
    chunks, position, wide = _Chunks(file, end, layout), layout.first, None
    while chunk := chunks.at(position):
        name, start, size = chunk
        if name == b"ds64":
            wide = int.from_bytes(_at(file, start + 8, 8), "little")
        if name.startswith(layout.samples):
            if size == 0xFFFFFFFF and wide is not None:
                size = wide
            start, told = start + layout.before, max(0, size - layout.before)
            return None if _endless(size) or start > end else _compared(file, chunks, start, told, end)
        position = chunks.after(start + size)
    return None


def _mp3(file: BinaryIO, end: int) -> Lengths | None:
    """Return the lengths of an MP3 whose first frame is a Xing or Info header with a size, in bytes of all frames."""
    start = id3_end(file)
    head = _at(file, start, 64)
    if len(head) < 64 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # a frame of layer III
        return None
    mpeg1, one_channel = head[1] & 0x18 == 0x18, head[3] & 0xC0 == 0xC0
    xing = head[4 + {(True, True): 17, (True, False): 32, (False, True): 9, (False, False): 17}[mpeg1, one_channel] :]
    if xing[:4] not in (b"Xing", b"Info") or xing[7] & 3 != 3:
        return None
    told, there = int.from_bytes(xing[12:16], "big"), end - start
    close = abs(told - there) < 0.02 * told + 1024  # encoders differ in what they count
    return Lengths(told, told if close else there, there)


def _at(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _endless(size: int) -> bool:
    """Tell whether programs write this size into a header before they know the length."""
    return 0x7FFFF000 <= size <= 0x80000000 or 0xFFFFF000 <= size <= 0xFFFFFFFF or size >= 1 << 62


def _compared(file: BinaryIO, chunks: _Chunks | None, start: int, told: int, end: int) -> Lengths:
    """Compare `told` bytes of samples from `start` on with what the file holds up to `end`."""
    whole = file.seek(0, 2) - start
    position = start + told
    if position >= end:
        return Lengths(told, end - start, whole)
    if chunks:
        position = chunks.after(position)
        while chunk := chunks.at(position):
            name, content, size = chunk
            cut = content + size > end and name[:4] not in ENDING
            if (
                cut or name[:4] in _LAYOUTS or name.startswith(chunks.layout.samples)
            ):  # another recording, or more of it
                break
            position = chunks.after(content + size)
    rest = max(0, end - position)
    padding = rest <= PADDING and not _at(file, min(position, end), rest).strip(b"\0")
    return Lengths(told, told if padding else told + rest, whole)
