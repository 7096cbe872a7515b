"""The variables Ray's processes are started with. Workers inherit them, so they also decide the replay class."""

from typing import Final

from jobs.determinism import PORTABLE, environment

_UNREAD: Final = {"RAY_task_events_report_interval_ms": "0", "RAY_event_stats": "0"}
"""Records of every call, for Ray's dashboard and its timeline, which a site does not have: a hundredth of two cores."""


def authentication(token: str) -> dict[str, str]:
    """What a process needs to talk to the Ray of a site at all."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}


def ray_environment(token: str, replay_class: str = PORTABLE) -> dict[str, str]:
    """For every node of a site, the head and those that join: authentication on, and the same bits everywhere."""
    return {
        **environment(replay_class),
        **authentication(token),
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_DEDUP_LOGS": "0",
        **_UNREAD,
    }
