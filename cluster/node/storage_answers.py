"""What a supervisor answers when providers ask for work and for bytes, and fetchers for those who keep them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from cluster.node.kept_artifacts import KeptArtifacts
from cluster.node.storage_desk import StorageDesk
from cluster.node.storage_work import PieceSources, ProviderWork, provider_work, spare_pieces
from consensus.primitives.integers import Credits, Digest, PublicKey
from consensus.records.storage import DealId
from storage.replica_record import PieceName


class RetrievalPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How an artifact under a deal is read from its holders."""

    deal: Digest
    data_pieces: int
    total_pieces: int
    size: int
    holders: tuple[tuple[int, int, str], ...]
    """Piece, term of its assignment, actor."""
    leaves: dict[int, tuple[Digest, ...]]
    """Of the chunks of each piece."""
    missing: tuple[str, ...] = ()
    """Pieces that cannot be read now, and why, in words."""


@dataclass(slots=True, kw_only=True)
class StorageAnswers:
    """Knows which actor speaks for which account."""

    desk: StorageDesk
    kept: KeptArtifacts
    stake: Credits
    """What a provider of this site is given to stake."""
    _names: dict[PublicKey, str] = field(default_factory=dict)

    def work(self, provider: PublicKey, name: str, sealed: Sequence[PieceName] = ()) -> ProviderWork:
        """What a provider is to do that has sealed so much. One without credits is given what it has to stake, once."""
        chain = self.desk.node.chain
        spare = spare_pieces(self.desk.state, sealed)
        self._names[provider] = name
        self.desk.heard(provider, spare)
        self.kept.sponsor(provider, self.stake)
        return provider_work(self.desk.state, provider, chain.height, chain.beacon, spare)

    def sources(self, key: DealId) -> PieceSources:
        """Where a deal's bytes can be read. Who was silent lately is not worth asking."""
        deal = self.desk.state.deals[key]
        holders = (
            (number, self.name_of(piece.holder.provider))
            for number, piece in enumerate(deal.pieces)
            if piece.holder is not None and piece.holder.is_active and self.desk.is_alive(piece.holder.provider)
        )
        roots = tuple(piece.root for piece in deal.pieces)
        return PieceSources(has_origin=self.desk.has_origin(key, deal), holders=tuple(holders), roots=roots)

    def retrieval(self, root: Digest) -> RetrievalPlan | None:
        """How an artifact is read from providers. None while the site itself has to give it."""
        deals = self.desk.state.deals.items()
        kept = [key for key, deal in deals if deal.is_open and deal.root == root and self.desk.deals.was_placed(key)]
        plans = [self._plan(key) for key in kept]
        return max(plans, key=lambda plan: len(plan.holders) - plan.data_pieces, default=None)

    def _plan(self, key: DealId) -> RetrievalPlan:
        deal = self.desk.state.deals[key]
        holders, missing = [], []
        for number, piece in enumerate(deal.pieces):
            holder = piece.holder
            if holder is None or not holder.is_active:
                missing.append(f"piece {number} is {'vacant' if holder is None else holder.status.value}")
            elif not self.desk.is_alive(holder.provider):
                missing.append(f"piece {number} on {self.desk.state.providers[holder.provider].node} is silent")
            else:
                holders.append((number, holder.term, self.name_of(holder.provider)))
        leaves = {number: self.desk.deals.load_manifest(deal.pieces[number].root).leaves for number, _, _ in holders}
        return RetrievalPlan(
            deal=key,
            data_pieces=deal.data_pieces,
            total_pieces=len(deal.pieces),
            size=deal.size,
            holders=tuple(holders),
            leaves=leaves,
            missing=tuple(missing),
        )

    def name_of(self, provider: PublicKey) -> str:
        """The actor of a provider, as far as it was heard of; else nothing."""
        return self._names.get(provider, "")
