"""Model files that are damaged or hostile are refused in one line that names what is wrong, with little memory."""

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from support.model_files import assemble, make, parts, rewrite
from wavewright import cli
from wavewright.errors import ModelFileError, WavewrightError
from wavewright.formats.model_file import ModelFile, load
from wavewright.models import CONFIGS

Change = Callable[[dict[str, Any], dict[str, Any], bytearray], None]


def entry(tensor: str, /, **fields: Any) -> Change:
    return lambda metadata, header, body: header[tensor].update(fields)


def fact(path: str, *value: Any) -> Change:
    """Set a field of the metadata, or take it out where no value is given."""

    def change(metadata: dict[str, Any], header: dict[str, Any], body: bytearray) -> None:
        *outer, last = path.split(".")
        for key in outer:
            metadata = metadata[key]
        metadata.pop(last, None)
        metadata.update(zip([last], value, strict=False))

    return change


def number(name: str, dtype: str, value: float, place: int = 0) -> Change:
    def change(metadata: dict[str, Any], header: dict[str, Any], body: bytearray) -> None:
        start, stop = header[name]["data_offsets"]
        np.frombuffer(body, dtype, offset=start)[: (stop - start) // np.dtype(dtype).itemsize][place] = value

    return change


def drop(name: str) -> Change:
    """A tensor and its bytes."""

    def change(metadata: dict[str, Any], header: dict[str, Any], body: bytearray) -> None:
        start, stop = header.pop(name)["data_offsets"]
        del body[start:stop]
        for other in header.values():
            other["data_offsets"] = [n - (stop - start) * (n >= stop) for n in other["data_offsets"]]

    return change


def extra(metadata: dict[str, Any], header: dict[str, Any], body: bytearray) -> None:
    header["more.weight"] = {"dtype": "F32", "shape": [2], "data_offsets": [len(body), len(body) + 8]}
    body += bytes(8)


def rename(metadata: dict[str, Any], header: dict[str, Any], body: bytearray) -> None:
    header["output.wait"] = header.pop("output.weight")


def overlap(metadata: dict[str, Any], header: dict[str, Any], body: bytearray) -> None:
    header["hidden.0.bias"]["data_offsets"] = header["hidden.1.bias"]["data_offsets"]


ABOUT = {"title": "Flute", "author": "me", "licence": "CC0 1.0", "description": None}


def said(**fields: Any) -> Change:
    return lambda metadata, header, body: metadata.update(format=3, about={**ABOUT, **fields})


DAMAGES: dict[str, tuple[Change, str]] = {
    "missing tensor": (drop("output.bias"), "tensor output.bias: missing"),
    "missing scale": (drop("output.weight.scale"), "tensor output.weight.scale: missing"),
    "missing parity": (drop("parity.codes"), "tensor parity.codes: missing"),
    "extra tensor": (extra, "tensor more.weight: not one of this model's"),
    "renamed tensor": (rename, "tensor output.weight: missing"),
    "wrong dtype": (entry("output.bias", dtype="I32"), r"tensor output.bias: I32 \[12\], not F32 \[12\]"),
    "unknown dtype": (entry("output.bias", dtype="F7"), r"tensor output.bias: F7"),
    "wrong shape": (entry("output.bias", shape=[3, 4]), r"tensor output.bias: F32 \[3, 4\], not F32 \[12\]"),
    "transposed": (entry("output.weight", shape=[18, 12]), r"tensor output.weight: I8 \[18, 12\], not I8 \[12, 18\]"),
    "shape of words": (entry("output.bias", shape=["12"]), "tensor output.bias: its header entry"),
    "entry with more": (entry("output.bias", name="b"), "tensor output.bias: its header entry"),
    "overlap": (overlap, r"tensor hidden.*: data_offsets"),
    "offsets backwards": (entry("output.bias", data_offsets=[48, 0]), "tensor .*: data_offsets"),
    "a hole": (lambda m, h, body: body.extend(b"1234"), "truncated or overlong: .* bytes of tensors"),
    "NaN weight": (number("output.bias", "<f4", np.nan, 3), "tensor output.bias: holds numbers that are not finite"),
    "infinite scale": (number("output.weight.scale", "<f4", np.inf), "tensor output.weight: holds .* not finite"),
    "scale that overflows": (number("output.weight.scale", "<f4", 3e38), "tensor output.weight: holds .* not finite"),
    "NaN logit": (number("parity.logits", "<f4", np.nan), "tensor parity.logits: holds .* not finite"),
    "-128": (number("output.weight", "i1", -128), "tensor output.weight: holds -128"),
    "code below": (number("parity.codes", "<i4", -1), "tensor parity.codes: a code beyond 0 to 11"),
    "code above": (number("parity.codes", "<i4", 12), "tensor parity.codes: a code beyond 0 to 11"),
    "newer": (fact("format", 5), "format 5: made by a later wavewright; update wavewright"),
    "newer than it need be": (fact("format", 2), "format: 2, but this model is written in format 1"),
    "newer with nothing said": (fact("format", 3), "format: 3, but this model is written in format 1"),
    "said in an older format": (fact("about", ABOUT), "format: 1, but this model is written in format 3"),
    "said too long": (said(title="x" * 201), "metadata.about.title: 201 characters; give one line of 1 to 200 that"),
    "said on two lines": (said(licence="MIT\nCC0"), "metadata.about.licence: 7 characters; give one line"),
    "said to a terminal": (said(author="\x1b[2J"), "metadata.about.author: 4 characters; give one line"),
    "said backwards": (said(author="a\u202eb"), "metadata.about.author: 3 characters; give one line"),
    "said half": (said(author="\ud800"), "metadata.about.author: "),
    "said nothing": (said(description=""), "metadata.about.description: 0 characters; give one line of 1 to 1000"),
    "said as a number": (said(title=3), r"metadata.about.title: .*string \(got 3\)"),
    "said elsewhere": (said(url="x"), "metadata.about.url"),
    "older": (fact("format", 0), "metadata.format: .*1"),
    "format of words": (fact("format", "1"), "metadata.format"),
    "unknown field": (fact("speed", 3), r"metadata.speed: .* \(got 3\)"),
    "unknown model field": (fact("model.speed", 3), "model.speed: no such field of sample-rnn"),
    "unknown levelling": (fact("levelling.trim", 3), "levelling.trim: unknown"),
    "unknown training": (fact("training.date", "today"), "metadata.training.date"),
    "missing field": (fact("rate"), "metadata.rate"),
    "missing model field": (fact("model.frame_scale"), "model.frame_scale: missing"),
    "missing levelling": (fact("levelling.limiter"), "levelling.limiter: missing"),
    "missing training": (fact("training.step"), "metadata.training.step"),
    "no name": (fact("model.name"), f"model: no 'None'; there are {', '.join(CONFIGS)}"),
    "another model": (fact("model.name", "wavenet"), "model.frame_sizes: no such field of wavenet"),
    "name of no model": (fact("model.name", ["x"]), f"there are {min(CONFIGS)}"),
    "number as words": (fact("model.units", "18"), "model.units: missing, or not of its type"),
    "weight norm": (fact("model.weight_norm", True), "model.weight_norm: true"),
    "encoding": (fact("encoding", "alaw"), "metadata.encoding"),
    "emphasis": (fact("emphasis", 1), "metadata.emphasis: .*less than 1"),
    "emphasis of 0": (fact("emphasis", 0.0), "emphasis: missing, or not of its type"),
    "emphasis in an earlier format": (fact("emphasis", 0.5), "format: 1, but this model is written in format 3"),
    "precision": (fact("precision", "int4"), "metadata.precision"),
    "other precision": (fact("precision", "bfloat16"), r"tensor .*: I8 .*, not BF16"),
    "rates": (fact("rate", 8000), "rate: 8000, but levelling.rate is 4000"),
    "rate": (fact("levelling.rate", 0), "levelling.rate"),
    "gain": (fact("levelling.common_gain", -1), "levelling.common_gain: -1 is not a gain"),
    "section": (fact("levelling.section_seconds", 1e308), "levelling.section_seconds"),
    "many units": (fact("model.units", 10**9), r"model.units: .*65536 \(got 1000000000\)"),
    "other units": (fact("model.units", 20), r"tensor tiers.0.layers.0.input_weight: .* not F32 \[80, 6\]"),
    "no levels": (fact("model.q_levels", 1), r"model.q_levels: .*2 \(got 1\)"),
    "many levels": (fact("model.q_levels", 10**9), r"model.q_levels: .*65536"),
    "many layers": (fact("model.n_rnn", 10**9), r"model.n_rnn: .*1000"),
    "layers that are not there": (fact("model.n_rnn", 1000), "tensor tiers.0.layers.2.input_weight: missing"),
    "many tiers": (fact("model.frame_sizes", [1] * 10**5), r"model.frame_sizes: .*at most 100 items"),
    "wide frame": (fact("model.frame_sizes", [2**40, 3]), "frame_sizes: .* 65536 at most"),
    "surrogate": (fact("training.date\ud800\n", 1), r"metadata.training: .*date\\ud800\\n"),
    "long value": (fact("encoding", "x" * 10**6), r"metadata.encoding: .{300,500}\.\.\.; get another copy"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SampleRNN of two tiers with two layers each and learned states, in int8."""
    path = tmp_path_factory.mktemp("sound") / "m.safetensors"
    make(path, precision="int8")
    return path


def refused(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command line refuses to play a file, with little memory; exit status 2."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(["generate", str(path), "--out", str(path.with_suffix(".wav"))])
    line = capsys.readouterr().err
    assert exit_.value.code == 2
    assert line.startswith(f"wavewright: {path}: ")
    assert line.count("\n") == 1
    return line.strip()


def memory_of(path: Path) -> float:
    """What `load` allocates beyond a few times the file's size, in MB, whether or not it refuses it."""
    tracemalloc.start()
    try:
        load(path)
    except WavewrightError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return (peak - 50 * path.stat().st_size) / 1e6


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(damage: str, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, line = DAMAGES[damage]
    path = tmp_path / "m.safetensors"
    path.write_bytes(sound.read_bytes())
    rewrite(path, lambda metadata, header, body: None)
    load(path)
    rewrite(path, change)
    assert re.search(line, refused(path, capsys))
    assert memory_of(path) < 1


CONDITIONED_DAMAGES: dict[str, tuple[Change, str]] = {
    "older than it can be": (fact("format", 1), "format: 1, but this model is written in format 2"),
    "no condition": (fact("model.condition"), "format: 2, but this model is written in format 1"),
    "no parity frames": (drop("parity.condition"), "tensor parity.condition: missing"),
    "NaN in a parity frame": (
        number("parity.condition", "<f4", np.nan),
        "tensor parity.condition: holds .* not finite",
    ),
    "another hop": (fact("model.condition.hop", 6), r"tensor parity.condition: F32 \[13, 17\], not F32 \[11, 17\]"),
    "no hop": (fact("model.condition.hop", 0), r"model.condition.hop: .* \(got 0\)"),
    "another width": (fact("model.condition.width", 9), r"tensor encoder.input.weight: .* not I8 \[9, 17\]"),
    "no controls": (fact("model.condition.controls", []), "model.condition.controls"),
    "a control of no kind": (fact("model.condition.controls", [{"kind": "x"}]), "model.condition.controls"),
    "number as words": (fact("model.condition.hop", "5"), "model.condition.hop: missing, or not of its type"),
}


@pytest.mark.parametrize("damage", CONDITIONED_DAMAGES)
def test_damage_to_a_condition_is_named(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, line = CONDITIONED_DAMAGES[damage]
    path = tmp_path / "m.safetensors"
    make(path, "tiers 6 3, conditioned", "int8")
    rewrite(path, change)
    assert re.search(line, refused(path, capsys))


CONTENTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda b: b"", "a header of 0 bytes in a file of 0"),
    "seven bytes": (lambda b: b[:7], "truncated or not a safetensors file"),
    "cut in the header": (lambda b: b[:100], "truncated or not a safetensors file"),
    "cut before the tensors": (lambda b: b[: 8 + int.from_bytes(b[:8], "little")], "truncated or overlong: 0 bytes"),
    "cut in the tensors": (lambda b: b[:-100], "truncated or overlong"),
    "cut by one": (lambda b: b[:-1], "truncated or overlong"),
    "one too many": (lambda b: b + b"\0", "truncated or overlong"),
    "huge header": (lambda b: b"\xff" * 8 + b[8:], "a header of 18446744073709551615 bytes in a file of"),
    "text": (lambda b: b"just some words, no tensors", "truncated or not a safetensors file"),
    "a sound": (lambda b: b"RIFF\0\0\0\0WAVEfmt " + bytes(100), "truncated or not a safetensors file"),
    "flipped bit": (lambda b: b[:-1] + bytes([b[-1] ^ 1]), "sha256: not that of its tensors"),
    "no JSON": (lambda b: b[:8] + b"?" + b[9:], r"its header is not strict JSON \(Expecting value"),
    "no UTF-8": (lambda b: b[:9] + b"\xff" + b[10:], r"its header is not strict JSON \('utf-8'"),
    "a list": (lambda b: b"\2" + bytes(7) + b"[]", "its header is not a JSON object"),
    "other metadata": (lambda b: b.replace(b'{"wavewright"', b'{"wavewrong!"'), "no wavewright metadata"),
    "key twice": (lambda b: b.replace(b'"hidden.1.bias"', b'"hidden.0.bias"'), "the key 'hidden.0.bias' twice"),
    "deep": (lambda b: (10**5).to_bytes(8, "little") + b"[" * 10**5, "nested too deeply|strict JSON"),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_other_content_is_named(content: str, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_, line = CONTENTS[content]
    path = tmp_path / "m.safetensors"
    path.write_bytes(make_(sound.read_bytes()))
    assert re.search(line, refused(path, capsys))
    assert memory_of(path) < 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"format": 1, "format": 1}', r"metadata: not strict JSON \(the key 'format' twice\)"),
        ('{"format": NaN}', r"metadata: not strict JSON \(NaN is not a finite number\)"),
        ('{"format": 1, "rate": 1e999}', r"metadata: not strict JSON \(1e999 is not a finite number\)"),
        ("[1]", "metadata: "),
        ("", "metadata: not strict JSON"),
    ],
)
def test_metadata_is_strict(text: str, line: str, sound: Path, tmp_path: Path) -> None:
    _, header, body = parts(sound)
    assemble(tmp_path / "m.safetensors", text, header, bytes(body))
    with pytest.raises(ModelFileError, match=line):
        load(tmp_path / "m.safetensors")


def test_what_is_no_file(tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in refused(tmp_path / "m.safetensors", capsys)
    (tmp_path / "m.safetensors").mkdir()
    assert "not a file; name a .safetensors file" in refused(tmp_path / "m.safetensors", capsys)
    weights = next(trained.glob("checkpoints/*/model.safetensors"))
    assert "not a model file (no wavewright metadata); make one with `wavewright export`" in refused(weights, capsys)


# Whatever the bytes


def same(path: Path, before: ModelFile) -> None:
    """`load` refuses, or gives a file that safetensors takes too."""
    try:
        file = load(path)
    except WavewrightError:
        return
    deserialize(path.read_bytes())
    assert set(file.weights) == {name for name, _ in file.config.shapes()}
    if file.config == before.config:
        for name, weight in before.weights.items():
            assert np.array_equal(file.weights[name], weight)


edits = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert"]), st.floats(0, 1), st.binary(max_size=4)), max_size=4
)


@given(edits, st.booleans())
@settings(deadline=None, max_examples=200)
def test_random_damage(sound: Path, changes: Any, in_header: bool) -> None:
    content, path = bytearray(sound.read_bytes()), sound.with_name("changed.safetensors")
    for kind, share, data in changes:
        length = 8 + int.from_bytes(content[:8], "little")
        place = int(share * (min(length, len(content)) if in_header else len(content)))
        if kind == "cut":
            del content[place : place + len(data)]
        elif kind == "insert":
            content[place:place] = data
        else:
            for i, byte in enumerate(data[: len(content) - place]):
                content[place + i] ^= byte
    path.write_bytes(content)
    same(path, load(sound))
    assert memory_of(path) < 1


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=6,
)


@given(st.data(), values)
@settings(deadline=None, max_examples=200)
def test_random_facts(sound: Path, data: Any, value: Any) -> None:
    """Any JSON value in the place of any field of metadata or header."""
    path = sound.with_name("facts.safetensors")
    metadata, header, body = parts(sound)
    place = data.draw(st.sampled_from([metadata, header]))
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.integers(0, 4)) == 0:
            break
        place = place[key]
    place[key] = value
    assemble(path, metadata, header, bytes(body))
    same(path, load(sound))
    assert memory_of(path) < 1


def test_what_safetensors_refuses_we_refuse(sound: Path, tmp_path: Path) -> None:
    """`same` would notice: safetensors does not take a file that is one byte short."""
    with pytest.raises(SafetensorError):
        deserialize(sound.read_bytes()[:-1])
