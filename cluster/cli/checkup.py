"""Words for one check of `pouw doctor`."""

from cluster.cli.output import clean, say
from cluster.launch.checks import CheckView


def print_check(check: CheckView) -> None:
    """What was found, and below it what to do."""
    say(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<22}  {clean(check.detail)}")
    if check.fix:
        say(f"      {'':<22}  fix: {clean(check.fix)}")
