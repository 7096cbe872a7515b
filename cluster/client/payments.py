"""A client's keys on the ledger: what they have, and moving it."""

import re
from typing import Final

from cluster.api.client import GatewayClient
from cluster.client.connection import connect
from cluster.config import HomeLayout
from cluster.credits import format_credits, parse_credits
from cluster.errors import ConflictError, NotFoundError, UnreachableError, UsageError
from cluster.views import View
from cluster.wallet.keystore import Keystore
from cluster.wallet.transactions import (
    sign_cancel_job,
    sign_close_deal,
    sign_stake,
    sign_transfer,
    sign_unstake,
)
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Credits, Digest, PublicKey, Sequence

_ADDRESS: Final = re.compile(r"[0-9a-f]{64}")


class KeyView(View, frozen=True):
    """A key of this home. `balance` and what follows are known only while the site answers."""

    name: str
    address: str
    balance: str | None = None
    stake: str | None = None
    sequence: int | None = None


class SentView(View, frozen=True):
    """A transfer that the site has acknowledged."""

    transaction: str
    recipient: str
    amount: str


class StakeView(View, frozen=True):
    """A stake that the site has acknowledged."""

    transaction: str
    amount: str
    stake: str
    """What is staked now."""


class CloseView(View, frozen=True):
    """The end of a deal that the site has acknowledged."""

    deal_id: str
    transaction: str


class CancelView(View, frozen=True):
    """A cancellation that the site has acknowledged."""

    job_id: str
    transaction: str


def list_key_views(keystore: Keystore) -> tuple[KeyView, ...]:
    """All keys with their addresses."""
    return tuple(KeyView(name=name, address=keystore.load(name).public_key.hex()) for name in keystore.names())


def load_wallet(home: HomeLayout, keystore: Keystore, name: str) -> KeyView:
    """A key and, while a site answers, its account."""
    address = keystore.load(name).public_key.hex()
    try:
        account = connect(home).account(address)
    except UnreachableError:
        return KeyView(name=name, address=address)
    except NotFoundError:
        return KeyView(name=name, address=address, balance="0", stake="0", sequence=0)
    return KeyView(name=name, address=address, balance=account.balance, stake=account.stake, sequence=account.sequence)


def send_credits(client: GatewayClient, keystore: Keystore, name: str, recipient: str, amount: Credits) -> SentView:
    """Move credits from one of the keystore's accounts to an address or to another of its keys.

    Raises:
        UsageError: `recipient` is neither.
        ConflictError: the account has less.
    """
    signer = keystore.load(name)
    to = _resolve(keystore, recipient)
    chain_id, sequence = next_sequence(client, signer.public_key)
    signed = sign_transfer(signer, chain_id, sequence=sequence, recipient=to, amount=amount)
    sent = client.send_transaction(encode(signed))
    return SentView(transaction=sent.transaction, recipient=to.hex(), amount=format_credits(amount))


def cancel_job(client: GatewayClient, keystore: Keystore, name: str, job_id: str) -> CancelView:
    """Ask the ledger to stop a job that this key has paid for."""
    signer = keystore.load(name)
    chain_id, sequence = next_sequence(client, signer.public_key)
    signed = sign_cancel_job(signer, chain_id, sequence=sequence, job=Digest(bytes.fromhex(job_id)))
    return CancelView(job_id=job_id, transaction=client.send_transaction(encode(signed)).transaction)


def move_stake(
    client: GatewayClient, keystore: Keystore, name: str, amount: Credits, *, out: bool = False
) -> StakeView:
    """Move credits between an account's balance and its stake: in, or, with `out`, back as far as it is not locked."""
    signer = keystore.load(name)
    chain_id, sequence = next_sequence(client, signer.public_key)
    sign = sign_unstake if out else sign_stake
    sent = client.send_transaction(encode(sign(signer, chain_id, sequence=sequence, amount=amount)))
    return StakeView(
        transaction=sent.transaction,
        amount=format_credits(amount),
        stake=client.account(signer.public_key.hex()).stake,
    )


def close_deal(client: GatewayClient, keystore: Keystore, name: str, prefix: str) -> CloseView:
    """End a deal that this key pays for.

    Raises:
        NotFoundError: no open deal, or several, have an id that begins so.
    """
    found = [deal.deal_id for deal in client.deals() if deal.deal_id.startswith(prefix) and deal.state == "open"]
    if len(found) != 1:
        raise NotFoundError(
            f"{len(found)} open deals have an id that begins with {prefix[:64]!r}",
            hint="list them with: pouw storage deals",
        )
    signer = keystore.load(name)
    chain_id, sequence = next_sequence(client, signer.public_key)
    signed = sign_close_deal(signer, chain_id, sequence=sequence, deal=Digest(bytes.fromhex(found[0])))
    return CloseView(deal_id=found[0], transaction=client.send_transaction(encode(signed)).transaction)


def check_affordable(client: GatewayClient, key: PublicKey, cost: Credits, what: str, hint: str) -> None:
    """Raises ConflictError: the account has less than `what` costs."""
    balance = parse_credits(client.account(key.hex()).balance)
    if balance < cost:
        raise ConflictError(
            f"{what} costs {format_credits(cost)} credits, the account has {format_credits(balance)}",
            hint=hint,
            code="funds",
        )


def next_sequence(client: GatewayClient, key: PublicKey) -> tuple[Digest, Sequence]:
    """Id of the chain, and the number of a key's next transaction."""
    chain_id = Digest(bytes.fromhex(client.chain_facts().chain_id))
    return chain_id, Sequence(client.account(key.hex()).sequence)


def _resolve(keystore: Keystore, recipient: str) -> PublicKey:
    if _ADDRESS.fullmatch(recipient):
        return PublicKey(bytes.fromhex(recipient))
    if recipient in keystore.names():
        return keystore.load(recipient).public_key
    raise UsageError(
        f"{recipient!r} is neither an address nor one of your keys",
        hint="an address has 64 hex digits; your keys: pouw wallet list",
        code="recipient",
    )
