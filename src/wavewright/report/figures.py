"""Draw the thesis's figures from our sounds and runs, each with what the thesis says about its own figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from wavewright.measuring.similarity import cross_correlation, mean_absolute_difference
from wavewright.metrics import loudness
from wavewright.quantize import Quantizer
from wavewright.report import drawing
from wavewright.report.drawing import Line
from wavewright.report.format import clock, minus, number, sentence, signed
from wavewright.report.page import Figure
from wavewright.report.reading import Curve, Sound, Trial

LOW_RATE, HIGH_RATE = 1764, 8820  # Hz, figure 1.4
LOW_BITS, HIGH_BITS = 2, 5  # figure 1.5
CLOSE = 100  # samples of a close-up, figure 4.8
LAG = 0.05  # seconds that a generated sound may be late or early

LOSS = "loss (nats), mean of 10 steps"


def rates(original: Sound) -> Figure:
    """Draw figure 1.4, a few milliseconds at a low and at a high sample rate."""
    truth, extract = _milliseconds(original)
    steps = [max(1, round(original.rate / rate)) for rate in (LOW_RATE, HIGH_RATE)]
    panels = [(f"{original.rate / step:,.0f} Hz", truth[0][::step], extract[::step], False) for step in steps]
    power = np.abs(np.fft.rfft(original.samples)) ** 2
    lost = [power[round(len(power) / step) :].sum() / max(power.sum(), 1e-30) for step in steps]
    ours = sentence(
        f"at {original.rate / step:,.0f} Hz nothing above {original.rate / step / 2:,.0f} Hz can be kept, "
        f"which is {number(100 * share, 2)} % of this sound's energy"
        for step, share in zip(steps, lost, strict=True)
    )
    return Figure(
        "1.4",
        "A sound at a low and a high sample rate",
        drawing.sampled(panels, truth),
        ours,
        "too low a rate loses the shape of the wave, and adds frequencies that were not there.",
    )


def resolutions(original: Sound) -> Figure:
    """Draw figure 1.5, a few milliseconds with few and with more bits a sample."""
    truth, extract = _milliseconds(original)
    quantizers = [Quantizer(2**bits, "linear") for bits in (LOW_BITS, HIGH_BITS)]
    kept = [quantizer.decode(quantizer.encode(extract)) for quantizer in quantizers]
    panels = [(f"{bits} bits", truth[0], y, True) for bits, y in zip((LOW_BITS, HIGH_BITS), kept, strict=True)]
    noise = [loudness(y - extract)[0] - loudness(extract)[0] for y in kept]
    return Figure(
        "1.5",
        "A sound with few and with more bits a sample",
        drawing.sampled(panels, truth),
        f"the error of {LOW_BITS} bits lies {-noise[0]:.0f} dB below the sound, that of {HIGH_BITS} bits "
        f"{-noise[1]:.0f} dB.",
        "2 bits leave nothing that one would recognise.",
    )


def loss(number_: str, title: str, trials: Sequence[Trial], thesis: str, *, log: bool = True) -> Figure:
    """Draw the training loss of trials against steps."""
    lines = [Line(trial.result.title, *trial.curve.thinned()) for trial in trials]
    said = [_ends(trial) for trial in trials] if log else [_course(trial) for trial in trials]
    return Figure(number_, title, drawing.curves(lines, "training step", LOSS, log_y=log), sentence(said), thesis)


def race(number_: str, title: str, base: Trial, other: Trial, thesis: str) -> Figure:
    """Draw the loss of two trials, and say what each needed to reach the lowest loss that both reached."""
    figure = loss(number_, title, [base, other], thesis)
    if not (base.curve.learned and other.curve.learned):
        return figure
    goal = max(float(np.nanmin(trial.curve.nats)) for trial in (base, other))
    needed = [_needed(trial, goal) for trial in (base, other)]
    return Figure(number_, title, figure.svg, f"to reach {number(goal)} nats, {'; '.join(needed)}.", thesis)


def _needed(trial: Trial, goal: float) -> str:
    curve = trial.curve
    place = curve.reaches(goal)
    assert place is not None, "both trials reach the goal"
    return f"{trial.result.title} took {number(curve.steps[place])} steps and {clock(60 * curve.minutes[place])}"


def _ends(trial: Trial) -> str:
    """Say where a trial's training loss ends."""
    curve, title = trial.curve, trial.result.title
    return f"{title} ends at {number(float(curve.nats[-1]))} nats after {number(curve.steps[-1])} steps"


def _course(trial: Trial) -> str:
    curve = trial.curve
    if not curve.learned:
        return _ends(trial)
    lowest = int(np.nanargmin(curve.nats))
    return (
        f"{trial.result.title} goes from {number(curve.nats[0])} to {number(curve.nats[-1])} nats in "
        f"{number(curve.steps[-1])} steps, and is lowest, {number(curve.nats[lowest])}, at step "
        f"{number(curve.steps[lowest])}"
    )


def validation(trials: Sequence[Trial]) -> list[Figure]:
    """Draw validation bits against steps, samples and minutes, or nothing where no trial was validated."""
    measured = [trial for trial in trials if trial.curve.validations]
    if not measured:
        return []

    def lines(of: str) -> list[Line]:
        return [Line(t.result.title, _at_validations(t.curve, of), np.array(t.curve.validation_bits)) for t in measured]

    best = min(measured, key=lambda trial: min(trial.curve.validation_bits))
    lowest = int(np.argmin(best.curve.validation_bits))
    bits = number(best.curve.validation_bits[lowest], 4)
    return [
        Figure(
            "",
            f"Bits per sample on recordings not trained on, against {name}",
            drawing.curves(lines(of), axis, "validation (bits per sample)", marks=True),
            f"{best.result.title} gets lowest, to {bits} bits after {number(_at_validations(best.curve, of)[lowest])} "
            f"{of}.",
        )
        for of, name, axis in (
            ("steps", "steps", "training step"),
            ("samples", "samples read", "samples read"),
            ("minutes", "time", "minutes of training"),
        )
    ]


def _at_validations(curve: Curve, of: str) -> Any:
    return getattr(curve, of)[[curve.at(step) for step in curve.validations]]


def context(trials: Sequence[Trial]) -> list[Figure]:
    """Draw bits against the time between two resets, or nothing where that was not measured."""
    measured = [trial for trial in trials if trial.result.context]
    if not measured:
        return []
    curves = [[(one.seconds, one.bits) for one in trial.result.context] for trial in measured]
    lines = [Line(t.result.title, *np.array(c).T) for t, c in zip(measured, curves, strict=True)]
    said = [
        f"{trial.result.title} has {number(curve[0][1], 4)} bits with a memory of {number(curve[0][0], 2)} s and "
        f"{number(curve[-1][1], 4)} with {number(curve[-1][0], 2)} s"
        for trial, curve in zip(measured, curves, strict=True)
    ]
    axes = "seconds between two resets of the state", "validation (bits per sample)"
    return [Figure("", "What memory buys", drawing.curves(lines, *axes, log_x=True, marks=True), sentence(said))]


def whole(original: Sound, trial: Trial, thesis: str) -> Figure:
    """Draw figure 4.7, the original and a trial's generated sound."""
    made = trial.sounds[0]
    n = min(len(original.samples), len(made.samples))
    alike, lag = cross_correlation(made.samples[:n], original.samples[:n], round(LAG * original.rate))
    late = f" when moved by {abs(lag)} samples" if lag else ""
    return Figure(
        "4.7",
        f"Original and generated: {trial.result.title}",
        drawing.waveforms([("original", original.samples), (made.title, made.samples)], original.rate),
        minus(f"the two correlate to {alike:.3f}{late}."),
        thesis,
    )


def close_up(original: Sound, trial: Trial, thesis: str) -> Figure:
    """Draw figure 4.8, a hundred samples of the original and the generated sound, where the original is loudest."""
    made = trial.sounds[0]
    within = min(len(original.samples), len(made.samples))
    start = _loudest(original, CLOSE, within)
    parts = [sound.samples[:within][start : start + CLOSE] for sound in (original, made)]
    return Figure(
        "4.8",
        f"A hundred samples close up: {trial.result.title}",
        drawing.close_up([("original", parts[0]), ("generated", parts[1])], start),
        f"in these {len(parts[0])} samples the two differ by {mean_absolute_difference(*parts):.4f} on average; "
        f"the original's peak there is {np.abs(parts[0]).max():.2f}.",
        thesis,
    )


def generated(number_: str, trial: Trial, sound: Sound, thesis: str) -> Figure:
    """Draw figure 4.13 or 4.16, a whole generated sound, and describe its last fifth."""
    last = sound.samples[-max(1, len(sound.samples) // 5) :]
    (rms, mean), (rms_last, mean_last) = loudness(sound.samples), loudness(last)
    return Figure(
        number_,
        f"Generated by {trial.result.title}",
        drawing.waveforms([(sound.title, sound.samples)], sound.rate),
        f"its level is {number(rms)} dBFS and its centre at {signed(mean)}; in the last fifth, {number(rms_last)} dBFS "
        f"and {signed(mean_last)}.",
        thesis,
    )


def _loudest(sound: Sound, length: int, within: int) -> int:
    """Return where the loudest `length` samples begin."""
    energy = np.cumsum(np.square(sound.samples[:within], dtype=np.float64))
    return int(np.argmax(energy[length:] - energy[:-length])) if within > length else 0


def _milliseconds(sound: Sound) -> tuple[tuple[Any, Any], Any]:
    """Return ten loud milliseconds scaled to their peak, as (time in ms, amplitude) and as amplitudes alone."""
    length = round(0.01 * sound.rate)
    start = _loudest(sound, length, len(sound.samples))
    extract = sound.samples[start : start + length] / max(1e-6, np.abs(sound.samples[start : start + length]).max())
    return (1000 * np.arange(len(extract)) / sound.rate, extract), extract
