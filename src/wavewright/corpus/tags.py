"""Read MP3 and FLAC files without the tags around them, which libsndfile does not always skip."""

import io
import os
import shutil
import threading
from pathlib import Path
from typing import Any, BinaryIO

EMPTY_ID3 = b"ID3\x04" + bytes(5) + b"\x10" + bytes(16)


class Flac(io.RawIOBase):
    """A FLAC file without the tags around it and without the length in its header, as a stream of bytes.

    libsndfile takes a file with a tag at its end for damaged, and it stops at the length that the header tells.

    Attributes:
        promised: number of frames by the header, 0 where it tells none.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._start, self._end = id3_end(self._file), end_before_tags(self._file)
        self._file.seek(self._start)
        self._head = bytearray(self._file.read(26))
        self.promised = 0
        if len(self._head) == 26 and self._head[4] & 0x7F == 0:  # STREAMINFO, with the length in its last 36 bits
            self.promised = int.from_bytes(self._head[21:26], "big") & 0xFFFFFFFFF
            self._head[21] &= 0xF0
            self._head[22:26] = bytes(4)
        self.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}[whence]
        return self._file.seek(max(self._start, base + offset)) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def readinto(self, buffer: Any) -> int:
        at = self.tell()
        block = self._file.read(max(0, min(len(buffer), self._end - self._file.tell())))
        block = bytes(self._head[at : at + len(block)]) + block[max(0, len(self._head) - at) :]
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def mp3_pipe(path: Path) -> int:
    """Return a descriptor that reads the MP3 at `path` from a pipe.

    Without a Xing header in the first frame, libsndfile guesses a file's length and stops there. From a pipe it reads
    to the end. It cannot skip a long ID3 tag in a pipe, so an empty tag takes its place. The empty tag also makes
    libsndfile recognise an MP3.
    """
    reader, writer = os.pipe()

    def feed() -> None:
        try:
            with path.open("rb") as source, os.fdopen(writer, "wb") as sink:
                source.seek(id3_end(source))
                sink.write(EMPTY_ID3)
                shutil.copyfileobj(source, sink)
        except OSError:  # the reader was closed
            pass

    threading.Thread(target=feed, daemon=True).start()
    return reader


def id3_end(file: BinaryIO) -> int:
    """Return where the ID3v2 tags at the start of `file` end, in bytes."""
    end = 0
    while (head := file.read(10))[:3] == b"ID3" and len(head) == 10:
        size = int.from_bytes(bytes(head[6:]), "big")
        size = (size & 0x7F) | (size >> 1 & 0x3F80) | (size >> 2 & 0x1FC000) | (size >> 3 & 0xFE00000)
        end += 10 + size + (10 if head[5] & 0x10 else 0)
        file.seek(end)
    return end


def end_before_tags(file: BinaryIO) -> int:
    """Return where a file ends, in bytes, without the ID3v1 and APE tags at its end."""
    end = file.seek(0, 2)
    file.seek(max(0, end - 128))
    last = file.read(128)
    if len(last) == 128 and last.startswith(b"TAG"):
        end -= 128
    file.seek(max(0, end - 32))
    footer = file.read(32)
    if len(footer) == 32 and footer.startswith(b"APETAGEX"):
        size = int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0)
        end -= size if size <= end else 0
    return end
