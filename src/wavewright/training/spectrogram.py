"""Draw a sound's spectrogram as a picture."""

import numpy as np
from numpy.typing import NDArray

WINDOW = 512  # samples of a spectrum
COLUMNS = 1000  # greatest width
RANGE = 80.0  # dB from black to the brightest colour


def spectrogram(amplitude: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the picture of a sound (T,), see `picture`."""
    padded = np.pad(amplitude.astype(np.float64), (0, max(0, WINDOW - len(amplitude))))
    return picture(np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[window_starts(len(padded))])


def window_starts(samples: int) -> NDArray[np.int64]:
    """Return where the windows (W,) of a sound start, W <= 1000. A sound shorter than a window has one."""
    hop = max(WINDOW // 2, -(-(samples - WINDOW) // (COLUMNS - 1)))
    return np.arange(0, max(1, samples - WINDOW + 1), hop)


def picture(windows: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return a picture (257, W, 3) of windows (W, 512) of a sound: low frequencies below, time to the right.

    A column is the spectrum of a Hann window of 512 samples. Brightness is the level below that of a full-scale sine.
    """
    import matplotlib

    window = np.hanning(WINDOW)
    level = 20 * np.log10(np.abs(np.fft.rfft(windows * window)) / (window.sum() / 2) + 1e-12)
    share = np.clip(1 + level / RANGE, 0, 1).T[::-1]
    colours: NDArray[np.uint8] = matplotlib.colormaps["magma"](share, bytes=True)[..., :3]
    return colours
