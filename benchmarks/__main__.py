"""The runner: measures what is asked for, module by module, records it and prints a table."""

import argparse
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.child import MeasurementError, Results, Value, call, exit_on_signal
from benchmarks.machine import load_share
from benchmarks.results import record, results_file
from benchmarks.suite import FIGURES, modules_of
from benchmarks.table import render

_TIMEOUT_S: Final = 3600.0
_QUICK_TIMEOUT_S: Final = 900.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 if everything could be measured, whether or not budgets are kept."""
    options = _parse(arguments)
    names = options.only or [figure.name for figure in FIGURES]
    path, failed, modules = results_file(quick=options.quick), False, modules_of(names)
    shown: Mapping[str, Value] = {}
    for number, (module, wanted) in enumerate(modules.items(), 1):
        print(f"[{number}/{len(modules)}] {module.removeprefix('benchmarks.')}: {', '.join(wanted)}", flush=True)
        started, load = time.monotonic(), load_share()
        try:
            measured = _measure(module, wanted, quick=options.quick)
        except MeasurementError as error:
            print(f"  failed: {error}", file=sys.stderr, flush=True)
            failed = True
            continue
        shown = {**shown, **record(path, measured, wanted, load=load)}
        print(f"  {time.monotonic() - started:.0f} s", flush=True)
    print(render([figure for figure in FIGURES if figure.name in names], shown, quick=options.quick))
    print(f"recorded in {path}")
    return int(failed)


def _measure(module: str, wanted: list[str], *, quick: bool) -> Results:
    timeout_s = _QUICK_TIMEOUT_S if quick else _TIMEOUT_S
    return call(module, {"wanted": wanted, "quick": quick}, timeout_s=timeout_s)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [figure.name for figure in FIGURES]
    about = "Measure this project. Budgets are shown, not enforced."
    listed = "\n".join(f"  {figure.name:<24} {figure.meaning}" for figure in FIGURES)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=about,
        epilog=f"figures:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=names, help="only these figures")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; recorded in quick.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, exit_on_signal)
    sys.exit(main())
