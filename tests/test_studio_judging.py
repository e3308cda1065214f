"""Blind tests: orders of listeners, one loudness, answers that are kept, and results that were computed otherwise."""

import csv
import io
import itertools
import json
import os
import signal
import wave
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binomtest

from support.studio import Server, serving
from wavewright.studio.listening import ListeningTest
from wavewright.studio.statistics import PRIOR, chance, interval, strengths

RATE = 8000
MODELS = {"plain": 0.2, "<b>bold</b>": 0.05, "=1+1": 0.6}  # with the level of their takes


def write_take(folder: Path, model: str, number: int, level: float, seconds: float = 1.0) -> None:
    name = f"{len(list(folder.glob('*.wav'))):02}"
    samples = level * np.random.default_rng((number, len(model))).uniform(-1, 1, round(seconds * RATE))
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
    (folder / f"{name}.json").write_text(json.dumps({"model": model, "seed": number, "made": number}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio with four takes of each of three models."""
    folder = tmp_path_factory.mktemp("judging")
    (folder / "takes").mkdir()
    for number in range(4):
        for model, level in MODELS.items():
            write_take(folder / "takes", model, number, level)
    write_take(folder / "takes", "silent", 0, 0.0)
    (folder / "takes/broken.wav").write_bytes(b"RIFF")
    with serving(folder) as one:
        yield one


def make(client: httpx.Client, method: str, models: tuple[str, ...] = tuple(MODELS), **more: Any) -> dict[str, Any]:
    takes = [take["id"] for take in client.get("/api/takes").json() if take["model"] in models]
    asked = {"name": f"{method} test", "method": method, "question": "Which?", "takes": takes, **more}
    reply = client.post("/api/tests", json=asked)
    assert reply.status_code == 201, reply.text
    return reply.json()


def trials(client: httpx.Client, test: str, listener: str) -> list[dict[str, Any]]:
    return client.get(f"/api/tests/{test}/trials", params={"listener": listener}).json()["trials"]


def model_of(client: httpx.Client, server: Server, test: str, stimulus: dict[str, Any]) -> str:
    """Which model a stimulus is, told by its sound alone: every take has other noise."""
    with wave.open(io.BytesIO(client.get(stimulus["url"]).content)) as file:
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    found = []
    for path in sorted((server.folder / "takes").glob("[0-9]*.wav")):
        with wave.open(str(path)) as file:
            take = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        if len(take) == len(heard) and take.any():
            found.append((float(np.corrcoef(take, heard)[0, 1]), json.loads(path.with_suffix(".json").read_text())))
    best = max(correlation for correlation, _ in found)
    assert best > 0.99
    alike = [facts for correlation, facts in found if correlation > 0.99]
    assert len(alike) == 1
    return alike[0]["model"]


def answer(client: httpx.Client, test: str, listener: str, trial: int, value: object) -> httpx.Response:
    given = {"listener": listener, "trial": trial, "answer": value, "plays": 2, "seconds": 3.5}
    return client.post(f"/api/tests/{test}/answers", json=given)


# The numbers


@given(st.integers(0, 40), st.integers(0, 40))
def test_chance_is_the_exact_binomial(right: int, wrong: int) -> None:
    of = right + wrong
    if not of:
        assert chance(0, 0, either=True) == chance(0, 0, either=False) == 1
        return
    assert chance(right, of, either=True) == pytest.approx(binomtest(right, of).pvalue)
    assert chance(right, of, either=False) == pytest.approx(binomtest(right, of, alternative="greater").pvalue)


@given(st.lists(st.integers(0, 20), min_size=12, max_size=12))
def test_strengths_are_the_likeliest(wins: list[int]) -> None:
    """Against a general optimiser on the likelihood, with the same wins given to all."""
    table = np.zeros((4, 4))
    table[~np.eye(4, dtype=bool)] = wins
    met = (table + table.T) > 0
    if not (np.linalg.matrix_power(met.astype(int) + np.eye(4, dtype=int), 4) > 0).all():
        return  # some never met, even through others
    won = table + PRIOR * met

    def unlikely(free: Any) -> float:
        s = np.append(free, -free.sum())
        return float((won * np.logaddexp(0, s[None, :] - s[:, None])).sum())

    best = minimize(unlikely, np.zeros(3), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(strengths(table), np.append(best, -best.sum()), atol=0.02)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Ratings with effects of listeners and of items: the interval for the mean of another draw of both."""
    rng, inside = np.random.default_rng(0), 0
    for seed in range(60):
        who, what = np.repeat(np.arange(12), 10), np.tile(np.arange(10), 12)
        ratings = rng.normal(size=12)[who] + rng.normal(size=10)[what] + rng.normal(size=120)

        def mean(weights: Any, ratings: Any = ratings) -> Any:
            return (weights * ratings).sum(1, keepdims=True) / np.maximum(weights.sum(1, keepdims=True), 1e-9)

        low, high = interval(who, what, mean, seed)
        inside += int(low[0] <= 0 <= high[0])
    assert inside >= 50  # of 60; 57 are due, and few listeners make intervals a little short


@given(st.sampled_from(["ab", "abx", "mos", "multi"]), st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_orders_are_a_latin_square(method: Any, seed: int, items: int) -> None:
    test = ListeningTest("x", "x", 0.0, method, "?", None, seed, ["a", "b", "c"], [[1.0] * 3] * items)
    count = len(test.trials)
    orders = [test.order(listener) for listener in range(count)]
    for place in range(count):
        assert sorted(order[place] for order in orders) == list(range(count))
    for trial in range(count):
        systems = test.trials[trial][1]
        placed = [test.placed(trial, listener) for listener in range(4 * len(systems))]
        for place in range(len(systems)):
            assert set(Counter(one[place] for one in placed).values()) == {4}
        if method == "abx":
            assert all(one[2] in one[:2] for one in placed)
            assert 0 < sum(one[2] == one[0] for one in placed) < len(placed)


# Through the server


def test_a_trial_is_blind_and_its_sounds_are_equally_loud(client: httpx.Client, server: Server) -> None:
    test = make(client, "multi")
    assert (test["items"], test["trials"], test["systems"]) == (4, 4, sorted(MODELS))
    text = client.get(f"/api/tests/{test['id']}/trials", params={"listener": "Ann"}).text
    assert not any(json.dumps(model)[1:-1] in text for model in MODELS)
    levels = []
    heard: dict[str, dict[int, list[str]]] = {"Ann": {}, "Bo": {}}
    for listener, trial in ((one, trial) for one in heard for trial in trials(client, test["id"], one)):
        for stimulus in trial["stimuli"]:
            reply = client.get(stimulus["url"])
            assert reply.headers["content-type"] == "audio/wav"
            with wave.open(io.BytesIO(reply.content)) as file:
                samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
            levels.append(10 * np.log10(np.square(samples).mean()))
            assert np.abs(samples).max() < 1
        order = [model_of(client, server, test["id"], stimulus) for stimulus in trial["stimuli"]]
        assert sorted(order) == sorted(MODELS)
        heard[listener][trial["trial"]] = order
    assert max(levels) - min(levels) < 0.2
    assert levels[0] == pytest.approx(-20, abs=0.2)
    assert all(heard["Ann"][trial] != heard["Bo"][trial] for trial in range(4))  # a Latin square's rows


def test_five_listeners_compare_two_models(client: httpx.Client, server: Server) -> None:
    """Each prefers the plain one but for one trial each, and the third has a tie: 4 x 5 answers, by hand."""
    test = make(client, "ab", ("plain", "=1+1"))["id"]
    wins = Counter[str]()
    assert answer(client, test, "Eve\u202e", 0, "tie").status_code == 422  # a mark that turns the text around
    for number, listener in enumerate(("Ann", "Bo", "Cy", "Di", "<script>alert(1)</script>")):
        for trial in trials(client, test, listener):
            models = [model_of(client, server, test, stimulus) for stimulus in trial["stimuli"]]
            wanted = "=1+1" if trial["trial"] == number % 4 else "plain"
            value = "tie" if (listener, trial["trial"]) == ("Cy", 0) else ("first", "second")[models.index(wanted)]
            wins[value if value == "tie" else wanted] += 1
            reply = answer(client, test, listener, trial["trial"], value)
            assert reply.status_code == 200, reply.text
        assert reply.json() == {"left": 0}
    assert wins == {"plain": 14, "=1+1": 5, "tie": 1}
    found = client.get(f"/api/tests/{test}/results").json()
    (pair,) = found["pairs"]
    assert (pair["first"], pair["second"]) == ("=1+1", "plain")
    assert (pair["wins"], pair["ties"], pair["losses"]) == (5, 1, 14)
    assert pair["p"] == pytest.approx(binomtest(5, 19).pvalue)
    better, worse = sorted(found["systems"], key=lambda one: -one["score"])
    assert better["name"] == "plain"
    assert better["score"] == pytest.approx(np.log((14.5 + PRIOR) / (5.5 + PRIOR)) / 2, abs=1e-3)
    assert better["low"] < better["score"] < better["high"]
    assert worse["score"] == pytest.approx(-better["score"], abs=1e-6)
    assert [one["answers"] for one in found["listeners"]] == [4] * 5
    rows = list(csv.DictReader(io.StringIO(client.get(f"/api/tests/{test}/answers.csv").text)))
    assert len(rows) == 2 * 20
    assert {row["system"] for row in rows} == {"plain", "'=1+1"}  # which no spreadsheet computes
    assert {row["listener"] for row in rows} >= {"<script>alert(1)</script>"}


def test_the_last_answer_to_a_trial_counts_and_a_listener_goes_on(client: httpx.Client) -> None:
    test = make(client, "mos", ("plain",))["id"]
    first = trials(client, test, "Ann")
    assert answer(client, test, "Ann", first[0]["trial"], 2).json() == {"left": 3}
    assert answer(client, test, "Ann", first[0]["trial"], 5).json() == {"left": 3}
    again = trials(client, test, "Ann")
    assert [one["answered"] for one in again] == [True, False, False, False]
    assert [one["trial"] for one in again] == [one["trial"] for one in first]
    (system,) = client.get(f"/api/tests/{test}/results").json()["systems"]
    assert (system["score"], system["answers"]) == (5, 1)


def test_whoever_hears_x_tells_it(client: httpx.Client, server: Server) -> None:
    test = make(client, "abx", ("plain", "=1+1"))["id"]
    for listener, right in (("Ann", True), ("Bo", False)):
        for trial in trials(client, test, listener):
            a, b, x = (model_of(client, server, test, stimulus) for stimulus in trial["stimuli"])
            assert {a, b} == {"plain", "=1+1"}
            is_first = (x == a) == right
            answer(client, test, listener, trial["trial"], "first" if is_first else "second")
    assert client.get(f"/api/tests/{test}/results").json()["correct"] == {
        "right": 4,
        "of": 8,
        "p": pytest.approx(binomtest(4, 8, alternative="greater").pvalue),
    }


def test_who_misses_the_hidden_reference_is_left_out(client: httpx.Client, server: Server) -> None:
    test = make(client, "multi", reference="plain")["id"]
    given = {"plain": 95, "=1+1": 40, "<b>bold</b>": 60}
    for listener in ("Ann", "Bo"):
        for trial in trials(client, test, listener):
            assert model_of(client, server, test, trial["reference"]) == "plain"
            models = [model_of(client, server, test, stimulus) for stimulus in trial["stimuli"]]
            values = [given[model] if listener == "Ann" else 50 for model in models]
            assert answer(client, test, listener, trial["trial"], values).status_code == 200
    found = client.get(f"/api/tests/{test}/results").json()
    assert [bool(one["excluded"]) for one in found["listeners"]] == [False, True]
    assert "less than 90 in 4 of 4 trials" in found["listeners"][1]["excluded"]
    assert {one["name"]: one["score"] for one in found["systems"]} == given


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"method": "ab", "models": ("plain",)}, "all of one model; choose takes of two models or more"),
        ({"method": "ab", "models": ("plain", "silent")}, "4 of plain, 1 of silent; choose as many of each"),
        ({"method": "mos", "models": ("silent",)}, "is silent; leave it out"),
        ({"method": "ab", "reference": "plain"}, "reference: plain; only a model of the takes, with multi"),
        ({"method": "ab", "name": "../x"}, "name:"),
        ({"method": "ab", "takes": ["0" * 16]}, "takes: nothing has the id"),
        ({"method": "guess"}, "method:"),
    ],
)
def test_what_makes_no_test_is_refused(client: httpx.Client, server: Server, asked: Any, line: str) -> None:
    before = sorted((server.folder / "tests").iterdir())
    models = asked.pop("models", tuple(MODELS))
    takes = [take["id"] for take in client.get("/api/takes").json() if take["model"] in models]
    reply = client.post("/api/tests", json={"name": "x", "question": "?", "takes": takes, **asked})
    assert reply.status_code in (404, 422)
    assert line in reply.json()["error"]
    assert sorted((server.folder / "tests").iterdir()) == before


def test_what_is_no_answer_is_refused(client: httpx.Client) -> None:
    tests = {method: make(client, method)["id"] for method in ("ab", "abx", "mos", "multi")}
    for method, value in (
        ("ab", 3), ("ab", "third"), ("abx", "tie"), ("mos", 0), ("mos", 6), ("mos", "first"), ("mos", True),
        ("multi", [1, 2]), ("multi", [1, 2, 101]), ("multi", 50), ("ab", None), ("ab", {"a": 1}),
    ):  # fmt: skip
        assert answer(client, tests[method], "Ann", 0, value).status_code == 422, (method, value)
    assert answer(client, tests["ab"], "Ann", 499, "tie").status_code == 404
    assert answer(client, "0" * 16, "Ann", 0, "tie").status_code == 404
    for name in ("0-0-9.wav", "0-499-0.wav", "x-0-0.wav", "0-0.wav", "..%2f..%2fstudio.db"):
        assert client.get(f"/api/tests/{tests['ab']}/stimuli/{name}").status_code == 404
    assert client.get(f"/api/tests/{tests['ab']}/results").json()["systems"] == []


def test_answers_survive_the_end_of_the_takes_and_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "takes").mkdir()
    for number, model in itertools.product(range(2), ("a", "b")):
        write_take(tmp_path / "takes", model, number, 0.3)
    told = []
    with serving(tmp_path) as server, server.client() as client:
        test = make(client, "ab", ("a", "b"))["id"]
        for take in client.get("/api/takes").json():
            assert client.delete(f"/api/takes/{take['id']}").status_code == 204
        for trial in trials(client, test, "Ann"):
            assert client.get(trial["stimuli"][0]["url"]).status_code == 200
            assert answer(client, test, "Ann", trial["trial"], "first").status_code == 200
            told.append(trial["trial"])
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    with serving(tmp_path) as server, server.client() as client:
        assert [one["trial"] for one in trials(client, test, "Ann") if one["answered"]] == told
        assert client.delete(f"/api/tests/{test}").status_code == 204
        assert client.get("/api/tests").json() == []
        assert not any((tmp_path / "tests").iterdir())


def test_a_disk_that_fills_keeps_just_the_answers_that_were_acknowledged(tmp_path: Path) -> None:
    """Before, while and after it is full, for listeners here and invited ones."""
    (tmp_path / "takes").mkdir()
    for number in range(20):
        write_take(tmp_path / "takes", "a", number, 0.3, 0.1)
    with serving(tmp_path, tmp_path / "log", "--listen", "127.0.0.1:0") as server, server.client() as client:
        test = make(client, "mos", ("a",))["id"]
        bo = server.invited(test, "Bo")
        kept = {("Ann", 0), ("Ann", 19), ("Bo", 19)}
        assert answer(client, test, "Ann", 0, 5).status_code == 200
        refused: list[httpx.Response] = []
        with bo.client() as guest:
            with server.full_disk((tmp_path / "studio.db-wal").stat().st_size + 50_000):
                for trial in range(1, 19):
                    given = {"trial": trial, "answer": 5}
                    for name, reply in (
                        ("Ann", answer(client, test, "Ann", trial, 5)),
                        ("Bo", guest.post("/api/answers", json=given)),
                    ):
                        if reply.status_code == 200:
                            kept.add((name, trial))
                        else:
                            refused.append(reply)
            assert len(refused) > 2
            lines = [reply.json()["error"] for reply in refused]
            assert set(lines) == {
                f"{tmp_path}/studio.db: disk I/O error; make room, or restore the file from a copy",
                "answer: the studio could not keep it; tell whoever invited you",
            }
            assert guest.post("/api/answers", json={"trial": 19, "answer": 5}).status_code == 200
            assert answer(client, test, "Ann", 19, 5).status_code == 200
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    with serving(tmp_path) as server, server.client() as client:
        rows = list(csv.DictReader(io.StringIO(client.get(f"/api/tests/{test}/answers.csv").text)))
    assert {(row["listener"], int(row["trial"])) for row in rows} == kept
