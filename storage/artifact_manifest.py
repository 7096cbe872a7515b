"""What an artifact is made of: the leaves of its chunks, checked against the root that names it."""

from consensus.primitives.digest import bulk_root, chunk_count
from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest, Uint63


class Manifest(Record, frozen=True, tag="pouw/artifact-manifest/1"):
    """What an artifact is made of. `root` is the bulk digest over the rest."""

    root: Digest
    size: Uint63
    """Bytes."""
    binding: Digest
    """What the bytes mean, for example the digest of a layout."""
    leaves: tuple[Digest, ...]

    def is_true(self) -> bool:
        """Whether the root is that of the rest, and there are as many leaves as the size has chunks."""
        is_complete = len(self.leaves) == chunk_count(self.size)
        return is_complete and self.root == bulk_root(self.leaves, self.size, self.binding)
