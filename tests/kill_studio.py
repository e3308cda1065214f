"""Kill the studio's server again and again while files are uploaded: nothing that was acknowledged may be lost.

python tests/kill_studio.py --kills 200
"""

import argparse
import tempfile
from pathlib import Path

from support.uploads import kill_while_uploading


def main() -> None:
    """Kill as often as asked, and say how many uploads were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-studio-") as folder:
        kept = kill_while_uploading(Path(folder) / "work", options.kills, options.seed, print)
    print(f"{options.kills} kills: all {kept} acknowledged uploads are there")


if __name__ == "__main__":
    main()
