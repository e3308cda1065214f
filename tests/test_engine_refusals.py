"""What the native engine refuses in one line, and what its stub names."""

import ast
import re
from typing import Any

import numpy as np
import pytest

from conftest import ROOT
from support.engines import native
from support.kinds import (
    CONDITION,
    LEVELS,
    RATE,
    build,
)
from wavewright import _engine
from wavewright.conditioning.events import EVENT, Kind, events
from wavewright.errors import ConfigError
from wavewright.playing.engine import Engine
from wavewright.playing.torch_player import TorchPlayer
from wavewright.sampling import Controls


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda model: native(model, streams=0), "streams"),
        (lambda model: native(model, threads=65), "threads"),
        (lambda model: native(model, isa="mmx"), "mmx"),
        (lambda model: native(model).prime(np.array([LEVELS])), "codes"),
        (lambda model: native(model, streams=2).prime(np.zeros((3, 4), int)), "3 streams"),
        (lambda model: native(model).generate(10, Controls(-1)), "temperature"),
        (lambda model: native(model).generate(10, Controls(np.ones(9))), "9 values for 10"),
        (lambda model: native(model).generate(10, Controls(top_k=0)), "top-k"),
        (lambda model: native(model).generate(10, Controls(top_p=1.5)), "top-p"),
        (lambda model: native(model).generate(10, dense=np.zeros((1, 1, 7))), "dense: .* without a condition"),
        (lambda model: native(model).feed(0, events()), "events: .* without a condition"),
    ],
)
def test_bad_input_is_one_line(call: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        call(build("tiers 8 2"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (
            lambda player: player.generate(10, dense=np.zeros((2, 1, 6))),
            r"dense: shape \(2, 1, 6\); .* \(2, frames, 7\)",
        ),
        (lambda player: player.generate(10, dense=np.zeros((1, 1, 7))), "dense: shape"),
        (lambda player: player.generate(10, dense=np.zeros(7)), "dense: shape"),
        (lambda player: player.generate(10, dense=np.zeros((2, 3, 7))), "dense: .* the 2 that begin"),
        (lambda player: player.generate(10, dense=np.full((2, 1, 7), np.nan)), "dense: .* not finite"),
        (lambda player: player.prime(np.zeros((2, 9), int), np.zeros((3, 7))), "dense: .* the 2 that begin"),
        (lambda player: player.feed(2, events()), "stream: 2"),
        (lambda player: player.feed(-1, events()), "stream: -1"),
        (lambda player: player.feed(0, np.zeros(3)), "events: shape"),
        (lambda player: player.feed(0, np.array([(-1, 1, 60, 90)], EVENT)), "events: sample -1"),
        (lambda player: player.feed(0, np.array([(0, 3, 60, 90)], EVENT)), "events: kind 3"),
        (lambda player: player.feed(0, np.array([(0, 1, 128, 90)], EVENT)), "events: key 128"),
        (lambda player: player.feed(0, np.array([(0, 2, 0, 200)], EVENT)), "events: value 200"),
    ],
)
@pytest.mark.parametrize("back_end", ["engine", "torch"])
def test_what_cannot_be_played_is_one_line_and_changes_nothing(call: Any, named: str, back_end: str) -> None:
    model = build("tier 16, conditioned").float()

    def make() -> Engine | TorchPlayer:
        return native(model, streams=2) if back_end == "engine" else TorchPlayer(model, 2, rate=RATE)

    player = make()
    with pytest.raises(ConfigError, match=named) as caught:
        call(player)
    assert "\n" not in str(caught.value)
    assert np.array_equal(player.generate(20), make().generate(20))


def test_a_keyboard_needs_a_rate() -> None:
    model = build("plain, conditioned")
    for make in (lambda: native(model, rate=None), lambda: TorchPlayer(model)):
        with pytest.raises(ConfigError, match="rate: missing"):
            make()


@pytest.mark.parametrize("back_end", ["engine", "torch"])
def test_without_a_keyboard_events_are_refused_and_no_rate_is_needed(back_end: str) -> None:
    model = build("plain, conditioned", condition={**CONDITION, "controls": CONDITION["controls"][:2]}).float()
    player = native(model, rate=None) if back_end == "engine" else TorchPlayer(model)
    with pytest.raises(ConfigError, match="events: this model has no keyboard"):
        player.feed(0, events((0, Kind.strike, 60, 90)))
    assert player.generate(20, dense=np.zeros((1, 6))).shape == (1, 20)


def test_the_stub_names_what_the_module_has() -> None:
    """Classes, methods and arguments of _engine.pyi are those of the native module, in the same order."""
    stub = ast.parse((ROOT / "src" / "wavewright" / "_engine.pyi").read_text())
    found = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert set(found) == {name for name in vars(_engine) if not name.startswith("__")}
    methods = {node.name: node for node in found["Engine"].body}  # type: ignore[union-attr]
    public = {name for name in vars(_engine.Engine) if not name.startswith("__")} | {"__init__"}
    assert set(methods) == public
    for name, node in {**found, **methods}.items():
        owner = _engine.Engine if name in methods else _engine
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            signature = getattr(owner, name).__doc__ or ""
            assert re.findall(r"(\w+):", signature.splitlines()[0]) == [a.arg for a in node.args.args if a.annotation]
