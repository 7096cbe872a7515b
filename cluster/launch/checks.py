"""What one check of `pouw doctor` says."""

from cluster.views import View


class CheckView(View, frozen=True):
    """One check. `fix` is there when it failed."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
