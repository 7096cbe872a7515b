"""Under which names the actors of a site find each other."""

from typing import Final

NAMESPACE: Final = "pouw"
SUPERVISOR: Final = "supervisor-0"
VERIFIER: Final = "verifier-0"
GATEWAY: Final = "gateway"


_COORDINATOR: Final = "coordinator-"


def coordinator_name(job_hex: str) -> str:
    """The actor that runs a job."""
    return f"{_COORDINATOR}{job_hex}"


def provider_name(address: str) -> str:
    """The storage provider on the node with this address."""
    return "provider-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in address)


def job_of(name: str) -> str | None:
    """The job that a coordinator's name is about; None for other names."""
    return name.removeprefix(_COORDINATOR) if name.startswith(_COORDINATOR) else None
