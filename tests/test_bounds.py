"""What a configuration asks of memory is bounded before anything is made of it, by every way in."""

from pathlib import Path
from typing import Any

import pytest

from support.kinds import KINDS, build
from support.model_files import make, rewrite, run_of
from support.tiny import start
from wavewright import models
from wavewright.errors import ConfigError, ModelFileError
from wavewright.formats import model_file
from wavewright.models import CONFIGS
from wavewright.models.config import MOST_STATE
from wavewright.playing.opening import to_native
from wavewright.playing.torch_player import TorchPlayer

HUGE = {
    "linear-rnn": {"widths": (1, 1), "blocks": (1, 1000), "modes": 1000},
    "wavenet": {"blocks": 1, "layers": 20, "channels": 1},
    "sample-rnn": {"frame_sizes": (65536,), "units": 257, "n_rnn": 1},
    "naive-rnn": {"layers": 1000, "units": 65536},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_remembers_what_the_configuration_says(kind: str) -> None:
    """Beside the codes that the engine keeps for each stream, and its random numbers."""
    model = to_native(run_of(kind))
    more = len(model.player(2).state()) - len(model.player(1).state())
    assert 0 <= more - model.config.state_bytes < 3000, (more, model.config.state_bytes)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_preset_is_far_from_the_bound(name: str) -> None:
    for preset in CONFIGS[name].presets.values():
        assert models.configure(name, **preset["model"]).state_bytes <= MOST_STATE / 15


@pytest.mark.parametrize(("name", "fields"), HUGE.items())
def test_a_configuration_that_asks_for_too_much_is_refused(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"model: .*; take fewer or smaller layers"):
        models.configure(name, **fields)


def test_a_small_model_file_cannot_ask_for_a_huge_engine(tmp_path: Path) -> None:
    """Each layer of one channel has some dozen weights, and twice the dilation of the one before."""
    path = tmp_path / "m.safetensors"
    make(path, "gated", channels=1, skip_channels=1, blocks=1, layers=17)
    assert model_file.load(path).config.state_bytes < MOST_STATE

    def deepen(metadata: dict[str, Any], header: dict[str, Any], body: bytearray) -> None:
        metadata["model"]["layers"] = 20

    rewrite(path, deepen)
    with pytest.raises(ModelFileError, match=r"a stream would remember 268 MB, and 67.1 MB are the most"):
        model_file.load(path)


def test_the_command_line_refuses_it_before_training(tmp_path: Path) -> None:
    sets = [part for field in ("blocks=1", "layers=20", "channels=1") for part in ("--set", f"model.{field}")]
    command = start(tmp_path / "log", "train", tmp_path, "--model", "wavenet", "--out", tmp_path / "run", *sets)
    assert "a stream would remember 268 MB" in command.refusal()
    assert not (tmp_path / "run").exists()


def test_streams_times_what_each_remembers_is_bounded() -> None:
    deep = run_of("gated", channels=1, skip_channels=1, blocks=1, layers=17)
    for player in (to_native(deep).player, lambda streams: TorchPlayer(deep.model, streams)):
        with pytest.raises(ConfigError, match=r"streams: 200 of 33.6 MB each are too much; give 127 at most"):
            player(200)
        for streams in (0, 4097):
            with pytest.raises(ConfigError, match=f"streams: {streams}; give 1 to 4096"):
                player(streams)
    assert build("plain").config.state_bytes * 4096 < 4 << 30
