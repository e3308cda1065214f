"""Blind listening tests made of takes: who hears what in which order, the answers, and what they say.

A test's stimuli are copies of its takes at one loudness, in FOLDER/tests/ID. Its systems are the models of the takes,
and its items the first take of each system, the second, and so on. An answer is on disk when the page is told so.
"""

import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from wavewright.errors import printable
from wavewright.files import atomic_folder, sha256
from wavewright.studio import results
from wavewright.studio.folder import Folder, Refusal, check_name, missing, remove_tree
from wavewright.studio.listening import ListeningTest, Method, read
from wavewright.studio.results import Given
from wavewright.studio.stimuli import LOUDEST, Sound
from wavewright.studio.store import Store
from wavewright.studio.takes import Takes

MOST_TRIALS = 500
MOST_LISTENERS = 10_000
LONGEST_LISTENER = 100  # characters of a name


class TestAsked(BaseModel):
    """What is asked of a new test."""

    model_config = ConfigDict(extra="forbid")

    name: str
    method: Method
    question: Annotated[str, Field(min_length=1, max_length=300)]
    takes: Annotated[list[str], Field(min_length=1, max_length=1000)]
    reference: str | None = None


class Answer(BaseModel):
    """An answer to a trial."""

    model_config = ConfigDict(extra="forbid")

    trial: Annotated[int, Field(ge=0, lt=MOST_TRIALS)]
    answer: Literal["first", "second", "tie"] | StrictInt | list[StrictInt]
    plays: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    seconds: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0


class ListenersAnswer(Answer):
    """An answer of the listener who is named."""

    listener: str


class Judging:
    """The listening tests of a folder of work.

    Args:
        folder: the folder of work.
        store: where tests and answers are kept.
        takes: what tests are made of.
        changed: called after every change, from any thread.
    """

    def __init__(self, folder: Folder, store: Store, takes: Takes, changed: Callable[[], None]) -> None:
        self._folder, self._store, self._takes, self._changed = folder, store, takes, changed

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all tests, the oldest first."""
        return [self._row(read(row)) for row in self._store.rows("tests")]

    def make(self, asked: TestAsked) -> dict[str, Any]:
        """Make a test and return its row.

        Raises:
            Refusal: the takes make no such test.
        """
        check_name(asked.name)
        takes = {row["id"]: row for row in self._takes.rows()}
        if unknown := [id for id in asked.takes if id not in takes]:
            raise missing("takes", unknown[0])
        groups: dict[str, list[dict[str, Any]]] = {}
        for id in dict.fromkeys(asked.takes):
            groups.setdefault(takes[id]["model"] or "unknown model", []).append(takes[id])
        _check(asked, groups)
        systems = sorted(groups)
        sounds = [[Sound(self._takes.path(groups[system][item]["id"])) for system in systems]
                  for item in range(len(groups[systems[0]]))]  # fmt: skip
        level = min(LOUDEST, *(sound.loudest for sound in itertools.chain(*sounds)))
        test = ListeningTest(
            id=secrets.token_hex(8),
            name=asked.name,
            made=time.time(),
            method=asked.method,
            question=asked.question,
            reference=asked.reference,
            seed=secrets.randbits(32),
            systems=systems,
            seconds=[[sound.seconds for sound in row] for row in sounds],
        )
        if len(test.trials) > MOST_TRIALS:
            raise Refusal(422, f"takes: {len(test.trials)} trials; choose fewer, for {MOST_TRIALS} at most")
        self._folder.check_room()
        with atomic_folder(self._folder / "tests" / test.id) as folder:
            for item, row in enumerate(sounds):
                for system, sound in enumerate(row):
                    sound.write(folder / f"{item}-{system}.wav", level)
        digests = {path.stem: sha256(path) for path in sorted((self._folder / "tests" / test.id).iterdir())}
        facts = {key: value for key, value in asdict(test).items() if key not in ("id", "name", "made")}
        facts |= {"sha256": digests, "takes": [[one["name"] for one in groups[system]] for system in systems]}
        self._store.put("tests", id=test.id, name=test.name, made=test.made, facts=facts)
        self._changed()
        return self._row(test)

    def delete(self, id: str) -> None:
        """Remove a test and its answers.

        Raises:
            Refusal: there is none.
        """
        self.test(id)
        with self._store.writing():
            for table in ("answers", "invitations", "listeners"):
                for row in self._store.rows(table, test=id):
                    self._store.remove(table, row["id"])
            self._store.remove("tests", id)
        if (self._folder / "tests" / id).exists():
            remove_tree(self._folder / "tests" / id)
        self._changed()

    def trials(self, id: str, listener: str) -> dict[str, Any]:
        """Return a listener's trials in the listener's order. The first time, the listener gets a number.

        Raises:
            Refusal: there is no such test, or the name is none.
        """
        self.test(id)
        number = self.number(id, listener)
        return self.trials_of(id, number, f"/api/tests/{id}/stimuli/{number}-")

    def trials_of(self, id: str, number: int, address: str) -> dict[str, Any]:
        """Return the trials of a listener with a number, in that listener's order.

        Args:
            id: the test.
            number: the listener.
            address: how the addresses of stimuli begin. TRIAL-PLACE.wav follows.

        Raises:
            Refusal: there is no such test.
        """
        test = self.test(id)
        answered = {row["trial"] for row in self._store.rows("answers", test=id, listener=number)}

        def stimulus(item: int, system: int, name: str) -> dict[str, Any]:
            return {"url": f"{address}{name}.wav", "seconds": test.seconds[item][system]}

        rows = []
        for trial in test.order(number):
            item, places = test.trials[trial][0], test.placed(trial, number)
            rows.append(
                {
                    "trial": trial,
                    "item": item,
                    "stimuli": [stimulus(item, one, f"{trial}-{place}") for place, one in enumerate(places)],
                    "reference": None
                    if test.reference_system is None
                    else stimulus(item, test.reference_system, f"{trial}-{len(places)}"),
                    "answered": trial in answered,
                }
            )
        return {"name": test.name, "method": test.method, "question": test.question, "trials": rows}

    def stimulus(self, id: str, name: str) -> Path:
        """Return the file of a stimulus, LISTENER-TRIAL-PLACE.wav, where the place after the last is the reference.

        Raises:
            Refusal: there is none.
        """
        test = self.test(id)
        parts = name.removesuffix(".wav").split("-")
        if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 6 for part in parts):
            raise missing("stimuli", name)
        listener, trial, place = map(int, parts)
        if trial >= len(test.trials):
            raise missing("stimuli", name)
        places = test.placed(trial, listener)
        if test.reference_system is not None:
            places.append(test.reference_system)
        if place >= len(places):
            raise missing("stimuli", name)
        return self._folder / "tests" / id / f"{test.trials[trial][0]}-{places[place]}.wav"

    def answer(self, id: str, given: ListenersAnswer) -> dict[str, Any]:
        """Keep an answer of the listener who is named, as `keep` does."""
        self.test(id)
        return self.keep(id, self.number(id, given.listener), given)

    def keep(self, id: str, number: int, given: Answer) -> dict[str, Any]:
        """Keep an answer of a listener, in place of an earlier one to the same trial, and return how many are left.

        Raises:
            Refusal: there is no such trial, or the method has no such answer.
        """
        test = self.test(id)
        _check_answer(test, given)
        facts = {"answer": given.answer, "plays": given.plays, "seconds": given.seconds, "at": time.time()}
        key = f"{id}-{number}-{given.trial}"
        self._store.put("answers", id=key, test=id, listener=number, trial=given.trial, facts=facts)
        self._changed()
        return {"left": len(test.trials) - len(self._store.rows("answers", test=id, listener=number))}

    def results(self, id: str) -> dict[str, Any]:
        """Return what the answers of a test say.

        Raises:
            Refusal: there is no such test.
        """
        test = self.test(id)
        return results.results(test, self._answers(test), self.names(id))

    def table(self, id: str) -> str:
        """Return the answers of a test as CSV.

        Raises:
            Refusal: there is no such test.
        """
        test = self.test(id)
        return results.table(test, self._answers(test), self.names(id))

    def _row(self, test: ListeningTest) -> dict[str, Any]:
        answers = self._store.rows("answers", test=test.id)
        return {
            "id": test.id,
            "name": test.name,
            "method": test.method,
            "question": test.question,
            "reference": test.reference,
            "made": test.made,
            "items": len(test.seconds),
            "systems": test.systems,
            "trials": len(test.trials),
            "listeners": len({row["listener"] for row in answers}),
            "answers": len(answers),
        }

    def test(self, id: str) -> ListeningTest:
        """Return a test.

        Raises:
            Refusal: there is none.
        """
        row = self._store.row("tests", id=id)
        if row is None:
            raise missing("tests", id)
        return read(row)

    def names(self, id: str) -> dict[int, str]:
        """Return the names of a test's listeners by their numbers."""
        return {row["number"]: row["name"] for row in self._store.rows("listeners", test=id)}

    def number(self, id: str, listener: str) -> int:
        """Return the number of a listener, a new one where the name is new.

        Raises:
            Refusal: the name is none.
        """
        if not listener.isprintable() or listener != listener.strip() or not 0 < len(listener) <= LONGEST_LISTENER:
            wanted = f"give 1 to {LONGEST_LISTENER} letters, digits and signs"
            raise Refusal(422, f"listener: {printable(listener)[:60]!r}; {wanted}")
        with self._store.writing():
            names = self.names(id)
            for number, known in names.items():
                if known == listener:
                    return number
            if len(names) >= MOST_LISTENERS:
                raise Refusal(409, f"listener: {MOST_LISTENERS} have listened; make another test")
            number = len(names)
            self._store.put("listeners", id=f"{id}-{number}", test=id, number=number, name=listener)
        return number

    def _answers(self, test: ListeningTest) -> list[Given]:
        return [
            Given(
                row["listener"],
                row["trial"],
                test.trials[row["trial"]][0],
                test.placed(row["trial"], row["listener"]),
                row["facts"]["answer"],
                row["facts"],
            )
            for row in self._store.rows("answers", test=test.id)
        ]


ANSWERS = {
    "ab": "give first, second or tie",
    "abx": "give first or second",
    "mos": "give 1 to 5",
    "multi": "give a list with 0 to 100 for each stimulus",
}


def _check(asked: TestAsked, groups: dict[str, list[dict[str, Any]]]) -> None:
    """Raise a Refusal where takes of these models make no test of the method."""
    if asked.method != "mos" and len(groups) < 2:
        raise Refusal(422, "takes: all of one model; choose takes of two models or more")
    if len({len(group) for group in groups.values()}) > 1:
        counts = ", ".join(f"{len(group)} of {printable(name)}" for name, group in sorted(groups.items()))
        raise Refusal(422, f"takes: {counts}; choose as many of each model")
    if asked.reference is not None and (asked.method != "multi" or asked.reference not in groups):
        raise Refusal(422, f"reference: {printable(asked.reference)[:60]}; only a model of the takes, with multi")


def _check_answer(test: ListeningTest, given: Answer) -> None:
    """Raise a Refusal where a test has no such trial, or its method no such answer."""
    if given.trial >= len(test.trials):
        raise missing("trials", str(given.trial))
    places = len(test.trials[given.trial][1])
    right = {
        "ab": given.answer in ("first", "second", "tie"),
        "abx": given.answer in ("first", "second"),
        "mos": isinstance(given.answer, int) and 1 <= given.answer <= 5,
        "multi": isinstance(given.answer, list)
        and len(given.answer) == places
        and all(0 <= one <= 100 for one in given.answer),
    }
    if not right[test.method]:
        raise Refusal(422, f"answer: {printable(given.answer)[:40]}; {ANSWERS[test.method]}")
