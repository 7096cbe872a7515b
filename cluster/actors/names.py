"""Under which names the actors of a site find each other."""

from typing import Final

NAMESPACE: Final = "pouw"
SUPERVISOR: Final = "supervisor-0"
VERIFIER: Final = "verifier-0"
GATEWAY: Final = "gateway"


def coordinator_name(job_hex: str) -> str:
    """The actor that runs a job."""
    return f"coordinator-{job_hex[:16]}"
