"""`wavewright train`, `evaluate` and `demo`: parse, one library call, print."""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from wavewright.commands.console import print_json, say, table
from wavewright.commands.data import Flag
from wavewright.errors import ConfigError, need_torch

if TYPE_CHECKING:
    from wavewright.corpus.corpus import Corpus
    from wavewright.measuring.evaluation import Evaluation, Generated
    from wavewright.training.run import Summary

ModelName = Literal["naive-rnn", "sample-rnn", "wavenet"]
Device = Literal["auto", "cpu", "cuda", "mps"]
EngineName = Literal["auto", "native", "torch"]
DEFAULT_MINUTES = 30.0


def train(
    *corpus: Path,
    model: ModelName,
    out: Path,
    preset: Literal["small", "tiny", "thesis", "paper"] = "small",
    config: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    steps: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    device: Device = "auto",
    precision: Literal["fp32", "bf16"] | None = None,
    checkpoint_every: int | None = None,
    resume: Flag = False,
    json: Flag = False,
) -> None:
    """Train a model on a corpus, or straight on recordings.

    Parameters
    ----------
    corpus
        A corpus that `prepare` made; or audio files and folders, which are first prepared with the defaults into RUN.
    model
        `naive-rnn`, `sample-rnn` or `wavenet`.
    out
        The run folder: configuration, metrics, TensorBoard events, listening samples, checkpoints.
    preset
        `small` suits half an hour on two cores, `tiny` a try-out; `thesis` and `paper` are theirs.
    config
        A YAML file of fields, such as `model: {units: 256}`, over the preset.
    set_
        One field, such as `model.units=256` or `training.schedule=plateau`, over all else; may be repeated.
    steps
        Stop after so many steps, counted from the run's first.
    epochs
        Stop after so many passes over the corpus.
    minutes
        Stop after so many minutes, all sessions together; 30 where no end is given.
    batch_size
        Sections side by side (training.batch_size).
    seed
        Of the weights and the order of the data (training.seed).
    device
        `auto` takes the GPU where there is one.
    precision
        `fp32` or `bf16` (training.precision).
    checkpoint_every
        Steps between checkpoints, each with a validation and a listening sample (training.checkpoint_every).
    resume
        Go on where the run in RUN stopped, to the same bits; start where there is none.
    json
        Print how it ended as JSON.
    """
    need_torch()
    from wavewright.formats import config as configuration
    from wavewright.processes import rank
    from wavewright.training.run import Budget
    from wavewright.training.run import train as run_training

    settings = configuration.resolve(
        model,
        preset,
        config,
        list(set_),
        batch_size=batch_size,
        seed=seed,
        precision=precision,
        checkpoint_every=checkpoint_every,
    )
    if steps is None and epochs is None and minutes is None:
        minutes = DEFAULT_MINUTES
    budget = Budget(steps, epochs, minutes)
    summary = run_training(settings, _corpus(corpus, out), out, budget, resume=resume, device=device)
    if rank() == 0:
        _report(summary, json)
    if summary.interrupted:
        raise KeyboardInterrupt


def _report(summary: "Summary", json: bool) -> None:
    if json:
        print_json({**asdict(summary), "run": str(summary.run)})
    best = f", best validation {summary.best['bits']:.3f} bits at step {summary.best['step']}" if summary.best else ""
    say(f"{summary.run}: step {summary.step} after {summary.seconds / 60:.1f} min{best}")
    say(f"listen: wavewright generate {summary.run} --out take.wav; go on: the same command with --resume")


def _corpus(paths: tuple[Path, ...], out: Path) -> "Corpus":
    """The corpus named, or one made of the recordings named."""
    from wavewright.corpus.corpus import INDEX, Corpus
    from wavewright.corpus.prepare import prepare
    from wavewright.corpus.settings import PrepareSettings
    from wavewright.processes import rank

    if not paths:
        raise ConfigError("no CORPUS given; name a corpus, or audio files or folders")
    if len(paths) == 1 and ((paths[0] / INDEX).is_file() or not paths[0].exists()):
        return Corpus.open(paths[0])
    made = out / "corpus"
    if not (made / INDEX).is_file() and rank() == 0:
        say(f"preparing {', '.join(map(str, paths))} into {made}")
        prepare(paths, made, PrepareSettings(), workers=os.cpu_count() or 1)
    while not (made / INDEX).is_file():  # another process prepares it
        time.sleep(0.1)
    return Corpus.open(made)


def evaluate(
    run: Path,
    corpus: Path,
    *,
    split: Literal["train", "valid", "test"] = "test",
    checkpoint: str = "best",
    continuations: int = 4,
    generate: float | None = None,
    paper_compatible: Flag = False,
    engine: EngineName = "auto",
    device: Device = "auto",
    json: Flag = False,
) -> None:
    """Score a trained model on a split of a corpus: bits per sample, continuations and free sound against the truth.

    Parameters
    ----------
    run
        A folder that `train` made, or a model file.
    corpus
        A corpus of the same sample rate.
    split
        Which part of it.
    checkpoint
        `best`, `last` or a step number.
    continuations
        Sections to continue from their middle for half a second and compare; 0 for none.
    generate
        Seconds of sound to make from silence and measure: level, DC, entropy, chroma, onsets, mel spectrum, and
        whether it is copied from the training split. 10 where the packages of wavewright[experiments] are installed;
        0 for none.
    paper_compatible
        Only bits per sample, as the SampleRNN and SaShiMi papers count them: examples of 8 s at 16 kHz, each min-max
        scaled, of a corpus, an audio file or a folder of audio.
    engine
        `native` is the C++ engine, `torch` the model that was trained; `auto` takes the engine.
    device
        Where torch computes.
    json
        Print the figures as JSON.
    """
    from wavewright.corpus.corpus import Corpus
    from wavewright.measuring import perceptual
    from wavewright.measuring.as_papers import evaluate_as_papers
    from wavewright.measuring.evaluation import evaluate as score
    from wavewright.playing.native_model import open_model

    opened = open_model(run, checkpoint, engine=engine, device=device)
    if paper_compatible:
        result = evaluate_as_papers(opened, corpus, split)
    else:
        if generate is None:
            generate = 0.0 if perceptual.missing() else 10.0
        result = score(opened, Corpus.open(corpus), split, continuations=continuations, generate=generate)
    if json:
        print_json(asdict(result))
    else:
        _print_evaluation(result)
    if not paper_compatible and (names := perceptual.missing()):
        say(f"without {', '.join(names)} some measures are left out: pip install 'wavewright[experiments]'")


def _print_evaluation(result: "Evaluation") -> None:
    rows = [(name, f"{bits:.4f}") for name, bits in result.tracks.items()]
    scaled = ", as the papers scale it" if result.paper_compatible else ""
    table(f"{result.run}, step {result.step}, {result.split}{scaled}", ("track", "bits per sample"), rows)
    print(
        f"all {result.samples} samples: {result.bits_per_sample:.4f} bits ({result.nats_per_sample:.4f} nats) "
        f"per sample; zero-order entropy {result.zero_order_entropy:.4f} bits"
    )
    if (made := result.continuations) is not None:
        print(
            f"{made.count} continuations of {made.seconds:.2f} s after {made.prime_seconds:.2f} s: mean absolute "
            f"difference {made.mean_absolute_difference:.4f}, cross-correlation {made.cross_correlation:.3f}"
        )
        if made.multi_resolution_stft is not None:
            print(
                f"  their spectra: multi-resolution STFT distance {made.multi_resolution_stft:.3f}, spectral "
                f"convergence {made.spectral_convergence:.3f} (0 is the truth, silence has 1)"
            )
    if result.generated is not None:
        _print_generated(result.generated)


def _print_generated(made: "Generated") -> None:
    def figure(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    largest_dc = max(made.dc, key=abs)
    print(
        f"{made.seconds:g} s generated from silence: each second {min(made.rms_dbfs):.1f} to {max(made.rms_dbfs):.1f} "
        f"dBFS, greatest DC {largest_dc:+.4f}; entropy {min(made.entropy):.2f} to {max(made.entropy):.2f} bits"
    )
    near = made.nearest
    rows = [
        ("pitch classes, distance (0 to 1)", figure(made.chroma.distance), figure(made.chroma.baseline)),
        (
            "log-mel Frechet distance, dB^2",
            figure(made.log_mel_frechet_distance),
            figure(made.log_mel_frechet_baseline),
        ),
        ("onsets a second", figure(made.onsets.generated_per_second), figure(made.onsets.corpus_per_second)),
        ("onset strength, dB", figure(made.onsets.generated_strength), figure(made.onsets.corpus_strength)),
        ("nearest in training, mean (1: a copy)", figure(near.mean), figure(near.held_out_mean)),
        ("nearest in training, greatest", figure(near.greatest), figure(near.held_out_greatest)),
    ]
    table("beside real sound of the same length", ("measure", "generated", "real"), rows)


def demo(*, out: Path = Path("demo")) -> None:
    """Overfit a small model on a few seconds of piano, as the thesis did, and let it play: three minutes.

    Parameters
    ----------
    out
        The folder for the sounds and pictures.
    """
    need_torch()
    from wavewright.experiments.demo import run

    run(out)
