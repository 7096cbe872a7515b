"""The numbers a chain is started with. They are part of genesis, so every node of a chain has the same ones."""

from consensus.primitives.encoding import Record
from consensus.primitives.integers import Credits, Ppm, Target, TimeMs, Uint32, Uint63


class ConsensusParams(Record, frozen=True, tag="pouw/params/1"):
    """Parameters of one chain; integers only.

    A step has at most `max_tries` nonces, so `easiest_target` bounds how likely a slot is to win, and with it how much
    replay a block can cost: see docs/adr/0004-difficulty.md.
    """

    block_interval_ms: TimeMs
    """Time the difficulty aims to keep between two proof-of-work blocks."""
    difficulty_half_life_ms: TimeMs
    """Being this much late doubles the target."""
    easiest_target: Target
    """No block may be easier than this."""
    initial_target: Target
    block_reward: Credits
    """Newly issued to the miner of a proof-of-work block."""
    commit_lead: Uint32
    """Rounds between committing a template and the first round that may use it."""
    max_tries: Uint32
    """Most nonces that one step gives."""
    bytes_per_batch_try: Uint32
    """Batch bytes that give one try."""
    bytes_per_weight_try: Uint32
    """Weight bytes that give one try."""
    max_future_ms: TimeMs
    """How far ahead of a node's clock a header may be."""
    quiet_after_ms: TimeMs
    """After this long without a block the committee may append one although work is open."""
    max_block_bytes: Uint32
    max_transaction_bytes: Uint32
    min_audit_ppm: Ppm
    """Least share of slots any job must let be audited."""
    challenge_interval: Uint32
    """Blocks from a deal's settled challenge to its next one."""
    deadline_blocks: Uint32
    """Blocks after a challenge in which a storage proof may come."""
    challenge_sectors: Uint32
    """Sectors that a challenge draws of each replica."""
    storage_grace: Uint32
    """Strikes in a row that cost a provider no collateral."""
    seal_floor_bytes: Uint63
    """Sealing a replica takes the time of this many bytes at least: smaller ones are sealed in several passes."""
    seal_checks: Uint32
    """Chunks of a fresh replica that a supervisor opens before it accepts it."""
