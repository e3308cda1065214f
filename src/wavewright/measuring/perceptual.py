"""Compare sounds as an ear does that forgives phase, through librosa and auraloss, which load when used.

Every comparison of a generated sound with real ones comes beside a baseline, the median of the same for each real sound
against the others, since no figure here means anything alone. See docs/evaluation.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright import errors
from wavewright.measuring.similarity import SILENT

Sound = NDArray[np.floating]  # amplitudes (N,)
Sounds = NDArray[np.floating]  # amplitudes (K, N)
Features = NDArray[np.float64]

PACKAGES = ("auraloss", "librosa", "torch")
BANDS = 32  # few enough for a covariance from a few hundred frames
FLOOR = 1e-5  # of mel power: below the hiss of 8 bits, so digital silence is not infinitely far from quiet
LEVEL = 0.1  # RMS
LEAST_SECONDS = 0.25  # of a sound, that is a few frames
STFT_SAMPLES = 2048  # the longest window of the multi-resolution STFT


def missing() -> str:
    """Return which packages that these measures need are not installed, and the remedy, or nothing."""
    return errors.missing("experiments", *PACKAGES)


def spectral_distances(made: Sounds, truth: Sounds) -> tuple[float, float]:
    """Multi-resolution STFT distance and spectral convergence, means over pairs of sounds (K, N), N >= STFT_SAMPLES.

    The distance (arXiv:1910.11480) is the mean over three resolutions of the convergence and the mean absolute
    difference of log magnitudes, in nats. The convergence (arXiv:1808.06719) is the norm of the difference of
    magnitudes over that of the true ones: 0 is equal, 1 is what silence has.
    """
    import torch
    from auraloss.freq import MultiResolutionSTFTLoss

    compare = MultiResolutionSTFTLoss(output="full")
    a, b = (torch.from_numpy(sounds).float()[:, None, None] for sounds in (made, truth))
    found = [compare(*pair) for pair in zip(a, b, strict=True)]  # one by one: together they share one norm
    distances = [float(distance) for distance, *_ in found]
    return float(np.mean(distances)), float(np.mean([convergences for _, convergences, *_ in found]))


@dataclass(frozen=True)
class Chroma:
    """Shares of the power in the twelve pitch classes from C to B; distances in [0, 1] between such shares.

    `distance` is the share of the power that would have to move for the generated to have the corpus's shares.
    """

    generated: list[float]
    corpus: list[float]
    distance: float
    baseline: float | None


@dataclass(frozen=True)
class Onsets:
    """Onsets a second, and the mean onset strength: the rise in dB from a frame to the next, mean over mel bands."""

    generated_per_second: float
    corpus_per_second: float
    generated_strength: float
    corpus_strength: float


def chroma(made: Sound, real: Sounds, rate: int) -> Chroma:
    """Compare the pitch classes of a sound with those of stretches of real ones."""
    own, others = _pitch_classes(made, rate), np.stack([_pitch_classes(sound, rate) for sound in real])

    def distance(one: Features, many: Features) -> float:
        return float(np.abs(one - many.mean(0)).sum() / 2)

    corpus = others.mean(0)
    return Chroma(own.tolist(), corpus.tolist(), distance(own, others), _baseline(others, distance))


def onsets(made: Sound, real: Sounds, rate: int) -> Onsets:
    """How often and how strongly something begins in a sound, and in stretches of real ones."""
    own, others = _onsets(made, rate), np.mean([_onsets(sound, rate) for sound in real], 0)
    return Onsets(own[0], float(others[0]), own[1], float(others[1]))


def log_mel_frechet(made: Sound, real: Sounds, rate: int) -> tuple[float, float | None]:
    """Return the Frechet distance in dB^2 between log-mel frames of a sound and of real ones, and its baseline.

    As in arXiv:1812.08466, but of plain mel bands and not of a network's embeddings: hence its own name.
    """
    spectra = np.stack([log_mel(sound, rate).T for sound in real])

    def distance(one: Features, many: Features) -> float:
        return frechet(one, many.reshape(-1, BANDS))

    return distance(log_mel(made, rate).T, spectra), _baseline(spectra, distance)


def _baseline(real: Features, distance: Callable[[Features, Features], float]) -> float | None:
    """Return the median distance of each of `real` from the others, which one odd piece cannot move, or None."""
    if len(real) < 2:
        return None
    return float(np.median([distance(one, np.delete(real, i, 0)) for i, one in enumerate(real)]))


def frechet(a: Features, b: Features) -> float:
    """Return the Frechet distance of the Gaussians that fit two sets of features (N, D) and (M, D), each of 2 or more.

    |difference of means|^2 + trace(A + B - 2 (A B)^(1/2)), where A and B are the covariances. The last trace is the
    sum of the square roots of the eigenvalues of A^(1/2) B A^(1/2), which is symmetric.
    """
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * shared
    return max(0.0, float(distance))  # which rounding may pass


def log_mel(sound: Sound, rate: int) -> Features:
    """Mel bands in dB, (BANDS, frames), of the sound without its DC and at a common level: both have their own figures.

    At its own level a sound 6 dB quieter would be as far from itself as real ones are from one another.
    """
    librosa = errors.need_librosa()
    size = window(rate)
    centred = sound - sound.mean()
    levelled = centred * (LEVEL / max(float(centred.std()), SILENT))
    power = librosa.feature.melspectrogram(y=levelled, sr=rate, n_fft=size, hop_length=size // 8, n_mels=BANDS)
    return np.asarray(librosa.power_to_db(power, amin=FLOOR, top_db=None), np.float64)


def window(rate: int) -> int:
    """Return the power of two nearest to 0.13 s, in samples: two bins a semitone at middle C."""
    return 1 << round(math.log2(0.13 * rate))


def _pitch_classes(sound: Sound, rate: int) -> Features:
    librosa = errors.need_librosa()
    size = window(rate)
    chroma = librosa.feature.chroma_stft(y=sound, sr=rate, n_fft=size, hop_length=size // 4, tuning=0.0, norm=None)
    power = chroma.sum(1)
    return np.asarray(power / max(power.sum(), 1e-12), np.float64)


def onset_strength(sound: Sound, rate: int) -> Features:
    """Return the onset strength (frames,): the rise in dB from a frame to the next, mean over mel bands."""
    librosa = errors.need_librosa()
    return np.asarray(librosa.onset.onset_strength(S=log_mel(sound, rate), sr=rate, hop_length=window(rate) // 8))


def _onsets(sound: Sound, rate: int) -> tuple[float, float]:
    librosa = errors.need_librosa()
    strength, hop = onset_strength(sound, rate), window(rate) // 8
    found = librosa.onset.onset_detect(onset_envelope=strength, sr=rate, hop_length=hop)
    return len(found) * rate / len(sound), float(strength.mean())
