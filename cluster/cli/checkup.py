"""Words for one check of `pouw doctor`."""

from cluster.cli.output import clean, say
from cluster.launch.doctor import CheckView


def print_check(check: CheckView) -> None:
    """What was found, and below it what to do."""
    say(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<10}  {clean(check.detail)}")
    if check.fix:
        say(f"      {'':<10}  fix: {clean(check.fix)}")
