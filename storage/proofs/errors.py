"""What can go wrong with a sealed copy. Arguments are positional, so that errors survive the trip between processes."""

from storage.errors import StorageError


class ReplicaCorruptError(StorageError):
    """A stored chunk of a replica has changed. Seal the piece again."""

    code = "replica-corrupt"

    def __init__(self, chunk: int) -> None:
        self.chunk = chunk
        super().__init__(chunk)

    def __str__(self) -> str:
        return f"chunk {self.chunk} of the replica is damaged: seal the piece again"
