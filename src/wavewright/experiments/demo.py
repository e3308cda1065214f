"""The command `wavewright demo`, the thesis's overfitting experiment (4.2) on the bundled clip, for any machine."""

import json
import logging
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavewright.corpus.audio import writing
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.files import atomic_file, disk_errors, make_folder
from wavewright.formats import config
from wavewright.measuring.similarity import cross_correlation
from wavewright.playing import takes
from wavewright.playing.opening import open_model
from wavewright.progress import Progress, silent
from wavewright.quantize import to_amplitude
from wavewright.sampling import Controls
from wavewright.training.loop import Budget
from wavewright.training.run import train

log = logging.getLogger(__name__)

CLIP = "bwv846_prelude.flac"  # Bach, Prelude in C, BWV 846; data/README.md gives the licence
START, SECONDS = 0.52, 1.5  # from the first note on
STEPS = 260
MODEL = {"blocks": 2, "layers": 9, "channels": 32, "skip_channels": 64}


def run(out: Path, progress: Progress = silent) -> float:
    """Train on the clip's first notes until the model plays them back, and write sounds and pictures to `out`.

    Returns:
        The correlation of the original and the sound at temperature 0, in [-1, 1].

    Raises:
        WavewrightError: a file cannot be written.
        KeyboardInterrupt: training was stopped. The run is saved, and the next call goes on with it.
    """
    with disk_errors(out):
        make_folder(out)
    log.info(f"1/4 preparing {SECONDS} s of Bach's Prelude in C")
    original = out / "original.wav"
    with resources.as_file(resources.files("wavewright") / "data" / CLIP) as clip:
        rate = soundfile.info(clip).samplerate
        sound, _ = soundfile.read(clip, frames=round(SECONDS * rate), start=round(START * rate))
    with atomic_file(original) as temporary, writing(original):
        soundfile.write(temporary, sound, rate, format="WAV")
    corpus = prepare([original], out / "corpus", PrepareSettings(section_seconds=SECONDS, split=(1, 0, 0)))

    log.info(f"2/4 training a small WaveNet on it for {STEPS} steps (a minute or two)")
    summary = train(
        _config(corpus.section), corpus, out / "run", Budget(steps=STEPS), resume=True, device="cpu", progress=progress
    )

    if summary.interrupted:
        raise KeyboardInterrupt

    log.info("3/4 playing: a step of the model for every sample")
    opened = open_model(summary.run)
    takes.record(opened, out / "generated.wav", seconds=SECONDS, controls=Controls(temperature=0))
    takes.record(opened, out / "variation.wav", seconds=SECONDS, controls=Controls(temperature=1), seed=1)

    log.info("4/4 drawing")
    original_sound = to_amplitude(corpus.samples("train"))
    made, _ = soundfile.read(out / "generated.wav", dtype="float32")
    losses = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    draw_sounds(out / "original-and-generated.png", {"original": original_sound, "generated": made}, corpus.rate)
    draw_loss(out / "loss.png", [record for record in losses if "loss" in record])
    likeness, _ = cross_correlation(made, original_sound, round(0.05 * corpus.rate))
    return likeness


def _config(section: int) -> config.RunConfig:
    return config.RunConfig.from_dict(
        {
            "model": {"name": "wavenet", **MODEL},
            "training": {
                "batch_size": 1,
                "length": section,
                "learning_rate": 6e-3,
                "schedule": "cosine",
                "warmup_steps": 20,
                "schedule_steps": STEPS,
                "checkpoint_every": STEPS,
                "sample_seconds": 0,
            },
        }
    )


def draw_sounds(path: Path, sounds: dict[str, NDArray[np.floating]], rate: int) -> None:
    """Draw the waveform and the spectrogram of each sound, one above the other, as a PNG."""
    plt = _pyplot()
    figure, axes = plt.subplots(len(sounds), 2, figsize=(11, 3 * len(sounds)), sharex=True, layout="constrained")
    for (name, sound), (wave, spectrum) in zip(sounds.items(), axes, strict=True):
        wave.plot(np.arange(len(sound)) / rate, sound, linewidth=0.4)
        wave.set(title=name, ylabel="amplitude", ylim=(-1, 1))
        spectrum.specgram(sound + 1e-6, NFFT=512, Fs=rate, noverlap=384, cmap="magma", vmin=-140, vmax=-20)
        spectrum.set(title=f"{name}, spectrogram", ylabel="frequency (Hz)")
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_loss(path: Path, records: list[dict[str, Any]]) -> None:
    """Draw the training loss in bits per sample against steps as a PNG."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    axis.semilogy([r["step"] for r in records], [r["loss"] / np.log(2) if r["loss"] else np.nan for r in records])
    axis.set(xlabel="step", ylabel="loss (bits per sample)", title="Overfitting: the loss goes to nothing")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot
