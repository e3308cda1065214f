"""Impulse responses: what is measured of them, and their decay taken out and put back."""

import numpy as np
import pytest

from support.impulses import RATE, Signal, decaying, held, noise, room
from wavewright.corpus import impulse
from wavewright.corpus.impulse import Envelope, without_decay
from wavewright.errors import WavewrightError
from wavewright.models.condition import Category, Condition, Decay, Number

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
