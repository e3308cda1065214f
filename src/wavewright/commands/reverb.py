"""The command `wavewright reverb`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from wavewright.commands.console import progress


def reverb(
    recording: Path,
    *,
    impulse: Path,
    out: Path,
    wet: Annotated[float, Parameter(name=("--wet", "--mix"))] = 0.3,
    tail: float | None = None,
) -> None:
    """Let a recording reverberate in a room, a plate or a loudspeaker whose impulse response was recorded.

    Parameters
    ----------
    recording
        Recording to read, of any length, sample rate and number of channels.
    impulse
        Recording of the impulse response. It is resampled to the recording's rate and levelled to equal loudness.
    out
        WAV or FLAC file to write, by its suffix. It has the recording's sample rate, and its depth where FLAC allows.
    wet
        Share of the reverberation. 0 leaves the recording as it is, and 1 is the reverberation alone.
    tail
        Length of the reverberation after each sound in seconds. The default is the impulse response's own, down to
        -60 dB or to its noise.
    """
    from wavewright.playing.reverb import reverberate

    reverberate(recording, impulse, out, wet=wet, tail=tail, progress=progress)
