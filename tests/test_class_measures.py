"""Whether classes and their mixtures are heard is measured on voices whose sound is known."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from support.controlled import with_controls
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import ConfigError
from wavewright.measuring.labels import between, recognised
from wavewright.models.condition import Category, Condition, Number
from wavewright.quantize import Quantizer
from wavewright.sampling import Controls

RATE = 8000
VOICE, SIZE = Category("voice", ("dull", "bright", "never")), Number("size", 0, 1)
HERTZ = {"dull": 220.0, "bright": 1800.0, "never": 500.0}
QUANTIZER = Quantizer(256, "mu-law")
pytest.importorskip("librosa", reason="librosa is an extra")
pytest.importorskip("sklearn", reason="scikit-learn is an extra")


def tone(hertz: float, samples: int, start: int = 0) -> NDArray[np.float64]:
    return 0.4 * np.sin(2 * np.pi * hertz * (start + np.arange(samples)) / RATE)


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Twenty sounds of half a second, of two voices in turn, with some noise."""
    folder, rng = tmp_path_factory.mktemp("voices"), np.random.default_rng(0)
    (folder / "in").mkdir()
    names = [f"{i:02}.wav" for i in range(20)]
    labels = {name: {"voice": VOICE.classes[i % 2], "size": 0.5} for i, name in enumerate(names)}
    for name in names:
        sound = tone(HERTZ[str(labels[name]["voice"])], RATE // 2) + rng.normal(0, 0.02, RATE // 2)
        soundfile.write(folder / "in" / name, sound, RATE)
    splits = {"train": tuple(names[:12]), "valid": tuple(names[12:]), "test": ()}
    chosen = PrepareSettings(rate=RATE, section_seconds=0.5, trim=0, levels="none", splits=splits)
    return with_controls(prepare([folder / "in"], folder / "corpus", chosen), (VOICE, SIZE), labels, {})


@dataclass
class Singer:
    """A player whose sound is the sum of its voices, weighed as its controls say, or always the same voice."""

    streams: int
    heard: dict[str, str]  # the voice that is sung in place of each
    clock: int = 0

    def generate(self, samples: int, controls: Any, dense: NDArray[np.float32], second: Any = None) -> Any:
        dense = np.broadcast_to(dense, (self.streams, *dense.shape[-2:]))
        weights = np.repeat(dense[:, :, :3], 16, 1)[:, :samples]
        tones = np.stack([tone(HERTZ[self.heard[name]], samples, self.clock) for name in VOICE.classes])
        self.clock += samples
        return QUANTIZER.encode(np.einsum("stv,vt->st", weights, tones))


def singer(**heard: str) -> Any:
    known = {name: heard.get(name, name) for name in VOICE.classes}
    config = SimpleNamespace(condition=Condition((VOICE, SIZE)))
    return SimpleNamespace(
        config=config,
        rate=RATE,
        quantizer=QUANTIZER,
        draw=Controls(),
        player=lambda streams, seed: Singer(streams, known),
    )


def test_voices_are_recognised_where_they_are_sung(voices: Corpus) -> None:
    (found,) = recognised(singer(), voices, "valid")
    assert (found.control, found.classes) == ("voice", 2)
    assert (found.generated, found.real, found.chance) == (1, 1, 0.5)
    (swapped,) = recognised(singer(dull="bright", bright="dull"), voices, "valid")
    assert (swapped.generated, swapped.real) == (0, 1)
    (one,) = recognised(singer(dull="bright"), voices, "valid")
    assert one.generated == 0.5


def test_mixtures_go_from_one_end_to_the_other(voices: Corpus) -> None:
    found = between(singer(), voices, "voice", "dull", "bright")
    assert found.ends == 1
    assert found.monotony > 0.95
    assert 0.1 <= found.largest_step < 0.9
    deaf = between(singer(dull="never", bright="never"), voices, "voice", "dull", "bright")
    assert deaf.ends <= 0.5
    assert deaf.monotony == 0


@pytest.mark.parametrize(
    ("name", "first", "second", "line"),
    [
        ("size", "a", "b", "--between size: no such category"),
        ("tone", "a", "b", "--between tone: no such category"),
        ("voice", "dull", "loud", "voice: no class loud; there are dull, bright"),
        ("voice", "dull", "dull", "needs sounds of two classes"),
        ("voice", "dull", "never", "needs sounds of two classes"),
    ],
)
def test_what_cannot_be_mixed_is_refused(name: str, first: str, second: str, line: str, voices: Corpus) -> None:
    with pytest.raises(ConfigError, match=line):
        between(singer(), voices, name, first, second)
