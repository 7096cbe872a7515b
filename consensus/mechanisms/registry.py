"""The mechanisms a block may name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from consensus.errors import InvalidBlockError, Reject
from consensus.mechanisms.authority.mechanism import Authority
from consensus.mechanisms.base import Mechanism
from consensus.mechanisms.pouw.mechanism import ProofOfUsefulWork

_ALL: Final[tuple[Mechanism, ...]] = (ProofOfUsefulWork(), Authority())
MECHANISMS: Final[Mapping[str, Mechanism]] = MappingProxyType({mechanism.name: mechanism for mechanism in _ALL})


def find_mechanism(name: str) -> Mechanism:
    """The mechanism of that name. Raises InvalidBlockError(MECHANISM)."""
    found = MECHANISMS.get(name)
    if found is None:
        raise InvalidBlockError(Reject.MECHANISM, actual=name, known=", ".join(MECHANISMS))
    return found
