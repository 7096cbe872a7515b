"""What the ledger and the desk know of deals and providers, as views."""

from collections.abc import Mapping

from cluster.credits import format_credits
from cluster.node.storage_desk import StorageDesk
from cluster.views import DealView, PieceView, ProviderView, StorageView
from consensus.ledger.entries import Deal, Piece
from consensus.ledger.state import LedgerState
from consensus.primitives.integers import PublicKey
from consensus.records.storage import DealId


def storage_view(desk: StorageDesk) -> StorageView:
    """Everything in a few numbers."""
    state = desk.state
    pieces = [piece for deal in state.deals.values() if deal.is_open for piece in deal.pieces]
    return StorageView(
        artifacts=state.totals.open_deals,
        providers=sum(1 for key in state.providers if desk.is_alive(key)),
        proofs_passed=sum(offer.proofs for offer in state.providers.values()),
        proofs_failed=sum(offer.strikes for offer in state.providers.values()),
        pieces_active=sum(1 for piece in pieces if piece.holder is not None and piece.holder.is_active),
        pieces_wanted=len(pieces),
        reasons=tuple(f"{key.hex()[:12]}: {reason}" for key, reason in desk.reasons.items()),
    )


def deal_views(desk: StorageDesk) -> tuple[DealView, ...]:
    """Every deal, the open ones first."""
    state = desk.state
    ordered = sorted(state.deals.items(), key=lambda item: (not item[1].is_open, item[0]))
    return tuple(_deal_view(state, key, deal, desk.reasons) for key, deal in ordered)


def provider_views(desk: StorageDesk) -> tuple[ProviderView, ...]:
    """Every account that has offered storage."""
    return tuple(_provider_view(desk, key) for key in sorted(desk.state.providers))


def _deal_view(state: LedgerState, key: DealId, deal: Deal, reasons: Mapping[DealId, str]) -> DealView:
    job = None if deal.job is None else state.jobs.get(deal.job)
    count = len(deal.pieces)
    return DealView(
        deal_id=key.hex(),
        job_id="" if deal.job is None else deal.job.hex(),
        name="" if job is None else job.name,
        state=deal.status.value,
        root=deal.root.hex(),
        bytes=deal.size,
        scheme=f"{count} copies" if deal.data_pieces == 1 else f"{deal.data_pieces}+{count - deal.data_pieces}",
        needed=deal.data_pieces,
        active=sum(1 for piece in deal.pieces if piece.holder is not None and piece.holder.is_active),
        pieces=tuple(_piece_view(state, number, piece) for number, piece in enumerate(deal.pieces)),
        escrow=format_credits(deal.escrow),
        paid=format_credits(deal.paid),
        proofs_left=deal.proofs_left,
        next_challenge=deal.challenge_height,
        reason=reasons.get(key, ""),
    )


def _piece_view(state: LedgerState, number: int, piece: Piece) -> PieceView:
    holder = piece.holder
    if holder is None:
        return PieceView(piece=number, state="vacant")
    return PieceView(
        piece=number,
        state=holder.status.value,
        provider=holder.provider.hex(),
        node=state.providers[holder.provider].node,
        strikes=holder.strikes,
        leaving=piece.leaving,
    )


def _provider_view(desk: StorageDesk, key: PublicKey) -> ProviderView:
    offer, account = desk.state.providers[key], desk.state.account(key)
    word, reason = _provider_state(desk, key)
    return ProviderView(
        provider=key.hex(),
        node=offer.node,
        state=word,
        capacity_bytes=offer.capacity,
        used_bytes=offer.used,
        stake=format_credits(account.stake),
        locked=format_credits(account.locked),
        proofs=offer.proofs,
        strikes=offer.strikes,
        paid=format_credits(offer.paid),
        slashed=format_credits(offer.slashed),
        reason=reason,
    )


def _provider_state(desk: StorageDesk, key: PublicKey) -> tuple[str, str]:
    offer, account = desk.state.providers[key], desk.state.account(key)
    if account.excluded:
        return "excluded", "fraud in training was proven against this account: it is paid nothing"
    if offer.suspended:
        lost = f"it lost {format_credits(offer.slashed)} credits; " if offer.slashed else ""
        return (
            "suspended",
            f"{lost}it missed {offer.strikes} challenges or probes and gets nothing new until it offers again",
        )
    if not desk.is_alive(key):
        return "silent", "it does not ask for its work; without proofs it is not paid"
    if not offer.used:
        return "keeps", "it holds no piece, so there is nothing to be paid for" if not offer.proofs else ""
    if offer.strikes:
        return "keeps", f"paid for {offer.proofs} proofs; {offer.strikes} challenges or probes were missed and not paid"
    return "keeps", f"paid for {offer.proofs} proofs" if offer.proofs else "its first challenge is still to come"
