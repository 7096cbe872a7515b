"""Stakes, offers of storage, and the collateral that a piece locks of its provider's stake.

An excluded account has lost its whole stake already, so nothing of it is locked and nothing is left to slash.
"""

from typing import Final

from msgspec.structs import replace

from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.entries import ProviderAccount
from consensus.ledger.state import LedgerState
from consensus.ledger.transfers import debit
from consensus.primitives.integers import Credits, PublicKey, Sequence
from consensus.records.storage import OfferStorage, Stake, Unstake

_MAX_NODE_CHARACTERS: Final = 64


def put_stake(state: LedgerState, signer: PublicKey, message: Stake) -> LedgerState:
    """Move credits from the signer's balance to its stake."""
    if message.amount == 0:
        raise InvalidTransactionError(Reject.AMOUNT, amount=0)
    paid = debit(state, signer, message.sequence, message.amount)
    account = paid.account(signer)
    return paid.with_account(signer, replace(account, stake=account.stake + message.amount))


def take_stake(state: LedgerState, signer: PublicKey, message: Unstake) -> LedgerState:
    """Move credits from the free part of the signer's stake to its balance."""
    if message.amount == 0:
        raise InvalidTransactionError(Reject.AMOUNT, amount=0)
    account = counted(state, signer, message.sequence).account(signer)
    if message.amount > account.free_stake:
        raise InvalidTransactionError(Reject.STAKE, free=account.free_stake, amount=message.amount)
    stake, balance = account.stake - message.amount, account.balance + message.amount
    return state.with_account(signer, replace(account, stake=stake, balance=balance))


def offer_storage(state: LedgerState, signer: PublicKey, message: OfferStorage) -> LedgerState:
    """Make the signer a provider, or change its offer. What it keeps stays with it."""
    if not _is_node_name(message.node):
        raise InvalidTransactionError(Reject.NODE_NAME, node=message.node[:_MAX_NODE_CHARACTERS])
    check_not_excluded(state, signer)
    before = state.providers.get(signer)
    fresh = before or ProviderAccount(node=message.node, capacity=message.capacity)
    offer = replace(fresh, node=message.node, capacity=message.capacity, suspended=False)
    return counted(state, signer, message.sequence).with_provider(signer, offer)


def counted(state: LedgerState, signer: PublicKey, sequence: Sequence) -> LedgerState:
    """The state after transaction number `sequence` of an account that pays nothing. Raises InvalidTransactionError."""
    return debit(state, signer, sequence, Credits(0))


def check_not_excluded(state: LedgerState, provider: PublicKey) -> None:
    """Raises InvalidTransactionError (PROVIDER_EXCLUDED) if fraud of this account was proven."""
    if state.account(provider).excluded:
        raise InvalidTransactionError(Reject.PROVIDER_EXCLUDED, provider=provider)


def find_obstacle(state: LedgerState, provider: PublicKey, size_bytes: int, collateral: int) -> Reject | None:
    """Why a provider cannot take a replica of this size for this collateral; None if it can."""
    account, offer = state.account(provider), state.providers.get(provider)
    if offer is None:
        return Reject.PROVIDER_UNKNOWN
    if account.excluded:
        return Reject.PROVIDER_EXCLUDED
    if offer.suspended:
        return Reject.PROVIDER_SUSPENDED
    if offer.used + size_bytes > offer.capacity:
        return Reject.CAPACITY
    return Reject.STAKE if collateral > account.free_stake else None


def lock(state: LedgerState, provider: PublicKey, size_bytes: int, collateral: int) -> LedgerState:
    """Give a replica to a provider that has no obstacle."""
    account, offer = state.account(provider), state.providers[provider]
    locked = state.with_account(provider, replace(account, locked=account.locked + collateral))
    return locked.with_provider(provider, replace(offer, used=offer.used + size_bytes))


def unlock(
    state: LedgerState, provider: PublicKey, size_bytes: int, collateral: int, *, suspends: bool = False
) -> LedgerState:
    """Take a replica from its provider and free the collateral."""
    account, offer = state.account(provider), state.providers[provider]
    left = replace(offer, used=offer.used - size_bytes, suspended=offer.suspended or suspends)
    freed = state.with_provider(provider, left)
    if account.excluded or not collateral:
        return freed
    return freed.with_account(provider, replace(account, locked=account.locked - collateral))


def slash(state: LedgerState, provider: PublicKey, size_bytes: int, collateral: int) -> LedgerState:
    """Take a replica from its provider, and the collateral for the treasury."""
    freed = unlock(state, provider, size_bytes, collateral, suspends=True)
    account, offer = freed.account(provider), freed.providers[provider]
    if account.excluded or not collateral:
        return freed
    freed = freed.with_provider(provider, replace(offer, slashed=offer.slashed + collateral))
    lighter = freed.with_account(provider, replace(account, stake=account.stake - collateral))
    return lighter.with_totals(treasury=collateral)


def _is_node_name(node: str) -> bool:
    """ASCII only: what else is printable changes with the version of Unicode, and nodes have to agree."""
    return 0 < len(node) <= _MAX_NODE_CHARACTERS and node.isascii() and node.isprintable()
