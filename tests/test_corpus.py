"""From recordings to a corpus: golden computations, levels, sections, splits, names."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import example, given
from hypothesis import strategies as st

from conftest import FAST, melody
from wavewright.corpus import splits
from wavewright.corpus.discovery import find
from wavewright.corpus.levelling import limit
from wavewright.corpus.prepare import prepare
from wavewright.corpus.rendering import audio_like_corpus
from wavewright.corpus.settings import SPLITS, PrepareSettings, prepare_settings
from wavewright.errors import WavewrightError

Record = Callable[..., Path]


# Golden


def test_the_thesis_preset_is_what_the_thesis_did(data: Path, tmp_path: Path) -> None:
    source = data / "piano/borodin/bor_ps5.flac"
    corpus = prepare([source], tmp_path / "c", prepare_settings("thesis", split=(1, 0, 0)))
    x, _ = soundfile.read(source, dtype="float64")
    expected = []
    for start in range(0, len(x), 4 * 44100):
        section = x[start : start + 4 * 44100]
        low, high = section.min(), section.max()  # the last section is all silence
        expected.append((2 * (section - low) / (high - low) - 1 if high > low else 0 * section)[::3])
    found = corpus.samples("train")
    np.testing.assert_allclose(found, np.concatenate(expected) * 32767, atol=0.5001)
    assert corpus.sections("train").tolist()[:2] == [[0, 58800], [58800, 117600]]
    assert len(corpus.tracks[0].gain) == len(corpus.sections("train"))


def test_the_default_is_band_limited_centred_and_full_scale(data: Path, tmp_path: Path) -> None:
    source = data / "piano_real"
    source = next(path for path in sorted(source.rglob("*")) if path.suffix in {".ogg", ".flac"})
    corpus = prepare([source], tmp_path / "c", PrepareSettings(split=(1, 0, 0)))
    x, rate = soundfile.read(source, dtype="float32", always_2d=True)
    y = soxr.resample(x.mean(axis=1), rate, 14700, "VHQ").astype(np.float64)
    loud = np.flatnonzero(np.abs(y - y.mean()) > np.abs(y - y.mean()).max() / 1000)  # 60 dB below the peak
    y = y[loud[0] : loud[-1] + 1]
    y -= y.mean()
    assert corpus.tracks[0].source_start == loud[0]
    np.testing.assert_allclose(corpus.samples("train"), y / np.abs(y).max() * 32767, atol=0.51)
    assert np.abs(corpus.samples("train")).max() == 32767


@pytest.mark.parametrize("levels", ["track", "section"])
def test_silence_around_a_recording_is_trimmed(record: Record, tmp_path: Path, levels: str) -> None:
    """As if it had never been recorded, however long it is; within the recording it stays."""
    tone = np.cos(np.arange(40_000) / 3) * np.exp(-np.arange(40_000) / 8000)
    tone[10_000:20_000] = 0
    hush = np.full(600_000, 1e-4)  # more than a block of it
    record("padded/1.wav", np.concatenate([hush, tone, hush]), 12000, "FLOAT")
    record("bare/1.wav", tone, 12000, "FLOAT")
    settings = PrepareSettings(**FAST, levels=levels, resample="decimate", remove_dc=False, split=(1, 0, 0))
    padded, bare = (prepare([tmp_path / name], tmp_path / f"{name}.c", settings) for name in ("padded", "bare"))
    assert padded.tracks[0].source_start == 200_000
    assert np.array_equal(padded.samples("train"), bare.samples("train"))
    whole = prepare([tmp_path / "padded"], tmp_path / "c", settings.model_copy(update={"trim": 0.0}))
    assert len(whole.samples("train")) == -(-1_240_000 // 3)


def test_levels_of_the_whole_corpus_and_none(record: Record, tmp_path: Path) -> None:
    for i, peak in enumerate((0.05, 0.5, 0.0, 1.4)):
        record(f"a/{i}.wav", melody(2, 4000, peak=peak) - 0.01, 4000, "FLOAT")
    settings = PrepareSettings(**FAST, levels="corpus", remove_dc=False, split=(1, 0, 0))
    corpus = prepare([tmp_path / "a"], tmp_path / "c", settings)
    heights = [np.abs(corpus.samples("train")[t.start :][: t.frames]).max() / 32767 for t in corpus.tracks]
    loudest = np.abs(melody(2, 4000, peak=1.4) - 0.01).max()
    np.testing.assert_allclose(heights, [0.05 / 1.4, 0.5 / 1.4, 0, 1], atol=0.001)
    assert corpus.contents.common_gain == pytest.approx(1 / loudest)
    plain = prepare([tmp_path / "a"], tmp_path / "c", settings.model_copy(update={"levels": "none"}))
    assert [track.gain for track in plain.tracks] == [(1.0,)] * 4
    assert [track.clipped > 0 for track in plain.tracks] == [False, False, False, True]


def test_limiter_and_channel_reach_the_samples(record: Record, tmp_path: Path) -> None:
    stereo = np.stack([melody(2, 4000), np.zeros(8000)], axis=1)
    path = record("a.wav", stereo, 4000)
    rms = {}
    for limiter in (None, -12.0):
        settings = PrepareSettings(**FAST, limiter=limiter, channel="left", split=(1, 0, 0))
        samples = prepare([path], tmp_path / "c", settings).samples("train") / 32767
        rms[limiter] = np.sqrt(np.mean(samples**2))
        assert np.abs(samples).max() <= 1
    assert rms[-12.0] > 1.5 * rms[None]
    silent = prepare([path], tmp_path / "c", PrepareSettings(**FAST, channel="right", split=(1, 0, 0)))
    assert not silent.samples("train").any()


@pytest.mark.parametrize("length", [1, 100, 589, 5000])
@pytest.mark.parametrize("block", [37, 2000, 5000])
def test_the_limiter_is_what_its_formula_says_to_the_last_sample(length: int, block: int) -> None:
    """The formula sample by sample: each cut that a loud neighbour needs, averaged under a Hann window."""
    rng = np.random.default_rng(length)
    x = rng.standard_normal(length) * np.where(np.arange(length) // 400 % 2, 0.05, 0.5)
    x[-1] = 0.9  # loud to the end, so that the last gains are not 1
    reach, threshold = round(0.02 * 14700), 0.5
    hann = [0.5 + 0.5 * np.cos(np.pi * k / (reach + 1)) for k in range(-reach, reach + 1)]
    cuts = {}
    for i in range(-reach, length + reach):
        loudest = np.abs(x[max(0, i - reach) : max(0, i + reach + 1)]).max(initial=threshold)
        cuts[i] = 1 - threshold / loudest
    expected = [
        x[i] * (1 - sum(w * cuts[i + k] for k, w in zip(range(-reach, reach + 1), hann, strict=True)) / sum(hann))
        for i in range(length)
    ]
    found = np.concatenate(list(limit(np.split(x, range(block, length, block)), 14700, 20 * np.log10(threshold))))
    np.testing.assert_allclose(found, np.array(expected) / threshold, atol=1e-12)


@pytest.mark.slow
def test_priming_audio_is_levelled_as_the_corpus_was(album: Path, tmp_path: Path) -> None:
    for fields in (
        {},
        {"levels": "section", "resample": "decimate", "remove_dc": False},
        {"levels": "corpus", "limiter": -3.0},
    ):
        corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST, **fields))
        levelling = json.loads(json.dumps(corpus.levelling()))
        for track in corpus.tracks[:3]:
            primed = np.concatenate(list(audio_like_corpus(album / track.name, levelling)))
            stored = corpus.samples(track.split)[track.start :][: track.frames]
            primed = primed[track.source_start :][: track.frames]  # a corpus is trimmed
            assert np.array_equal(np.rint(primed * 32767), stored)


def test_hidden_files_and_the_corpus_itself_are_not_looked_at(album: Path) -> None:
    everything, _ = find([album])
    (album / "0/._0.flac").write_bytes(b"resource fork")
    (album / ".trash").mkdir()
    (album / ".trash/1.flac").write_bytes(b"gone")
    (album / "loop").symlink_to(album)
    assert find([album, album / "0"])[0] != everything  # names start with the paths' own, now that they are two
    assert [found.path for found in find([album, album / "0"])[0]] == [found.path for found in everything]
    assert find([album]) == (everything, 1)
    assert [f.name for f in find([album], exclude=album / "1")[0]] == [
        f.name for f in everything if not f.name.startswith("1/")
    ]


# Sections and splits


def test_every_sample_lies_in_one_section_of_one_track(album: Path, tmp_path: Path) -> None:
    corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST))
    assert {track.name for track in corpus.tracks} == {f"{i % 3}/{i}.flac" for i in range(10)}
    for split in SPLITS:
        edges = corpus.sections(split)
        assert edges[:, 1].max() == len(corpus.samples(split))
        assert np.array_equal(edges[1:, 0], edges[:-1, 1])
        starts = {track.start for track in corpus.tracks_of(split)}
        assert starts <= set(edges[:, 0].tolist())
        assert (np.diff(edges) <= corpus.section).all()


@given(
    st.lists(st.integers(1, 10**7), min_size=1, max_size=40),
    st.sampled_from([(0.88, 0.06, 0.06), (0.5, 0.5, 0.0), (1.0, 0.0, 0.0), (0.2, 0.3, 0.5)]),
    st.integers(0, 3),
)
@example([117_601], (0.5, 0.5, 0.0), 0)  # one sample more than two sections: it is not the third split's
def test_splits_are_whole_tracks_near_the_shares(
    lengths: list[int], shares: tuple[float, float, float], seed: int
) -> None:
    settings = PrepareSettings(split=shares, seed=seed)
    tracks = {f"{i}.wav": length for i, length in enumerate(lengths)}
    stretches = splits.assign(tracks, settings)
    assert stretches == splits.assign(tracks, settings)
    for name, length in tracks.items():  # nothing is lost, nothing is twice
        edges = [edge for stretch in stretches[name] for edge in (stretch.start, stretch.stop)]
        assert edges[0] == 0
        assert edges[-1] == length
        assert edges[1:-1:2] == edges[2::2]
    amounts = {s: sum(len(p) for ps in stretches.values() for p in ps if p.split == s) for s in SPLITS}
    wanted = sum(share > 0 for share in shares)
    for split, share in zip(SPLITS, shares, strict=True):
        assert share > 0 or amounts[split] == 0
        if share > 0 and len(tracks) >= wanted:
            assert amounts[split] > 0
            assert abs(amounts[split] - share * sum(lengths)) <= wanted * max(lengths)
    if len(tracks) >= wanted:
        assert all(len(parts) == 1 for parts in stretches.values())


def test_another_seed_deals_otherwise_and_one_more_track_moves_few() -> None:
    tracks = {f"{i}.wav": 1000 for i in range(30)}
    dealt = [
        {name: parts[0].split for name, parts in splits.assign(t, PrepareSettings(seed=seed)).items()}
        for t, seed in ((tracks, 0), (tracks, 1), ({**tracks, "new.wav": 1000}, 0))
    ]
    assert dealt[0] != dealt[1]
    assert sum(dealt[0][name] != dealt[2][name] for name in tracks) <= 2


SECONDS = {  # of the recordings, and what training gets of them
    "uneven three": ((12, 8, 4), 12),
    "in another order": ((4, 8, 12), 12),
    "one long of three": ((5, 5, 600), 600),
    "one long of four": ((10, 10, 10, 60), 70),
    "five": ((1, 2, 3, 4, 5), 12),
    "two long of seven": ((5, 600, 5, 5, 600, 5, 5), 1205),
    "two": ((12, 4), 14.08),
    "one": ((12,), 10.56),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("seconds", "least"), SECONDS.values(), ids=SECONDS)
def test_training_gets_its_share_of_uneven_recordings(seconds: tuple[int, ...], least: float, seed: int) -> None:
    lengths = {f"{i}.wav": 14700 * length for i, length in enumerate(seconds)}
    stretches = splits.assign(lengths, PrepareSettings(seed=seed))
    assert splits.training_share(stretches) >= min(least / sum(seconds), splits.LEAST_SHARE * 0.88) - 1e-9
    assert {part.split for parts in stretches.values() for part in parts} == set(SPLITS)


def test_a_deal_that_gives_training_enough_stays_as_it_was() -> None:
    """The dealing of earlier versions, written out: in the order of the hashes, to the split that lacks most."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        lengths = {f"{i}.wav": int(length) for i, length in enumerate(rng.integers(10**6, 2 * 10**6, 20))}
        lacking = {"train": 0.88, "valid": 0.06, "test": 0.06}
        lacking = {split: share * sum(lengths.values()) for split, share in lacking.items()}
        before = {}
        order = sorted(lengths, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        for i, name in enumerate(order):
            empty = sorted(lacking.keys() - before.values())
            choice = empty if len(order) - i == len(empty) else lacking
            before[name] = max(choice, key=lacking.__getitem__)
            lacking[before[name]] -= lengths[name]
        dealt = {name: parts[0].split for name, parts in splits.assign(lengths, PrepareSettings(seed=seed)).items()}
        assert dealt == before


def test_little_training_material_is_said_with_a_remedy(
    record: Record, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i, seconds in enumerate((2, 2, 2)):
        record(f"a/{i}.wav", melody(seconds, 4000, 200 + 50 * i), 4000)
    prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "training gets 33% of the duration instead of 88%" in line
    assert "cut long recordings into several files" in line
    caplog.clear()
    prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST, split=(0.34, 0.33, 0.33)))
    prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST, splits={"test": ("1.wav",), "train": ("2.wav",)}))
    record("a/0.wav", melody(20, 4000), 4000)
    prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST))
    assert not caplog.records


def test_a_lone_track_is_cut_into_stretches_between_sections(record: Record, tmp_path: Path) -> None:
    path = record("one.wav", melody(20, 4000), 4000)
    corpus = prepare([path], tmp_path / "c", PrepareSettings(**FAST))
    assert [(t.split, t.source_start, t.frames) for t in corpus.tracks] == [
        ("train", 0, 70000),
        ("valid", 70000, 6000),
        ("test", 76000, 4000),
    ]
    whole = prepare([path], tmp_path / "w", PrepareSettings(**FAST, split=(1, 0, 0))).samples("train")
    assert np.array_equal(np.concatenate([corpus.samples(split) for split in SPLITS]), whole)
    assert not whole.flags.writeable


def test_listed_splits(album: Path, tmp_path: Path) -> None:
    listed = {"train": ["0/3.flac", "0/9.flac"], "test": ["2/8.flac"]}
    corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST, splits=listed))
    assert {t.name: t.split for t in corpus.tracks} == {"0/3.flac": "train", "0/9.flac": "train", "2/8.flac": "test"}
    assert len(corpus.contents.left_out) == 7
    assert corpus.samples("valid").shape == (0,)
    assert corpus.sections("valid").shape == (0, 2)
    with pytest.raises(WavewrightError, match=r"no\.flac: listed in the splits but not found"):
        prepare([album], tmp_path / "c", PrepareSettings(splits={"train": ["no.flac"]}))


def test_names_from_several_paths(album: Path, record: Record, tmp_path: Path) -> None:
    record("b/0.flac", melody(2, 4000), 4000)
    corpus = prepare([album / "0", tmp_path / "b", album / "0/3.flac"], tmp_path / "c", PrepareSettings(**FAST))
    assert sorted({t.name for t in corpus.tracks}) == ["0/0.flac", "0/3.flac", "0/6.flac", "0/9.flac", "b/0.flac"]
    record("again/b/0.flac", melody(2, 4000), 4000)
    with pytest.raises(WavewrightError, match=r"would both be called b/0\.flac"):
        prepare([tmp_path / "b", tmp_path / "again/b"], tmp_path / "c", PrepareSettings(**FAST))
