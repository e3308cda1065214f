"""Corpora of impulse responses, and takes of models that were trained on them."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import fingerprint, refusal
from support.impulses import RATE, Signal, held, room
from support.tiny import tiny
from wavewright.corpus import impulse
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.impulse import Envelope, Room, without_decay
from wavewright.corpus.prepare import prepare
from wavewright.corpus.rendering import audio_like_corpus
from wavewright.corpus.settings import prepare_settings
from wavewright.errors import ConfigError, WavewrightError
from wavewright.models.condition import Category, Condition, Decay, Number, Time
from wavewright.playing import opening
from wavewright.playing.performance import read_performance
from wavewright.playing.sound import sounds
from wavewright.playing.stream import play
from wavewright.quantize import to_amplitude
from wavewright.sampling import Controls
from wavewright.training.loop import Budget
from wavewright.training.run import train

Record = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]
PLATES = tuple(
    f"emt140_plate/emt_140_{name}" for name in ("bright_1", "bright_2", "bright_3", "dark_1", "dark_3", "medium_1",
    "medium_2", "medium_3")
)  # fmt: skip
ROOMS = ("openair/arthur_sykes_rymer_auditorium_W_44k", "openair/jack_lyons_hall_W_44k",
         "openair/st_margarets_church_W_44k", "seminar_room_clap_cc0")  # fmt: skip


@pytest.fixture
def rooms(record: Record, tmp_path: Path) -> Path:
    """Two halls and a plate, with a pause before one, another rate, and what is none of these."""
    halls = {"hall/a": (1.2, 1.0, 0.8, 0.5), "hall/b": (2.0, 1.6, 1.2, 0.6), "plate/c": (0.8, 0.8, 0.6, 0.4)}
    for seed, (name, times) in enumerate(halls.items()):
        record(f"in/{name}.wav", np.concatenate((np.zeros(5000 * seed), room(times, seed))), RATE)
    record("in/plate/loop.wav", held(), RATE)
    return tmp_path / "in"


SETTINGS = prepare_settings("impulse-responses", split=(1, 0, 0))


def test_a_corpus_of_impulse_responses(rooms: Path, tmp_path: Path, wavewright: Command) -> None:
    ran = wavewright("prepare", rooms, "--preset", "impulse-responses", "--split", "1,0,0", "--out", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"controls: space \(2 classes\), t60 \(0\.\d+ to 1\.\d+\), direct .*, time \(0 to ", ran.stdout)
    corpus = Corpus.open(tmp_path / "out")
    assert corpus.rate == RATE
    assert [one.name for one in corpus.refused] == ["plate/loop.wav"]
    assert "no impulse response" in corpus.refused[0].reason
    assert len(corpus.sections("train")) == len(corpus.tracks) == 3
    space, decay, direct, time = corpus.controls
    assert space == Category("space", ("hall", "plate"))
    assert (decay.name, direct.name, type(decay), type(time)) == ("t60", "direct", Decay, Time)
    for track in corpus.tracks:
        samples = to_amplitude(corpus.samples("train")[track.start : track.start + track.frames])
        assert np.argmax(np.abs(samples)) == 44 or track.gain[0] < 1
        assert np.abs(samples).max() == pytest.approx(1)
        recording, _ = soundfile.read(rooms / track.name)
        sound, known = without_decay(recording.astype(np.float32).astype(np.float64), RATE)
        assert (track.clipped, track.decay) == (0, known.times)
        assert track.labels == {"space": track.name.split("/")[0], "t60": known.t60, "direct": known.direct}
        np.testing.assert_allclose(samples, sound * track.gain[0], atol=2e-5)
    relative = [np.array(track.decay) / track.decay[1] for track in corpus.tracks]
    assert isinstance(decay, Decay)
    assert decay.ratios == pytest.approx(tuple(np.median(relative, 0)))


def test_the_same_bytes_for_any_number_of_workers(rooms: Path, tmp_path: Path) -> None:
    one, two = (fingerprint(prepare([rooms], tmp_path / f"{n}", SETTINGS, n).path) for n in (1, 2))
    assert one == two


def test_the_decay_time_has_a_logarithmic_scale(rooms: Path, tmp_path: Path) -> None:
    corpus = prepare([rooms], tmp_path / "out", SETTINGS)
    frames = Conditions(corpus, "train", Condition(corpus.controls))
    times = [float(track.labels["t60"]) for track in corpus.tracks]
    found = [frames.frames(track.start, 0, 1)[0, 2] for track in corpus.tracks]
    logs = np.log(times)
    np.testing.assert_allclose(found, 2 * (logs - logs.min()) / np.ptp(logs) - 1, atol=1e-5)


def test_a_recording_is_levelled_like_the_corpus_without_its_decay(rooms: Path, tmp_path: Path) -> None:
    corpus = prepare([rooms], tmp_path / "out", SETTINGS)
    track = next(track for track in corpus.tracks if track.name == "hall/b.wav")
    found = np.concatenate([*audio_like_corpus(rooms / track.name, corpus.levelling())])
    np.testing.assert_array_equal(found, to_amplitude(corpus.samples("train")[track.start :][: track.frames]))


def test_labels_in_the_place_of_folders(rooms: Path, tmp_path: Path) -> None:
    assert prepare([rooms], tmp_path / "named", SETTINGS, labels="{take}").controls[0] == Category(
        "take", ("a", "b", "c")
    )
    alone = prepare([rooms / "hall/a.wav"], tmp_path / "alone", SETTINGS)  # without a folder
    decay, direct, _ = alone.controls
    assert isinstance(decay, Decay)
    assert isinstance(direct, Number)
    assert decay.high == pytest.approx(2 * decay.low)
    with pytest.raises(WavewrightError, match=r"t60, t60, direct, time; give each name once"):
        prepare([rooms], tmp_path / "twice", SETTINGS, labels="{t60}")


@pytest.mark.parametrize("fields", [{"rate": 22050}, {"resample": "decimate"}])
def test_settings_that_an_impulse_response_cannot_have(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="impulse_responses: needs a rate of 32000 or more"):
        prepare_settings("impulse-responses", **fields)


@pytest.mark.slow
def test_real_impulse_responses_are_kept_and_other_sounds_refused(data: Path, tmp_path: Path) -> None:
    """Every plate, hall and room is kept. Cabinets and heads have no decay, and notes, drums and music are no rooms."""
    others = [*(data / "irs/guitar_cab_adventurekid").iterdir(), *sorted((data / "irs/kemar_hrir").iterdir())[:6]]
    for folder in ("avl_drums", "cc0_sonicpi", "piano_steinway"):
        others += sorted((data / "oneshots" / folder).rglob("*.flac"))[::6]
    others += [data / "piano/grieg/grieg_walzer.flac", *sorted((data / "speech_digits").rglob("*.flac"))[::80]]
    for name in (*PLATES, *ROOMS):
        shutil.copyfile(data / f"irs/{name}.flac", tmp_path / f"{name.replace('/', '_')}.flac")
    for i, other in enumerate(others):
        shutil.copyfile(other, tmp_path / f"other-{i}{other.suffix}")
    corpus = prepare([tmp_path], tmp_path / "out", SETTINGS, workers=2)
    assert {track.name for track in corpus.tracks} == {f"{name.replace('/', '_')}.flac" for name in (*PLATES, *ROOMS)}
    assert len(corpus.refused) == len(others)
    known = {track.name: Room(track.decay, float(track.labels["direct"])) for track in corpus.tracks}
    hall = known["openair_jack_lyons_hall_W_44k.flac"]  # with its bands from `test_a_room...`'s independent filters
    assert hall.t60 == pytest.approx(1.79, rel=0.1)
    summary = json.loads((corpus.path / "corpus.json").read_text())
    assert all(one["reason"] for one in summary["refused"])


# Takes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run of two steps, whose takes are noise, on two rooms at 32 kHz."""
    folder = tmp_path_factory.mktemp("rooms")
    for name, seed in (("hall/a", 0), ("plate/b", 1)):
        (folder / "in" / name).parent.mkdir(parents=True)
        soundfile.write(folder / f"in/{name}.wav", room((0.5 + 0.4 * seed,) * 3 + (0.3,), seed, 3e-5), RATE)
    settings = prepare_settings("impulse-responses", rate=32000, split=(1, 0, 0))
    corpus = prepare([folder / "in"], folder / "corpus", settings)
    config = tiny("naive-rnn", {"condition": {"controls": [asdict(control) for control in corpus.controls]}})
    train(config, corpus, folder / "run", Budget(steps=2), device="cpu")
    return folder / "run"


def take(run: Path, wavewright: Command, out: Path, *options: object) -> Signal:
    ran = wavewright("generate", run, "--out", out, *options)
    assert ran.returncode == 0, ran.stderr
    samples, rate = soundfile.read(out)
    assert rate == 32000
    return samples


@pytest.mark.slow
def test_a_take_has_the_decay_that_was_asked_for(run: Path, wavewright: Command, tmp_path: Path) -> None:
    options = ("--control", "space=hall", "--control", "t60=0.8", "--seed", 3, "--guard", "off")
    samples = take(run, wavewright, tmp_path / "a.wav", *options)
    assert len(samples) == 0.8 * 32000  # 60 dB
    model = opening.open_model(run)
    part = read_performance(model, settings=("space=hall", "t60=0.8"))
    blocks = play(model, len(samples), seed=3, controls=Controls(part=part), guard=False)
    sound = model.quantizer.decoder()(np.concatenate([*blocks], 1))[0]
    assert model.config.condition is not None
    ratios = model.config.condition.controls[1].ratios
    steady = impulse.steady(sound.astype(np.float64), 32000)
    due = impulse.without_rumble(impulse.falling([0.8 * ratio for ratio in ratios]).put_back(steady, 32000), 32000)
    np.testing.assert_allclose(samples[:-320], due[:-320], atol=2e-5)  # from its first sample on, before the fade
    assert abs(samples[-1]) < 1e-4
    assert impulse.measured(samples, 32000).times[1] == pytest.approx(0.8, rel=0.1)


@pytest.mark.slow
def test_a_decay_that_overshoots_is_limited(run: Path) -> None:
    """A square wave at full scale that loses its treble at once."""
    model = opening.open_model(run)
    codes = np.where(np.arange(4000) // 40 % 2, 63, 0)[None]
    decay = Envelope((9.0, 9.0, 9.0, 0.01), (np.inf,) * 4)
    square = impulse.steady(model.quantizer.decoder()(codes)[0].astype(np.float64), 32000)
    plain = impulse.without_rumble(decay.put_back(square, 32000), 32000)
    assert np.abs(plain).max() > 1.02
    sound = np.concatenate([*sounds(model, [codes], count=1, rate=32000, frames=4000, decay=decay)], 1)
    np.testing.assert_allclose(sound[0, :-320], np.clip(plain, -1, 1)[:-320], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--free"], "--control t60: missing; give the decay time, [\\d.]+ to [\\d.]+ seconds"),
        (["--control", "space=hall"], "--control t60: missing"),
        (["--control", "t60=0.8", "--seconds", 21], "--seconds 21: the model makes impulse responses; give up to 20"),
        (["--control", "t60=0.8", "--prime", "PRIME"], "--prime: the model makes impulse responses"),
        (["--control", "t60=-1"], "t60: -1; give 0"),
    ],
)
def test_takes_that_cannot_be_made(
    options: list[object], line: str, run: Path, wavewright: Command, tmp_path: Path
) -> None:
    options = [run.parent / "in/hall/a.wav" if option == "PRIME" else option for option in options]
    assert re.search(line, refusal(wavewright("generate", run, "--out", tmp_path / "a.wav", *options)))
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.slow
def test_impulse_responses_are_no_stream(run: Path, wavewright: Command) -> None:
    assert "which are no stream" in refusal(wavewright("generate", run, "--control", "t60=0.8", "--out", "-"))
    assert "which are no stream" in refusal(wavewright("play", run, "--midi", "any"))
