"""Tell which recordings are copies of others, so that none is in training and in the test at once."""

from collections.abc import Hashable, Mapping


def find_copies(prints: Mapping[str, Hashable]) -> dict[str, str]:
    """Return the copies among recordings, each with the name of the recording that stands for it.

    Recordings with equal `prints` are copies of one another. The shortest name stands for them, and among names of
    one length the alphabetically first: `take.wav`, not `take (1).wav`.
    """
    kept: dict[Hashable, str] = {}
    for name in sorted(prints, key=lambda name: (len(name), name)):
        kept.setdefault(prints[name], name)
    return {name: kept[one] for name, one in prints.items() if kept[one] != name}
