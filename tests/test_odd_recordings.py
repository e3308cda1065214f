"""Recordings and folders as users really have them: what is healthy in a file and yet harms a corpus."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import FAST, melody
from wavewright.corpus.inspection import inspect
from wavewright.corpus.prepare import audio_like_corpus, prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import AudioError

Record = Callable[..., Path]
WHOLE = PrepareSettings(**FAST, split=(1, 0, 0))


# Levels


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_channels_that_cancel_are_refused_and_a_weak_mix_is_noted(
    record: Record, tmp_path: Path, caplog: pytest.LogCaptureFixture, shift: float
) -> None:
    left = melody(2, 4000)
    for name, right in (("cancel", -left), ("weak", -0.96 * left), ("well", 0.5 * left), ("mute", 0 * left)):
        record(f"a/{name}.wav", np.stack([left, right], axis=1) + shift, 4000, "PCM_24")
    corpus = prepare([tmp_path / "a"], tmp_path / "c", WHOLE)
    (refused,) = corpus.refused
    assert refused.name == "cancel.wav"
    assert "--channel left" in refused.reason
    notes = {track.name: track.source.notes for track in corpus.tracks}
    assert {name: len(found) for name, found in notes.items()} == {"mute.wav": 0, "weak.wav": 1, "well.wav": 0}
    assert "34 dB" in notes["weak.wav"][0]
    seen = {one.name: one.notes for one in inspect([tmp_path / "a"]).files}
    assert "--channel left" in seen["cancel.wav"][0]
    assert {name: seen[name] for name in notes} == notes
    caplog.clear()
    assert list(audio_like_corpus(tmp_path / "a/weak.wav", corpus.levelling()))
    assert "34 dB" in caplog.text
    with pytest.raises(AudioError, match=r"cancel\.wav: .*--channel left"):
        list(audio_like_corpus(tmp_path / "a/cancel.wav", corpus.levelling()))
    one_channel = prepare([tmp_path / "a"], tmp_path / "c", WHOLE.model_copy(update={"channel": "left"}))
    assert len(one_channel.tracks) == 4
    assert not any(track.source.notes for track in one_channel.tracks)


@pytest.mark.parametrize("levels", ["track", "section"])
@pytest.mark.parametrize("remove_dc", [True, False])
def test_a_muted_track_with_dither_stays_silent(record: Record, tmp_path: Path, levels: str, remove_dc: bool) -> None:
    rng = np.random.default_rng(0)
    dither = rng.integers(-1, 2, (3, 8000)) / 32768
    record("a/muted.wav", dither[0], 4000)
    record("a/shifted.wav", dither[1] + (0.1 if remove_dc else 0), 4000)
    record("a/mutedstereo.wav", dither[1:].T, 4000)
    record("a/quiet.wav", melody(2, 4000, peak=0.001), 4000, "PCM_24")
    settings = WHOLE.model_copy(update={"levels": levels, "remove_dc": remove_dc})
    corpus = prepare([tmp_path / "a"], tmp_path / "c", settings)
    assert not corpus.refused
    for track in corpus.tracks:
        samples = corpus.samples("train")[track.start :][: track.frames]
        if track.name == "quiet.wav":
            assert np.abs(samples).max() == 32767
            assert track.source.notes == ()
        else:
            assert np.abs(samples).max() <= 3
            assert set(track.gain) == {1.0}
            assert "-80 dBFS" in track.source.notes[0]
