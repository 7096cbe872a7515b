"""Find the site: by the record of this home, or by address and token from the environment."""

import os
from collections.abc import Mapping
from typing import Final

from cluster.api.client import DEFAULT_TIMEOUT_S, GatewayClient
from cluster.config import HomeLayout, read_site_file
from cluster.errors import NotAuthorisedError, UnreachableError
from cluster.secret_file import load_secret

ADDRESS_VARIABLE: Final = "POUW_ADDRESS"
TOKEN_VARIABLE: Final = "POUW_TOKEN"  # noqa: S105 - the name of a variable


def connect(
    home: HomeLayout, environment: Mapping[str, str] = os.environ, timeout_s: float = DEFAULT_TIMEOUT_S
) -> GatewayClient:
    """A client of the site of this home, or of `POUW_ADDRESS` with `POUW_TOKEN` when both are set.

    Raises:
        UnreachableError: no site runs here.
        NotAuthorisedError: the token is missing, or others may read it.
    """
    address, token = environment.get(ADDRESS_VARIABLE), environment.get(TOKEN_VARIABLE)
    if address and token:
        return GatewayClient(address, token, timeout_s)
    site = read_site_file(home)
    if site is None:
        raise UnreachableError(f"no site is running in {home.root}", hint="start it with: pouw up", code="not-up")
    try:
        secret = load_secret(home.token).decode().strip()
    except FileNotFoundError as error:
        raise NotAuthorisedError(
            f"the site's token {home.token} is missing",
            hint="pouw down, then pouw up, makes a new one",
            code="no-token",
        ) from error
    return GatewayClient(site.address, secret, timeout_s)
