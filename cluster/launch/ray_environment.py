"""The variables Ray's processes are started with. Workers inherit them, so they also decide the replay class."""

from jobs.determinism import PORTABLE, environment


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
    }
