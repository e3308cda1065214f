"""Amplitudes to codes and back: bounds, order, silence and emphasis, for any number of levels and both encodings."""

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


EMPHASES = st.floats(0.01, 0.99)


@given(AMPLITUDES, LEVELS, ENCODINGS, EMPHASES)
def test_de_emphasis_of_emphasised_sound_is_the_sound(
    x: np.ndarray, levels: int, encoding: Encoding, emphasis: float
) -> None:
    """To within half a bin for every sample that still sounds, in all 1 + E + E^2 + ... of them."""
    quantizer = Quantizer(levels, encoding, emphasis)
    x = x / (1 + emphasis)  # so that no difference is beyond 1
    mu = levels - 1
    slope = 1.0 if encoding == "linear" else np.log1p(mu) * (1 + mu) / mu
    error = np.abs(quantizer.decode(quantizer.encode(x)) - x).max()
    assert error <= slope / levels / (1 - emphasis) * (1 + 1e-6) + 1e-6


@given(AMPLITUDES, LEVELS, ENCODINGS, EMPHASES, st.floats(-1, 1))
def test_codes_stand_for_differences(
    x: np.ndarray, levels: int, encoding: Encoding, emphasis: float, before: float
) -> None:
    """Against the equation sample by sample."""
    differences = [b - emphasis * a for a, b in zip([before, *x[:-1]], x, strict=True)]
    expected = Quantizer(levels, encoding).encode(np.array(differences))
    assert np.array_equal(Quantizer(levels, encoding, emphasis).encode(x, before), expected)


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(0, 30), st.integers(1, 3), ENCODINGS)
def test_blocks_decode_to_the_bits_of_the_whole(parts: list[int], primed: int, rows: int, encoding: Encoding) -> None:
    """Against the recursion sample by sample. All streams continue one prime."""
    quantizer = Quantizer(64, encoding, 0.85)
    random = np.random.default_rng(sum(parts))
    prime, codes = random.integers(0, 64, primed), random.integers(0, 64, (rows, sum(parts) + 9))
    decoder = quantizer.decoder()
    heard = list(decoder.follow(np.split(prime, [primed // 3])))
    assert np.array_equal(np.concatenate(heard), prime)
    blocks = [decoder(block) for block in np.split(codes, np.cumsum(parts), 1)]
    found = np.concatenate(blocks, 1)
    whole = np.concatenate((np.tile(prime, (rows, 1)), codes), 1)
    assert found.dtype == np.float32
    assert np.array_equal(found, quantizer.decode(whole)[:, primed:])
    centres = (2 * whole + 1) / 64 - 1
    if encoding == "mu-law":
        centres = np.sign(centres) * (64.0 ** np.abs(centres) - 1) / 63
    for row, expected in zip(centres, found, strict=True):
        x, sound = 0.0, []
        for centre in row:
            x = centre + 0.85 * x
            sound.append(min(1.0, max(-1.0, x)))
        np.testing.assert_allclose(expected, sound[primed:], atol=1e-6)


@given(st.integers(0, 30), st.integers(0, 30), st.lists(st.integers(1, 29), max_size=3))
def test_a_part_of_recordings_has_the_codes_of_the_whole(start: int, length: int, later: list[int]) -> None:
    samples = Recordings(np.random.default_rng(length).integers(-32768, 32767, 30).astype(np.int16), later)
    quantizer = Quantizer(256, "mu-law", 0.7)
    alone = [quantizer.encode_int16(part) for part in np.split(samples.samples, samples.starts[1:])]
    found = quantizer.encode_part(samples, start, start + length)
    assert found.tolist() == np.concatenate(alone)[start : start + length].tolist()


class Recordings:
    """Samples of several recordings, as a corpus's reader gives them."""

    def __init__(self, samples: np.ndarray, later: list[int]) -> None:
        self.samples, self.starts = samples, np.unique([0, *later])

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.samples[part]
