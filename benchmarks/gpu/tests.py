"""The tests that need CUDA: `pytest -m cuda tests/test_cuda.py`, the outcome of each a row."""

from pathlib import Path

import pytest

from gpu.work import NO_TIME, Row, Work

FILE = Path(__file__).resolve().parents[2] / "tests" / "test_cuda.py"


class Recorder:
    """A pytest plugin that sends each outcome as soon as it is known, and ends the tests when the time is up."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.failed: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Announce every test."""
        for item in session.items:
            self.work.emit(name_of(item.nodeid), {"not_run": NO_TIME})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Send why a file could not be read."""
        if report.failed:
            self.work.emit(name_of(report.nodeid), {"outcome": "failed", "why": report.longreprtext[-2000:]})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send the outcome of a test, and what it said where it did not pass."""
        name = name_of(report.nodeid)
        if name in self.failed or (report.when != "call" and report.passed):
            return
        row: Row = {"outcome": report.outcome, "seconds": round(report.duration, 2)}
        if report.skipped and isinstance(report.longrepr, tuple):
            row["why"] = report.longrepr[2]
        elif report.failed:
            self.failed.add(name)
            row["why"] = report.longreprtext[-2000:]
        self.work.emit(name, row)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        """End the session when the time is up."""
        if self.work.left() <= 0:
            self.session.shouldstop = "its time was up"

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep the session."""
        self.session = session


def name_of(node: str) -> str:
    """Return a test's name without its file."""
    return node.rpartition("::")[2]


def run(work: Work) -> None:
    """Run them all, or as many as there is time for."""
    status = pytest.main(
        [str(FILE), "-m", "cuda", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short"], plugins=[Recorder(work)]
    )
    work.emit("pytest", {"exit_status": int(status)})
