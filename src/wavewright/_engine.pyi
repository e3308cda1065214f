"""Types of the native module (bindings/module.cpp). Arrays are in C order and on the CPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

class Error(Exception): ...

class Engine:
    def __init__(
        self,
        voices: list[tuple[str, dict[str, Any], dict[str, NDArray[np.float32]], str]],
        streams: int,
        threads: int | None,
        isa: str = "",
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def samples_alone(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def work(self) -> tuple[float, float, float]: ...
    def reset(self, keys: NDArray[np.uint64]) -> None: ...
    def feed(self, stream: int, events: NDArray[np.int64], voice: int) -> int: ...
    def prime(self, codes: NDArray[np.int32], dense: NDArray[np.float32], second: NDArray[np.float32]) -> None: ...
    def logits(self, codes: NDArray[np.int32], logits: NDArray[np.float32], dense: NDArray[np.float32]) -> None: ...
    def score(self, codes: NDArray[np.int32], nats: NDArray[np.float64], dense: NDArray[np.float32]) -> None: ...
    def generate(
        self,
        temperature: NDArray[np.float64],
        top_k: NDArray[np.int32],
        top_p: NDArray[np.float64],
        amount: NDArray[np.float64],
        codes: NDArray[np.int32],
        dense: NDArray[np.float32],
        second: NDArray[np.float32],
    ) -> None: ...
    def state(self) -> bytes: ...
    def restore(self, state: bytes) -> None: ...

class Predictor:
    def __init__(
        self,
        order: int,
        window: float,
        hop: int,
        emphasis: float,
        amplitudes: list[float],
        low: int,
        keys: int,
        rate: int,
        frame: int,
    ) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def log_widths(self) -> list[float]: ...
    def reset(self, states: NDArray[np.float64]) -> None: ...
    def hear(
        self,
        codes: NDArray[np.int32],
        states: NDArray[np.float64],
        amplitudes: NDArray[np.float64],
        numbers: NDArray[np.int32],
        frames: NDArray[np.float32],
        phase: int,
    ) -> None: ...

def instruction_sets() -> list[str]: ...
def draw(logits: NDArray[np.float32], uniform: float, temperature: float, top_k: int, top_p: float) -> int: ...
def measure_limits(size: int, threads: int, isa: str) -> tuple[float, float, float]: ...
