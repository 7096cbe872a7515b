"""A host that gets a site up and then ends, by the contract of `cluster.launch.keeper`, leaving a process behind.

`ENDING` says how each run ends, one word a run: `lost` (with status 75), `fails` (before the site is up), `stays`.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from cluster.config import HomeLayout, write_site_file
from tests.kit.site_record import site_record


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--keeper", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    home = HomeLayout(root=options.home)
    runs = home.root / "runs"
    number = len(runs.read_text().split()) if runs.exists() else 0
    manners = os.environ["ENDING"].split()
    manner = manners[min(number, len(manners) - 1)]
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    with runs.open("a") as file:
        file.write(f"{left.pid}\n")
    (options.folder / "session").mkdir()
    with (home.root / "folders").open("a") as file:
        file.write(f"{options.folder}\n")
    if manner == "fails":
        return 1
    write_site_file(home, site_record(options.keeper))
    if manner == "stays":
        sys.stdin.buffer.read()
        time.sleep(0.1)
        return 0
    return 75


if __name__ == "__main__":
    sys.exit(main())
