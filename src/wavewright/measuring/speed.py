"""Measure how fast models play, compared with torch's own stepping and with the machine's limits, in one run."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.formats.precision import Precision
from wavewright.models.config import ModelConfig
from wavewright.playing.engine import Engine, measure_limits
from wavewright.playing.native_model import NativeModel

BLOCK = 64  # samples of a round, a multiple of the frames of every preset
LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """The speed of one way of playing a model (docs/engine.md).

    Attributes:
        samples_per_second: of all streams together, the best of many short rounds.
        times_real_time: samples_per_second over the sample rate.
        times_torch: samples_per_second over torch's, for as many streams on one thread. None without torch.
        of_limit: samples_per_second over the tighter of two limits, measured in the same run. One is how often this
            machine's threads can read the weights from their caches. The other is their peak of multiply-adds, of
            integers for int8.
    """

    model: str
    preset: str
    engine: str
    precision: str
    threads: int
    streams: int
    samples_per_second: float
    times_real_time: float
    times_torch: float | None
    of_limit: float | None


def random_weights(config: ModelConfig) -> dict[str, NDArray[np.float32]]:
    """Return random weights, for measures that do not depend on the weights' values."""
    rng = np.random.default_rng(0)
    weights = {}
    for name, shape in config.shapes():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
        weights[name] = (rng.standard_normal(shape) * np.sqrt(1 / fan_in)).astype(np.float32)
    return weights


def bench(
    config: ModelConfig,
    weights: dict[str, NDArray[np.float32]],
    *,
    preset: str,
    rate: int,
    threads: Sequence[int],
    streams: Sequence[int],
    precisions: Sequence[Precision],
    seconds: float,
    isa: str = "",
) -> Iterator[Row]:
    """Yield a row for torch (with each number of streams), then one for each way of using the engine.

    Args:
        config: the model's name and fields.
        weights: weights by their names in a model file.
        preset: name of the model in the rows.
        rate: sample rate of real time, in Hz.
        threads: numbers of threads to try.
        streams: numbers of streams to try.
        precisions: precisions to try.
        seconds: seconds to play for each figure.
        isa: the engine's instruction set, as for `Engine`.
    """
    torch_speed = {count: _torch(config, weights, count, rate, seconds) for count in streams}
    for count, reached in torch_speed.items():
        if reached is not None:
            facts = (config.name, preset, "torch", "float32", 1, count)
            yield Row(*facts, round(reached), round(reached / rate, 3), 1.0, None)
    for precision, sharing, count in product(precisions, threads, streams):
        player = Engine(config, weights, streams=count, threads=sharing, precision=precision, isa=isa, rate=rate)
        measured = speed(player.generate, count, seconds)
        work = player.work
        limits = measure_limits(round(work.bytes), sharing, player.isa)
        adding = limits.integer_multiply_adds if precision == "int8" else limits.multiply_adds
        limit = min(limits.bytes * count / work.bytes_read, adding / work.multiply_adds)
        beside = torch_speed[count]
        yield Row(
            config.name,
            preset,
            player.isa,
            precision,
            sharing,
            count,
            round(measured),
            round(measured / rate, 3),
            round(measured / beside, 1) if beside else None,
            round(measured / limit, 3),
        )


def real_time(model: NativeModel, seconds: float) -> float:
    """Return how many times faster than real time one stream of a model plays on one thread.

    The thread's own time counts, so that other programs do not make a model slower.

    Args:
        model: plays in its own precision, with every control absent.
        seconds: about how long to measure.
    """
    player = replace(model, threads=1).player()
    return speed(player.generate, 1, seconds, time.thread_time) / model.rate


def speed(
    generate: Callable[[int], Any], streams: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return samples per second of all streams, the best of many short rounds that together last about `seconds`.

    Short rounds now and then find all cores free on a busy machine. Each is as long as whole frames of every tier.

    Args:
        generate: plays a number of samples of each stream.
        streams: the number of streams.
        seconds: about how long to measure.
        clock: the time in seconds.
    """
    best, first = float("inf"), time.perf_counter()
    rounds = 0
    while rounds <= LEAST_ROUNDS or time.perf_counter() - first < seconds:
        start = clock()
        generate(BLOCK)
        best = min(best, clock() - start)
        rounds += 1
    return BLOCK * streams / best


def _torch(
    config: ModelConfig, weights: dict[str, NDArray[np.float32]], streams: int, rate: int, seconds: float
) -> float | None:
    try:
        import torch
    except ModuleNotFoundError:
        return None
    from wavewright.playing.torch_player import TorchPlayer

    model = config.build()
    model.load_state_dict({key: torch.from_numpy(weight) for key, weight in weights.items()})
    return speed(TorchPlayer(model, streams, rate=rate).generate, streams, seconds)
