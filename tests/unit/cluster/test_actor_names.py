"""Names of actors that become names of files and keys: whatever an address says, they stay where they belong."""

import pytest

from cluster.actors.names import coordinator_name, job_of, provider_name
from cluster.config import HomeLayout
from cluster.wallet.keystore import site_keystore

ADDRESSES = ["10.0.0.7", "fe80::1%eth0", "../../../etc", "/etc/passwd", "a/b", "a\\b", "..", "a\nb", "a\0b", "käse", ""]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_providers_folder_stays_in_the_home(home: HomeLayout, address: str) -> None:
    name = provider_name(address)
    folder = home.replicas / name
    folder.mkdir(parents=True)
    assert folder.resolve().parent == home.replicas.resolve()
    assert site_keystore(home).load_or_create(name).public_key == site_keystore(home).load_or_create(name).public_key


def test_machines_have_different_providers() -> None:
    names = {provider_name(address) for address in ("10.0.0.7", "10.0.0.71", "10.0.7.1", "127.0.0.1", "::1")}
    assert len(names) == 5
    assert job_of(provider_name("10.0.0.7")) is None
    assert job_of(coordinator_name("3f2a")) == "3f2a"
