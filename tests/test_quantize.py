"""Amplitudes to codes and back: bounds, order, silence, for any number of levels and both encodings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavewright.quantize import Encoding, Quantizer, silence

LEVELS = st.integers(2, 65536)
ENCODINGS = st.sampled_from(["linear", "mu-law"])
AMPLITUDES = st.lists(st.floats(-1, 1), min_size=1, max_size=50).map(np.array)


@given(AMPLITUDES, LEVELS, ENCODINGS)
def test_a_round_trip_stays_in_its_bin(x: np.ndarray, levels: int, encoding: Encoding) -> None:
    codes = Quantizer(levels, encoding).encode(x)
    assert codes.min() >= 0
    assert codes.max() < levels
    mu = levels - 1
    slope = 1.0 if encoding == "linear" else np.log1p(mu) * (1 + mu) / mu  # the expander is steepest at 1
    assert np.abs(Quantizer(levels, encoding).decode(codes) - x).max() <= slope / levels * (1 + 1e-6) + 1e-6


@given(LEVELS, ENCODINGS)
def test_every_code_comes_back(levels: int, encoding: Encoding) -> None:
    codes = np.unique(np.linspace(0, levels - 1, 500).round().astype(int))
    assert np.array_equal(Quantizer(levels, encoding).encode(Quantizer(levels, encoding).decode(codes)), codes)


@given(AMPLITUDES, LEVELS, ENCODINGS)
def test_louder_never_takes_a_lower_code(x: np.ndarray, levels: int, encoding: Encoding) -> None:
    x.sort()
    assert (np.diff(Quantizer(levels, encoding).encode(x)) >= 0).all()


@given(st.integers(1, 32768).map(lambda half: 2 * half), ENCODINGS)
def test_silence_is_the_code_of_zero_and_codes_are_symmetric(levels: int, encoding: Encoding) -> None:
    assert Quantizer(levels, encoding).encode(np.zeros(1))[0] == silence(levels)
    codes = np.arange(min(levels, 1000))
    np.testing.assert_allclose(
        Quantizer(levels, encoding).decode(codes), -Quantizer(levels, encoding).decode(levels - 1 - codes), atol=1e-7
    )


def test_the_thesis_bins() -> None:
    """256 equal bins over [-1, 1]; what lies beyond is clipped."""
    x = np.array([-2.0, -1.0, -1 + 2 / 256 - 1e-9, -1 + 2 / 256, 0.0, 1.0, 2.0])
    assert Quantizer(256, "linear").encode(x).tolist() == [0, 0, 0, 1, 128, 255, 255]
    assert Quantizer(256, "linear").decode(np.array([0, 128, 255])).tolist() == [-255 / 256, 1 / 256, 255 / 256]


def test_mu_law_follows_its_formula() -> None:
    x = np.linspace(-1, 1, 1001)
    companded = np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)
    assert np.array_equal(Quantizer(256, "mu-law").encode(x), np.clip(np.floor((companded + 1) * 128), 0, 255))


@pytest.mark.parametrize("encoding", ["linear", "mu-law"])
def test_the_table_of_16_bit_samples(encoding: Encoding) -> None:
    samples = np.array([-32767, -1, 0, 1, 12345, 32767], np.int16)
    quantizer = Quantizer(1024, encoding)
    assert np.array_equal(quantizer.encode_int16(samples), quantizer.encode(samples / 32767))
