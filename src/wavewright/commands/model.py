"""`wavewright train`, `generate`, `evaluate` and `demo`: parse, one library call, print."""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from wavewright.commands.data import Flag
from wavewright.console import print_json, say, table
from wavewright.errors import ConfigError, WavewrightError

if TYPE_CHECKING:
    from wavewright.corpus import Corpus
    from wavewright.training import Summary

ModelName = Literal["naive-rnn", "sample-rnn", "wavenet"]
Device = Literal["auto", "cpu", "cuda", "mps"]
DEFAULT_MINUTES = 30.0


def _need_torch() -> None:
    # Larger pages for the activations of a step: read by torch when it first allocates.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise WavewrightError("this needs torch, which is not installed: pip install 'wavewright[train]'") from None


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
    _need_torch()
    from wavewright import config as configuration
    from wavewright.processes import rank
    from wavewright.training import Budget
    from wavewright.training import train as run_training

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
    from wavewright.corpus import INDEX, Corpus
    from wavewright.prepare import prepare
    from wavewright.processes import rank
    from wavewright.settings import PrepareSettings

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


def generate(
    run: Path,
    *,
    out: Path,
    seconds: float = 5.0,
    count: int = 1,
    prime: Path | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    checkpoint: str = "best",
    device: Device = "cpu",
    json: Flag = False,
) -> None:
    """Make sound with a trained model.

    Parameters
    ----------
    run
        A folder that `train` made.
    out
        The WAV file to write, at the model's own rate; with --count N, NAME-1.wav to NAME-N.wav.
    seconds
        Length of each take.
    count
        How many takes to make in one pass.
    prime
        A recording to continue; the take holds what comes after it.
    temperature
        Below 1 plays safer, above 1 wilder; 0 always takes the likeliest code.
    top_k
        Draw among the k likeliest codes only.
    top_p
        Draw among the fewest codes that together have probability p.
    seed
        Another seed is another take.
    checkpoint
        `best`, `last` or a step number.
    device
        Where to compute; one stream is usually fastest on the CPU.
    json
        Print the takes' lengths and levels as JSON.
    """
    _need_torch()
    from wavewright.runs import open_run
    from wavewright.sampling import Sampling
    from wavewright.takes import record
    from wavewright.training import choose_device

    sampling = Sampling(temperature, top_k, top_p)
    opened = open_run(run, checkpoint, choose_device(device))
    takes = record(opened, out, seconds=seconds, count=count, prime=prime, sampling=sampling, seed=seed)
    if json:
        print_json([{**asdict(take), "path": str(take.path)} for take in takes])
    else:
        rows = [(str(t.path), f"{t.seconds:.2f}", f"{t.rms_dbfs:.1f}", f"{t.mean:+.4f}") for t in takes]
        table(f"{run}, step {opened.step}", ("take", "seconds", "RMS dBFS", "DC"), rows)


def evaluate(
    run: Path,
    corpus: Path,
    *,
    split: Literal["train", "valid", "test"] = "test",
    checkpoint: str = "best",
    continuations: int = 4,
    device: Device = "auto",
    json: Flag = False,
) -> None:
    """Score a trained model on a split of a corpus: bits per sample, and continuations against the truth.

    Parameters
    ----------
    run
        A folder that `train` made.
    corpus
        A corpus of the same sample rate.
    split
        Which part of it.
    checkpoint
        `best`, `last` or a step number.
    continuations
        Sections to continue from their middle for half a second and compare; 0 for none.
    device
        Where to compute.
    json
        Print the figures as JSON.
    """
    _need_torch()
    from wavewright.corpus import Corpus
    from wavewright.evaluation import evaluate as score
    from wavewright.runs import open_run
    from wavewright.training import choose_device

    result = score(
        open_run(run, checkpoint, choose_device(device)), Corpus.open(corpus), split, continuations=continuations
    )
    if json:
        print_json(asdict(result))
        return
    rows = [(name, f"{bits:.4f}") for name, bits in result.tracks.items()]
    table(f"{run}, step {result.step}, {split}", ("track", "bits per sample"), rows)
    print(
        f"all {result.samples} samples: {result.bits_per_sample:.4f} bits ({result.nats_per_sample:.4f} nats) "
        f"per sample; zero-order entropy {result.zero_order_entropy:.4f} bits"
    )
    if (made := result.continuations) is not None:
        print(
            f"{made.count} continuations of {made.seconds:.2f} s after {made.prime_seconds:.2f} s: mean absolute "
            f"difference {made.mean_absolute_difference:.4f}, cross-correlation {made.cross_correlation:.3f}"
        )


def demo(*, out: Path = Path("demo")) -> None:
    """Overfit a small model on a few seconds of piano, as the thesis did, and let it play: three minutes.

    Parameters
    ----------
    out
        The folder for the sounds and pictures.
    """
    _need_torch()
    from wavewright.demo import run

    run(out)
