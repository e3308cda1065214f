"""Sharing a model from the studio, through a real server and a hub on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.fake_hub import Hub, fake_hub
from support.model_files import make
from support.players import models
from support.studio import Server, serving

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

SAID = {"repository": "me/mine", "licence": "cc-by-4.0", "data": "Two hours of my own piano; I allow it.\n--public"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with fake_hub() as one:
        yield one


@pytest.fixture
def server(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Server]:
    """A studio with a model file, of an owner who is logged in to the hub, or has the given token."""
    for name, value in {"HF_TOKEN": "", **hub.environment(tmp_path / "home", **getattr(request, "param", {}))}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "work" / "models").mkdir(parents=True)
    make(tmp_path / "work" / "models" / "mine.safetensors")
    with serving(tmp_path / "work") as running:
        yield running


def push(server: Server, name: str = "mine", **more: Any) -> tuple[int, dict[str, str]]:
    """Ask to share a model, and return what is answered."""
    id = models(server)[name]["id"]
    with server.client() as client:
        reply = client.post(f"/api/models/{id}/push", json={**SAID, **more})
    return reply.status_code, reply.json()


def test_a_model_file_is_shared_with_what_was_said_of_it(server: Server, hub: Hub) -> None:
    assert push(server) == (200, {"address": f"{hub.address}/me/mine"})
    files = hub.files["me/mine"]
    assert files["model.safetensors"] == (server.folder / "models" / "mine.safetensors").read_bytes()
    card = files["README.md"].decode()
    assert "license: cc-by-4.0" in card
    assert SAID["data"] in card
    assert hub.private == {"me/mine": True}
    assert push(server, repository="me/open", public=True)[0] == 200
    assert hub.private["me/open"] is False


@pytest.mark.parametrize("missing", ["repository", "licence", "data"])
@pytest.mark.parametrize("value", ["", " ", None, "\n", ["x"]])
def test_nothing_is_guessed(server: Server, hub: Hub, missing: str, value: Any) -> None:
    status, said = push(server, **{missing: value})
    assert status == 422
    assert said["error"].startswith(f"{missing}: ")
    assert hub.asked == []


@pytest.mark.parametrize("repository", ["mine", "--public", "a/b/c", "-a/b", "../x", "me/ mine", "me/mine\n"])
def test_what_is_no_repository_is_refused(server: Server, hub: Hub, repository: str) -> None:
    assert push(server, repository=repository)[0] == 422
    assert hub.asked == []


def test_a_model_that_is_no_file_of_the_owner_is_not_shared(server: Server, hub: Hub) -> None:
    status, said = push(server, "piano")
    assert (status, said["error"]) == (409, "model: piano is no model file of yours; export one first")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("server", "line"),
    [({"token": None}, "hub: nobody has logged in on this computer"), ({"token": "hf_wrong"}, "me/mine: not shared")],
    indirect=["server"],
)
def test_who_has_not_logged_in_is_told_how(server: Server, hub: Hub, line: str) -> None:
    status, said = push(server)
    assert status == 422
    assert said["error"].startswith(line)
    assert "`hf auth login`" in said["error"]
    assert "hf_wrong" not in said["error"]
    assert hub.files == {}
