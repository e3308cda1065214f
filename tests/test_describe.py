"""Loudness, brightness and pitch of sounds that are known."""

import numpy as np
import pytest

from wavewright.conditioning import describe
from wavewright.conditioning.describe import HOP, MEASURES, PIECE
from wavewright.quantize import to_amplitude

RATE = 16000
TIME = np.arange(RATE) / RATE


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("length", [1, HOP, HOP + 1, 5000])
def test_there_is_a_value_for_each_hop(name: str, length: int) -> None:
    assert len(MEASURES[name](0.1 * np.sin(2 * np.pi * 440 * TIME[:length]), RATE)) == -(-length // HOP)


def test_loudness_is_that_of_the_sine_around_each_hop() -> None:
    sine = np.sin(2 * np.pi * 1000 * TIME) * np.where(TIME < 0.5, 1, 0.01)
    found = describe.loudness(sine, RATE)
    np.testing.assert_allclose(found[4:28], -3.01, atol=0.1)  # a full sine has -3.01 dBFS
    np.testing.assert_allclose(found[35:59], -43.01, atol=0.1)
    edge = np.flatnonzero(found < -20)[0]
    assert abs(edge * HOP / RATE - 0.5) < 0.05
    assert (describe.loudness(np.zeros(1000), RATE) == -80).all()


@pytest.mark.parametrize("hertz", [200.0, 440.0, 3000.0])
def test_brightness_of_a_sine_is_its_key(hertz: float) -> None:
    found = describe.brightness(np.sin(2 * np.pi * hertz * TIME), RATE)
    np.testing.assert_allclose(found[4:-4], 69 + 12 * np.log2(hertz / 440), atol=0.5)
    assert np.isnan(describe.brightness(np.zeros(1000), RATE)).all()


def test_pitch_of_a_tone_and_of_noise() -> None:
    tone = sum(np.sin(2 * np.pi * 220 * k * TIME) / k for k in range(1, 6))
    found = describe.pitch(0.2 * np.asarray(tone), RATE)
    np.testing.assert_allclose(found[8:-8], 57, atol=0.2)
    noise = describe.pitch(np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    assert np.isnan(noise).mean() > 0.8


@pytest.mark.parametrize("length", [1, PIECE, PIECE + 1, 2 * PIECE + 777])
def test_a_long_recording_is_measured_in_parts(length: int) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, length).astype(np.int16)
    for name in ("loudness", "brightness"):
        parts = [describe.part(name, samples, RATE, start) for start in range(0, length, PIECE)]
        np.testing.assert_allclose(np.concatenate(parts), MEASURES[name](to_amplitude(samples), RATE), rtol=1e-5)
