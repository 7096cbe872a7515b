"""One real site for the tests of a module."""

from collections.abc import Iterator

import pytest

from tests.kit.real_site import RealSite, running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSite]:
    """A site with two miners and a fixed beacon."""
    with running_site(tmp_path_factory.mktemp("home") / "h", miners=2) as running:
        yield running
