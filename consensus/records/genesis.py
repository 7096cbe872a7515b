"""The first record of a chain: parameters, committee and first balances. Its digest is the chain id."""

from consensus.params import ConsensusParams
from consensus.primitives.digest import sha256
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Credits, Digest, PublicKey, TimeMs


class Allocation(Record, frozen=True, tag="pouw/allocation/1"):
    """Credits an account starts with."""

    account: PublicKey
    amount: Credits


class Genesis(Record, frozen=True, tag="pouw/genesis/1"):
    """Everything two nodes must agree on before the first block."""

    network: str
    time_ms: TimeMs
    params: ConsensusParams
    supervisors: tuple[PublicKey, ...]
    """The committee, sorted."""
    allocations: tuple[Allocation, ...]
    start_beacon: Digest | None = None
    """For tests and comparisons: every job starts from this beacon. `chain verify` warns about it."""

    @property
    def chain_id(self) -> Digest:
        return sha256("pouw/chain-id/1", encode(self))
