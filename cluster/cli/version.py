"""The version command. Reads what is installed; imports none of it."""

import os
import platform
from typing import Final

import typer

from cluster.cli.options import AsJson, examples
from cluster.cli.output import show
from cluster.views import View

VERSION_EXAMPLES: Final = examples("pouw version", "pouw version --json")


class VersionView(View, frozen=True):
    """Versions that decide compatibility. Empty: not installed."""

    version: str
    python: str
    torch: str
    ray: str
    cores: int
    """Processor cores that processes may use here."""


def package_version(name: str = "pouw") -> str:
    """The installed version of a package, or nothing if it is not installed (a source tree is run in place)."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return installed_version(name)
    except PackageNotFoundError:
        return ""


def version(as_json: AsJson = False) -> None:
    """Show the versions of pouw, Python, torch and ray."""
    from cluster.cli.tables import print_pairs

    view = VersionView(
        version=package_version(),
        python=platform.python_version(),
        torch=package_version("torch"),
        ray=package_version("ray"),
        cores=len(os.sched_getaffinity(0)),
    )
    pairs = [("pouw", view.version or "source tree"), ("python", view.python), ("torch", view.torch), ("ray", view.ray)]
    show(view, as_json, lambda _: print_pairs(pairs))


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("version", epilog=VERSION_EXAMPLES)(version)
