"""The thesis's experiments at their quick scale: what they leave, that it resumes, and that it can be reported."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import soundfile
from optuna.distributions import CategoricalDistribution, FloatDistribution

from support.html import parsed
from support.tiny import hashes, records, start, wait_for_lines
from wavewright import experiments
from wavewright.cli import main
from wavewright.errors import ConfigError
from wavewright.experiments import overfit, piano, search, variations
from wavewright.experiments.experiment import Experiment, Trial
from wavewright.experiments.scales import SCALES
from wavewright.report import report

pytestmark = pytest.mark.slow

CLIP = str(Path(experiments.__file__).parents[1] / "data" / "bwv846_prelude.flac")

TRIALS = (
    "naive-rnn",
    "sample-rnn",
    "sample-rnn-as-the-thesis",
    "wavenet-2x12",
    "wavenet-4x10",
    "wavenet-4x10-as-the-thesis",
)


def do(tmp_path: Path, kind: str, *options: object) -> Path:
    out = tmp_path / kind
    command = start(tmp_path / f"{kind}.log", "experiment", kind, "--out", out, *options)
    assert command.wait() == 0, command.output
    assert report([out], tmp_path / "report.html")["unfinished"] == []
    return out


def result(out: Path, name: str) -> dict[str, Any]:
    return json.loads((out / "trials" / name / "result.json").read_text())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The experiment `overfit` as two workers share it, and what each of them says."""
    folder = tmp_path_factory.mktemp("shared")
    both = [start(folder / f"{i}.log", "experiment", "overfit", "--out", folder / "overfit") for i in range(2)]
    for worker in both:
        assert worker.wait() == 0, worker.output
    return folder / "overfit", [worker.output for worker in both]


def test_overfit_trains_plays_and_compares(shared: tuple[Path, list[str]]) -> None:
    out, _ = shared
    original, rate = soundfile.read(out / "original.wav")
    assert len(original) == rate == 14700
    assert np.abs(original[:200]).max() > 0  # it begins with music, not with the silence before it
    heard = np.fromfile(out / "corpus" / "train.i16", np.int16)
    assert np.array_equal(np.round(original * 32768), heard)  # as the models hear it
    truth = heard / 32767
    codes = np.floor((truth + 1) * 128).clip(0, 255)  # 256 linear bins
    for name in TRIALS:
        found = result(out, name)
        run = out / "trials" / name / "run"
        losses = [record["loss"] for record in records(run) if "loss" in record]
        assert found["steps"] == len(losses) == 20
        assert found["nats"] == pytest.approx(np.mean(losses[-10:]))
        silence, token = (soundfile.read(out / "trials" / name / sound["file"])[0] for sound in found["sounds"])
        assert (len(silence), len(token)) == (14700, 14692)
        measures = found["measures"]
        assert measures["mean_absolute_difference"] == pytest.approx(np.abs(silence - truth).mean(), abs=1e-4)
        token_codes = np.floor((token + 1) * 128).clip(0, 255)
        assert measures["codes_equal_from_token"] == pytest.approx((token_codes == codes[8:]).mean(), abs=1e-3)
    assert json.loads((out / "experiment.json").read_text())["data"]["rate"] == 14700


def test_what_ran_is_named_by_its_real_size(shared: tuple[Path, list[str]], tmp_path: Path) -> None:
    (out, said), kept = shared, tmp_path / "kept"
    assert report([out], tmp_path / "report.html", kept)["unfinished"] == []
    page = parsed(tmp_path / "report.html")
    found = json.loads((kept / "results.json").read_text())["sections"][0]
    sounds = " ".join(path.name for path in (kept / "sounds").iterdir())
    for name, title in (("naive-rnn", "NaiveRNN 2x32"), ("wavenet-4x10", "WaveNet 4x3, 8 channels")):
        size = json.loads((out / "trials" / name / "run" / "config.json").read_text())["model"]
        assert title in (
            f"NaiveRNN 2x{size.get('units')}",
            f"WaveNet 4x{size['layers']}, {size.get('channels')} channels",
        )
        assert result(out, name)["title"] == title
        assert title in [trial["title"] for trial in found["trials"]]
        assert title in [row[0] for table in found["tables"] for row in table["rows"]]
        assert title in [cell.text for cell in page.all("td")]
        assert title in [heading.text for heading in page.all("h4")]
        assert f"overfit: {title} (trial {name})" in "".join(said)
        assert f"overfit-{title.lower().replace(', ', '-').replace(' ', '-')}-from-silence.flac" in sounds
    assert "512" not in sounds


@pytest.mark.parametrize("declared", [overfit.TRIALS, variations.TRIALS])
def test_scales_grow(declared: dict[str, Trial]) -> None:
    for name, trial in declared.items():
        quick, medium, full = (overfit.at_scale(trial, SCALES[scale]) for scale in ("quick", "medium", "full"))
        sizes = [sum(int(np.prod(shape)) for _, shape in t.config().model.shapes()) for t in (quick, medium, full)]
        assert 8 * sizes[0] < sizes[1] < sizes[2] / 8, name
        assert full == trial
        assert quick.thesis is medium.thesis is None  # whose figures are of other sizes
    at_all = [{overfit.at_scale(t, scale).title for t in declared.values()} for scale in SCALES.values()]
    assert [len(titles) for titles in at_all] == [len(declared)] * 3  # no two trials are the same


def test_variations_are_those_of_table_4_1(tmp_path: Path) -> None:
    out = do(tmp_path, "variations", "--only", "3x256-256", "--only", "2x512-128")
    assert sorted(path.name for path in (out / "trials").iterdir()) == ["2x512-128", "3x256-256"]
    models = {name: trial.config().model for name, trial in variations.TRIALS.items()}
    assert {(m.layers, m.units) for m in models.values()} == {(2, 256), (3, 256), (2, 512)}  # type: ignore[union-attr]
    assert {trial.config().training.length for trial in variations.TRIALS.values()} == {128, 256, 512}
    assert models["2x512-128"] == overfit.TRIALS["naive-rnn"].config().model


def test_declared_trials_have_the_thesiss_sizes() -> None:
    sizes = {"naive-rnn": 4_330_752, "sample-rnn": 5_401_856, "wavenet-2x12": 786_944, "wavenet-4x10": 1_311_232}
    for name, size in sizes.items():
        assert sum(int(np.prod(shape)) for _, shape in overfit.TRIALS[name].config().model.shapes()) == size


def test_piano_plays_at_the_same_moments(tmp_path: Path) -> None:
    out = do(tmp_path, "piano")
    for name in ("naive-rnn", "sample-rnn", "wavenet", "linear-rnn", "linear-rnn-prediction"):
        found = result(out, name)
        moments = [sound["minutes"] for sound in found["sounds"][:3]]
        assert moments == pytest.approx([0.025, 0.05, 0.1], abs=0.05)
        assert moments == sorted(moments)
        steps = [sound["step"] for sound in found["sounds"]]
        assert steps == sorted(steps)
        assert steps[-1] == found["steps"] > 0
        steady, rate = soundfile.read(out / "trials" / name / "takes" / "steady.wav")
        seconds = steady.reshape(-1, rate)
        rms = 20 * np.log10(np.sqrt((seconds**2).mean(1)))
        assert found["measures"]["quietest_second_dbfs"] == pytest.approx(rms.min(), abs=0.05)
        assert found["measures"]["greatest_dc_of_a_second"] == pytest.approx(np.abs(seconds.mean(1)).max(), abs=1e-4)
        validations = [r["bits"] for r in records(out / "trials" / name / "run") if r.get("event") == "validation"]
        assert found["measures"]["validation_bits"] == min(validations)
        assert [one["seconds"] for one in found["context"]] == pytest.approx([0.07, 0.5, 2, 4], abs=1e-4)
        assert all(0 < one["bits"] < 9 for one in found["context"])
        assert len(found["free_play"]["streams"]) == 16
        assert found["free_play"]["seconds"] == 1
    configurations = [out / "trials" / name / "run" / "config.json" for name in ("linear-rnn", "linear-rnn-prediction")]
    predictions = [json.loads(path.read_text())["model"].get("prediction") for path in configurations]
    assert predictions[0] is None
    assert predictions[1]["order"] == 512
    original, rate = soundfile.read(out / "original.wav")
    assert len(original) == rate // 2
    titles = [element.text for element in parsed(tmp_path / "report.html").all("h3", "h4")]
    assert "LinearRNN 48/32, 8/1, with prediction" in titles
    assert [title for title in titles if title.startswith("Free play of 16 streams of 1 s")]
    assert "Original" in titles


def test_scores_are_learned_and_played(tmp_path: Path) -> None:
    """The clip has a score. A model with scores plays it, and is measured; one without plays from silence."""
    out = do(tmp_path, "piano-roll", "--minutes", "0.05", "--only", "wavenet", "wavenet-scores")
    plain, scored = (result(out, name) for name in ("wavenet", "wavenet-scores"))
    assert [sound["file"] for sound in plain["sounds"]] == ["takes/silence.wav"]
    assert [sound["file"] for sound in scored["sounds"]] == ["takes/score.wav"]
    original, rate = soundfile.read(out / "original.wav")
    assert len(soundfile.read(out / "trials" / "wavenet-scores" / "takes" / "score.wav")[0]) == len(original)
    assert len(original) == rate // 2
    contents = json.loads((out / "corpus" / "corpus.json").read_text())
    held_out = next(track for track in contents["tracks"] if track["split"] == "valid")
    heard = np.fromfile(out / "corpus" / "valid.i16", np.int16)[: len(original)]
    assert np.array_equal(np.round(original * 32768), heard)
    assert held_out["events"] > 0
    own = {"single_notes_in_tune", "loudness_follows_velocity", "attack_ms", "silence_dbfs", "bits_alone"}
    assert own <= set(scored["measures"])
    assert not own & set(plain["measures"])
    assert len(plain["context"]) == len(scored["context"]) == 4
    assert scored["context"][-1]["bits"] == pytest.approx(scored["measures"]["bits"], rel=0.05)
    size = json.loads((out / "trials" / "wavenet-scores" / "run" / "config.json").read_text())["model"]
    assert [control["kind"] for control in size["condition"]["controls"]] == ["notes"]
    page = (tmp_path / "report.html").read_text()
    for words in ("single notes in tune", "with scores", "without scores", "that under MIDI a model can spend itself"):
        assert words in page


def test_a_sound_made_before_a_stop_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Experiment("piano", tmp_path, only=("naive-rnn",))
    played, takes = piano.play, tmp_path / "trials" / "naive-rnn" / "takes"

    def stopped(*arguments: Any, **options: Any) -> Any:
        if (takes / "25-percent.wav").is_file():
            raise KeyboardInterrupt
        return played(*arguments, **options)

    monkeypatch.setattr(piano, "play", stopped)
    with pytest.raises(KeyboardInterrupt):
        piano.run(bench)
    early = (takes / "25-percent.wav").read_bytes()
    monkeypatch.setattr(piano, "play", played)
    piano.run(bench)
    assert (takes / "25-percent.wav").read_bytes() == early
    sounds = result(tmp_path, "naive-rnn")["sounds"]
    assert [sound["file"] for sound in sounds[:3]] == [f"takes/{share}-percent.wav" for share in (25, 50, 100)]
    assert sounds[0]["step"] < sounds[1]["step"] < sounds[2]["step"]


def test_search_finds_the_best_of_its_trials(tmp_path: Path) -> None:
    out = tmp_path / "search"
    arguments = ("experiment", "search", "--trials", "4", "--minutes", "0.04", "--out", out)
    both = [start(tmp_path / f"{i}.log", *arguments) for i in range(2)]
    for worker in both:
        assert worker.wait() == 0, worker.output
    found = json.loads((out / "search.json").read_text())
    complete = {t["number"]: t["value"] for t in found["trials"] if t["state"] == "complete"}
    assert len(found["trials"]) >= 4  # each of two workers may draw the last
    rates = [trial["parameters"]["learning_rate"] for trial in found["trials"]]
    assert len(set(rates)) == len(rates)  # nothing is tried twice
    assert found["best"] == min(complete, key=lambda number: complete[number])
    units = {trial["number"]: trial["parameters"]["units"] for trial in found["trials"]}
    for number, value in complete.items():
        run = json.loads((out / "trials" / f"trial-{number:04d}" / "run" / "config.json").read_text())
        assert units[number] == run["model"]["units"]  # as the page's tables give them
        assert result(out, f"trial-{number:04d}")["title"].startswith(f"SampleRNN {units[number]}, ")
        assert result(out, f"trial-{number:04d}")["measures"]["validation_bits"] == pytest.approx(value)


def test_search_tells_what_mattered(tmp_path: Path) -> None:
    """Bits to which the units give 97% and the rate 3%, wherever most of the trials happen to lie."""
    bench = Experiment("search", tmp_path / "search")
    opened = bench.open_study()
    random = np.random.default_rng(0)
    spread = np.std([0.0, 0.1, 0.2]) / np.std(np.linspace(-1, 1, 1000))
    for i in range(60):
        units = 128 if i % 4 else int(random.choice([256, 512]))  # a sampler goes where the best ones are
        rate = random.uniform(-1, 1)
        opened.add_trial(
            optuna.create_trial(
                params={"units": units, "learning_rate": 10**rate},
                distributions={
                    "units": CategoricalDistribution((128, 256, 512)),
                    "learning_rate": FloatDistribution(0.1, 10, log=True),
                },
                value=5 + 0.1 * (units // 128).bit_length() + (0.03 / 0.97) ** 0.5 * spread * rate,
            )
        )
    search.run(bench, trials=60)
    shares = json.loads((tmp_path / "search" / "search.json").read_text())["importances"]
    assert shares == pytest.approx({"units": 0.97, "learning_rate": 0.03}, abs=0.05)


def test_speed_measures_both_back_ends(tmp_path: Path) -> None:
    out = do(tmp_path, "speed", "--only", "wavenet-2x12")
    rows = json.loads((out / "rows.json").read_text())
    assert {row["model"] for row in rows} == {"wavenet"}
    assert {row["precision"] for row in rows} == {"float32", "bfloat16", "int8"}
    assert "torch" in {row["engine"] for row in rows}
    assert len({row["engine"] for row in rows}) == 2


def test_a_stopped_experiment_goes_on_to_the_same_bits(shared: tuple[Path, list[str]], tmp_path: Path) -> None:
    whole, _ = shared
    stopped = tmp_path / "stopped"
    arguments = ("experiment", "overfit", "--only", "naive-rnn", "--out", stopped)
    command = start(tmp_path / "first.log", *arguments)
    run = stopped / "trials" / "naive-rnn" / "run"
    while not run.is_dir() and command.process.is_alive():
        pass
    wait_for_lines(command, run, 5)
    command.send(signal.SIGINT)
    assert command.wait() == 130, command.output
    assert "Traceback" not in command.output
    assert not (stopped / "trials" / "naive-rnn" / "result.json").exists()
    assert start(tmp_path / "second.log", *arguments).wait() == 0
    assert hashes(run, 20) == hashes(whole / "trials" / "naive-rnn" / "run", 20)
    assert records(run) == records(whole / "trials" / "naive-rnn" / "run")
    made = "trials/naive-rnn/takes/silence.wav"
    assert (stopped / made).read_bytes() == (whole / made).read_bytes()
    done = start(tmp_path / "third.log", *arguments)  # and what is done is not done again
    assert done.wait() == 0
    assert "parameters" not in done.output


def test_two_workers_share_an_experiment(shared: tuple[Path, list[str]]) -> None:
    out, said = shared
    assert sorted(path.parent.name for path in out.glob("trials/*/result.json")) == sorted(TRIALS)
    trained = "".join(said).count("parameters on")
    assert trained == len(TRIALS)  # each once


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["overfit", "--only", "nothing"], "--only nothing: no such trial; there are naive-rnn"),
        (["overfit", "--data", "missing.flac"], "missing.flac"),
        (["overfit", "--data", __file__], "test_experiments.py: not readable (Format not recognised)"),
        (["piano", "--scale", "full"], "--data: name a corpus or recordings"),
        (["piano", "--minutes", "0"], "--minutes 0.0: give more than 0"),
        (["piano-roll", "--data", CLIP], "has no scores; name recordings with a MIDI file beside each"),
        (["search", "--minutes", "-1"], "--minutes -1.0: give more than 0"),
        (["search", "--trials", "0"], "--trials 0: give more than 0"),
        (["search", "--only", "trial-0000"], "--only trial-0000: a search draws its trials"),
        (["overfit", "--storage", "nonsense"], "--storage nonsense: cannot be used"),
    ],
)
def test_what_is_refused(options: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["experiment", *options, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert line in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_holds_one_experiment(tmp_path: Path) -> None:
    Experiment("overfit", tmp_path).describe(None, "nothing")
    with pytest.raises(ConfigError, match="of overfit at scale quick; choose another --out"):
        Experiment("variations", tmp_path).describe(None, "nothing")
