"""The contract, for every kind of model: whole = chunks = steps, causality, streams apart, explicit state."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.kinds import CONDITION, CONDITIONED, KINDS, PREDICTED, SPLIT, build, codes_of, condition_of, in_parts
from wavewright import models
from wavewright.errors import ConfigError
from wavewright.models.base import Model, State

every_kind = pytest.mark.parametrize(
    "kind", [*KINDS, *PREDICTED, *SPLIT, *CONDITIONED]
)  # without control frames, they are absent
conditioned = pytest.mark.parametrize("kind", CONDITIONED)
# Strings hear a condition beside its entries, and know in which frame a key was struck.
by_entries_alone = pytest.mark.parametrize("kind", [kind for kind in CONDITIONED if "strings" not in kind])


def tensors(state: State) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.flat().items()}


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@every_kind
@given(st.lists(st.one_of(st.just(0), st.integers(1, 23)), min_size=1, max_size=7), st.integers(1, 3))
@settings(max_examples=12, deadline=None)
@torch.no_grad()
def test_whole_equals_any_chunking_of_it_equals_steps(kind: str, parts: list[int], streams: int) -> None:
    """A part of n > 0 goes through `forward` in one piece, a part of 0 stands for one `step`."""
    model, more = build(kind), codes_of(streams, 19, seed=1)
    codes = codes_of(streams, sum(max(1, part) for part in parts))
    whole, after = model(codes)
    pieces, state = in_parts(model, codes, parts)
    close(pieces, whole)
    close(model(more, state)[0], model(more, after)[0])  # and so they go on


@every_kind
@torch.no_grad()
def test_steps_alone_equal_the_whole(kind: str) -> None:
    model, codes = build(kind), codes_of(2, 40)
    whole, _ = model(codes)
    state = model.initial_state(2)
    for t in range(40):
        logits, state = model.step(codes[:, t], state)
        close(logits, whole[:, t])


@every_kind
@torch.no_grad()
def test_the_future_changes_nothing(kind: str) -> None:
    model, codes = build(kind), codes_of(1, 40)
    before, _ = model(codes)
    for t in (1, 7, 8, 16, 39):
        changed = codes.clone()
        changed[:, t:] = codes_of(1, 40 - t, seed=t)
        assert torch.equal(model(changed)[0][:, :t].argmax(2), before[:, :t].argmax(2))
        close(model(changed)[0][:, :t], before[:, :t])


@every_kind
@torch.no_grad()
def test_every_code_changes_what_comes_after_it(kind: str) -> None:
    """The other side of causality: position t reads the code at t."""
    model, codes = build(kind), codes_of(1, 24)
    before, _ = model(codes)
    for t in range(24):
        changed = codes.clone()
        changed[:, t] = (codes[:, t] + 5) % 12
        assert (model(changed)[0][:, t] - before[:, t]).abs().max() > 1e-6


@every_kind
@torch.no_grad()
def test_streams_do_not_hear_one_another(kind: str) -> None:
    model, first, second = build(kind), codes_of(3, 21), codes_of(3, 10, seed=1)
    together, state = model(first)
    together_after, _ = model(second, state)
    for b in range(3):
        alone, state = model(first[b : b + 1])
        close(alone, together[b : b + 1])
        close(model(second[b : b + 1], state)[0], together_after[b : b + 1])


@every_kind
@torch.no_grad()
def test_no_state_means_the_initial_state(kind: str) -> None:
    model, codes = build(kind), codes_of(2, 17)
    close(model(codes)[0], model(codes, model.initial_state(2))[0])
    close(model.step(codes[:, 0], model.initial_state(2))[0], model(codes[:, :1])[0][:, 0])


@every_kind
@torch.no_grad()
def test_forward_leaves_the_state_given_as_it_was(kind: str) -> None:
    model = build(kind)
    for state in (model.initial_state(2), model(codes_of(2, 13))[1], stepped(model, 13)):
        before = tensors(state)
        model(codes_of(2, 11, seed=1), state)
        after = tensors(state)
        assert all(torch.equal(value, after[name]) for name, value in before.items())


def stepped(model: Model[Any], count: int) -> State:
    state = model.initial_state(2)
    for t in range(count):
        _, state = model.step(codes_of(2, count)[:, t], state)
    return state


@every_kind
@torch.no_grad()
def test_a_clone_forks_a_stream(kind: str) -> None:
    """Stepping consumes a state, but not its clone."""
    model, codes = build(kind), codes_of(2, 9, seed=1)
    state = stepped(model, 13)
    fork = state.clone()
    expected, _ = model(codes, state.clone())
    for t in range(9):
        _, state = model.step(codes_of(2, 9, seed=2)[:, t], state)
    close(model(codes, fork)[0], expected)


@every_kind
@torch.no_grad()
def test_a_state_survives_being_saved_by_name(kind: str) -> None:
    model, codes = build(kind), codes_of(2, 9, seed=1)
    state = stepped(model, 13)
    again = model.initial_state(1).unflatten(tensors(state))
    close(model(codes, again)[0], model(codes, state)[0])


@every_kind
def test_gradients_stop_where_the_state_is_detached(kind: str) -> None:
    """Truncated BPTT: with the state detached, a second window's gradient is that of the window alone."""
    model, first, second = build(kind), codes_of(2, 16), codes_of(2, 16, seed=1)
    gradients = []
    for state in (model(first)[1].detach(), model(first)[1].map(lambda value: value.detach().clone())):
        model.zero_grad()
        model(second, state)[0].square().sum().backward()
        gradients.append([p.grad.clone() if p.grad is not None else None for p in model.parameters()])
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients[0])
    for a, b in zip(*gradients, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


@conditioned
@given(st.lists(st.one_of(st.just(0), st.integers(1, 23)), min_size=1, max_size=7), st.integers(1, 3))
@settings(max_examples=12, deadline=None)
@torch.no_grad()
def test_with_a_condition_whole_equals_chunks_equals_steps(kind: str, parts: list[int], streams: int) -> None:
    model, length = build(kind), sum(max(1, part) for part in parts)
    codes, condition = codes_of(streams, length), condition_of(build(kind), streams, length)
    whole, after = model(codes, None, condition)
    pieces, state = in_parts(model, codes, parts, condition)
    close(pieces, whole)
    more = codes_of(streams, 19, seed=1)  # goes on without control frames: the one in progress, then absent
    close(model(more, state)[0], model(more, after)[0])


@conditioned
@torch.no_grad()
def test_a_control_frame_reaches_its_own_samples_and_none_before(kind: str) -> None:
    model, codes, hop = build(kind), codes_of(2, 40), CONDITION["hop"]
    condition = condition_of(model, 2, 40)
    assert condition is not None
    before, _ = model(codes, None, condition)
    for m in range(8):
        changed = condition.clone()
        changed[:, m] = condition_of(model, 2, 1, seed=7)[:, 0]  # type: ignore[index]
        after, _ = model(codes, None, changed)
        assert torch.equal(after[:, : m * hop], before[:, : m * hop])
        assert (after[:, m * hop] - before[:, m * hop]).abs().amax(1).min() > 0


@conditioned
@torch.no_grad()
def test_streams_have_conditions_of_their_own(kind: str) -> None:
    model, codes = build(kind), codes_of(3, 21)
    condition = condition_of(model, 3, 21)
    assert condition is not None
    together, _ = model(codes, None, condition)
    for b in range(3):
        close(model(codes[b : b + 1], None, condition[b : b + 1])[0], together[b : b + 1])


@by_entries_alone
@torch.no_grad()
def test_without_entries_a_conditioned_model_is_the_plain_one(kind: str) -> None:
    """So a run with a condition can go on from a model without one. Entries are zero at first."""
    name, fields = CONDITIONED[kind]
    fresh = models.build(name, **{"q_levels": 12, **fields}).double()
    plain = models.build(name, **{"q_levels": 12, **fields, "condition": None}).double()
    plain.load_state_dict({key: value for key, value in fresh.state_dict().items() if key in plain.state_dict()})
    codes = codes_of(2, 30)
    close(fresh(codes, None, condition_of(fresh, 2, 30))[0], plain(codes)[0])


@by_entries_alone
@torch.no_grad()
def test_a_hop_of_one_sample_is_the_same_as_equal_frames(kind: str) -> None:
    model, every = build(kind), build(kind, condition={**CONDITION, "hop": 1})
    codes, condition = codes_of(2, 30), condition_of(model, 2, 30)
    assert condition is not None
    close(every(codes, None, condition.repeat_interleave(5, 1))[0], model(codes, None, condition)[0])


def test_a_condition_of_another_shape_is_refused() -> None:
    model = build("gated of 3 taps, conditioned")
    right = condition_of(model, 2, 13)
    assert right is not None
    for wrong in (right[:, 1:], right[:1], right[..., 1:], right[0]):
        with pytest.raises(ConfigError, match=r"condition: shape .*, here \(2, 3, 17\)"):
            model(codes_of(2, 13), None, wrong)


@pytest.mark.parametrize("name", models.CONFIGS)
def test_what_the_contract_refuses(name: str) -> None:
    model = models.build(name)
    with pytest.raises(ConfigError, match=r"condition: .* made without one"):
        model(torch.zeros(1, 3, dtype=torch.long), None, torch.zeros(1))
    with pytest.raises(ConfigError, match=r"codes: shape \(3,\)"):
        model(torch.zeros(3, dtype=torch.long))
    with pytest.raises(ConfigError, match="one sample at least"):
        model(torch.zeros(1, 0, dtype=torch.long))


@pytest.mark.parametrize(
    ("name", "fields", "line"),
    [
        ("transformer", {}, f"model: no 'transformer'; there are {', '.join(models.CONFIGS)}"),
        ("naive-rnn", {"unit": 3}, "model.unit: no such field of naive-rnn; did you mean units\\? there are layers"),
        ("naive-rnn", {"units": "many"}, r"model.units: .* integer.* \(got 'many'\)"),
        ("naive-rnn", {"layers": 0}, r"model.layers: .* greater than or equal to 1 \(got 0\)"),
        ("sample-rnn", {"frame_sizes": (8, 3)}, "model: frame_sizes: 3 does not divide 8"),
        ("sample-rnn", {"frame_sizes": ()}, "frame_sizes: give one frame size at least"),
        ("sample-rnn", {"frame_sizes": (4, 0)}, "frame_sizes: .* each 1 or more"),
        ("sample-rnn", {"frame_sizes": (2, 8)}, "frame_sizes: 8 does not divide 2"),
        ("linear-rnn", {"frame_sizes": (8, 3, 1)}, "frame_sizes: 3 does not divide 8"),
        ("linear-rnn", {"frame_sizes": (8, 2)}, "frame_sizes: the last is 2; give 1 for the tier of samples"),
        ("linear-rnn", {"frame_sizes": ()}, "model.frame_sizes: .* at least 1 item"),
        ("linear-rnn", {"frame_sizes": (2048, 1)}, r"model.frame_sizes.0: .* 1024 \(got 2048\)"),
        ("linear-rnn", {"frame_sizes": (8, 2, 1)}, "widths: 2 values for 3 frame_sizes; give 3"),
        ("linear-rnn", {"blocks": (1,)}, "blocks: 1 values for 2 frame_sizes; give 2"),
        ("linear-rnn", {"window": 1024, "q_levels": 65_536}, "frame_sizes: the engine would need .* numbers to look"),
        ("wavenet", {"split": True, "q_levels": 1000}, "q_levels: 1000; with split, give a square such as 4096"),
        ("naive-rnn", {"split": True, "prediction": {}}, "split: .*; leave out split or prediction"),
        ("linear-rnn", {"split": "yes, please"}, "model.split: .* boolean"),
        ("wavenet", {"form": "plain"}, "form: plain has a scalar input"),
        ("wavenet", {"form": "round"}, r"model.form: .* \(got 'round'\)"),
        ("wavenet", {"filter_width": 1}, "model.filter_width: .* greater than or equal to 2"),
        ("wavenet", {"layers": 40}, "layers: a receptive field of more than 1048576 samples; take fewer"),
        ("wavenet", {"layers": 1000, "blocks": 1000, "filter_width": 65536}, "layers: a receptive field"),
        ("wavenet", {"channels": 10**9}, r"model.channels: .* less than or equal to 65536 \(got 1000000000\)"),
        ("naive-rnn", {"layers": 10**9}, "model.layers: .* less than or equal to 1000"),
        ("sample-rnn", {"frame_sizes": (2**20, 2)}, "frame_sizes: .* 65536 at most"),
        ("naive-rnn", {"units": 20_000}, "model: more than 300,000,000 weights; take fewer or smaller layers"),
        ("wavenet", {"condition": {"controls": []}}, "model.condition.controls: .* at least 1 item"),
        ("wavenet", {"condition": {**CONDITION, "hop": 0}}, "model.condition.hop: .* greater than or equal to 1"),
        ("wavenet", {"condition": {"controls": CONDITION["controls"] * 2}}, "controls: .*; give each name once"),
        ("sample-rnn", {"window": 65_536, "units": 1}, r"model.window: .* 1024 \(got 65536\)"),
    ],
)
def test_contradictions_are_refused_on_building(name: str, fields: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        models.build(name, **fields)
    assert "\n" not in str(caught.value)
