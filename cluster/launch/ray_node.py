"""`ray start` for a machine that joins a site: with places for miners, and its workers taken from a fork server."""

import argparse
import json
from pathlib import Path

from cluster.control.placement import PLACE
from cluster.launch.forking import RAY_FOLDER, fork_server, workers_of


def main() -> None:
    """Run it until the node ends. What follows `--` goes to `ray start`."""
    parser = argparse.ArgumentParser(prog="python -m cluster.launch.ray_node")
    parser.add_argument("--folder", type=Path, required=True, help="for this node, nobody else's")
    parser.add_argument("--cpus", type=int, help="cores to offer; left out: all that Ray finds")
    parser.add_argument("start", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    from ray._private.utils import get_num_cpus
    from ray.scripts.scripts import cli

    places = get_num_cpus() if options.cpus is None else options.cpus
    offered = ["--include-log-monitor=False", f"--num-cpus={places}", f"--resources={json.dumps({PLACE: places})}"]
    with fork_server(options.folder) as program, workers_of(program):
        cli.main(["start", f"--temp-dir={options.folder / RAY_FOLDER}", *offered, *options.start[1:]])


if __name__ == "__main__":
    main()
