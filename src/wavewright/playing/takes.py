"""Write takes, generated sounds in WAV files with their origin in the metadata, a block at a time."""

import contextlib
import importlib.metadata
import json
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavewright.corpus.audio import writing
from wavewright.corpus.prepare import audio_like_corpus
from wavewright.errors import ConfigError
from wavewright.files import atomic_file
from wavewright.metrics import Meter
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.stream import play
from wavewright.progress import Progress, silent
from wavewright.sampling import SEED_MAX, Controls

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Take:
    """A file of generated sound, with its RMS in dBFS and its mean amplitude."""

    path: Path
    seconds: float
    rms_dbfs: float
    mean: float


def prime_codes(run: Playable, audio: Path) -> Iterator[NDArray[np.int64]]:
    """Yield blocks (n,) of a recording's codes, resampled and levelled like the run's corpus.

    Raises:
        AudioError: the recording cannot be read whole.
    """
    for amplitude in audio_like_corpus(audio, run.levelling):
        yield run.quantizer.encode(amplitude)


def record(
    run: Playable,
    out: Path,
    *,
    seconds: float,
    count: int = 1,
    prime: Path | None = None,
    controls: Controls = DEFAULT,
    seed: int = 0,
    guard: bool = True,
    progress: Progress = silent,
) -> list[Take]:
    """Write `count` takes of `seconds` to `out`, or to NAME-1.wav, NAME-2.wav ... where there are several.

    A take primed with a recording holds only what follows the recording. For `guard`, see stream.play.

    Raises:
        ConfigError: seconds, count or seed is out of range, or `out` is not a .wav file.
        AudioError: `prime` cannot be read whole.
        KeyboardInterrupt: Ctrl-C was pressed. The files hold the sound generated until then.
    """
    samples = _checked(run, out, seconds, count, seed)
    paths = [out] if count == 1 else [out.with_stem(f"{out.stem}-{i + 1}") for i in range(count)]
    facts = {
        "run": run.training.run,
        "step": run.step,
        "model": run.config.name,
        "seed": seed,
        "prime": prime.name if prime else None,
        **asdict(controls),
    }
    meters = [Meter() for _ in paths]
    interrupted = False
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing(out))
        files = []
        for i, path in enumerate(paths):
            file = soundfile.SoundFile(stack.enter_context(atomic_file(path)), "w", run.rate, 1, "PCM_16", format="WAV")
            file.software = f"wavewright {importlib.metadata.version('wavewright')}"
            file.comment = json.dumps({**facts, "take": i + 1})
            files.append(stack.enter_context(file))
        primed = prime_codes(run, prime) if prime else None
        try:
            with progress("generating", samples) as advance:
                blocks = play(
                    run,
                    samples,
                    count=count,
                    seed=seed,
                    controls=controls,
                    prime=primed,
                    guard=guard,
                    advance=advance,
                )
                for codes in blocks:
                    amplitude = run.quantizer.decode(codes)
                    for file, meter, take in zip(files, meters, amplitude, strict=True):
                        file.write(take)
                        meter.add(take)
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        log.warning(f"interrupted; what there was of {', '.join(map(str, paths))} is kept")
        raise KeyboardInterrupt
    return [_take(path, run.rate, meter) for meter, path in zip(meters, paths, strict=True)]


def samples_of(seconds: float, rate: int, seed: int) -> int:
    """Return the number of samples of a take of finite length.

    Raises:
        ConfigError: seconds or seed is out of range.
    """
    if seconds == math.inf:
        raise ConfigError("--seconds inf: a file has an end; give a number, or stream with --out -")
    samples = round(seconds * rate) if 0 < seconds < math.inf else 0
    if samples < 1:
        raise ConfigError(f"--seconds {seconds}: give more than 0")
    if not 0 <= seed <= SEED_MAX:
        raise ConfigError(f"--seed {seed}: give 0 to {SEED_MAX}")
    return samples


def _checked(run: Playable, out: Path, seconds: float, count: int, seed: int) -> int:
    """Return the number of samples of a take, after checking the arguments of `record`."""
    samples = samples_of(seconds, run.rate, seed)
    if count < 1:
        raise ConfigError(f"--count {count}: give 1 or more")
    if out.suffix.lower() != ".wav":
        raise ConfigError(f"--out {out}: name a .wav file")
    return samples


def _take(path: Path, rate: int, meter: Meter) -> Take:
    power = meter.squares / max(1, meter.frames)
    return Take(path, meter.frames / rate, 10 * np.log10(max(power, 1e-12)), float(meter.mean))
