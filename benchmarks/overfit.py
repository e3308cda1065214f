"""The thesis's models at its sizes on one second of piano: does each learn it? `make overfit`, or name the cases.

Every case is an ordinary, resumable run folder; at its end the model plays the second from silence at temperature 0,
and the result is compared with what it heard. The last two show what the initialisation does to WaveNet 4x10.
"""

import argparse
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile

from wavewright.config import resolve
from wavewright.console import print_json
from wavewright.demo import CLIP, START
from wavewright.metrics import cross_correlation
from wavewright.native import open_model
from wavewright.prepare import prepare
from wavewright.sampling import Sampling
from wavewright.settings import PrepareSettings
from wavewright.takes import record
from wavewright.training import Budget, train


@dataclass(frozen=True)
class Case:
    model: str
    steps: int
    overrides: tuple[str, ...] = ()


CLIPPED = "training.clip=norm"
FOUR_BY_TEN = ("model.blocks=4", "model.layers=10", CLIPPED)
CASES = {
    "naive-rnn": Case("naive-rnn", 12000, (CLIPPED,)),
    "sample-rnn": Case("sample-rnn", 12000, (CLIPPED,)),
    "wavenet-2x12": Case("wavenet", 600, (CLIPPED,)),
    "wavenet-4x10": Case("wavenet", 600, FOUR_BY_TEN),
    "wavenet-4x10-fast-wavenet-gain": Case("wavenet", 200, (*FOUR_BY_TEN, "model.gain=0.70710678")),
}


def run(name: str, case: Case, out: Path) -> dict[str, object]:
    sound = out / "original.wav"
    with resources.as_file(resources.files("wavewright") / "data" / CLIP) as clip:
        rate = soundfile.info(clip).samplerate
        samples, _ = soundfile.read(clip, frames=rate, start=round(START * rate))
    out.mkdir(parents=True, exist_ok=True)
    soundfile.write(sound, samples, rate)
    corpus = prepare([sound], out / "corpus", PrepareSettings(section_seconds=1.0, split=(1, 0, 0)))
    fixed = ["training.batch_size=1", f"training.checkpoint_every={case.steps // 4}", "training.sample_seconds=0"]
    config = resolve(case.model, "thesis", None, [*fixed, *case.overrides])
    summary = train(config, corpus, out / name, Budget(steps=case.steps), resume=True, device="cpu")
    take = out / f"{name}.wav"
    record(open_model(out / name), take, seconds=1.0, sampling=Sampling(temperature=0))
    made, _ = soundfile.read(take, dtype="float32")
    heard = corpus.samples("train") / np.float32(32767)
    losses = [json.loads(line) for line in (out / name / "metrics.jsonl").read_text().splitlines()]
    recent = [r["loss"] for r in losses if r.get("loss") is not None][-max(10, case.steps // 100) :]
    return {
        "case": name,
        "steps": summary.step,
        "seconds": round(summary.seconds),
        "nats": round(float(np.mean(recent)), 4),
        "correlation": round(cross_correlation(made, heard, 735)[0], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--out", type=Path, default=Path("runs/overfit"))
    arguments = parser.parse_args()
    print_json([run(name, CASES[name], arguments.out) for name in arguments.cases])


if __name__ == "__main__":
    main()
