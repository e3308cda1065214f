"""Small, true folders of each kind of experiment, with made-up curves and sounds, for the report's tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 14700
VARIATIONS = ((2, 256, 256), (3, 256, 256), (2, 512, 256), (2, 256, 512), (2, 256, 128), (2, 512, 128))
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "naive-rnn": ("NaiveRNN 2x512", {"name": "naive-rnn", "layers": 2, "units": 512}),
    "sample-rnn": ("SampleRNN 512, 8/2", {"name": "sample-rnn", "units": 512, "frame_sizes": [8, 2]}),
    "wavenet-2x12": ("WaveNet 2x12", {"name": "wavenet", "blocks": 2, "layers": 12}),
    "wavenet-4x10": ("WaveNet 4x10", {"name": "wavenet", "blocks": 4, "layers": 10}),
}


def note(seconds: float, pitch: float = 220.0) -> NDArray[np.float64]:
    """A plucked tone with overtones."""
    t = np.arange(round(seconds * RATE)) / RATE
    tones = [np.sin(2 * np.pi * pitch * k * t) * np.exp(-2 * k * t) / k for k in range(1, 6)]
    return 0.4 * np.sum(tones, axis=0)


def make_all(folder: Path, steps: int = 3000) -> list[Path]:
    """A folder of each kind."""
    return [
        variations(folder / "variations", steps),
        overfit(folder / "overfit", steps),
        piano(folder / "piano", steps),
        speed(folder / "speed"),
        search(folder / "search"),
    ]


def experiment(folder: Path, kind: str, scale: str = "full") -> Path:
    """experiment.json."""
    folder.mkdir(parents=True)
    _write(
        folder / "experiment.json",
        {
            "format": 1,
            "experiment": kind,
            "scale": scale,
            "commands": [f"wavewright experiment {kind} --out runs/{kind}"],
            "data": {
                "files": ["bwv846_prelude.flac"],
                "rate": RATE,
                "seconds": 1.0,
                "facts": "Bach's Prelude in C from FluidR3 samples, MIT licence.",
            },
            "made_by": {
                "wavewright": "0.1.0",
                "torch": "2.13.0",
                "python": "3.11.2",
                "machine": "2 cores, AMD EPYC",
                "date": "2026-11-24",
            },
        },
    )
    return folder


def variations(folder: Path, steps: int) -> Path:
    """Six NaiveRNNs."""
    experiment(folder, "variations")
    soundfile.write(folder / "original.wav", note(1.0), RATE)
    for i, (layers, units, length) in enumerate(VARIATIONS):
        model = {"name": "naive-rnn", "layers": layers, "units": units}
        title = f"{layers} layers, {units} units, length {length}"
        thesis = {"steps": 44_830, "seconds": 6193, "nats": 0.027, "where": "table 4.1"}
        trial(folder, f"{layers}x{units}-{length}", title, model, steps, speed=1 + i / 4, length=length, thesis=thesis)
    return folder


def overfit(folder: Path, steps: int) -> Path:
    """Each model on one second; one more that did not finish."""
    experiment(folder, "overfit", "quick")
    soundfile.write(folder / "original.wav", note(1.0), RATE)
    for i, (name, (title, model)) in enumerate(MODELS.items()):
        trial(folder, name, title, model, steps, speed=1 + i, note="a note on it" if i == 3 else None)
    (folder / "trials" / "wavenet-gated" / "run").mkdir(parents=True)
    return folder


def piano(folder: Path, steps: int) -> Path:
    """Each model on more music, validated ten times."""
    experiment(folder, "piano")
    for i, (name, (title, model)) in enumerate(MODELS.items()):
        more = {"context": {0.07: 4.5 - i / 10, 0.5: 4.25 - i / 10, 30.0: 4.125 - i / 10}, "free": i} if i else {}
        options = {"speed": 0.5 + i / 4, "floor": 2.0, "validations": 10, "sounds": (2.0, 4.0), **more}
        trial(folder, name, title, model, steps, **options)
    return folder


def speed(folder: Path) -> Path:
    """Rows as `wavewright bench` makes them."""
    experiment(folder, "speed")
    rows = [
        {
            "model": model,
            "preset": title,
            "engine": engine,
            "precision": "float32",
            "threads": 1,
            "streams": streams,
            "samples_per_second": RATE * times,
            "times_real_time": times,
            "times_torch": times / 0.05,
            "of_limit": None if engine == "torch" else 0.6,
        }
        for model, title, factor in (
            ("naive-rnn", "NaiveRNN 2x512", 1.0),
            ("sample-rnn", "SampleRNN 512, 8/2", 2.0),
            ("wavenet", "WaveNet 2x12", 1.5),
            ("wavenet", "WaveNet 4x10", 1.2),
        )
        for engine, streams, times in (("torch", 1, 0.05), ("avx2", 1, factor), ("avx2", 16, 4 * factor))
    ]
    _write(folder / "rows.json", rows)
    return folder


def search(folder: Path) -> Path:
    """Twenty trials, some of them stopped early."""
    experiment(folder, "search")
    trials = [
        {
            "number": i,
            "state": "complete" if i % 3 else "pruned",
            "value": 4.2 + ((7 * i) % 11) / 40,
            "parameters": {"frame_sizes": "16/4" if i % 2 else "8/2", "learning_rate": 0.001 * (1 + i), "units": 256},
            "intermediate": {"100": 5.0, "200": 4.5},
            "seconds": 60.0 + i,
        }
        for i in range(20)
    ]
    importances = {"learning_rate": 0.62, "frame_sizes": 0.29, "units": 0.09}
    _write(folder / "search.json", {"trials": trials, "importances": importances, "best": 11})
    return folder


def trial(
    folder: Path,
    name: str,
    title: str,
    model: dict[str, Any],
    steps: int,
    *,
    speed: float,
    floor: float = 0.01,
    length: int = 128,
    validations: int = 0,
    sounds: tuple[float, ...] = (1.0,),
    thesis: dict[str, Any] | None = None,
    note: str | None = None,
    context: dict[float, float] | None = None,
    free: int | None = None,
) -> None:
    """A finished trial, whose loss falls to `floor` at its own `speed`."""
    place = folder / "trials" / name
    (place / "run").mkdir(parents=True)
    (place / "takes").mkdir()
    rng = np.random.default_rng(len(name))
    config = {
        "format": 1,
        "model": model,
        "encoding": "linear",
        "training": {"batch_size": 4, "length": length, "learning_rate": 0.001},
        "corpus": {"rate": RATE, "section": RATE},
    }
    _write(place / "run" / "config.json", config)
    lines: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        loss = (floor + 5.5 * np.exp(-step * speed * 6 / steps)) * np.exp(rng.normal(0, 0.1))
        times = {"seconds": 0.03 * step, "samples_per_second": 9000}
        heard = step * 4 * length - step // 10 * 4 * (length // 2)  # the last window of ten is half as long
        lines.append(
            {
                "step": step,
                "epoch": 0,
                "samples": heard,
                "loss": loss if step != 50 else None,
                "verdict": "apply",
                "time": times,
            }
        )
        if validations and step % (steps // validations) == 0:
            lines.append({"step": step, "event": "validation", "bits": 3.2 + 3 * np.exp(-step * speed * 6 / steps)})
    (place / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = []
    for i, seconds in enumerate(sounds):
        made = _note_with_hiss(seconds, rng)
        soundfile.write(place / "takes" / f"{i}.wav", made, RATE)
        files.append({"file": f"takes/{i}.wav", "title": f"from silence, take {i + 1}", "step": steps, "minutes": 2.1})
    _write(
        place / "result.json",
        {
            "name": name,
            "title": title,
            "model": model["name"],
            "parameters": 1_234_567,
            "steps": steps,
            "seconds": 0.03 * steps,
            "nats": floor,
            "thesis": thesis,
            "note": note,
            "sounds": files,
            "measures": {"correlation": 0.99, "mean_absolute_difference": 0.0123, "validation_bits": None},
            **({} if context is None else {"context": [{"seconds": s, "bits": b} for s, b in context.items()]}),
            **({} if free is None else {"free_play": free_play(free)}),
        },
    )


def free_play(flatter: int) -> dict[str, Any]:
    """Free play of two streams as result.json holds it, whose flatness is out of its bound for all but 1."""
    figures = {
        "level_dbfs": -19.0,
        "seconds_outside": 0,
        "bursts": 0,
        "flatness": 0.0025,
        "peak_over_floor_db": 43.0,
        "onset_strength_db": 0.45,
        "treble_db": -25.5,
        "pauses_dbfs": -34.5,
    }
    bounds = {"seconds_outside": (None, 0), "flatness": (None, 0.005), "peak_over_floor_db": (35.0, None)}
    own = figures | {"flatness": 0.0025 * flatter**2, "treble_db": -22.5}
    within = 2 if flatter == 1 else 0
    stream = {
        "start": "silence",
        "first_outside": None,
        "first_burst": None,
        "figures": own,
        "broken": [] if within else ["flatness"],
    }
    return {
        "limits": {"quietest_dbfs": -55.0, "loudest_dbfs": -4.0, "burst_dbfs": -18.0},
        "corpus": figures,
        "bounds": [
            {
                "name": name,
                "low": low,
                "high": high,
                "corpus": figures[name],
                "median": own[name],
                "within": within if name == "flatness" else 2,
                "passed": name != "flatness" or within == 2,
            }
            for name, (low, high) in bounds.items()
        ],
        "streams": [stream, stream | {"start": "music"}],
        "seconds": 60.0,
        "temperature": 1.0,
        "top_p": None,
        "prime_seconds": 3.0,
        "hiss": {
            "spread_dbfs": -40.0 + flatter,
            "below_sound_db": 20.5,
            "by_level": [
                {"low_dbfs": -40.0, "high_dbfs": -20.0, "share": 1.0, "spread_dbfs": -39.0, "below_sound_db": 11.5}
            ],
        },
    }


def _note_with_hiss(seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    sound = note(seconds)
    return sound + rng.normal(0, 0.01, len(sound))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
