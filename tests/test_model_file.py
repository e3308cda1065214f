"""Model files: what goes in comes out, in every precision, as the specification has it."""

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from conftest import ROOT
from support.kinds import CONDITIONED, KINDS, LEVELS, PREDICTED, SPLIT, build
from support.model_files import LEVELLING, TRAINING, make, parts, rewrite, run_of
from wavewright.commands.options import Playing
from wavewright.errors import ConfigError, ModelFileError
from wavewright.formats.model_file import About, load
from wavewright.formats.precision import pack, unpack
from wavewright.playing import opening
from wavewright.playing.export import export
from wavewright.playing.torch_model import from_file
from wavewright.sampling import Controls

every_kind = pytest.mark.parametrize("kind", [*KINDS, *PREDICTED, *SPLIT, *CONDITIONED])
every_precision = pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])


def multiply_out(module: nn.Module) -> None:
    """Make every matrix below `module` a plain parameter of the same value, by torch's own means."""
    for layer in list(module.modules()):
        for weight in ("weight", "input_weight", "hidden_weight"):
            if is_parametrized(layer, weight):
                remove_parametrizations(layer, weight)


def weights_of(kind: str) -> dict[str, torch.Tensor]:
    model = run_of(kind).model
    multiply_out(model)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@every_kind
def test_the_shapes_are_those_of_the_model(kind: str) -> None:
    model = build(kind)
    config = model.config
    multiply_out(model)
    assert dict(config.shapes()) == {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@every_kind
def test_multiplying_out_changes_no_weight(kind: str) -> None:
    model, plain = build(kind), build(kind)
    multiply_out(plain)
    codes = torch.arange(30)[None] % LEVELS
    assert torch.equal(model(codes)[0], plain(codes)[0])
    assert not [name for name in plain.state_dict() if "parametrizations" in name]


@every_kind
@every_precision
def test_round_trip(kind: str, precision: Any, tmp_path: Path) -> None:
    """Against safetensors' own reader and torch's own rounding."""
    path = tmp_path / "m.safetensors"
    made = make(path, kind, precision)
    file, there, before = load(path), load_file(path), weights_of(kind)
    config = run_of(kind).config.multiplied_out()
    assert (file.path, file.config, file.encoding, file.rate) == (path, config, "mu-law", 4000)
    assert parts(path)[0]["format"] == (
        3 if "predicted" in kind or "split" in kind else 2 if kind in CONDITIONED else 1
    )
    assert (file.levelling, file.training, file.precision) == (LEVELLING, TRAINING, precision)
    assert file.config == made.config
    assert not getattr(file.config, "weight_norm", False)
    assert set(file.weights) == set(before)
    reduced = 0
    for name, weight in file.weights.items():
        stored = there.pop(name)
        assert (weight.dtype, weight.shape) == (np.float32, tuple(before[name].shape))
        np.testing.assert_array_equal(weight, made.weights[name])
        if stored.dtype == torch.float32:
            expected = before[name]
        elif stored.dtype == torch.bfloat16:
            expected, reduced = before[name].to(torch.bfloat16).float(), reduced + 1
        else:
            scale, reduced = there.pop(f"{name}.scale")[:, None], reduced + 1
            assert ((torch.from_numpy(weight) - before[name]).abs() <= scale * 0.5001).all()
            expected = stored * scale
        assert np.array_equal(weight, expected.numpy())
    assert bool(reduced) == (precision != "float32")
    if kind in CONDITIONED:
        assert file.parity.condition is not None
        assert file.parity.condition.shape == (13, 17)  # 64 samples in frames of 5
        assert np.array_equal(file.parity.condition, there.pop("parity.condition").numpy())
    assert sorted(there) == ["parity.codes", "parity.logits"]
    assert file.parity.codes.tolist() == there["parity.codes"].tolist()
    assert np.array_equal(file.parity.logits, there["parity.logits"].numpy())
    assert (file.parity.codes.shape, file.parity.logits.shape) == ((64,), (64, 8 if file.config.split else LEVELS))


def test_what_is_said_of_a_model_stays_with_it(tmp_path: Path) -> None:
    """From file to file, while the tensors keep their bytes. A model of which nothing is said is in an older format."""
    first, second, third = (tmp_path / f"{i}.safetensors" for i in range(3))
    assert make(first).about is None
    export(from_file(load(first)), second, about={"title": "Flöte 🎵", "licence": "CC0 1.0"})
    export(from_file(load(second)), third, about={"title": "Flute", "author": "me"})
    assert load(second).about == About(title="Flöte 🎵", licence="CC0 1.0")
    assert load(third).about == About(title="Flute", author="me", licence="CC0 1.0")
    for path in (second, third):
        (metadata, *tensors), (before, *unsaid) = parts(path), parts(first)
        assert tensors == unsaid
        about = load(path).about
        assert about is not None
        unsaid_of_the_draw = ("temperature", "top_p")  # are left out, as in files that were made before there were any
        texts = {name: text for name, text in asdict(about).items() if name not in unsaid_of_the_draw}
        assert metadata == before | {"format": 3, "about": texts}
        assert opening.load(path).about == opening.open_run(path).about == about
    export(opening.open_run(third), second, "int8")
    assert load(second).about == load(third).about


def test_a_model_is_drawn_from_as_its_maker_says(tmp_path: Path) -> None:
    """Unless a player says otherwise, by file or by hand."""
    first, second, loud = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "loud"))
    make(first, "naive scalar, conditioned")
    export(from_file(load(first)), second, about={"temperature": 0.7, "top_p": 0.5})
    assert parts(second)[0]["about"]["top_p"] == 0.5
    plain, told = opening.load(first), opening.load(second)
    assert (plain.draw, told.draw) == (Controls(), Controls(0.7, top_p=0.5))
    for playing, expected in (
        (Playing(free=True), Controls(0.7, top_p=0.5)),
        (Playing(free=True, temperature=1.0, top_k=3), Controls(1.0, 3, 0.5)),
    ):
        options = playing.options(told, 1.0, 1.0)["controls"]
        assert replace(options, part=None) == expected
        same = playing.options(plain, 1.0, 1.0)["controls"]
        assert replace(same, part=None) == Controls(playing.temperature or 1.0, playing.top_k)
    own, alike = told.instrument(1), plain.instrument(1, temperature=0.7, top_p=0.5)
    assert np.array_equal(own.generate(300), alike.generate(300))
    for wrong in ({"top_p": 0.0}, {"temperature": -1.0}):
        with pytest.raises(ConfigError, match=r"--(top_p|temperature): Input should be greater than"):
            export(from_file(load(first)), loud, about=wrong)
    assert not loud.exists()


def test_strings_have_the_rate_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    make(path, "linear 8 1, predicted with strings")
    rewrite(path, lambda metadata, header, body: metadata["model"]["prediction"]["strings"].update(rate=8000))
    with pytest.raises(ModelFileError, match=r"rate: 4000, but model\.prediction\.strings\.rate is 8000"):
        load(path)


def test_what_is_reduced(tmp_path: Path) -> None:
    """Wide matrices only; a convolution's kernel has a scale for each of its taps."""

    def dtypes(kind: str, **more: Any) -> dict[str, tuple[str, list[int]]]:
        make(tmp_path / "m.safetensors", kind, "int8", **more)
        header = parts(tmp_path / "m.safetensors")[1]
        return {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()}

    found = dtypes("gated of 3 taps")
    assert found["layers.0.weight"] == ("I8", [34, 17, 3])
    assert found["layers.0.weight.scale"] == ("F32", [34, 3])
    assert found["layers.0.out_weight.scale"] == ("F32", [34, 1])
    assert found["output.3.weight.scale"] == ("F32", [12])
    assert found["layers.0.bias"] == ("F32", [34])
    assert found["input.weight"] == ("F32", [12, 17])  # a table
    found = dtypes("tiers 8 4 2", embedding=20)
    assert found["tiers.0.layers.0.hidden_weight"][0] == "I8"
    assert found["tiers.0.layers.0.input_weight"] == ("F32", [54, 8])  # narrow
    assert found["tiers.0.layers.0.start"] == ("F32", [1, 18])
    assert found["embedding.weight"] == ("F32", [12, 20])
    assert found["sample_input.weight"][0] == "I8"


# Precisions


def test_int8_by_hand() -> None:
    """scale = 254 / 127 = 2; ties go to the even integer; a row too small to scale is zero."""
    weight = np.zeros((3, 16), np.float32)
    weight[0, :6] = [254, -254, 1, 3, 5, -3]
    weight[1, :2] = [1e-37, -1e-40]
    packed = pack("weight", weight, "int8")
    assert packed["weight"][0, :6].tolist() == [127, -127, 0, 2, 2, -2]
    assert packed["weight.scale"].tolist() == [2, 0, 0]
    assert not packed["weight"][1:].any()
    assert unpack("weight", packed, "int8")[0, :6].tolist() == [254, -254, 0, 4, 4, -4]


def test_bfloat16_by_hand() -> None:
    """8 bits of precision: 1 + 2^-8 is a tie and goes to 1, 1 + 3 * 2^-8 to 1 + 2^-6."""
    weight = np.full((1, 16), 1 + 2**-8, np.float32)
    weight[0, 1:3] = 1 + 3 * 2**-8, -1 - 2**-8 - 2**-20
    packed = pack("weight", weight, "bfloat16")
    assert packed["weight"].dtype == np.uint16
    assert unpack("weight", packed, "bfloat16")[0, :4].tolist() == [1, 1 + 2**-6, -1 - 2**-7, 1]


def test_a_scale_survives_being_multiplied_out() -> None:
    """For every mantissa of a row's greatest weight: scale -> 127 * scale -> the same scale."""
    greatest = (np.arange(2**23, dtype=np.uint32) | 0x3F800000).view(np.float32)
    scale = greatest / np.float32(127)
    assert np.array_equal(scale * np.float32(127) / np.float32(127), scale)


floats = st.floats(-(2.0**100), 2.0**100, width=32)


@given(st.lists(floats, min_size=1, max_size=40), st.sampled_from([(3, 16), (2, 17, 2)]), st.integers(0, 9))
@settings(deadline=None)
def test_rounding_what_was_rounded_changes_nothing(values: list[float], shape: tuple[int, ...], seed: int) -> None:
    weight = np.random.default_rng(seed).choice(np.array(values, np.float32), shape)
    for precision in ("bfloat16", "int8"):
        once = pack("w", weight, precision)
        again = pack("w", unpack("w", once, precision), precision)
        assert {name: array.tolist() for name, array in once.items()} == {n: a.tolist() for n, a in again.items()}


@every_precision
def test_the_reader_in_the_specification(precision: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    make(path, "gated of 3 taps", precision)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/model-file.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(code.replace('"mine.safetensors"', repr(str(path))), found)
    for name, weight in load(path).weights.items():
        np.testing.assert_array_equal(found["weights"][name], weight)
    assert found["facts"]["model"]["name"] == "wavenet"
