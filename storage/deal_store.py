"""What a node keeps beside the chain about deals: what their pieces are made of, and which were once kept."""

from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from storage import schema
from storage.artifact_manifest import Manifest
from storage.errors import RecordMissingError
from storage.kv import KeyValueStore
from storage.stored_records import decode_stored


class DealStore:
    """Names and marks of deals, in the chain's database."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store

    def put_manifest(self, manifest: Manifest) -> None:
        """Keep what a piece is made of, under its root."""
        self._store.put(schema.piece_manifest_key(manifest.root), encode(manifest))

    def load_manifest(self, root: Digest) -> Manifest:
        """What the piece with this root is made of, checked.

        Raises:
            RecordMissingError: it is not known here.
            RecordCorruptError: it is damaged.
        """
        data = self._store.get(schema.piece_manifest_key(root))
        if data is None:
            raise RecordMissingError("piece manifest", root.hex())
        manifest = decode_stored(data, Manifest, root.hex())
        if manifest.root != root or not manifest.is_true():
            raise RecordMissingError("whole piece manifest", root.hex())
        return manifest

    def has_manifest(self, root: Digest) -> bool:
        """Whether it is known what the piece with this root is made of."""
        return self._store.get(schema.piece_manifest_key(root)) is not None

    def mark_placed(self, deal: Digest) -> None:
        """All pieces of a deal were active at one time."""
        self._store.put(schema.placed_deal_key(deal), b"")

    def was_placed(self, deal: Digest) -> bool:
        """Whether `mark_placed` was called."""
        return self._store.get(schema.placed_deal_key(deal)) is not None
