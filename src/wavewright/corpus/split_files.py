"""Level decoded recordings and write them to the files of their splits."""

import contextlib
import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wavewright import files
from wavewright.corpus import controls, splits
from wavewright.corpus.corpus import FORMAT, Contents, Track, samples_file
from wavewright.corpus.decoding import Decoded
from wavewright.corpus.levelling import gains, offsets, peaks
from wavewright.corpus.rendering import Levelling
from wavewright.corpus.settings import SPLITS, PrepareSettings, SplitName
from wavewright.progress import Progress

log = logging.getLogger(__name__)


def write(folder: Path, decoded: dict[str, Decoded], settings: PrepareSettings, progress: Progress) -> Contents:
    """Write the files of the splits to `folder`, and remove the decoded recordings that lie in it.

    Returns:
        The contents of a corpus that knows nothing but its recordings.
    """
    levelling = Levelling(settings, _common_gain(decoded, settings))
    stretches = splits.assign({name: one.frames for name, one in decoded.items()}, settings)
    share, due = splits.training_share(stretches), settings.split[0]
    if settings.splits is None and share < splits.LEAST_SHARE * due:
        log.warning(
            f"training gets {share:.0%} of the duration instead of {due:.0%}, since recordings stay whole;"
            " cut long recordings into several files, or add more"
        )
    tracks: list[Track] = []
    with contextlib.ExitStack() as stack, progress("writing", len(decoded)) as advance:
        outputs = {split: stack.enter_context(samples_file(folder, split).open("wb")) for split in SPLITS}
        for name, one in decoded.items():
            tracks += _write_track(outputs, name, one, stretches[name], levelling)
            if one.file.is_relative_to(folder):  # the disk need not hold all recordings twice
                one.file.unlink()
            advance()
        frames = {split: file.tell() // 2 for split, file in outputs.items()}
    digests = {split: files.sha256(samples_file(folder, split)) for split in SPLITS}
    tracks.sort(key=lambda track: (SPLITS.index(track.split), track.start))
    common = (settings.rate, settings.section, frames, levelling.common_gain)
    return Contents(
        FORMAT, importlib.metadata.version("wavewright"), settings, *common, tuple(tracks), (), (), sha256=digests
    )


def _common_gain(decoded: dict[str, Decoded], settings: PrepareSettings) -> float | None:
    if settings.levels != "corpus":
        return None
    if all(one.silent for one in decoded.values()):
        return 1.0
    loudest = [peaks(one.meter, "corpus", offsets(one.meter, "corpus", settings.remove_dc)) for one in decoded.values()]
    return float(gains(np.max(loudest, axis=0))[0])


def _write_track(
    outputs: Mapping[SplitName, BinaryIO],
    name: str,
    decoded: Decoded,
    stretches: Sequence[splits.Stretch],
    levelling: Levelling,
) -> list[Track]:
    """Append the stretches of a recording to the files of their splits."""
    starts = [outputs[stretch.split].tell() // 2 for stretch in stretches]
    position, clipped = 0, [0] * len(stretches)
    for block, over in levelling.apply(decoded):
        for i, stretch in enumerate(stretches):
            part = slice(max(stretch.start - position, 0), max(stretch.stop - position, 0))
            outputs[stretch.split].write(block[part].tobytes())
            clipped[i] += int(np.count_nonzero(over[part]))
        position += len(block)
    return [
        Track(
            name,
            decoded.source,
            s.split,
            decoded.start + s.start,
            start,
            len(s),
            beyond,
            *_factors(decoded, s, levelling),
            **controls.of_impulse(decoded.impulse),
        )
        for s, start, beyond in zip(stretches, starts, clipped, strict=True)
    ]


def _factors(
    decoded: Decoded, stretch: splits.Stretch, levelling: Levelling
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the gain and offset of a stretch, or those of its sections where each section has its own."""
    gain, offset = levelling.factors(decoded)
    if len(gain) > 1:
        section = levelling.settings.section
        part = slice(stretch.start // section, -(-stretch.stop // section))
        gain, offset = gain[part], offset[part]
    return tuple(gain.tolist()), tuple(offset.tolist())
