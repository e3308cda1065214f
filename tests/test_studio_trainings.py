"""The studio's trainings: the queue, what outlives the server, and what is told of a run."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from support.studio import Server, serving, told, until
from support.tiny import RATE, SETTINGS, as_arguments
from wavewright.corpus.corpus import Corpus
from wavewright.files import LOCK, holder, locked
from wavewright.formats import model_file
from wavewright.formats.config import resolve
from wavewright.formats.model_file import About
from wavewright.metrics import bits, zero_order_entropy
from wavewright.models import CONFIGS
from wavewright.studio import children, metrics
from wavewright.studio.app import Studio
from wavewright.studio.folder import Folder, Refusal, id_of
from wavewright.studio.sizes import sizes
from wavewright.studio.trainings import HELP, ResumeAsked, RunAsked

CORPUS = id_of("corpora", "tiny")

# Stands for `wavewright train`: it holds the run's lock until SIGINT, or until a file says that it is done.
FAKE = """if True:
    import signal, sys, time
    from pathlib import Path
    from wavewright.files import locked
    run = Path(next(a for a in sys.argv if a.startswith("--out=")).removeprefix("--out="))
    work = run.parents[1]
    with (work / "starts.txt").open("a") as file:
        print(run.name, file=file)
    if run.name == "bad":
        sys.exit("wavewright: corpus: is no good; take another")
    while (work / "slow").exists():
        time.sleep(0.01)
    stopped = []
    signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
    with locked(run):
        while not stopped and not (work / f"{run.name}.end").exists():
            time.sleep(0.01)
        while (work / f"{run.name}.stopping").exists():
            time.sleep(0.01)
        (work / "stops.txt").open("a").write(f"{run.name} {len(stopped)}\\n")
"""


@pytest.fixture
def work(corpus: Corpus, tmp_path: Path) -> Iterator[Path]:
    """A folder of work with a corpus. What still trains in it at the end is ended."""
    work, logs = tmp_path / "work", children.Children(tmp_path / "work" / "logs")
    Folder(work)
    shutil.copytree(corpus.path, work / "corpora" / "tiny")
    yield work

    def ended() -> bool:
        for run in (work / "runs").iterdir():
            if process := holder(run / LOCK):
                os.kill(process, signal.SIGKILL)
        return not any(logs.lives(log.stem) for log in (work / "logs").glob("*.log"))

    (work / "slow").unlink(missing_ok=True)
    until(ended)


@pytest.fixture
def fake(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of work, where a stand-in trains."""
    monkeypatch.setattr(children, "_command", lambda arguments: [sys.executable, "-c", FAKE, *arguments])
    return work


def ask(studio: Studio, name: str, **fields: Any) -> str:
    asked = {"name": name, "corpus": CORPUS, "model": "naive-rnn", "preset": "tiny", "minutes": 1, **fields}
    return str(studio.trainings.begin(RunAsked(**asked))["id"])


def states(studio: Studio) -> dict[str, str]:
    studio.trainings.tick()
    return {row["name"]: row["state"] for row in studio.trainings.rows()}


def starts(work: Path) -> list[str]:
    return (work / "starts.txt").read_text().split() if (work / "starts.txt").exists() else []


def trains(work: Path, name: str) -> bool:
    return holder(work / "runs" / name / LOCK) is not None


def test_one_trains_at_a_time_and_the_others_wait_in_their_order(fake: Path) -> None:
    studio = Studio(Folder(fake))
    a, b, c = (ask(studio, name) for name in ("z", "y", "x"))
    assert states(studio) == {"z": "running", "y": "queued", "x": "queued"}
    assert studio.trainings.samples(c) == []
    assert metrics.read(studio.trainings.path(c), 0) == {"from": 0, "next": 0, "records": []}
    with pytest.raises(Refusal, match="name: there is a run z"):
        ask(studio, "z")
    with pytest.raises(Refusal, match="corpus: the run z is running on it"):
        studio.trainings.delete_corpus(CORPUS)
    until(lambda: trains(fake, "z"))
    assert studio.trainings.stop(b)["state"] == "stopped"
    assert studio.trainings.stop(a)["state"] == "stopping"
    until(lambda: states(studio) == {"z": "stopped", "y": "stopped", "x": "running"})
    assert studio.trainings.resume(b, ResumeAsked(minutes=2))["minutes"] == 3
    assert studio.trainings.resume(a, ResumeAsked())["state"] == "queued"
    (fake / "x.end").touch()
    until(lambda: states(studio)["y"] == "running")
    assert studio.trainings.row(c)["reason"] == "ended before it began"  # the stand-in leaves no checkpoint
    (fake / "y.end").touch()
    until(lambda: states(studio)["z"] == "running")
    until(lambda: starts(fake) == ["z", "x", "y", "z"])
    studio.trainings.delete(b)
    assert "y" not in states(studio)
    assert not (fake / "runs" / "y").exists()
    with pytest.raises(Refusal, match="run: z is running; stop it first"):
        studio.trainings.delete(a)


def test_a_run_is_signalled_once_however_often_it_is_stopped(fake: Path) -> None:
    """Also when it was stopped before it could take a signal."""
    (fake / "slow").touch()
    studio = Studio(Folder(fake))
    id = ask(studio, "a")
    until(lambda: starts(fake) == ["a"])
    assert studio.trainings.stop(id)["state"] == "stopping"
    (fake / "slow").unlink()
    until(lambda: states(studio) == {"a": "stopped"} or (studio.trainings.stop(id) and False))
    assert (fake / "stops.txt").read_text() == "a 1\n"
    with pytest.raises(Refusal, match="run: a is stopped; there is nothing to stop"):
        studio.trainings.stop(id)


def test_a_run_that_fails_says_why_and_the_next_one_starts(fake: Path) -> None:
    studio = Studio(Folder(fake))
    bad = ask(studio, "bad")
    ask(studio, "good")
    until(lambda: states(studio) == {"bad": "failed", "good": "running"})
    assert studio.trainings.row(bad)["reason"] == "corpus: is no good; take another"


def test_a_new_server_finds_what_trains_and_what_waits(fake: Path) -> None:
    first = Studio(Folder(fake))
    ask(first, "a")
    ask(first, "b")
    until(lambda: trains(fake, "a"))
    second = Studio(Folder(fake))
    assert states(second) == {"a": "running", "b": "queued"}
    second.trainings.stop(id_of("runs", "a"))
    until(lambda: states(second) == {"a": "stopped", "b": "running"})
    until(lambda: starts(fake) == ["a", "b"])


def test_a_server_that_was_killed_while_it_started_a_run_starts_no_second_one(fake: Path) -> None:
    """Between the start of a child and the note of it, the run still waits in the queue."""
    studio = Studio(Folder(fake))
    id = ask(studio, "a")
    until(lambda: trains(fake, "a"))
    studio.store.change("jobs", id, state="queued")
    again = Studio(Folder(fake))
    assert states(again) == {"a": "running"}
    (fake / "a.end").touch()
    until(lambda: states(again) != {"a": "running"})
    assert states(again) == {"a": "failed"}
    assert starts(fake) == ["a"]
    again.store.change("jobs", id, state="queued")  # or killed before the start
    assert states(Studio(Folder(fake))) == {"a": "running"}


def test_a_child_outlives_the_server_that_started_it(fake: Path) -> None:
    """And its lock on the log is its own, not the server's."""
    code = f"""if True:
        import sys
        from pathlib import Path
        from wavewright.studio import children
        children._command = lambda arguments: [sys.executable, "-c", {FAKE!r}, *arguments]
        assert children.Children(Path({str(fake / "logs")!r})).start("x", "--out={fake / "runs" / "a"}")
    """
    subprocess.run([sys.executable, "-c", code], check=True)
    found = children.Children(fake / "logs")
    assert found.lives("x")
    assert not found.start("x", f"--out={fake / 'runs' / 'b'}")
    until(lambda: trains(fake, "a"))
    (fake / "a.end").touch()
    until(lambda: not found.lives("x"))
    assert found.reason("x") is None


def test_a_training_gives_way_within_its_session_and_among_sessions(fake: Path) -> None:
    studio = Studio(Folder(fake))
    ask(studio, "z")
    until(lambda: trains(fake, "z"))
    process = holder(fake / "runs" / "z" / LOCK)
    assert process is not None
    assert os.getpriority(os.PRIO_PROCESS, process) == children.NICE > os.getpriority(os.PRIO_PROCESS, 0)
    session = Path(f"/proc/{process}/autogroup")
    if session.exists():  # elsewhere, sessions have no share of their own
        assert session.read_text().split()[-2:] == ["nice", f"{children.NICE}"]


def test_a_run_from_a_terminal_appears_and_can_be_stopped(fake: Path) -> None:
    command = [sys.executable, "-c", FAKE, f"--out={fake / 'runs' / 'mine'}"]
    process = subprocess.Popen(command)
    studio = Studio(Folder(fake))
    until(lambda: trains(fake, "mine"))
    ask(studio, "next")
    assert states(studio) == {"mine": "running", "next": "queued"}
    (fake / "mine.stopping").touch()
    for _ in "12":
        assert studio.trainings.stop(id_of("runs", "mine"))["state"] == "stopping"
    (fake / "mine.stopping").unlink()
    assert process.wait(60) == 0
    assert (fake / "stops.txt").read_text() == "mine 1\n"
    until(lambda: states(studio)["next"] == "running")


def test_a_looker_never_keeps_a_run_from_its_lock(tmp_path: Path) -> None:
    """A lock that another holds for a moment, as the studio does, is waited for."""
    code = f"""if True:
        import fcntl, time
        file = open({str(tmp_path / LOCK)!r}, "a")
        fcntl.flock(file, fcntl.LOCK_SH)
        print(flush=True)
        time.sleep(0.05)
    """
    with locked(tmp_path):
        pass
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as looker:
        assert looker.stdout is not None
        looker.stdout.readline()
        with locked(tmp_path):
            assert holder(tmp_path / LOCK) == os.getpid()
    assert holder(tmp_path / LOCK) is None
    assert holder(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"name": "a/b"}, "name: "),
        ({"corpus": "0" * 16}, "corpora: nothing has the id"),
        ({"model": "gpt"}, "model: gpt"),
        ({"preset": "huge"}, "preset: huge"),
        ({"from": "0" * 16}, "model: nothing has the id"),
    ],
)
def test_an_odd_run_is_refused(fields: dict[str, Any], line: str, fake: Path) -> None:
    studio = Studio(Folder(fake))
    with pytest.raises(Refusal, match=f"^{line}"):
        ask(studio, **{"name": "a", **fields})
    assert studio.trainings.rows() == []


@pytest.fixture
def server(work: Path, original: Path) -> Iterator[Server]:
    """A server over a run that was made in a terminal."""
    shutil.copytree(original, work / "runs" / "mine")
    with serving(work) as running:
        yield running


def test_a_run_is_told_by_its_files(server: Server, corpus: Corpus) -> None:
    run = server.folder / "runs" / "mine"
    with server.client() as client:
        (row,) = client.get("/api/runs").json()
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        validations = [line["bits"] for line in lines if line.get("event") == "validation"]
        assert (row["name"], row["state"], row["model"], row["step"]) == ("mine", "finished", "naive-rnn", 16)
        assert (row["bits"], row["best"]) == (validations[-1], min(validations))
        assert row["entropy"] == zero_order_entropy(corpus.samples("train"), SETTINGS.quantizer)
        assert (row["corpus"], row["minutes"], row["eta"]) == (CORPUS, None, None)
        base = f"/api/runs/{row['id']}"
        told_of = client.get(f"{base}/metrics").json()
        assert (told_of["from"], told_of["next"]) == (0, (run / "metrics.jsonl").stat().st_size)
        for line, record in zip(lines, told_of["records"], strict=True):
            assert record == {**line, **({"bits": bits(line["loss"])} if "loss" in line else {})}
        assert client.get(f"{base}/metrics", params={"after": told_of["next"]}).json()["records"] == []
        assert client.get(f"{base}/metrics", params={"after": "x"}).status_code == 422
        samples = client.get(f"{base}/samples").json()
        assert [sample["step"] for sample in samples] == [7, 14, 16]
        assert client.get(f"{base}/samples/14.wav").content == (run / "samples" / "step-00000014.wav").read_bytes()
        assert client.get(f"{base}/samples/8.wav").status_code == 404
        (run / "samples" / "step-00000014.wav").unlink()
        (run / "samples" / "step-00000014.wav").symlink_to("/etc/passwd")
        assert client.get(f"{base}/samples/14.wav").status_code == 404
        assert client.post(f"{base}/stop").status_code == 409
        assert "are used up; give more" in client.post(f"{base}/resume").json()["error"]
        assert client.delete(base).status_code == 204
        assert not run.exists()


def test_a_run_without_a_known_budget_is_finished_only_where_its_end_says_so(work: Path, original: Path) -> None:
    """Its end is a validation that no schedule asked for. A signal ends a run without one."""
    run = shutil.copytree(original, work / "runs" / "mine")
    studio = Studio(Folder(work))
    assert states(studio) == {"mine": "finished"}
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:-1]))
    assert states(studio) == {"mine": "stopped"}
    shutil.rmtree(run / "checkpoints" / "step-00000016")
    (run / "metrics.jsonl").write_text(
        "".join(lines[: next(i for i, line in enumerate(lines) if '"step": 15' in line)])
    )
    assert "validation" in (run / "metrics.jsonl").read_text().splitlines()[-1]  # of step 14
    assert states(studio) == {"mine": "stopped"}


def test_metrics_are_thinned_and_read_on_while_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    records = [{"step": step, "loss": 1.0} for step in range(1, 5001)]
    lines = [json.dumps(record) for record in records]
    lines.insert(2500, json.dumps({"step": 2500, "event": "rollback", "reason": "why"}))
    file.write_text("\n".join(lines) + '\n{"step": 5001, "lo')
    found = metrics.read(tmp_path, 0)
    steps = [record["step"] for record in found["records"] if "event" not in record]
    assert len(steps) <= 1001
    assert (steps[-1], len({*np.diff(steps)})) == (5000, 1)
    assert [record["reason"] for record in found["records"] if "event" in record] == ["why"]
    with file.open("a") as more:
        more.write('ss": 2.0}\n')
    later = metrics.read(tmp_path, found["next"])
    assert (later["from"], [record["step"] for record in later["records"]]) == (found["next"], [5001])
    file.write_text(lines[0] + "\n")  # as a resumed run cuts it
    again = metrics.read(tmp_path, later["next"])
    assert (again["from"], len(again["records"])) == (0, 1)
    file.write_bytes(
        b'{"loss": NaN}\n[1]\n\xff\n{"step": 1, "time": 5}\n{"step": 2, "event": "validation", "bits": "x"}\n'
    )
    assert len(metrics.read(tmp_path, 0)["records"]) == 2
    assert metrics.latest(tmp_path) == {"seconds": None, "step": None, "bits": None, "best": None}


def test_sizes_are_those_of_the_models_themselves() -> None:
    told = sizes()
    assert {model: [*presets] for model, presets in told.items()} == {
        model: [*config.presets] for model, config in CONFIGS.items()
    }
    for model in CONFIGS:
        config = resolve(model, "tiny")
        weights = sum(each.numel() for each in config.model.build().parameters())
        samples = config.training.batch_size * config.training.length
        assert told[model]["tiny"] == {"weights": weights, "samples": samples}


def test_every_model_has_a_line_of_help() -> None:
    assert [*HELP] == [*CONFIGS]


@pytest.mark.slow
def test_real_trainings_outlive_killed_servers(work: Path) -> None:
    """Trained, killed with the server's -9, found, stopped, resumed to the end, exported and played."""
    tiny = {"corpus": CORPUS, "model": "naive-rnn", "preset": "tiny"}

    def row(client: httpx.Client, name: str) -> dict[str, Any]:
        return next(one for one in client.get("/api/runs").json() if one["name"] == name)

    with serving(work) as server, server.client() as client:
        first = client.post("/api/runs", json={"name": "first", **tiny, "minutes": 600}).json()
        assert client.post("/api/runs", json={"name": "second", **tiny, "minutes": 0.01}).json()["state"] == "queued"
        until(lambda: row(client, "first")["step"])
        server.process.kill()
        server.process.wait()
    assert trains(work, "first")
    with serving(work) as server, server.client() as client, server.socket("/ws/events") as events:
        assert row(client, "first")["state"] == "running"
        assert told(events, "metrics")["run"] == first["id"]
        assert client.delete(f"/api/corpora/{CORPUS}").status_code == 409
        assert client.post(f"/api/runs/{first['id']}/stop").json()["state"] == "stopping"
        server.process.kill()
        server.process.wait()
    with serving(work) as server, server.client() as client:
        until(lambda: row(client, "first")["state"] == "stopped")
        until(lambda: row(client, "second")["state"] == "finished")
        made = row(client, "first")
        assert made["reason"] is None
        about = {"title": "--Bells", "author": "Ada", "licence": "cc-by-4.0"}
        exported = client.post(f"/api/runs/{made['id']}/export", json={"name": "bells", "precision": "int8", **about})
        assert (exported.status_code, exported.json()["source"]) == (201, "file")
        assert model_file.load(work / "models/bells.safetensors").about == About(**about)
        assert client.post(f"/api/runs/{made['id']}/export", json={"name": "bells"}).status_code == 409
        sources = {one["name"]: one for one in client.get("/api/models").json() if one["source"] == "run"}
        with server.socket("/ws/play") as player:
            player.send(json.dumps({"type": "open", "model": sources["first"]["id"], "seed": 1}))
            assert told(player, "ready")["rate"] == RATE
        assert len([*(work / "logs").glob("*.safetensors")]) == 1
        assert client.post(f"/api/runs/{made['id']}/resume", json={"minutes": -1}).status_code == 422
        command = [sys.executable, "-m", "wavewright", "train", str(work / "corpora" / "tiny")]
        command += ["--out", str(work / "runs" / "third"), "--minutes", "600", *as_arguments(SETTINGS)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            third = until(lambda: next((one for one in client.get("/api/runs").json() if one["name"] == "third"), None))
            until(lambda: row(client, "third")["step"])
            assert client.post(f"/api/runs/{third['id']}/stop").json()["state"] == "stopping"
            assert process.wait(120) == 130
        done = row(client, "third")
        assert done["state"] == "stopped"
        resumed = client.post(f"/api/runs/{third['id']}/resume", json={"minutes": 0.1})
        assert resumed.status_code == 200, resumed.text
        until(lambda: row(client, "third")["state"] == "finished")
        after = row(client, "third")
        assert client.delete(f"/api/runs/{made['id']}").status_code == 204
        assert [*(work / "logs").glob("*.safetensors")] == []
        assert after["step"] > done["step"]
        assert after["minutes"] == pytest.approx(done["seconds"] / 60 + 0.1)
