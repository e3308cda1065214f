"""Play, stream and score a model with the native engine. No torch."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.batches import Batches, ControlSource
from wavewright.formats.model_file import Weights
from wavewright.formats.precision import Precision
from wavewright.models.output import IGNORED
from wavewright.playing.engine import Engine, Voice
from wavewright.playing.playable import TrainedModel
from wavewright.playing.sound import fade, fade_samples
from wavewright.progress import Advance, ignore
from wavewright.quantize import Samples16
from wavewright.sampling import Controls

SCORE_LANES = 16
SCORE_LENGTH = 1024


@dataclass(frozen=True)
class NativeModel(TrainedModel):
    """A model that the engine plays.

    Attributes:
        weights: see ModelFile.
        precision: precision in which the engine plays.
        threads: see Engine.
    """

    weights: Weights = field(repr=False)
    precision: Precision = "float32"
    threads: int | None = None

    def player(self, streams: int = 1, seed: int = 0, second: Self | None = None) -> Engine:
        """See Playable and TrainedModel."""
        return Engine(
            self.config,
            self.weights,
            streams=streams,
            threads=self.threads,
            precision=self.precision,
            seed=seed,
            rate=self.rate,
            second=Voice(second.config, second.weights, second.precision) if second else None,
        )

    def stream(self, block: int = 512, *, seed: int = 0, **settings: Any) -> Iterator[NDArray[np.float32]]:
        """Yield sound without end in blocks (block,) of amplitudes in [-1, 1], at `rate`. Its beginning is faded in.

        `settings` are the fields of Controls, each a single value.
        """
        player, controls, decoder = self.player(seed=seed), Controls(**settings), self.quantizer.decoder()
        amplitudes = (decoder(player.generate(block, controls)[0]) for _ in itertools.count())
        yield from fade(amplitudes, fade_samples(self.rate), 0)

    def score(
        self,
        samples: Samples16,
        sections: NDArray[np.int64],
        *,
        leads: NDArray[np.int64] | None = None,
        conditions: ControlSource | None = None,
        advance: Advance = ignore,
    ) -> NDArray[np.float64]:
        """See TrainedModel. Does the same as `scoring.score`, in the engine."""
        leads = np.zeros(len(sections), np.int64) if leads is None else leads
        batches = Batches(
            samples,
            np.stack((sections[:, 0] - leads, sections[:, 1]), 1),
            batch_size=SCORE_LANES,
            length=SCORE_LENGTH,
            quantizer=self.quantizer,
            seed=None,
            conditions=conditions,
        )
        nats = np.zeros(len(sections) + batches.lanes)
        leads = np.pad(leads, (0, batches.lanes))
        condition = self.config.condition
        given = self if condition is None else replace(self, config=self.config.with_condition(condition.given))
        player, clock = given.player(batches.lanes), 0
        for first, batch in batches.rest_of_epoch():
            if batch.reset:
                player.reset()
                clock = 0
            real, lanes = batch.targets != IGNORED, slice(first, first + batches.lanes)
            codes, dense = np.where(real, batch.targets, 0), batch.condition
            if dense is not None and condition is not None:
                dense = dense[:, bool(clock % condition.hop) :]  # without the frame in progress, which the player holds
            own = player.score(codes, dense)
            real &= clock + np.arange(codes.shape[1]) >= leads[lanes, None]
            nats[lanes] += (own * real).sum(1)
            advance(int(real.sum()))
            clock += codes.shape[1]
        return nats[: len(sections)]

    def logits(self, codes: NDArray[np.integer]) -> Iterator[NDArray[np.float32]]:
        """See TrainedModel."""
        player = self.player(len(codes))
        for start in range(0, codes.shape[1], SCORE_LENGTH):
            yield player.logits(codes[:, start : start + SCORE_LENGTH])
