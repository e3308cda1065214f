"""Every hostile file through `inspect` and `prepare`: whole, or refused in one line, fast and in little memory."""

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wavewright.corpus import inspection
from wavewright.corpus.prepare import prepare
from wavewright.corpus.rendering import audio_like_corpus
from wavewright.corpus.settings import LEVELLING, PrepareSettings
from wavewright.errors import AudioError, WavewrightError

pytestmark = pytest.mark.slow

# Where libsndfile and ffmpeg, which the manifest quotes, disagree though neither lost anything of the recording.
EXPLAINED = {
    "borewit__gsm610.wav": 1280,  # takes the chunk's padding byte for the start of a fourth block of 320
    "flactest__faulty_03_-_wrong_bit_depth.flac": 89903,  # ffmpeg refuses it
    "tinytag__8khz_5s.opus": 40000,  # decoded at its own 8 kHz, not at Opus's 48 kHz
    "tinytag__data_after_eos.ogg": 162496,  # as its last page says; ffmpeg drops the first 128
    "tinytag__is_ogg.flac": 162496,
}
REFUSED = {  # silently halved or emptied by libsndfile, or poisonous
    "ours__chained_same_rate.ogg": "2 Ogg streams joined",
    "ours__data_size_zero.wav": "holds no samples",
    "tinytag__no_audio_data_uncompressed.wav": "holds no samples",
    "ours__float32_nan_inf.wav": "NaN or infinite",
    "ours__bitflips.flac": "damaged",
}


@pytest.fixture(scope="module")
def hostile(data: Path) -> Path:
    return data / "hostile"


@pytest.fixture(scope="module")
def expected(hostile: Path) -> dict[str, int | None]:
    """Frames by file name as ffmpeg counts them; None where it found no audio."""
    with (hostile / "manifest.csv").open(encoding="utf-8") as file:
        rows = {Path(row["file"]).name: row for row in csv.DictReader(file) if row["file"].startswith("audio/")}
    counts = {name: re.match(r"ok samples=(\d+)", row["ffmpeg_or_pretty_midi"]) for name, row in rows.items()}
    return {name: int(count[1]) if count else None for name, count in counts.items()}


def test_inspect_reads_each_file_whole_or_refuses_it(hostile: Path, expected: dict[str, int | None]) -> None:
    report = inspection.inspect(sorted((hostile / "audio").iterdir()), workers=2)
    frames = {file.name: round(file.seconds * file.rate) for file in report.files}
    refused = {file.name: file.reason for file in report.refused}
    assert frames.keys() | refused.keys() == expected.keys()
    assert report.passed_over == 0
    for name, count in frames.items():
        assert count == EXPLAINED.get(name, expected[name]), name
    for name, reason in REFUSED.items():
        assert reason in refused[name]
    assert all("\n" not in reason and 10 < len(reason) < 200 for reason in refused.values())
    assert len(frames) >= 50


def test_prepare_takes_or_refuses_each_file_alone(hostile: Path, tmp_path: Path) -> None:
    settings = PrepareSettings(section_seconds=0.01)
    for path in sorted((hostile / "audio").iterdir()):
        begun, worked = time.monotonic(), work()
        refusal = ""
        try:
            corpus = prepare([path], tmp_path / "corpus", settings)
        except WavewrightError as error:
            refusal = str(error)
        if refusal:
            assert "\n" not in refusal
            assert path.name in refusal or "section" in refusal
        else:
            assert sum(corpus.contents.frames.values()) > 0
        assert work() - worked < 10, path.name
        assert time.monotonic() - begun < 100, path.name  # the machine may be busy, but nothing waits for long


def work() -> float:
    """Seconds of processor time of this process and of its children that have ended, as each decoder has."""
    return sum(os.times()[:4])


MEMORY = """if True:
    import resource, sys
    from pathlib import Path
    from wavewright.corpus import inspection
    from wavewright.corpus.prepare import prepare
    from wavewright.corpus.settings import PrepareSettings
    inspection.inspect(sorted(Path(sys.argv[1]).iterdir()), workers=2)
    prepare([Path(sys.argv[1])], Path(sys.argv[2]), PrepareSettings(), workers=2)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1024 if sys.platform == "linux" else 1))
"""


def test_no_decoder_takes_more_than_512_mb(hostile: Path, tmp_path: Path) -> None:
    """In a process of its own, whose children are decoders only."""
    command = [sys.executable, "-c", MEMORY, hostile / "audio", tmp_path / "corpus"]
    assert int(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()[-1]) < 512e6


def test_prepare_of_the_folder_records_every_refusal(hostile: Path, tmp_path: Path) -> None:
    corpus = prepare([hostile], tmp_path / "corpus", PrepareSettings(), workers=2)
    refused = {file.name.removeprefix("audio/"): file.reason for file in corpus.refused}
    for name, reason in REFUSED.items():
        assert reason in refused[name]
    kept = {track.name.removeprefix("audio/") for track in corpus.tracks}
    unknown = {"tinytag__magic_bytes_only_wav.x"}  # neither its name nor its content says that it is audio
    copies = {copy.name.removeprefix("audio/") for copy in corpus.contents.copies}
    assert kept | refused.keys() | copies | unknown == {path.name for path in (hostile / "audio").iterdir()}
    notes = {track.name: track.source.notes for track in corpus.tracks}
    assert "truncated" in notes["audio/ours__truncated_mid_sample.wav"][0]


def test_priming_with_any_of_them(hostile: Path) -> None:
    corpus_like = {**PrepareSettings().model_dump(include=LEVELLING), "common_gain": None}
    for name, reason in REFUSED.items():
        with pytest.raises(AudioError, match=reason):
            list(audio_like_corpus(hostile / "audio" / name, corpus_like))
    for name in ("ours__vbr_no_xing.mp3", "ours__digital_silence_1s.flac", "ours__one_sample.wav"):
        assert sum(map(len, audio_like_corpus(hostile / "audio" / name, corpus_like))) > 0
