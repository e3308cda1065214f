"""Draw a sound's spectrogram as a picture for TensorBoard."""

import numpy as np
from numpy.typing import NDArray

WINDOW = 512  # samples of a spectrum
COLUMNS = 1000  # greatest width
RANGE = 80.0  # dB from black to the brightest colour


def spectrogram(amplitude: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return a picture (257, W, 3) of a sound (T,), W <= 1000: low frequencies below, time to the right.

    A column is the spectrum of a Hann window of 512 samples. Brightness is the level below that of a full-scale sine.
    """
    import matplotlib

    padded = np.pad(amplitude.astype(np.float64), (0, max(0, WINDOW - len(amplitude))))
    hop = max(WINDOW // 2, -(-(len(padded) - WINDOW) // (COLUMNS - 1)))
    window = np.hanning(WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop] * window
    level = 20 * np.log10(np.abs(np.fft.rfft(frames)) / (window.sum() / 2) + 1e-12)
    share = np.clip(1 + level / RANGE, 0, 1).T[::-1]
    picture: NDArray[np.uint8] = matplotlib.colormaps["magma"](share, bytes=True)[..., :3]
    return picture
