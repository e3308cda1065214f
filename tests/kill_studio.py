"""Kill the studio's server again and again under uploads and answers: nothing that was acknowledged may be lost.

python tests/kill_studio.py --kills 200
"""

import argparse
import tempfile
from pathlib import Path

from support.kills import kill_while_working


def main() -> None:
    """Kill as often as asked, and say how much was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-studio-") as folder:
        kept = kill_while_working(Path(folder) / "work", options.kills, options.seed, print)
    print(f"{options.kills} kills: all {kept.uploads} acknowledged uploads and {kept.answers} answers are there")


if __name__ == "__main__":
    main()
