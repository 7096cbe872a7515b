"""Pay for keeping what a job has at the site: one deal for each artifact."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeAlias

from pydantic import ValidationError

from cluster.api.client import GatewayClient
from cluster.client.payments import check_affordable, next_sequence
from cluster.credits import format_credits, parse_credits
from cluster.errors import ConflictError, NotFoundError, UsageError
from cluster.storage_terms import keeping_terms
from cluster.views import ArtifactKind, ArtifactView, View
from cluster.wallet.keystore import Keystore
from cluster.wallet.transactions import sign_open_deal
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Credits, Digest
from consensus.primitives.integers import Sequence as Number
from consensus.records.storage import PieceRoot
from jobs.spec.job import ErasureSpec, ReplicasSpec

What: TypeAlias = Literal["weights", "checkpoint", "dataset"]
_KINDS: Final[dict[What, frozenset[ArtifactKind]]] = {
    "weights": frozenset({"weights"}),
    "checkpoint": frozenset({"checkpoint", "optimizer"}),
    "dataset": frozenset({"manifest", "dataset"}),
}
_COPIES: Final = 3


class KeptView(View, frozen=True):
    """A deal that the site has acknowledged."""

    deal_id: str
    kind: ArtifactKind
    part: str
    root: str
    bytes: int
    cost: str
    """Credits that moved into escrow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How something is to be kept, and for how much in all."""

    keeping: ReplicasSpec | ErasureSpec
    reward: Credits

    @classmethod
    def of(
        cls, *, replicas: int | None, data: int | None, parity: int | None, reward: str, proofs: int, collateral: int
    ) -> Self:
        """Three copies if nothing is said.

        Raises:
            UsageError: copies and shards at once, half of a scheme, or more than a deal can have.
        """
        if (data is None) != (parity is None) or (data is not None and replicas is not None):
            raise UsageError(
                "say either how many copies or how many shards",
                hint="--replicas 3, or --data 4 --parity 2",
                code="scheme",
            )
        rest = {"proofs": proofs, "collateral": collateral}
        try:
            if data is None:
                keeping: ReplicasSpec | ErasureSpec = ReplicasSpec.model_validate(
                    {"replicas": _COPIES if replicas is None else replicas, **rest}
                )
            else:
                keeping = ErasureSpec.model_validate({"data": data, "parity": parity, **rest})
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"--{field}: {first['msg']}", hint="see: pouw storage keep --help", code="scheme"
            ) from error
        return cls(keeping=keeping, reward=parse_credits(reward))


def choose_artifacts(views: Sequence[ArtifactView], what: What, round_number: int | None = None) -> list[ArtifactView]:
    """Those of a job that `what` means: its last checkpoint, unless a round is given. The same bytes once.

    Raises:
        NotFoundError: it has none.
    """
    fitting = [view for view in views if view.kind in _KINDS[what]]
    if what == "checkpoint":
        rounds = [int(view.part) for view in fitting]
        wanted = max(rounds, default=0) if round_number is None else round_number
        fitting = [view for view in fitting if int(view.part) == wanted]
    if not fitting:
        raise NotFoundError(
            f"the site has no {what} of this job" + ("" if round_number is None else f" before round {round_number}"),
            hint="see what it has with: pouw storage artifacts JOB",
        )
    return list({view.root: view for view in fitting}.values())


def keep_artifacts(  # noqa: PLR0917 - what, by whom, on which terms, and how to tell
    client: GatewayClient,
    keystore: Keystore,
    name: str,
    job_id: str,
    views: Sequence[ArtifactView],
    order: Order,
    *,
    report: Callable[[int, int], None],
) -> tuple[KeptView, ...]:
    """Open a deal for each artifact that is under none yet; the reward is shared out by size.

    All is reckoned, and the balance looked at, before the first deal is opened.

    Raises:
        ConflictError: all are under deals already, or the key has less credits than they cost.
        UsageError: the reward comes to nothing for a proof.
    """
    signer = keystore.load(name)
    open_ones = [view for view in views if not view.deals]
    if not open_ones:
        raise ConflictError("there are deals about all of this already", hint="see them with: pouw storage deals")
    total = sum(view.bytes for view in open_ones)
    terms = {view.root: keeping_terms(order.keeping, order.reward * view.bytes // total) for view in open_ones}
    if order.reward and not all(each.price for each in terms.values()):
        raise UsageError(
            f"{format_credits(order.reward)} credits for {len(open_ones)} artifacts come to nothing for a proof",
            hint="pay more with --reward, or ask for fewer --proofs",
            code="reward",
        )
    cost = Credits(sum(each.escrow for each in terms.values()))
    check_affordable(client, signer.public_key, cost, "this", "pay less with --reward, or with another key (--key)")
    chain_id, sequence = next_sequence(client, signer.public_key)
    kept = []
    for number, view in enumerate(open_ones):
        report(number, len(open_ones))
        price = terms[view.root]
        offer = client.make_pieces(view.root, price.data_pieces, price.total_pieces)
        if (offer.root, offer.bytes, offer.binding) != (view.root, view.bytes, view.binding):
            raise ConflictError(f"the site offers to keep another artifact than {view.root[:16]}", code="artifact")
        if len(offer.pieces) != price.total_pieces:  # each costs as much
            raise ConflictError(
                f"the site offers {len(offer.pieces)} pieces, not {price.total_pieces}", code="artifact"
            )
        signed = sign_open_deal(
            signer,
            chain_id,
            sequence=Number(sequence + number),
            artifact=PieceRoot(root=_digest(offer.root), size=offer.bytes),
            binding=_digest(offer.binding),
            terms=price,
            pieces=tuple(PieceRoot(root=_digest(root), size=size) for root, size in offer.pieces),
            job=_digest(job_id),
        )
        kept.append(
            KeptView(
                deal_id=client.send_transaction(encode(signed)).transaction,
                kind=view.kind,
                part=view.part,
                root=view.root,
                bytes=view.bytes,
                cost=format_credits(Credits(price.escrow)),
            )
        )
    report(len(open_ones), len(open_ones))
    return tuple(kept)


def _digest(text: str) -> Digest:
    return Digest(bytes.fromhex(text))
