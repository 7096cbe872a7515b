"""Four hosts that share nothing but a switch: whether the weights stay the same when one is cut off, or links are slow.

The hosts are network namespaces of this machine (`namespaces`), so root is needed. The supervisor, the verifier, the
coordinator and the gateway are on the first, one miner on each of the three others, which have homes of their own and
joined with `pouw join` (`arms.joined_hosts`). The same job of fixed length runs three times, each on a fresh network:

 - undisturbed
 - one host's cable is pulled in mid-run and plugged in again after a while
 - every link limited to 100 Mbit/s in each direction

`hosts_same_digest` is 1 if all three end in the same weights. The stall is the longest time without a new round while
a host is cut off, less the longest of the undisturbed run. Speed over slow links is compared with the undisturbed run.
"""

import os
from collections.abc import Mapping
from typing import Final

from benchmarks.child import MeasurementError, Results, Value, call
from benchmarks.namespaces import connected_hosts, why_not

_HOSTS: Final = 4
_RATE_MBIT: Final = 100.0
_ARM_TIMEOUT_S: Final = 900.0
_UNDISTURBED: Final = "undisturbed"
_CUT: Final = "cut"
_SLOW: Final = "slow"


def measure(arguments: Mapping[str, Value]) -> Results:
    """Equality, seconds, a share."""
    if why_not():
        raise MeasurementError(why_not())
    quick = bool(arguments["quick"])
    rounds, cut_s = (24, 10.0) if quick else (120, 30.0)
    found = {
        _UNDISTURBED: _run(rounds, cut_s=0.0, rate_mbit=None),
        _CUT: _run(rounds, cut_s=cut_s, rate_mbit=None),
        _SLOW: _run(rounds, cut_s=0.0, rate_mbit=_RATE_MBIT),
    }
    digests = {arm: str(run["state_digest"]) for arm, run in found.items()}
    speeds = {arm: float(str(run["rounds_per_s"])) for arm, run in found.items()}
    longest_s = {arm: float(str(run["longest_s"])) for arm, run in found.items()}
    details: Results = {f"hosts_same_digest.{arm}": digest for arm, digest in digests.items()}
    details |= {f"hosts_slow_link_share.{arm}_rounds_per_s": speed for arm, speed in speeds.items()}
    return {
        "hosts_same_digest": int(len(set(digests.values())) == 1),
        "hosts_cut_stall_s": longest_s[_CUT] - longest_s[_UNDISTURBED],
        "hosts_cut_stall_s.cut_s": cut_s,
        "hosts_cut_stall_s.joined_anew": found[_CUT]["rejoined"],
        "hosts_cut_stall_s.worked": found[_CUT]["worked"],
        "hosts_slow_link_share": speeds[_SLOW] / speeds[_UNDISTURBED],
        **details,
    }


def _run(rounds: int, *, cut_s: float, rate_mbit: float | None) -> Results:
    with connected_hosts(_HOSTS, rate_mbit=rate_mbit) as network:
        given: Results = {"owner": os.getpid(), "hosts": _HOSTS, "rounds": rounds, "cut_s": cut_s}
        head = network.hosts[0]
        found = call("benchmarks.arms.joined_hosts", given, timeout_s=_ARM_TIMEOUT_S, within=head.command([]))
    print(f"  cut {cut_s:g} s, rate {rate_mbit}: {found}", flush=True)
    return found
