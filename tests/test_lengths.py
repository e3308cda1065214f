"""Headers that tell of another length than the file holds, and tags around the samples."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from conftest import FAST, melody
from wavewright.corpus.audio import Recording
from wavewright.corpus.inspection import inspect
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import AudioError
from wavewright.playing.live import stream_wav
from wavewright.playing.opening import open_model

Record = Callable[..., Path]


def read(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    with Recording(path) as recording:
        return np.concatenate(list(recording.blocks())), recording.notes


def sized(content: bytes, chunk: bytes, size: int) -> bytes:
    """A container with another size in the header of a chunk."""
    wide = {b"caff": (4, 8, "big"), b"riff": (16, 8, "little"), b"FORM": (4, 4, "big")}
    name, width, order = wide.get(content[:4], (4, 4, "little"))
    at = content.index(chunk) + name
    return content[:at] + size.to_bytes(width, order) + content[at + width :]


LYING = {  # six seconds of two bytes at 4 kHz, of which the header tells of one
    "a.wav": lambda content: sized(content, b"data", 8000),
    "riff.wav": lambda content: sized(sized(content, b"data", 8000), b"RIFF", 8036),
    "a.aiff": lambda content: sized(content, b"SSND", 8008),
    "a.caf": lambda content: sized(content, b"data", 8004),
    "a.w64": lambda content: sized(content, b"data", 8024),
    "a.au": lambda content: content[:8] + (8000).to_bytes(4, "big") + content[12:],
    "a.flac": lambda content: content[:22] + (4000).to_bytes(4, "big") + content[26:],
}


@pytest.mark.parametrize("name", LYING)
def test_a_header_that_tells_of_too_little_is_noted_with_both_lengths(record: Record, name: str) -> None:
    path = record(name, melody(6, 4000), 4000)
    path.write_bytes(LYING[name](path.read_bytes()))
    samples, notes = read(path)
    assert len(samples) == (24000 if "all of them are read" in notes[0] else 4000)
    assert len(notes) == 1
    assert "tells of 1.00 s and the file holds 6.00 s" in notes[0]


def test_rf64_of_another_length_is_noted(record: Record, tmp_path: Path) -> None:
    content = tmp_path / "a.wav"
    soundfile.write(content, melody(6, 4000), 4000, format="RF64")
    whole = content.read_bytes()
    at = whole.index(b"ds64") + 16
    for size, said in ((8000, "tells of 1.00 s and the file holds 6.00 s"), (96000, "truncated: 48000 of 96000")):
        content.write_bytes(whole[:at] + size.to_bytes(8, "little") + whole[at + 8 :])
        assert said in read(content)[1][0]


def test_the_length_that_a_header_lacks_is_in_every_report(record: Record, tmp_path: Path) -> None:
    path = record("a/lying.wav", melody(6, 4000), 4000)
    path.write_bytes(sized(path.read_bytes(), b"data", 8000))
    (seen,) = inspect([tmp_path / "a"]).files
    corpus = prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST, split=(1, 0, 0)))
    assert "1.00 s and the file holds 6.00 s" in seen.notes[0]
    assert seen.notes == corpus.tracks[0].source.notes
    path.write_bytes(sized(path.read_bytes(), b"data", 0))
    (refused,) = inspect([tmp_path / "a"]).refused
    assert "holds no samples, or its header says so, though 48000 bytes" in refused.reason


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.aiff", "a.flac", "a.mp3"])
def test_joined_recordings_are_noted_or_refused(record: Record, name: str) -> None:
    path = record(name, melody(1, 8000), 8000)
    path.write_bytes(path.read_bytes() * 3)
    try:
        _, notes = read(path)
    except AudioError:
        return
    assert "tells of 1.00 s and the file holds 3.0" in notes[0]


def test_w64_without_samples_is_refused(record: Record) -> None:
    path = record("a.w64", melody(1, 4000), 4000)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"data") + 24])
    with pytest.raises(AudioError):
        read(path)


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (44100, 2), (22050, 1), (8000, 2)])
def test_joined_mp3s_are_noted_and_one_with_tags_is_not(record: Record, rate: int, channels: int) -> None:
    path = record("a.mp3", np.stack([melody(1, rate)] * channels, axis=1), rate)
    content = path.read_bytes()
    assert read(path)[1] == []
    path.write_bytes(b"ID3\x04\0\0\0\0\x10\0" + bytes(2048) + content + ID3V1)
    assert read(path)[1] == []
    path.write_bytes(content * 3)
    samples, (note,) = read(path)
    assert len(samples) == rate
    assert "tells of 1.00 s and the file holds 3.00 s" in note


LIST = b"LIST" + (26).to_bytes(4, "little") + b"INFOISFT" + (14).to_bytes(4, "little") + b"Lavf58.29.100\0"
LEVL = b"levl" + bytes.fromhex("f3acd3118cd100c04f8edb8a") + (1024).to_bytes(8, "little") + bytes(range(250)) * 4
HEALTHY = {
    "streamed.wav": lambda content: sized(sized(content, b"data", 0xFFFFFFFF), b"RIFF", 0xFFFFFFFF),
    "ours.wav": lambda content: sized(sized(content, b"data", 0xFFFFFFFF - 36), b"RIFF", 0xFFFFFFFF),
    "sox.wav": lambda content: sized(sized(content, b"data", 0x7FFFF000), b"RIFF", 0x7FFFF024),
    "unclosed.wav": lambda content: sized(sized(content, b"data", 0), b"RIFF", 8),
    "riff.wav": lambda content: sized(content, b"RIFF", 100),
    "list.wav": lambda content: content + LIST,
    "cut.wav": lambda content: content + LIST[:20],
    "id3.wav": lambda content: content + b"id3 " + (3000).to_bytes(4, "little") + bytes(range(250)) * 12,
    "bext.wav": lambda content: sized(content + b"bext" + (602).to_bytes(4, "little") + b"x" * 602, b"RIFF", 48646),
    "tag.wav": lambda content: content + b"TAG".ljust(128, b"x"),
    "sector.wav": lambda content: content + bytes(4096 - len(content) % 4096),
    "chunk.aiff": lambda content: content + b"ID3 " + (3000).to_bytes(4, "big") + bytes(range(250)) * 12,
    "chunk.caf": lambda content: content + b"info" + (100).to_bytes(8, "big") + b"x" * 100,
    "chunk.w64": lambda content: content + LEVL,  # which libsndfile takes for samples
    "unknown.au": lambda content: content[:8] + b"\xff" * 4 + content[12:],
    "unknown.flac": lambda content: content[:22] + bytes(4) + content[26:],
}


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("length", [24000, 23999])
def test_streams_and_what_follows_the_samples_raise_no_alarm(record: Record, name: str, length: int) -> None:
    path = record(name, melody(6, 4000)[:length], 4000, None if name.endswith("flac") else "PCM_16")
    whole = read(path)[0]
    path.write_bytes(HEALTHY[name](path.read_bytes()))
    samples, notes = read(path)
    assert np.array_equal(samples, whole)
    assert len(samples) == length
    assert notes == []


class Pipe(io.BytesIO):
    """A pipe whose reader leaves after 3000 bytes."""

    def write(self, block: Any) -> int:
        if self.tell() > 3000:
            raise BrokenPipeError
        return super().write(block)


@pytest.mark.parametrize("seconds", [0.25, math.inf])
def test_our_own_streams_raise_no_alarm(trained: Path, tmp_path: Path, seconds: float) -> None:
    pipe = Pipe()
    stream_wav(open_model(trained), pipe, seconds=seconds)
    (tmp_path / "ours.wav").write_bytes(pipe.getvalue())
    samples, notes = read(tmp_path / "ours.wav")
    assert len(samples) == (len(pipe.getvalue()) - 44) // 2 >= 1000
    assert notes == []


def test_an_odd_number_of_bytes_before_a_chunk_is_no_alarm(record: Record) -> None:
    path = record("a.wav", melody(1, 4000)[:3999], 4000, "PCM_U8")
    padded = path.read_bytes()
    for content in (padded, padded[:-1] if len(padded) % 2 == 0 else padded):  # some programs leave out the padding
        path.write_bytes(content + LIST)
        assert read(path)[1] == []


APE = bytes(100) + b"APETAGEX" + b"".join(n.to_bytes(4, "little") for n in (2000, 132, 1, 0)) + bytes(8)
ID3V1 = b"TAG" + b"a name".ljust(125, b"\0")


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("tail", [ID3V1, APE, APE + ID3V1])
def test_flac_with_tags_around_it_is_whole(record: Record, tail: bytes, unknown: bool) -> None:
    path = record("a.flac", melody(6, 4000), 4000)
    whole, content = read(path)[0], path.read_bytes()
    content = content[:22] + bytes(4) + content[26:] if unknown else content
    head = b"ID3\x04\0\0\0\0\x10\0" + bytes(2048)
    for tagged in (content + tail, head + content + tail, head + head + content):
        path.write_bytes(tagged)
        samples, notes = read(path)
        assert np.array_equal(samples, whole)
        assert notes == []
    path.write_bytes(content + content)
    with pytest.raises(AudioError):
        read(path)
