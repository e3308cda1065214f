"""A model for the native engine: to play, to stream, to score. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wavewright import metrics
from wavewright.commands.console import say
from wavewright.corpus.batches import IGNORED, Batches
from wavewright.errors import ConfigError, need_torch
from wavewright.formats import model_file
from wavewright.formats.model_file import ModelFacts, Weights
from wavewright.formats.precision import Precision
from wavewright.playing.engine import Engine, available
from wavewright.playing.stream import Playable
from wavewright.quantize import decode

SCORE_LANES = 16
SCORE_LENGTH = 1024


@dataclass(frozen=True)
class Native(Playable):
    """A model that the engine plays.

    Attributes:
        weights: see ModelFile.
        precision: in which they are played.
        threads: see Engine.
    """

    weights: Weights = field(repr=False)
    precision: Precision = "float32"
    threads: int | None = None

    def player(self, streams: int = 1, seed: int = 0) -> Engine:
        """See Playable."""
        return Engine(
            self.name,
            self.config,
            self.weights,
            streams=streams,
            threads=self.threads,
            precision=self.precision,
            seed=seed,
        )

    def stream(self, block: int = 512, *, seed: int = 0, **settings: Any) -> Iterator[NDArray[np.float32]]:
        """Sound without end: blocks (block,) of amplitudes in (-1, 1), at `rate`.

        `settings` are `temperature`, `top_k` and `top_p`, as Engine.generate takes them.
        """
        player = self.player(seed=seed)
        while True:
            yield decode(player.generate(block, **settings)[0], self.config.q_levels, self.encoding)

    def score(self, samples: NDArray[np.int16], sections: NDArray[np.int64]) -> NDArray[np.float64]:
        """See Playable; as `scoring.score`, with the engine's logits."""
        batches = Batches(
            samples,
            sections,
            batch_size=SCORE_LANES,
            length=SCORE_LENGTH,
            levels=self.config.q_levels,
            encoding=self.encoding,
            seed=None,
        )
        nats = np.zeros(len(sections) + batches.lanes)
        player = self.player(batches.lanes)
        for first, batch in batches.rest_of_epoch():
            if batch.reset:
                player.reset()
            real = batch.targets != IGNORED
            codes = np.where(real, batch.targets, 0)
            logits = player.logits(codes).astype(np.float64)
            logits -= logits.max(2, keepdims=True)
            own = np.take_along_axis(logits, codes[..., None], 2)[..., 0]
            nats[first : first + batches.lanes] += ((np.log(np.exp(logits).sum(2)) - own) * real).sum(1)
        return nats[: len(sections)]

    def entropy(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """See Playable."""
        player = self.player(len(codes))
        blocks = (codes[:, start : start + SCORE_LENGTH] for start in range(0, codes.shape[1], SCORE_LENGTH))
        return np.concatenate([metrics.entropy(player.logits(block)) for block in blocks], 1)


def load(path: Path | str, *, precision: Precision | None = None, threads: int | None = None) -> Native:
    """A model file, ready to be played.

    Args:
        path: a .safetensors file that `wavewright export` made; `piano` comes with the package.
        precision: in which to play it; none means the file's own.
        threads: see Engine.

    Raises:
        ModelFileError: it is not one, or damaged.
    """
    file = model_file.load(model_file.shipped(Path(path)))
    facts = {name: getattr(file, name) for name in ModelFacts.__dataclass_fields__}
    return Native(**facts, path=file.path, weights=file.weights, precision=precision or file.precision, threads=threads)


def open_model(
    path: Path, which: str = "best", *, engine: Literal["auto", "native", "torch"] = "auto", device: str = "auto"
) -> Playable:
    """Open a run folder or a model file with the back end asked for; `auto` is the engine where it can be had.

    Args:
        path: of the run or the file; `piano` comes with the package.
        which: checkpoint of a run: `best`, `last` or a step.
        engine: `native` needs torch only to read a run folder.
        device: torch's; the engine plays on the CPU.

    Raises:
        WavewrightError: no such model, a damaged one, or a back end that cannot be had.
    """
    path = model_file.shipped(path)
    on_cpu = device in ("auto", "cpu")
    if engine == "auto":
        engine = "native" if on_cpu and available() else "torch"
        if on_cpu and not available():
            say("the native engine is not built: torch plays, some 20 times slower; install again with a C++ compiler")
    if engine == "native":
        if not on_cpu:
            raise ConfigError(f"--device {device}: the native engine plays on the CPU; use --engine torch")
        if path.suffix == ".safetensors" and which == "best":
            return load(path)
    need_torch()
    from wavewright.playing.torch_model import open_run
    from wavewright.training.run import choose_device

    run = open_run(path, which, choose_device(device if engine == "torch" else "cpu"))
    return run if engine == "torch" else run.native()
