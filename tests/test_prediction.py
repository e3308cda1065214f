"""Linear prediction under a model: against its equations, in any chunks, on sounds whose prediction is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support.oracles import forecasts
from wavewright import models
from wavewright.conditioning.events import Kind, events
from wavewright.conditioning.roll import Roll
from wavewright.errors import ConfigError
from wavewright.formats.config import resolve
from wavewright.models.condition import Condition, Notes
from wavewright.models.forecast import Predictor
from wavewright.models.prediction import Prediction, Strings
from wavewright.quantize import Quantizer

QUANTIZER = Quantizer(256, "mu-law")


@given(
    st.builds(Prediction, st.integers(1, 40), st.floats(1.0, 100.0), st.integers(1, 30), density=st.just(True)),
    st.sampled_from([3, 12, 256]),
    st.integers(0, 99),
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
@settings(max_examples=30, deadline=None)
def test_forecasts_are_those_of_the_equations_in_any_chunks(
    prediction: Prediction, levels: int, seed: int, parts: list[int]
) -> None:
    predictor = Predictor(prediction, levels, None).double()
    codes = np.random.default_rng(seed).integers(levels, size=(2, sum(parts)))
    state, place, found = predictor.initial_state(2), 0, []
    for part in parts:
        forecast, state = predictor(torch.from_numpy(codes[:, place : place + part]), state)
        found.append(forecast)
        place += part
    for stream, row in enumerate(codes.tolist()):
        expected = forecasts(SimpleNamespace(prediction=prediction, q_levels=levels), row)
        for name, tolerance in (("centre", 1e-7), ("spread", 1e-7)):
            values = torch.cat([getattr(forecast, name)[stream] for forecast in found])
            np.testing.assert_allclose(values, [getattr(each, name) for each in expected], atol=tolerance)
        rows = torch.cat([forecast.numbers[stream] for forecast in found]).numpy()
        assert np.mean(rows == [each.rows for each in expected]) > 0.98  # a centre may lie on the edge of two codes


@torch.no_grad()
def test_a_chord_is_predicted_to_its_rounding() -> None:
    """Sines are predicted from their past without error, but for the rounding of the past to codes."""
    t = np.arange(14_700)
    chord = sum(0.2 * np.sin(2 * np.pi * f * t / 14_700) for f in (220.0, 277.2, 329.6))
    codes = QUANTIZER.encode(chord)
    predictor = Predictor(Prediction(), 256, None)
    forecast, _ = predictor(torch.from_numpy(codes[None]), predictor.initial_state(1))
    error = (forecast.centre[0, -5000:-1].numpy() - chord[-4999:]).std()
    rounding = (QUANTIZER.decode(codes) - chord).std()
    assert error < 2 * rounding < 0.03 * chord.std()


@torch.no_grad()
def test_with_the_density_an_untrained_model_is_as_good_as_the_predictor() -> None:
    rng = np.random.default_rng(0)
    sound = np.zeros(4000)
    for i in range(2, 4000):  # an autoregressive sound, whose innovation has 0.02
        sound[i] = 1.8 * sound[i - 1] - 0.9 * sound[i - 2] + 0.02 * rng.standard_normal()
    codes = torch.from_numpy(QUANTIZER.encode(0.5 * sound / np.abs(sound).max())[None])
    bits = {}
    for density in (False, True):
        torch.manual_seed(0)
        model = models.build("linear-rnn", prediction={"order": 8, "density": density})
        logits, _ = model(codes[:, :-1])
        bits[density] = float(model.config.output.loss(logits, codes[:, 1:])[:, 1000:].mean() / np.log(2))
    predictor = Predictor(Prediction(8, density=True), 256, None)
    forecast, _ = predictor(codes[:, :-1], predictor.initial_state(1))
    alone = predictor.logits(forecast, torch.zeros(1, 3999, 257))
    own = float(model.config.output.loss(alone, codes[:, 1:])[:, 1000:].mean() / np.log(2))
    assert bits[True] == pytest.approx(own, abs=0.02)
    assert bits[True] < 5 < bits[False]


def test_codes_far_from_the_prediction_keep_a_logit() -> None:
    """No code is out of range, and none is left out, wherever the prediction lies."""
    predictor = Predictor(Prediction(2, 10.0), 12, None)
    forecast, _ = predictor(torch.tensor([[0, 0, 0, 11, 11, 11]]), predictor.initial_state(1))
    logits = predictor.logits(forecast, torch.arange(12.0).expand(1, 6, 12))
    for row, code in zip(logits[0], forecast.numbers[0, :, 0], strict=True):
        assert row.tolist() == [float(np.clip(q - int(code) + 6, 0, 11)) for q in range(12)]


STRUNG, HOP = 14_700, 16  # Hz, and samples in a control frame


def hammered(strings: Strings | None, strikes: list[tuple[int, int]], samples: int) -> NDArray[np.float64]:
    """What a predictor alone makes of strikes (sample, key), each with 5 ms of noise like a hammer's."""
    notes = Notes(low=60, high=72)
    condition = Condition((notes,), hop=HOP)
    score = events(*((sample, Kind.strike, key, 100) for sample, key in strikes))
    roll = Roll(notes, HOP, STRUNG).frames(score, condition.frames(samples))
    frames = torch.from_numpy(np.pad(roll, ((0, 0), (0, 1))))[None]  # with the flag of an absent keyboard, which is 0
    noise, rng = np.zeros(samples), np.random.default_rng(0)
    for sample, _ in strikes:
        noise[sample : sample + STRUNG // 200] = rng.uniform(-0.3, 0.3, STRUNG // 200)
    predictor = Predictor(Prediction(strings=strings), 256, condition)
    state, code, codes = predictor.initial_state(1), 128, []
    for t in range(samples):
        forecast, state = predictor(torch.tensor([[code]]), state, frames[:, t // HOP : t // HOP + 1], t % HOP)
        code = int(QUANTIZER.encode(np.clip(forecast.centre[0].numpy() + noise[t], -1, 1))[0])
        codes.append(code)
    return QUANTIZER.decode(np.array(codes))


@torch.no_grad()
def test_a_struck_string_rings_at_its_pitch() -> None:
    """Without strings, the hammer's noise does not ring in tune."""
    cents = []
    for strings in (Strings(STRUNG, "notes", 60, 72), None):
        sound = hammered(strings, [(0, 69)], 4410)[500:]
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 16))
        cents.append(abs(1200 * np.log2(spectrum.argmax() * STRUNG / (1 << 16) / 440)))
    assert cents[0] < 15
    assert cents[1] > 50


@torch.no_grad()
def test_a_strike_strikes_no_other_string_again() -> None:
    """The second hammer's noise rings at the second key, while the first one goes on to fade."""
    second, length = 20 * HOP * 16, 3000
    sound = hammered(Strings(STRUNG, "notes", 60, 72), [(0, 60), (second, 67)], second + 500 + length)
    wave = np.exp(-2j * np.pi * np.arange(length) * 440 * 2 ** ((np.array([[60], [67]]) - 69) / 12) / STRUNG)
    first, before, then = (
        abs(wave @ (sound[start + 500 :][:length] * np.hanning(length))) for start in (0, second - length - 500, second)
    )
    assert then[0] < before[0] < first[0]
    assert before[1] < 0.01 * then[1]


def test_a_keyboard_gives_it_strings() -> None:
    on, keyboard = ["model.prediction=on"], (Notes(low=30, high=90),)
    made = resolve("wavenet", overrides=on, controls=keyboard, rate=8000).model
    assert made.prediction == Prediction(strings=Strings(8000, "notes", 30, 90))
    assert made.with_condition(None).prediction == Prediction()
    without = resolve("wavenet", overrides=["model.prediction.strings=null"], controls=keyboard, rate=8000)
    assert without.model.prediction == resolve("wavenet", overrides=on, rate=8000).model.prediction == Prediction()
    for fields in ({}, {"condition": made.condition}):
        with pytest.raises(ConfigError, match=r"model\.prediction\.strings: not the keys of the model's keyboard"):
            models.configure("wavenet", prediction={"strings": {"rate": 8000}}, **fields)


def test_it_is_switched_on_and_off_in_a_configuration() -> None:
    assert resolve("wavenet").model.prediction is None
    on = resolve("wavenet", overrides=["model.prediction=on"])
    assert on.model.prediction == Prediction()
    assert resolve("wavenet", overrides=["model.prediction=off"]).model.prediction is None
    linear = resolve("wavenet", overrides=["model.prediction.order=32", "encoding=linear"])
    assert linear.model.prediction == Prediction(32, encoding="linear")
    with pytest.raises(ConfigError, match=r"model\.prediction\.encoding: linear, but encoding is mu-law; leave it out"):
        resolve("wavenet", overrides=["model.prediction.encoding=linear"])
    with pytest.raises(ConfigError, match=r"model\.prediction\.order: .* greater than or equal to 1"):
        resolve("wavenet", overrides=["model.prediction.order=0"])
