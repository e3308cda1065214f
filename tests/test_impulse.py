"""Impulse responses: what is measured of them, their decay taken out and put back, and corpora of them."""

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
from numpy.typing import NDArray

from conftest import fingerprint, melody, refusal
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
Signal = NDArray[np.float64]

RATE = 44100
BANDS = ((0, 345), (345, 1378), (1378, 5513), (5513, 22050))  # Hz
PLATES = tuple(
    f"emt140_plate/emt_140_{name}" for name in ("bright_1", "bright_2", "bright_3", "dark_1", "dark_3", "medium_1",
    "medium_2", "medium_3")
)  # fmt: skip
ROOMS = ("openair/arthur_sykes_rymer_auditorium_W_44k", "openair/jack_lyons_hall_W_44k",
         "openair/st_margarets_church_W_44k", "seminar_room_clap_cc0")  # fmt: skip


def noise(seconds: float, seed: int = 0, low: float = 0, high: float = RATE / 2) -> Signal:
    """White noise, or that part of it between two frequencies in Hz."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(round(seconds * RATE)))
    hertz = np.fft.rfftfreq(round(seconds * RATE), 1 / RATE)
    return np.fft.irfft(spectrum * ((low <= hertz) & (hertz < high)), round(seconds * RATE))


def decaying(t60: float, seconds: float) -> Signal:
    """A fall by 60 dB in `t60` seconds: 10^(-3 t / t60)."""
    return 10 ** (-3 * np.arange(round(seconds * RATE)) / RATE / t60)


def room(times: tuple[float, ...] = (1.2, 1.0, 0.8, 0.5), seed: int = 0, floor: float = 0.0) -> Signal:
    """A click and a tail whose bands have decay times of their own, above a noise."""
    seconds = 1.5 * max(times)
    tail = sum(noise(seconds, seed, *band) * decaying(time, seconds) for band, time in zip(BANDS, times, strict=True))
    found = 0.03 * tail + floor * noise(seconds, seed + 99)
    found[0] = 0.9
    return found


# The mathematics


@pytest.mark.parametrize("t60", [0.2, 0.5, 1.0, 2.0, 5.0])
def test_the_decay_time_of_noise_that_decays(t60: float) -> None:
    """The mean over eight noises is within 2 percent, also where the recording ends at -45 dB."""
    frame = 64 / RATE
    found = []
    for seed in range(8):
        energy = np.square(noise(0.75 * t60, seed) * decaying(t60, 0.75 * t60))
        energy = energy[: len(energy) // 64 * 64].reshape(-1, 64).sum(1)
        measured = impulse.decay_time(energy, frame)
        assert measured is not None
        found.append(measured[0])
    assert np.mean(found) == pytest.approx(t60, rel=0.02)


def test_the_noise_is_found_and_the_decay_time_is_that_above_it() -> None:
    """Without noise in the integral, the line would be flatter. The two cross where 0.1 10^(-3 t / 1.2) is 0.0003."""
    energy = np.square(0.1 * noise(3.0) * decaying(1.2, 3.0) + 3e-4 * noise(3.0, 1))[: 3 * RATE // 64 * 64]
    measured = impulse.decay_time(energy.reshape(-1, 64).sum(1), 64 / RATE)
    assert measured is not None
    assert measured == (pytest.approx(1.2, rel=0.04), pytest.approx(1.2 * np.log10(0.1 / 3e-4) / 3, abs=0.06))


def test_what_does_not_decay_has_no_decay_time() -> None:
    assert impulse.decay_time(np.ones(1000), 0.003) is None
    assert impulse.decay_time(np.zeros(1000), 0.003) is None
    assert impulse.decay_time(np.ones(1), 0.003) is None
    assert impulse.decay_time(np.arange(1000.0), 0.003) is None


@pytest.mark.parametrize("samples", [1, 17, 44100, 100_003])
def test_the_bands_sum_to_the_whole(samples: int) -> None:
    """Nothing is taken out of bands that do not grow."""
    sound = np.random.default_rng(0).standard_normal(samples)
    still = Envelope((1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.0, 0.0))
    np.testing.assert_allclose(still.take_out(sound, RATE), sound, atol=1e-12)


@pytest.mark.parametrize("rate", [32000, 44100, 48000, 96000])
def test_a_decay_with_two_slopes_is_taken_out_and_put_back(rate: int) -> None:
    time = np.arange(2 * rate) / rate
    response = np.random.default_rng(0).standard_normal(len(time)) * (
        10 ** (-3 * time / 0.4) + 0.03 * 10 ** (-2 * time)
    )
    response /= np.abs(response).max()
    envelope = Envelope((0.9, 0.5, 0.4, 0.3), (0.9, 0.5, 0.3, 0.2))
    sound = envelope.take_out(response, rate)
    assert np.abs(sound - response).max() > 0.1
    np.testing.assert_allclose(envelope.put_back(sound, rate), response, atol=1e-4)


def test_one_decay_time_for_all_bands_is_one_exponential() -> None:
    """But for the steps from frame to frame of 2.9 ms, which are 2 percent here."""
    time = np.maximum(np.arange(RATE) / RATE - 128 / RATE, 0)
    plain = noise(1.0)
    found = impulse.falling((1.0,) * 4).put_back(plain, RATE)
    error = found - plain * 10 ** (-3 * time)
    assert np.sqrt(np.mean(np.square(error))) < 0.01 * np.sqrt(np.mean(np.square(found)))


def test_a_decay_is_put_back_as_the_model_file_s_page_says() -> None:
    """With loops over frames and coefficients, at 32 kHz."""
    sound, times, size = np.random.default_rng(1).standard_normal(450), (0.02, 0.01, 0.005, 0.003), 93
    padded, found = np.concatenate((np.zeros(size), sound, np.zeros(3 * size))), np.zeros(8 * size)
    for m in range(6):  # 450 / 93, rounded up, is 5
        for k in range(size):
            wave = np.array(
                [
                    np.sin(np.pi * (j + 0.5) / (2 * size)) * np.cos(np.pi * (j + 0.5 + size / 2) * (k + 0.5) / size)
                    for j in range(2 * size)
                ]
            )
            band = sum(k >= edge for edge in (2, 8, 32))
            gain = 10 ** (-3 * max(0, m - 1) * size / 32000 / times[band])
            part = slice(m * size, (m + 2) * size)
            found[part] += gain * 2 / size * np.dot(padded[part], wave) * wave
    due = found[size:][:450]
    np.testing.assert_allclose(impulse.falling(times).put_back(sound, 32000), due, atol=1e-12)


def test_another_decay_time_may_be_put_back() -> None:
    """The sound's own decay times are forgotten, and each band has the new one, in the mean over eight rooms."""
    wanted, found = (1.5, 1.5, 1.2, 0.9), []
    for seed in range(8):
        sound, _ = without_decay(room(seed=seed, floor=3e-5), RATE)
        found.append(impulse.measured(impulse.falling(wanted).put_back(sound, RATE), RATE).times)
    assert np.mean(found, 0) == pytest.approx(wanted, rel=0.08)


def test_a_wrong_decay_time_makes_nothing_grow_by_more_than_60_db() -> None:
    plain = noise(3.0)
    loud = Envelope((0.01,) * 4, (0.01,) * 4).take_out(plain, RATE)
    assert np.isfinite(loud).all()
    assert np.linalg.norm(loud) <= 1000 * np.linalg.norm(plain) * (1 + 1e-9)
    sound, _ = without_decay(room((2.0, 1.0, 0.8, 0.4), floor=3e-4), RATE)  # above noise at -40 dB
    assert np.abs(sound).max() < 1.5


@pytest.mark.parametrize("delay", [0, 10, 44, 3000])
@pytest.mark.parametrize("quiet", [0.0, 1e-3, 0.02])
def test_the_direct_sound_is_found_after_a_delay_with_noise(delay: int, quiet: float) -> None:
    before = quiet * np.random.default_rng(5).uniform(-1, 1, delay)
    recording = np.concatenate((before, room()))
    assert impulse.find_direct(recording, RATE) == delay
    sound, _ = without_decay(recording, RATE)
    assert np.argmax(np.abs(sound)) == round(0.001 * RATE)


def test_the_direct_sound_is_not_a_later_reflection() -> None:
    recording = room()
    recording[1000] = -1.0  # louder than the direct sound
    assert impulse.find_direct(recording, RATE) == 0


def test_the_direct_sound_is_the_peak_of_a_click_that_rises() -> None:
    recording = np.concatenate((np.zeros(200), room()))
    recording[180] = 0.2
    assert impulse.find_direct(recording, RATE) == 200


def test_a_band_that_is_mostly_noise_does_not_grow() -> None:
    """Its own decay time cannot be known, and so it has the middle band's."""
    hum = 0.01 * noise(1.8, 7, 0, 150)
    sound, known = without_decay(room(floor=3e-5) + hum, RATE)
    assert known.times[0] == known.times[1] == pytest.approx(1.0, rel=0.1)
    spectrum = np.fft.rfft(sound[2000:])
    spectrum[round(150 * len(sound[2000:]) / RATE) :] = 0
    assert np.std(np.fft.irfft(spectrum)) < 1.5 * np.std(hum)


def test_treble_that_is_lost_in_noise_does_not_make_it_another_sound() -> None:
    hiss = 0.02 * noise(1.8, 7, 5513, 20000)
    sound, known = without_decay(room(floor=3e-5) + hiss, RATE)
    assert known.times[3] == known.times[1]
    assert np.abs(sound).max() < 1


def test_what_cannot_be_heard_is_left_out() -> None:
    """Such as a converter's noise, which would grow by 60 dB."""
    time = np.arange(2 * 48000) / 48000
    plain = np.random.default_rng(0).standard_normal(len(time)) * 10 ** (-3 * time) * 0.03
    spectrum = np.fft.rfft(plain)
    damped = np.fft.irfft(np.where(np.arange(len(spectrum)) / 2 < 5513, spectrum, 0)) + 10 ** (
        -3 * time
    ) * np.fft.irfft(np.where(np.arange(len(spectrum)) / 2 >= 5513, spectrum, 0))
    damped[0] = 0.9
    sound, known = without_decay(damped + 1e-3 * np.sin(2 * np.pi * 22500 * time), 48000)
    assert known.t60 == pytest.approx(1.0, rel=0.1)
    tone = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    hertz = np.arange(len(tone)) * 48000 / len(sound)
    assert tone[hertz > 22000].max() < 0.1 * tone[hertz < 20000].max()


def test_the_direct_ratio_is_that_of_energies() -> None:
    response = np.zeros(RATE)
    response[[44, 100, 400]] = 0.8, 0.2, 0.1  # at 1, 2.3 and 9 ms
    assert impulse.direct_ratio(response, RATE) == pytest.approx(10 * np.log10((0.64 + 0.04) / 0.01), abs=1e-3)
    assert impulse.direct_ratio(np.eye(1, RATE, 44)[0], RATE) == pytest.approx(60, abs=0.01)


def test_a_room_of_known_decay_times() -> None:
    times = (1.2, 1.0, 0.8, 0.5)
    found = np.mean([without_decay(room(times, seed), RATE)[1].times for seed in range(6)], 0)
    assert found == pytest.approx(times, rel=0.05)
    sound, known = without_decay(room(times, floor=3e-5), RATE)
    assert known.t60 == known.times[1]
    assert len(sound) == pytest.approx(max(known.times) * RATE, rel=0.02)
    levels = [10 * np.log10(np.mean(np.square(part))) for part in np.array_split(sound[1000:], 5)]
    assert np.ptp(levels) < 4  # it fell by 50 dB


def held(seconds: float = 2.0) -> Signal:
    return 0.5 * melody(seconds, RATE)


@pytest.mark.parametrize(
    ("recording", "reason"),
    [
        (np.zeros(RATE), "it is silent"),
        (np.zeros(0), "it is silent"),
        (np.ones(1) / 2, "it does not decay"),
        (np.tile(room(), 14)[: 21 * RATE], "it is longer than 20 s"),
        (held(), "it does not decay by 30 dB|begins without the treble"),
        (np.tile(room()[: RATE // 4], 8), "it does not decay by 30 dB"),
        (noise(1.0), "it does not decay by 30 dB"),
        (room((0.2, 0.15, 0.12, 0.1)), "its decay time is 0.1. s, not 0.3 to 20 s"),
        (room((1.0, 1.0, 1.0, 1.0)), "its treble lasts as long as the rest"),
        (room() + 3 * noise(1.8, 3, 0, 300) * decaying(1.0, 1.8), "it begins without the treble of a click"),
        (
            room()
            + 0.05 * np.roll(noise(1.8, 3, 400, 1300) * decaying(1.0, 1.8), RATE // 4) * (np.arange(79380) > RATE // 4),
            "it decays unevenly",
        ),
        (room() + 0.1 * np.sin(np.arange(len(room())) / 9) * decaying(1.0, 1.8), "it has tones"),
    ],
)
def test_what_is_no_impulse_response_is_refused_with_its_reason(recording: Signal, reason: str) -> None:
    with pytest.raises(WavewrightError, match=reason) as caught:
        without_decay(recording, RATE)
    assert "\n" not in str(caught.value)


# Corpora


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


def test_the_control_of_a_decay_time_and_its_seconds() -> None:
    decay = Decay("t60", 0.5, 2.0, ratios=(1.0, 1.0, 1.0, 0.5))
    assert [decay.feature(seconds) for seconds in (0.5, 1.0, 2.0)] == pytest.approx([-1, 0, 1])
    assert decay.seconds(0.5) == pytest.approx(2**0.5)
    condition = Condition((Category("space", ("a", "b")), Number("size", 0, 1), decay))
    assert (condition.decay, condition.dense_offset(decay)) == (decay, 3)
    with pytest.raises(ValueError, match="more than one decay"):
        Condition((decay, Decay("other", 1, 2, ratios=(1.0,) * 4)))
    with pytest.raises(ValueError, match="a decay time is more than 0"):
        Decay("t60", 0, 2, ratios=(1.0,) * 4)
