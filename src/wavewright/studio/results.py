"""What the answers of a listening test say."""

import csv
import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.studio.listening import ListeningTest
from wavewright.studio.statistics import chance, interval, means, strengths

REFERENCE_LEAST, REFERENCE_MISSED = 90, 0.15  # the hidden reference of ITU-R BS.1534-3, and how often it may be missed


@dataclass(frozen=True)
class Given:
    """An answer, with the systems in the order in which they were heard."""

    listener: int
    trial: int
    item: int
    places: list[int]
    answer: Any
    facts: dict[str, Any]


def results(test: ListeningTest, answers: list[Given], names: dict[int, str]) -> dict[str, Any]:
    """Return what the answers say. Listeners who miss the hidden reference too often are left out.

    Args:
        test: the test.
        answers: all answers.
        names: the listeners' names by their numbers.
    """
    excluded = _excluded(test, answers)
    kept = [one for one in answers if one.listener not in excluded]
    listeners = [
        {
            "name": name,
            "answers": sum(one.listener == number for one in answers),
            "excluded": excluded.get(number),
        }
        for number, name in names.items()
    ]
    ab = test.method == "ab"
    found = {"systems": _compared(test, kept) if ab else [] if test.method == "abx" else _rated(test, kept)}
    found |= {"pairs": _pairs(test, kept) if ab else []}
    return {
        "method": test.method,
        "listeners": listeners,
        **found,
        "correct": _correct(kept) if test.method == "abx" else None,
    }


def table(test: ListeningTest, answers: list[Given], names: dict[int, str]) -> str:
    """Return all answers as CSV, a line for each stimulus that was judged."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("listener", "trial", "item", "place", "system", "answer", "plays", "seconds", "at"))
    for one in answers:
        for place, system in enumerate(one.places):
            value = one.answer[place] if isinstance(one.answer, list) else one.answer
            facts = (one.facts["plays"], one.facts["seconds"], one.facts["at"])
            writer.writerow(
                (_cell(names[one.listener]), one.trial, one.item, place, _cell(test.systems[system]), value, *facts)
            )
    return text.getvalue()


def _excluded(test: ListeningTest, answers: list[Given]) -> dict[int, str]:
    """Return why listeners are left out, as BS.1534-3 asks: the hidden reference got less than 90 too often."""
    hidden, found = test.reference_system, {}
    if hidden is None:
        return {}
    for number in {one.listener for one in answers}:
        own = [one.answer[one.places.index(hidden)] for one in answers if one.listener == number]
        missed = sum(value < REFERENCE_LEAST for value in own)
        if missed > REFERENCE_MISSED * len(own):
            found[number] = f"gave the hidden reference less than {REFERENCE_LEAST} in {missed} of {len(own)} trials"
    return found


def _compared(test: ListeningTest, answers: list[Given]) -> list[dict[str, Any]]:
    """Return the strength of each system of an A/B test."""
    count = len(test.systems)

    won = np.zeros((len(answers), count, count))
    for one, table in zip(answers, won, strict=True):
        first, second = one.places
        share = {"first": 1.0, "second": 0.0, "tie": 0.5}[one.answer]
        table[first, second], table[second, first] = share, 1 - share

    def strength(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return strengths((weights @ won.reshape(len(answers), -1)).reshape(-1, count, count))

    return _with_intervals(test, answers, strength, [sum(k in one.places for one in answers) for k in range(count)])


def _rated(test: ListeningTest, answers: list[Given]) -> list[dict[str, Any]]:
    """Return the mean of each system's ratings."""
    rated = [
        (place, system, value)
        for place, one in enumerate(answers)
        for system, value in zip(one.places, one.answer if isinstance(one.answer, list) else [one.answer], strict=True)
    ]
    places, systems, values = ([row[k] for row in rated] for k in range(3))
    return _with_intervals(
        test,
        answers,
        lambda weights: means(systems, values, len(test.systems), weights[:, places]),
        [systems.count(k) for k in range(len(test.systems))],
    )


def _with_intervals(
    test: ListeningTest,
    answers: list[Given],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    counts: list[int],
) -> list[dict[str, Any]]:
    if not answers:
        return []
    scores = statistic(np.ones((1, len(answers))))[0]
    low, high = interval([one.listener for one in answers], [one.item for one in answers], statistic, test.seed)
    columns = zip(test.systems, scores.tolist(), low.tolist(), high.tolist(), counts, strict=True)
    return [
        {"name": name, "score": score, "low": least, "high": most, "answers": count}
        for name, score, least, most, count in columns
        if count
    ]


def _pairs(test: ListeningTest, answers: list[Given]) -> list[dict[str, Any]]:
    """Return how often the first system of each pair was preferred to the second."""
    rows = []
    for first, second in itertools.combinations(range(len(test.systems)), 2):
        own = [one for one in answers if {*one.places} == {first, second}]
        ties = sum(one.answer == "tie" for one in own)
        wins = sum(one.answer != "tie" and one.places[one.answer == "second"] == first for one in own)
        losses = len(own) - ties - wins
        names = {"first": test.systems[first], "second": test.systems[second]}
        p = chance(wins, wins + losses, either=True)
        rows.append({**names, "wins": wins, "ties": ties, "losses": losses, "p": p})
    return rows


def _correct(answers: list[Given]) -> dict[str, Any]:
    """Return how often X was told right."""
    right = sum(one.places[one.answer == "second"] == one.places[2] for one in answers)
    return {"right": right, "of": len(answers), "p": chance(right, len(answers), either=False)}


def _cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
