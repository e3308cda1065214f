"""Write takes, generated sounds in WAV or FLAC files with their origin in the metadata, a block at a time."""

import contextlib
import importlib.metadata
import json
import logging
import math
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from wavewright.corpus.audio import writing
from wavewright.corpus.impulse import LONGEST, Envelope, falling
from wavewright.errors import ConfigError
from wavewright.files import atomic_file
from wavewright.metrics import Meter
from wavewright.models.config import MOST_STATES, MOST_STREAMS
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.prime import Prime
from wavewright.playing.sound import BITS, RATES, sounds, to_pcm
from wavewright.playing.stream import play
from wavewright.progress import Progress, silent
from wavewright.sampling import SEED_MAX, Controls, TakePart
from wavewright.signals import stoppable

log = logging.getLogger(__name__)

FLAC_BITS = (16, 24)
MOST_BYTES = 4_000_000_000  # of samples in a WAV file, whose header counts them in 32 bits
FILES_A_TAKE = 2  # that are open at once: the sound, and the lock on its name
SPARE_FILES = 64  # for all else that is open


@dataclass(frozen=True)
class Take:
    """A file of generated sound, with its RMS in dBFS and its mean amplitude."""

    path: Path
    seconds: float
    rms_dbfs: float
    mean: float


def record(
    run: Playable,
    out: Path,
    *,
    seconds: float,
    count: int = 1,
    prime: Prime | None = None,
    controls: Controls = DEFAULT,
    seed: int = 0,
    guard: bool = True,
    rate: int | None = None,
    bits: int = 16,
    progress: Progress = silent,
) -> list[Take]:
    """Write `count` takes of `seconds` to `out`, or to NAME-1.wav, NAME-2.wav ... where there are several.

    A primed take holds only what follows the prime. For `guard`, see stream.play. For `rate`, see sound.sounds.

    Args:
        run: model that plays.
        out: a .wav or .flac file.
        seconds: length of each take.
        count: number of takes.
        prime: what the takes continue.
        controls: how codes are drawn.
        seed: decides every take.
        guard: whether takes that go wrong are redrawn.
        rate: sample rate of the files, in Hz. None means the model's own.
        bits: bits of each sample in the files, 16, 24 or 32.
        progress: shows the samples of the prime, and those made.

    Raises:
        ConfigError: an argument is out of range, `out` is no such file, or a model of impulse responses has no decay
            time.
        AudioError: the recording of `prime` cannot be read whole.
        KeyboardInterrupt: Ctrl-C or SIGTERM came. The files hold the sound generated until then, and without any they
            stay as they were.
    """
    rate = run.rate if rate is None else rate
    frames = frames_of(seconds, rate, seed, bits)
    check_file(out, frames, bits)
    check_count(run, count)
    paths = names(out, count)
    decay = decay_of(run, seconds, prime, controls)
    facts = origin(run, seed, prime, controls)
    meters = [Meter() for _ in paths]
    heard = run.quantizer.decoder()
    with stoppable() as stop, contextlib.ExitStack() as stack:  # a signal does not disturb the closing of the files
        files = [
            stack.enter_context(take_file(path, rate, bits, {**facts, "take": i + 1})) for i, path in enumerate(paths)
        ]
        blocks = play(
            run,
            samples_for(seconds, run.rate),
            count=count,
            seed=seed,
            controls=controls,
            prime=heard.follow(prime.codes(run)) if prime else None,
            guard=guard and decay is None,  # a room without its decay is noise
            progress=progress,
            stop=stop,
        )
        after = heard if prime else None
        for sound in sounds(run, blocks, count=count, rate=rate, frames=frames, after=after, decay=decay):
            for file, meter, part in zip(files, meters, sound, strict=True):
                file.write(to_pcm(part, bits))
                meter.add(part)
        interrupted = stop()
        if interrupted and not meters[0].frames:
            raise KeyboardInterrupt
    if interrupted:
        log.warning(f"interrupted; what there was of {', '.join(map(str, paths))} is kept")
        raise KeyboardInterrupt
    return [take(path, rate, meter) for meter, path in zip(meters, paths, strict=True)]


def names(out: Path, count: int) -> list[Path]:
    """Return the files of `count` takes: `out` alone, or NAME-1.wav, NAME-2.wav and so on."""
    return [out] if count == 1 else [out.with_stem(f"{out.stem}-{i + 1}") for i in range(count)]


def origin(model: Playable, seed: int, prime: Prime | None, controls: Controls) -> dict[str, Any]:
    """Return the facts of a take's origin, as JSON values."""
    voices = [_origin(one, part) for one, part in zip(model.models, (controls.part, controls.second), strict=False)]
    return {
        **voices[0],
        "seed": seed,
        "prime": prime.path.name if prime else None,
        "prime_from": prime.start if prime else None,
        "prime_seconds": prime.seconds if prime else None,
        "temperature": controls.temperature,
        "top_k": controls.top_k,
        "top_p": controls.top_p,
        **({"mix": voices[1], "amount": _json_value(controls.amount)} if len(voices) > 1 else {}),
    }


@contextlib.contextmanager
def take_file(path: Path, rate: int, bits: int, facts: Mapping[str, Any]) -> Iterator[soundfile.SoundFile]:
    """Open a take's file with its facts in the metadata. It takes the place of `path` once it is whole."""
    with writing(path), atomic_file(path) as temporary:
        kind = path.suffix[1:].upper()
        with soundfile.SoundFile(temporary, "w", rate, 1, f"PCM_{bits}", format=kind) as file:
            file.software = f"wavewright {importlib.metadata.version('wavewright')}"
            file.comment = json.dumps(facts)
            yield file


def frames_of(seconds: float, rate: int, seed: int, bits: int) -> int:
    """Return the number of samples at `rate` of a take of finite length.

    Raises:
        ConfigError: an argument is out of range.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise ConfigError(f"--rate {rate}: give {RATES[0]} to {RATES[1]} Hz, or leave it out")
    if bits not in BITS:
        raise ConfigError(f"--bits {bits}: give {', '.join(map(str, BITS[:-1]))} or {BITS[-1]}")
    if seconds == math.inf:
        raise ConfigError("--seconds inf: a file has an end; give a number, or stream with --out -")
    frames = round(seconds * rate) if 0 < seconds < math.inf else 0
    if frames < 1:
        raise ConfigError(f"--seconds {seconds}: give more than 0")
    if not 0 <= seed <= SEED_MAX:
        raise ConfigError(f"--seed {seed}: give 0 to {SEED_MAX}")
    return frames


def samples_for(seconds: float, rate: int) -> int:
    """Return the number of samples at a model's rate that a take of so many seconds needs at any rate."""
    return max(1, math.ceil(seconds * rate - 1e-6))


def check_file(out: Path, frames: float, bits: int) -> None:
    """Check that `out` names a kind of file that holds so many samples of so many bits.

    Raises:
        ConfigError: it does not.
    """
    kind = out.suffix.lower()
    if kind == ".flac":
        if bits not in FLAC_BITS:
            raise ConfigError(f"--bits {bits}: a FLAC file has 16 or 24; give one of them, or name a .wav file")
    elif kind != ".wav":
        raise ConfigError(f"--out {out}: name a .wav or .flac file")
    elif frames * bits // 8 > MOST_BYTES:
        raise ConfigError(f"--out {out}: a WAV file holds 4 GB at most; make less sound, or name a .flac file")


def check_count(run: Playable, count: int) -> None:
    """Check that so many takes can be played and held open at once.

    Raises:
        ConfigError: they cannot.
    """
    if count < 1:
        raise ConfigError(f"--count {count}: give 1 or more")
    may, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(1, (may - SPARE_FILES) // FILES_A_TAKE) if may != resource.RLIM_INFINITY else count
    most = min(most, MOST_STREAMS, max(1, MOST_STATES // run.state_bytes))
    if count > most:
        raise ConfigError(f"--count {count}: {most} takes can be made at once; give fewer, and other seeds for more")


def decay_of(model: Playable, seconds: float, prime: Prime | None, controls: Controls) -> Envelope | None:
    """Return the decay to put back in the takes of a model of impulse responses. Those of other models have none.

    Raises:
        ConfigError: the decay time is not given, or the takes are to be too long or to continue a recording.
    """
    condition = model.config.condition
    if condition is None or (control := condition.decay) is None:
        return None
    if prime is not None:
        raise ConfigError("--prime: the model makes impulse responses from their beginning; leave it out")
    if seconds > LONGEST:
        raise ConfigError(f"--seconds {seconds:g}: the model makes impulse responses; give up to {LONGEST:g}")
    dense = controls.part.dense(np.zeros(1, np.int64))[0] if controls.part else None
    if dense is None or dense[condition.dense_flag(control)]:
        limits = f"{control.low:.3g} to {control.high:.3g} seconds"
        raise ConfigError(f"--control {control.name}: missing; give the decay time, {limits}, as {control.name}=1")
    t60 = control.seconds(dense[condition.dense_offset(control)])
    return falling([t60 * ratio for ratio in control.ratios])


def _origin(model: Playable, part: TakePart | None) -> dict[str, Any]:
    """Return the facts of a model that plays, and of its part."""
    facts = {"run": model.training.run, "step": model.step, "model": model.config.name}
    return {**facts, **(part.origin if part else {})}


def _json_value(amount: Any) -> Any:
    """Return an amount, or the name of the file that holds its curve."""
    return str(amount) if callable(amount) else np.asarray(amount).tolist()


def take(path: Path, rate: int, meter: Meter) -> Take:
    """Return what a meter has measured of a take."""
    power = meter.squares / max(1, meter.frames)
    return Take(path, meter.frames / rate, 10 * np.log10(max(power, 1e-12)), float(meter.mean))
