"""The record of a site that is up, as a host leaves it for the commands."""

from cluster.config import SiteFile, mark_process


def site_record(
    pid: int, *, address: str = "http://127.0.0.1:1", miners: int = 1, supervisors: int = 1, chain_id: str = ""
) -> SiteFile:
    """`pid`: the process that stands for the site."""
    mark = mark_process(pid)
    return SiteFile(
        pid=mark.pid,
        create_time=mark.create_time,
        address=address,
        ray_address="127.0.0.1:6379",
        dashboard="",
        miners=miners,
        supervisors=supervisors,
        started_at="2026-01-01T00:00:00Z",
        ready=True,
        chain_id=chain_id,
    )
