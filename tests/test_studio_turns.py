"""Two models in turns, and the refusal of two that a core is too slow for."""

import json
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

import wavewright
from support.model_files import make
from support.studio import until
from wavewright.playing.native_model import NativeModel
from wavewright.playing.playable import Player as ModelPlayer
from wavewright.studio.decks import FADE, MOST_WAITING
from wavewright.studio.playback import Player

SLOW = "slow"
SEED = 3


@dataclass(frozen=True)
class SlowModel(NativeModel):
    """A model that needs 60% of a core's time."""

    def player(self, *arguments: Any, **more: Any) -> ModelPlayer:
        player = super().player(*arguments, **more)
        generate = player.generate

        def slow(samples: int, *rest: Any) -> Any:
            over = time.thread_time() + 0.6 * samples / self.rate
            made = generate(samples, *rest)
            while time.thread_time() < over:
                pass
            return made

        player.generate = slow  # type: ignore[method-assign]
        return player


class Page:
    """A page that plays without a server."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told, self.blocks, self.turn = folder, [], [], threading.Lock()
        nothing = cast(Any, None)
        self.player = Player(cast(Any, self), nothing, nothing, nothing, self.take)

    def open(self, id: str, told: Any) -> NativeModel:
        """Stand for a shelf."""
        model = wavewright.load(self.folder / f"{id.removeprefix(SLOW)}.safetensors")
        fields = {**{name: getattr(model, name) for name in model.__dataclass_fields__}, "path": Path(id)}
        return (SlowModel if id.startswith(SLOW) else NativeModel)(**fields)

    def take(self, frame: bytes | dict[str, Any]) -> None:
        with self.turn:
            if isinstance(frame, bytes):
                self.blocks.append(np.frombuffer(frame, "<f4"))
            else:
                self.told.append(frame)

    def send(self, kind: str, **fields: Any) -> None:
        self.player.receive(json.dumps({"type": kind, **fields}))

    def begin(self, first: str, second: str, way: str) -> dict[str, Any]:
        """Open two models, and return what is told of it."""
        self.send("open", model=first, second=second, way=way, seed=SEED)
        return dict(until(lambda: next((one for one in self.told if one["type"] in ("ready", "error")), None)))

    def sound(self, blocks: int, block: int) -> NDArray[np.float32]:
        """Let so many blocks be made."""
        there = len(self.blocks)
        self.send("credit", samples=blocks * block)
        until(lambda: len(self.blocks) == there + blocks)
        return np.concatenate(self.blocks[there:])


@pytest.fixture
def page(tmp_path: Path) -> Any:
    for name, config in (("keys", "tiers 8 4 2, conditioned"), ("other", "gated of 3 taps, conditioned")):
        make(tmp_path / f"{name}.safetensors", config)
    page = Page(tmp_path)
    yield page
    page.player.close()


def test_two_models_that_a_core_is_too_slow_for_are_refused_before_there_is_a_sound(page: Page) -> None:
    told = page.begin("slowkeys", "slowother", "compare")
    assert told["type"] == "error"
    needs = r"slowkeys \d\d% and slowother \d\d% of a core's time"
    assert re.fullmatch(rf"compare: {needs}, which is too much at once; play them in turns", told["message"])
    page.told.clear()
    assert page.begin("slowkeys", "other", "compare")["type"] == "ready"
    page.told.clear()
    assert page.begin("slowkeys", "slowother", "turns")["type"] == "ready"


def test_in_turns_the_model_that_is_not_heard_stands_still_and_goes_on_from_there(page: Page) -> None:
    ready = page.begin("keys", "other", "turns")
    assert ready["way"] == "turns"
    block, fade = ready["rate"] // 100, round(FADE * ready["rate"])
    alone = [wavewright.load(page.folder / f"{name}.safetensors").instrument(SEED) for name in ("keys", "other")]
    streams = [instrument.stream(block) for instrument in alone]

    def played(deck: int, blocks: int) -> NDArray[np.float32]:
        return np.concatenate([next(streams[deck]) for _ in range(blocks)])

    assert np.array_equal(page.sound(20, block), played(0, 20))
    page.send("note_on", key=60)
    page.send("control", name="temperature", value=0.8)
    time.sleep(0.3)  # so that no clock decides where they take effect
    for instrument in alone:
        instrument.note_on(60)
        instrument.control("temperature", 0.8)
    assert np.array_equal(page.sound(20, block), played(0, 20))
    page.send("hear", deck=2)
    heard, first, second = page.sound(20, block), played(0, 1), played(1, 20)
    assert np.array_equal(heard[fade:], second[fade:])  # which began only now, with the key and the knob
    assert not np.array_equal(heard[:fade], second[:fade])
    assert np.allclose(heard[0], first[0] + (second[0] - first[0]) / (FADE * ready["rate"]), atol=1e-6)
    page.send("hear", deck=1)
    assert np.array_equal(page.sound(20, block)[fade:], played(0, 20)[fade:])


def test_what_a_model_that_stands_still_is_given_is_taken_at_once(page: Page) -> None:
    """Else a thousand turns of a knob would fill what may wait."""
    ready = page.begin("keys", "other", "turns")
    for _ in range(4):
        for step in range(MOST_WAITING // 2):
            page.send("control", name="temperature", value=0.5 + step / MOST_WAITING)
        time.sleep(0.3)  # so that the model that is heard takes all of them
        page.sound(1, ready["rate"] // 100)
    assert [one for one in page.told if one["type"] == "error"] == []
