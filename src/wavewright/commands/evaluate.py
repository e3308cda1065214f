"""The command `wavewright evaluate`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wavewright.commands.console import parts, print_json, put, say, table
from wavewright.commands.options import Device, EngineName, Flag
from wavewright.errors import ConfigError, printable

if TYPE_CHECKING:
    from wavewright.measuring.evaluation import Evaluation, Generated
    from wavewright.measuring.free_play import FreePlay


def evaluate(
    run: Path,
    corpus: Path,
    *,
    split: Literal["train", "valid", "test"] = "test",
    checkpoint: str = "best",
    continuations: int = 4,
    generate: float | None = None,
    transcribe: float = 0.0,
    between: str | None = None,
    context: Flag = False,
    free_play: float = 0.0,
    paper_compatible: Flag = False,
    engine: EngineName = "auto",
    device: Device = "auto",
    json: Flag = False,
) -> None:
    """Score a trained model on a corpus by its bits per sample, its continuations and its sound from silence.

    Parameters
    ----------
    run
        Run folder that `train` made, or model file that `export` made. `piano` is the model in the package.
    corpus
        Corpus that `prepare` made, at the model's sample rate.
    split
        Split of the corpus to score.
    checkpoint
        Checkpoint of a run folder: `best`, `last` or a step number.
    continuations
        Number of sections to continue from their middle for half a second and compare. 0 turns this off.
    generate
        Seconds of sound to make from silence and measure. Measured are loudness, DC, entropy, chroma, onsets, mel
        spectrum and copying from the training split. 0 turns this off. The default is 10, or 0 where
        librosa or auraloss is not installed.
    transcribe
        Seconds of the split's scores to play and to transcribe, such as 60. The notes that a transcriber hears are
        compared with the score. This takes some minutes, and 0 turns it off.
    between
        Category and two of its classes, such as `voice=low..high`. Mixtures of them are generated and measured.
    context
        Also score an excerpt of the split with the model's memory erased every 0.07, 0.5, 2, 8 and 30 seconds, to see
        what memory buys.
    free_play
        Seconds to play freely from eight seeds in silence and from eight places of the split, without guard. Level,
        bursts, hiss and onsets are held against the split's own. 600 is the full measure, and 0 turns it off.
    paper_compatible
        Give only bits per sample, counted as in the SampleRNN and SaShiMi papers: examples of 8 s at 16 kHz, each
        min-max scaled. CORPUS may then also be an audio file or a folder of audio.
    engine
        Back end that plays: `native` is the C++ engine, `torch` is slower. `auto` takes the engine where it is built.
    device
        Device for torch. `auto` takes the GPU where there is one.
    json
        Print the figures as JSON.
    """
    from wavewright.corpus.corpus import Corpus
    from wavewright.measuring import perceptual
    from wavewright.measuring.as_papers import evaluate_as_papers
    from wavewright.measuring.evaluation import evaluate as score
    from wavewright.playing.opening import open_model
    from wavewright.progress import silent

    progress = silent if json else parts
    opened = open_model(run, checkpoint, engine=engine, device=device)
    if paper_compatible:
        result = evaluate_as_papers(opened, corpus, split, progress)
    else:
        if generate is None:
            generate = 0.0 if perceptual.missing() else 10.0
        result = score(
            opened,
            Corpus.open(corpus),
            split,
            continuations=continuations,
            generate=generate,
            transcribe=transcribe,
            mixture=_mixture(between) if between is not None else None,
            context=context,
            free_play=free_play,
            progress=progress,
        )
    if json:
        print_json(asdict(result))
    else:
        _print_evaluation(result)
    if not paper_compatible and (reason := perceptual.missing()):
        say(f"some measures are left out without {reason}")


def _mixture(text: str) -> tuple[str, str, str]:
    """Return the category and the two classes that `--between` names."""
    name, _, classes = text.partition("=")
    first, dots, second = classes.partition("..")
    if not (name and first and dots and second):
        raise ConfigError(f"--between {printable(text)}: give a category and two of its classes, as in voice=low..high")
    return name, first, second


def _print_evaluation(result: "Evaluation") -> None:
    rows = [(name, f"{bits:.4f}") for name, bits in result.tracks.items()]
    scaled = ", as the papers scale it" if result.paper_compatible else ""
    table(f"{result.run}, step {result.step}, {result.split}{scaled}", ("track", "bits per sample"), rows)
    put(
        f"all {result.samples} samples: {result.bits_per_sample:.4f} bits ({result.nats_per_sample:.4f} nats) "
        f"per sample; zero-order entropy {result.zero_order_entropy:.4f} bits"
    )
    if (given := result.conditioned) is not None:
        named = (("its own", given.own), ("another section's", given.other), ("none", given.none))
        rows = [(name, "-" if bits is None else f"{bits:.4f}") for name, bits in named]
        table("does the model follow its controls", ("condition given", "bits per sample"), rows)
    if result.context:
        curve = [(f"{one.seconds:.2f}", f"{one.bits:.4f}") for one in result.context]
        table("what memory buys", ("seconds between resets", "bits per sample"), curve)
    if (single := result.single_notes) is not None:
        put(
            f"{single.count} single notes: {100 * single.in_tune:.0f}% in tune, loudness follows "
            f"velocity at {single.loudness:.2f} (1 is always), attack {single.attack_ms:.1f} ms, silence before at "
            f"{single.silence_dbfs:.0f} dBFS"
        )
    if (played := result.transcribed) is not None:
        velocity = (figure(played.velocity_correlation), figure(played.ceiling_velocity_correlation), "")
        onsets = ("onset F1, 0 to 1", figure(played.f1), figure(played.ceiling), figure(played.chance))
        table(
            f"{played.seconds:.0f} s of scores played, {played.notes} notes, as a transcriber hears them",
            ("measure", "generated", "recordings", "another score"),
            [onsets, ("velocity, correlation", *velocity)],
        )
    if result.recognised:
        judged = [(one.control, *map(figure, (one.generated, one.real, one.chance))) for one in result.recognised]
        table("sounds whose class a classifier recognises", ("control", "generated", "real", "most frequent"), judged)
    if (mixed := result.between) is not None:
        ends = f"{mixed.control} from {printable(mixed.first)} to {printable(mixed.second)}"
        put(
            f"{ends}: {100 * mixed.ends:.0f}% of the ends recognised, order {mixed.monotony:.2f} (1 is even), largest "
            f"step {mixed.largest_step:.2f} of the way"
        )
    if (made := result.continuations) is not None:
        put(
            f"{made.count} continuations of {made.seconds:.2f} s after {made.prime_seconds:.2f} s: mean absolute "
            f"difference {made.mean_absolute_difference:.4f}, cross-correlation {made.cross_correlation:.3f}"
        )
        if made.multi_resolution_stft is not None:
            put(
                f"  their spectra: multi-resolution STFT distance {made.multi_resolution_stft:.3f}, spectral "
                f"convergence {made.spectral_convergence:.3f} (0 is the truth, silence has 1)"
            )
    if result.generated is not None:
        _print_generated(result.generated)
    if result.free_play is not None:
        _print_free_play(result.free_play)


def figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print_generated(made: "Generated") -> None:
    largest_dc = max(made.dc, key=abs)
    put(
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


def _print_free_play(played: "FreePlay") -> None:
    from wavewright.measuring.free_play import HISS, TITLES

    count, top_p = len(played.streams), "" if played.top_p is None else f" and top-p {played.top_p:g}"
    rows = [
        (
            TITLES[one.name],
            short(one.corpus),
            one.text,
            short(one.median),
            f"{one.within} of {count}",
            "yes" if one.passed else "no",
        )
        for one in played.bounds
    ]
    table(
        f"free play: {count} streams of {played.seconds:g} s at temperature {played.temperature:g}{top_p}, half of "
        f"them after {played.prime_seconds:g} s of music",
        ("measure", "real", "bound", "played, median", "streams within", "passed"),
        rows,
    )
    limits = played.limits
    put(f"a second is too quiet below {limits.quietest_dbfs:.1f} dBFS, too loud above {limits.loudest_dbfs:.1f} dBFS")
    for name, what in (("first_outside", "second too quiet or too loud"), ("first_burst", "burst")):
        begun = [(at, stream.start) for stream in played.streams if (at := getattr(stream, name)) is not None]
        for at, start in sorted(begun)[:1]:
            put(f"the first {what} comes {at:.1f} s after {start}")
    spread = played.hiss
    levels = [("all", short(spread.spread_dbfs), short(spread.below_sound_db))]
    for part in spread.by_level:
        where = f"{part.low_dbfs:g} to {part.high_dbfs:g} dBFS, {100 * part.share:.0f}%"
        levels.append((where, short(part.spread_dbfs), short(part.below_sound_db)))
    table("hiss: the spread of the model's own distribution", ("recordings at", "dBFS", "dB below them"), levels)
    heard = [(TITLES[name], short(getattr(played.corpus, name)), short(played.median(name))) for name in HISS]
    table("hiss in free play", ("measure", "real", "played, median"), heard)


def short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
