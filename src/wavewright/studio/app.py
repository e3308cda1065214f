"""The app: one table of routes over the parts of the studio, and the guard before it."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Hashable
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import printable
from wavewright.formats import checkpoint
from wavewright.studio import drawing, metrics
from wavewright.studio.children import Children
from wavewright.studio.corpora import Corpora
from wavewright.studio.events import Events
from wavewright.studio.folder import Folder, Refusal, missing
from wavewright.studio.guard import OwnersGuard
from wavewright.studio.invitations import Invitations
from wavewright.studio.judging import Judging
from wavewright.studio.page import ASSETS, PLAYER, STUDIO, Page
from wavewright.studio.playback import Player
from wavewright.studio.recordings import PLAYED, Recordings
from wavewright.studio.routing import Route, make_routes
from wavewright.studio.scores import SUFFIX as SCORE
from wavewright.studio.scores import Scores
from wavewright.studio.shelf import SUFFIX, Shelf
from wavewright.studio.sizes import sizes
from wavewright.studio.store import Store
from wavewright.studio.takes import Takes
from wavewright.studio.trainings import HELP, ResumeAsked, Trainings

TOO_MANY = 1013  # close code: try again later
MOST_FRAMES = 2000  # that wait for a page; the credit alone allows half of them
PAUSE = 0.05  # seconds


class Studio:
    """The parts of a studio over one folder of work, and what the routes answer.

    Args:
        folder: the folder of work.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder, self.events = folder, Events()
        self.store = Store(folder / "studio.db")
        self.children = Children(folder / "logs")
        self.recordings = Recordings(folder, self.store, self._teller("recordings"))
        self.shelf = Shelf(folder, self.children)
        self.corpora = Corpora(folder, self.store, self.children, self.recordings, self._teller("corpora"))
        self.trainings = Trainings(folder, self.store, self.corpora, self.shelf, self._teller("runs", "models"))
        self.takes = Takes(folder, self._teller("takes"))
        self.scores = Scores(folder, self._teller("scores"))
        self.judging = Judging(folder, self.store, self.takes, self._teller("tests"))
        self.invitations = Invitations(self.store, self.judging, self._teller("tests"))
        self.players = 0
        self.page = Page(STUDIO, ASSETS, PLAYER)

    def _teller(self, *what: str) -> Callable[[], None]:
        def tell() -> None:
            for one in what:
                self.events.changed(one)

        return tell

    @contextlib.asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """Watch the folder of work while the server runs."""
        watch = asyncio.create_task(self.events.watch(self.trainings, self._signs))
        try:
            yield
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            self.recordings.close()
            self.store.close()

    def _signs(self) -> dict[str, Hashable]:
        """Return a value for each list, which changes with it."""
        self.corpora.tidy()
        runs = tuple(sorted(self.trainings.states().items()))
        steps = tuple((run, *checkpoint.steps(self.folder / "runs" / run)) for run in self.folder.names("runs"))
        return {
            "corpora": tuple(sorted(self.corpora.states().items())),
            "runs": (runs, steps),
            "models": (tuple(self.folder.names("models", SUFFIX)), steps),
            "takes": tuple(self.folder.names("takes", ".wav")),
            "scores": tuple(self.folder.names("scores", SCORE)),
        }

    # The server

    def session(self) -> dict[str, Any]:
        """Return what holds for as long as the server runs."""
        return {
            "version": version("wavewright"),
            "folder": self.folder.path.name,
            "cores": os.cpu_count() or 1,
            "disk_free": shutil.disk_usage(self.folder.path).free,
            "presets": sizes(),
            "models_help": HELP,
            "listeners": self.invitations.base,
            "rate_default": PrepareSettings().rate,
            "section_default": PrepareSettings().section_seconds,
        }

    # Recordings

    async def upload(self, request: Request, name: Annotated[str, Query()]) -> Response:
        """Keep a recording."""
        try:
            row = await self.recordings.receive(name, request.stream())
        except ClientDisconnect:
            return Response(status_code=499)  # which nobody reads
        return JSONResponse(row, 201)

    def recording_audio(self, id: str) -> Response:
        """Return a recording's file, if browsers play it."""
        path = self.recordings.path(id)
        kind = PLAYED.get(path.suffix.lower())
        if kind is None:
            raise Refusal(415, f"{printable(path.name)}: browsers play {', '.join(PLAYED)}; convert it to hear it")
        return FileResponse(path, media_type=kind)

    def recording_waveform(self, id: str) -> dict[str, Any]:
        """Return the outline of a recording."""
        return drawing.waveform(self.recordings.path(id))

    def recording_spectrogram(self, id: str) -> Response:
        """Return the picture of a recording."""
        return Response(drawing.spectrogram_png(self.recordings.path(id)), media_type="image/png")

    # Runs and models

    def run_metrics(self, id: str, after: int = 0) -> dict[str, Any]:
        """Return a run's records after a byte."""
        return metrics.read(self.trainings.path(id), after)

    def run_sample(self, id: str, step: str) -> Response:
        """Return a run's listening sample."""
        number = step.removesuffix(".wav")
        if not (step.endswith(".wav") and number.isascii() and number.isdecimal() and len(number) <= 16):
            raise missing("sample", step)
        return FileResponse(self.trainings.sample(id, int(number)), media_type="audio/wav")

    def resume(self, id: str, asked: ResumeAsked | None = None) -> dict[str, Any]:
        """Put a run into the queue again."""
        return self.trainings.resume(id, asked or ResumeAsked())

    # Scores

    async def upload_score(self, request: Request, name: Annotated[str, Query()]) -> Response:
        """Keep a score."""
        try:
            content = await request.body()
        except ClientDisconnect:
            return Response(status_code=499)  # which nobody reads
        return JSONResponse(await asyncio.to_thread(self.scores.keep, name, content), 201)

    # Takes

    def take_audio(self, id: str) -> Response:
        """Return a take's file."""
        return FileResponse(self.takes.path(id), media_type="audio/wav")

    def take_waveform(self, id: str) -> dict[str, Any]:
        """Return the outline of a take."""
        return drawing.waveform(self.takes.path(id))

    def take_spectrogram(self, id: str) -> Response:
        """Return the picture of a take."""
        return Response(drawing.spectrogram_png(self.takes.path(id)), media_type="image/png")

    # Listening tests

    def stimulus(self, id: str, name: str) -> Response:
        """Return the file of a stimulus."""
        return FileResponse(self.judging.stimulus(id, name), media_type="audio/wav")

    def answers(self, id: str) -> Response:
        """Return the answers of a test as a file."""
        headers = {"content-disposition": "attachment; filename=answers.csv"}
        return Response(self.judging.table(id), media_type="text/csv", headers=headers)

    # WebSockets

    async def tell_events(self, socket: WebSocket) -> None:
        """Send what changes until the page goes away."""
        await socket.accept()
        with self.events.page() as messages:

            async def send() -> None:
                while (message := await messages.get()) is not None:
                    await socket.send_text(json.dumps(message))
                await socket.close(TOO_MANY)

            await _until_one_ends(send(), _drain(socket))

    async def play(self, socket: WebSocket) -> None:
        """Let the page play a model until it goes away."""
        await socket.accept()
        most = max(1, (os.cpu_count() or 1) - 1)
        if self.players >= most:
            line = f"players: {most} play already, which is all that this machine can; close another one"
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_text(json.dumps({"type": "error", "message": line}))
                await socket.close(TOO_MANY)
            return
        self.players += 1
        frames: asyncio.Queue[bytes | dict[str, Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def post(frame: bytes | dict[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(frames.put_nowait, frame)

        player = Player(self.shelf, self.recordings, self.scores, self.takes, post)

        async def send() -> None:
            while True:
                frame = await frames.get()
                if isinstance(frame, bytes):
                    await socket.send_bytes(frame)
                else:
                    await socket.send_text(json.dumps(frame))

        async def receive() -> None:
            while (message := await socket.receive())["type"] == "websocket.receive":
                player.receive(message.get("text") or "")
                while frames.qsize() > MOST_FRAMES:  # a page that does not read what is sent is not read either
                    await asyncio.sleep(PAUSE)

        try:
            await _until_one_ends(send(), receive())
        finally:
            await asyncio.to_thread(player.close)
            self.players -= 1


def routes(studio: Studio) -> list[Route]:
    """Return all routes."""
    return [
        ("GET", "/", studio.page.index, 200),
        ("GET", "/assets/{name:path}", studio.page.asset, 200),
        ("GET", "/player/{name:path}", studio.page.player_module, 200),
        ("GET", "/api/session", studio.session, 200),
        ("GET", "/api/recordings", studio.recordings.rows, 200),
        ("PUT", "/api/recordings", studio.upload, 201),
        ("DELETE", "/api/recordings/{id}", studio.recordings.delete, 204),
        ("GET", "/api/recordings/{id}/audio", studio.recording_audio, 200),
        ("GET", "/api/recordings/{id}/waveform", studio.recording_waveform, 200),
        ("GET", "/api/recordings/{id}/spectrogram.png", studio.recording_spectrogram, 200),
        ("GET", "/api/corpora", studio.corpora.rows, 200),
        ("POST", "/api/corpora", studio.corpora.make, 202),
        ("DELETE", "/api/corpora/{id}", studio.trainings.delete_corpus, 204),
        ("GET", "/api/runs", studio.trainings.rows, 200),
        ("POST", "/api/runs", studio.trainings.begin, 201),
        ("DELETE", "/api/runs/{id}", studio.trainings.delete, 204),
        ("POST", "/api/runs/{id}/stop", studio.trainings.stop, 200),
        ("POST", "/api/runs/{id}/resume", studio.resume, 200),
        ("GET", "/api/runs/{id}/metrics", studio.run_metrics, 200),
        ("GET", "/api/runs/{id}/samples", studio.trainings.samples, 200),
        ("GET", "/api/runs/{id}/samples/{step}", studio.run_sample, 200),
        ("POST", "/api/runs/{id}/export", studio.trainings.export, 201),
        ("GET", "/api/models", studio.shelf.rows, 200),
        ("POST", "/api/models/{id}/page", studio.shelf.page, 200),
        ("POST", "/api/models/{id}/push", studio.shelf.push, 200),
        ("GET", "/api/scores", studio.scores.rows, 200),
        ("PUT", "/api/scores", studio.upload_score, 201),
        ("DELETE", "/api/scores/{id}", studio.scores.delete, 204),
        ("GET", "/api/takes", studio.takes.rows, 200),
        ("DELETE", "/api/takes/{id}", studio.takes.delete, 204),
        ("GET", "/api/takes/{id}/audio", studio.take_audio, 200),
        ("GET", "/api/takes/{id}/waveform", studio.take_waveform, 200),
        ("GET", "/api/takes/{id}/spectrogram.png", studio.take_spectrogram, 200),
        ("GET", "/api/tests", studio.judging.rows, 200),
        ("POST", "/api/tests", studio.judging.make, 201),
        ("DELETE", "/api/tests/{id}", studio.judging.delete, 204),
        ("GET", "/api/tests/{id}/trials", studio.judging.trials, 200),
        ("GET", "/api/tests/{id}/stimuli/{name}", studio.stimulus, 200),
        ("POST", "/api/tests/{id}/answers", studio.judging.answer, 200),
        ("GET", "/api/tests/{id}/results", studio.judging.results, 200),
        ("GET", "/api/tests/{id}/answers.csv", studio.answers, 200),
        ("GET", "/api/tests/{id}/invitations", studio.invitations.rows, 200),
        ("POST", "/api/tests/{id}/invitations", studio.invitations.make, 201),
        ("DELETE", "/api/tests/{id}/invitations/{listener}", studio.invitations.withdraw, 204),
        ("WS", "/ws/events", studio.tell_events, 101),
        ("WS", "/ws/play", studio.play, 101),
    ]


def make_app(studio: Studio, port: int, token: str) -> OwnersGuard:
    """Return the app of a studio behind its guard."""
    return OwnersGuard(make_routes(routes(studio), studio.running), port, token)


async def _until_one_ends(*tasks: Any) -> None:
    """Run tasks until one ends. That the page has gone away is no error."""
    running = [asyncio.ensure_future(task) for task in tasks]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception) and not isinstance(error, WebSocketDisconnect | RuntimeError):
            raise error


async def _drain(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
