"""Drawing codes: against a slow oracle, and by frequency."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from wavewright.errors import ConfigError
from wavewright.models.output import Softmax
from wavewright.sampling import Controls, Uniforms

ALMOST_ONE = float(np.nextafter(1.0, 0.0))


def kept_probabilities(logits: list[float], controls: Controls) -> list[float]:
    """Probabilities after temperature, then top-k, then top-p of what top-k left; 0 for what neither keeps.

    Summed exactly: beside a weight of 1 the smallest still counts, so top-p 1 keeps all.
    """
    largest = max(logits)
    weights = [Fraction(math.exp((logit - largest) / controls.temperature)) for logit in logits]
    ranked = sorted(range(len(logits)), key=lambda code: (-weights[code], code))
    if controls.top_k is not None:
        ranked = ranked[: controls.top_k]
    if controls.top_p is not None:
        wanted = Fraction(controls.top_p) * sum(weights[code] for code in ranked)
        count = 1
        while sum(weights[code] for code in ranked[:count]) < wanted:
            count += 1
        ranked = ranked[:count]
    total = sum(weights[code] for code in ranked)
    return [float(weights[code] / total) if code in ranked else 0.0 for code in range(len(logits))]


# Multiples of ln 2 make ties and give probabilities on which top-p falls exactly.
logit = st.integers(-6, 3).map(lambda power: power * math.log(2)) | st.floats(-8, 8) | st.sampled_from([-1e4, -800.0])
settings_of = st.builds(
    Controls,
    temperature=st.sampled_from([0.0, 0.3, 0.9, 1.0, 1.7]),
    top_k=st.none() | st.integers(1, 10),
    top_p=st.none() | st.sampled_from([0.05, 0.31, 0.62, 0.93, 1.0]),
)
uniform = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, ALMOST_ONE])


@given(st.lists(logit, min_size=1, max_size=8), uniform, settings_of)
@settings(max_examples=400, deadline=None)
@example([0.0, 0.0, 0.0, 0.0], 0.0, Controls(top_k=2))
@example([0.0, 0.0, 0.0, 0.0], ALMOST_ONE, Controls(top_k=2))
@example([0.0, -1e4], ALMOST_ONE, Controls())
@example([-1e4, 0.0], 0.0, Controls())
@example([-800.0, 0.0], 0.0, Controls(1.7, top_p=1.0))
def test_draws_are_those_of_the_definition(logits: list[float], uniform: float, controls: Controls) -> None:
    (found,) = Softmax(256).draw(np.array([logits]), np.array([uniform]), controls)
    if controls.temperature == 0:
        assert found == logits.index(max(logits))
        return
    probabilities = kept_probabilities(logits, controls)
    assert probabilities[found] > 0
    assert math.fsum(probabilities[:found]) <= uniform + 1e-12  # the first code whose cumulative probability
    assert math.fsum(probabilities[: found + 1]) >= uniform - 1e-12  # exceeds the uniform number


@given(st.lists(st.lists(logit, min_size=5, max_size=5), min_size=1, max_size=4), st.data(), settings_of)
@settings(max_examples=50, deadline=None)
def test_rows_are_drawn_apart(rows: list[list[float]], data: st.DataObject, controls: Controls) -> None:
    uniforms = np.array(data.draw(st.lists(uniform, min_size=len(rows), max_size=len(rows))))
    together = Softmax(256).draw(np.array(rows), uniforms, controls)
    alone = [Softmax(256).draw(np.array(rows[i : i + 1]), uniforms[i : i + 1], controls)[0] for i in range(len(rows))]
    assert together.tolist() == alone


def test_ties_go_to_the_lower_code() -> None:
    logits = np.array([[1.0, 2.0, 2.0, 2.0, 1.0]])
    assert Softmax(256).draw(logits, np.array([0.7]), Controls(temperature=0)) == [1]
    codes = {int(Softmax(256).draw(logits, np.array([u]), Controls(top_k=2))[0]) for u in (0.0, 0.49, 0.51, ALMOST_ONE)}
    assert codes == {1, 2}


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    """Probabilities 1/2, 1/4, 1/8, 1/8: 0.5 needs one code, anything more two, 0.75 still two, then three."""
    logits = np.log(np.array([[0.125, 0.5, 0.125, 0.25]]))
    uniforms = np.linspace(0, 1, 64, endpoint=False)
    for top_p, kept in ((0.2, {1}), (0.499, {1}), (0.501, {1, 3}), (0.749, {1, 3}), (0.751, {0, 1, 3})):
        found = Softmax(256).draw(np.repeat(logits, 64, 0), uniforms, Controls(top_p=top_p))
        assert set(found.tolist()) == kept
    everything = Softmax(256).draw(np.repeat(logits, 64, 0), uniforms, Controls(top_p=1.0))
    np.testing.assert_array_equal(everything, Softmax(256).draw(np.repeat(logits, 64, 0), uniforms, Controls()))


def test_top_p_is_a_share_of_what_top_k_left() -> None:
    """Of 1/2, 1/4, 1/8, 1/8 top-k 2 leaves 2/3 and 1/3: the first alone reaches 0.6."""
    logits = np.log(np.array([[0.5, 0.25, 0.125, 0.125]] * 64))
    uniforms = np.linspace(0, 1, 64, endpoint=False)
    assert set(Softmax(256).draw(logits, uniforms, Controls(top_k=2, top_p=0.6)).tolist()) == {0}
    assert set(Softmax(256).draw(logits, uniforms, Controls(top_k=2, top_p=0.7)).tolist()) == {0, 1}
    assert set(Softmax(256).draw(logits, uniforms, Controls(top_p=0.6)).tolist()) == {0, 1}


@pytest.mark.parametrize(
    "controls",
    [Controls(), Controls(0.7), Controls(1.4), Controls(top_k=3), Controls(top_p=0.8), Controls(0.8, 5, 0.9)],
)
def test_frequencies_are_the_probabilities(controls: Controls) -> None:
    logits = np.random.default_rng(5).normal(size=9) * 1.5
    draws = 20_000
    uniforms = Uniforms(seed=3, streams=1)(draws)[0]
    found = np.bincount(Softmax(256).draw(np.tile(logits, (draws, 1)), uniforms, controls), minlength=9)
    expected = np.array(kept_probabilities(logits.tolist(), controls)) * draws
    assert (found[expected == 0] == 0).all()
    if (expected > 0).sum() > 1:
        assert chisquare(found[expected > 0], expected[expected > 0]).pvalue > 1e-3


@given(st.integers(0, 2**63), st.integers(1, 5), st.lists(st.integers(1, 30), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_a_stream_of_uniforms_is_the_same_alone_and_in_any_blocks(seed: int, streams: int, blocks: list[int]) -> None:
    whole = Uniforms(seed, streams)(sum(blocks))
    source = Uniforms(seed, streams)
    np.testing.assert_array_equal(np.concatenate([source(count) for count in blocks], 1), whole)
    np.testing.assert_array_equal(Uniforms(seed, 1)(sum(blocks)), whole[:1])
    assert ((whole >= 0) & (whole < 1)).all()


def test_streams_and_seeds_differ() -> None:
    rows = np.concatenate([Uniforms(seed, 3)(100) for seed in (0, 1, 2)])
    assert len(np.unique(rows)) == rows.size
    assert np.abs(np.corrcoef(rows) - np.eye(9)).max() < 0.5  # 5 standard deviations of chance


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"temperature": -0.1}, "temperature: -0.1; give 0"),
        ({"temperature": math.nan}, "temperature: nan"),
        ({"temperature": math.inf}, "temperature: inf"),
        ({"top_k": 0}, "top-k: 0; give 1 to 2147483647"),
        ({"top_p": 0.0}, "top-p: 0.0; give more than 0"),
        ({"top_p": 1.5}, "top-p: 1.5"),
        ({"top_p": math.nan}, "top-p: nan"),
    ],
)
def test_what_is_out_of_range_is_refused(fields: dict[str, float], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        Controls(**fields)
