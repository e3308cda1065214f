"""Build the control frames of streams from what a player is given. The engine does the same in C++.

A keyboard's own features come from events. All others, and every control's flag that says it is absent, are `dense`
values: they are given as they are. An absent keyboard goes on hearing its events, but its features are 0.
"""

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.events import CAPACITY, Events, Kind, checked_events, events
from wavewright.conditioning.roll import Roll
from wavewright.errors import ConfigError
from wavewright.models.condition import Condition


def checked_dense(condition: Condition | None, dense: NDArray[np.floating] | None, streams: int) -> NDArray[np.float32]:
    """Return dense values (streams, M, D) for values of that shape or (M, D), and M = 0 frames for None.

    Raises:
        ConfigError: values of another shape or that are not finite, or of a model without a condition.
    """
    if dense is None:
        return np.zeros((streams, 0, 0 if condition is None else condition.dense), np.float32)
    if condition is None:
        raise ConfigError("dense: this model was made without a condition; leave it out")
    values = np.asarray(dense, np.float32)
    shape = (streams, *values.shape[-2:-1], condition.dense)
    if values.ndim not in (2, 3) or values.shape != shape[-values.ndim :]:
        due = f"({streams}, frames, {condition.dense})"
        raise ConfigError(f"dense: shape {values.shape}; give (streams, frames, features), here {due}")
    if not np.isfinite(values).all():
        raise ConfigError("dense: holds values that are not finite; give numbers")
    return np.ascontiguousarray(np.broadcast_to(values, shape))


class Frames:
    """The control frames of streams side by side, from a stream's start on.

    Args:
        condition: the controls.
        streams: number of streams.
        rate: samples in a second, for a keyboard.

    Raises:
        ConfigError: there is a keyboard, but no rate.
    """

    def __init__(self, condition: Condition, streams: int, rate: int | None = None) -> None:
        self.condition, self.streams = condition, streams
        self._rolls: list[Roll] = []
        if condition.notes:
            hop = condition.hop
            self._rolls = [Roll(condition.notes, hop, needed_rate(rate)) for _ in range(streams)]
        self._waiting = [events()] * streams
        self._dense = np.zeros((streams, condition.dense), np.float32)
        self._dense[:, -len(condition.controls) :] = 1
        self._given = self._dense[:, None][:, :0]
        self._frame = np.zeros((streams, condition.features), np.float32)  # in progress
        self._clock = 0

    def feed(self, stream: int, new: Events) -> int:
        """See Player."""
        if not self._rolls:
            raise ConfigError("events: this model has no keyboard; leave them out")
        if not 0 <= stream < self.streams:
            raise ConfigError(f"stream: {stream}; give 0 to {self.streams - 1}")
        waiting = np.concatenate((self._waiting[stream], checked_events(new)))
        waiting = waiting[np.argsort(waiting["sample"], kind="stable")]
        strikes = np.flatnonzero(waiting["kind"] == Kind.strike)
        others, dropped = len(waiting) - len(strikes), max(0, len(waiting) - CAPACITY)
        if others > CAPACITY:
            raise ConfigError(
                f"events: {others} releases and pedal events, but {CAPACITY} can wait; give later ones later"
            )
        self._waiting[stream] = np.delete(waiting, strikes[:dropped])
        return dropped

    def checked(self, dense: NDArray[np.floating] | None, samples: int) -> NDArray[np.float32]:
        """Return dense values as `give` takes them, (streams, M, D).

        Args:
            dense: (streams, M, D) or (M, D), for M = 1 or all frames that begin within the next samples, or None.
            samples: number of samples that follow.

        Raises:
            ConfigError: values of another shape or that are not finite.
        """
        values, begun = checked_dense(self.condition, dense, self.streams), self._begun(samples)
        if values.shape[1] not in (0, 1, begun):
            raise ConfigError(f"dense: {values.shape[1]} frames; give one, or each of the {begun} that begin")
        return values

    def give(self, dense: NDArray[np.floating] | None, samples: int) -> None:
        """Take the dense values of the frames that begin within the next `samples` samples.

        One frame holds from the next that begins on. None changes nothing. `next` can then be called any number of
        times for these samples. For arguments and errors, see `checked`.
        """
        values = self.checked(dense, samples)
        if values.shape[1] == 1:
            self._dense = values[:, 0]
        else:
            self._given = values

    def next(self, samples: int) -> NDArray[np.float32]:
        """Return the control frames (streams, M, F) of the next samples, the one in progress first."""
        condition, begun = self.condition, self._begun(samples)
        dense, self._given = self._given[:, :begun], self._given[:, begun:]
        if not dense.shape[1]:
            dense = np.repeat(self._dense[:, None], begun, 1)
        frames = self._with_keys(dense)
        if self._clock % condition.hop:
            frames = np.concatenate((self._frame[:, None], frames), 1)
        if begun:
            self._dense, self._frame = dense[:, -1], frames[:, -1]
        self._clock += samples
        return frames

    def _begun(self, samples: int) -> int:
        """Return the number of frames that begin within the next samples."""
        hop = self.condition.hop
        return -(-(self._clock + samples) // hop) - -(-self._clock // hop)

    def _with_keys(self, dense: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the next frames (streams, M, F), with the keyboard's features among dense values (streams, M, D)."""
        notes, count = self.condition.notes, dense.shape[1]
        if notes is None:
            return dense
        keys = np.zeros((self.streams, count, notes.size), np.float32)
        for i, roll in enumerate(self._rolls):
            end = (roll.frame + count) * self.condition.hop if count else 0  # without a frame, events go on waiting
            due = int(np.searchsorted(self._waiting[i]["sample"], end))
            keys[i] = roll.frames(self._waiting[i][:due], count)
            self._waiting[i] = self._waiting[i][due:]
        keys[dense[:, :, self.condition.dense_flag(notes)] != 0] = 0
        before, after = np.split(dense, [self.condition.offset(notes)], 2)
        return np.concatenate((before, keys, after), 2)


def needed_rate(rate: int | None) -> int:
    """Return the sample rate of a model with a keyboard.

    Raises:
        ConfigError: it was left out.
    """
    if rate is None:
        raise ConfigError("rate: missing; a model with a keyboard needs its sample rate")
    return rate
