"""Deals, providers and probes as tables for people."""

from collections.abc import Sequence

from cluster.cli.output import say
from cluster.cli.tables import SHORT, print_table
from cluster.client.keeping import KeptView
from cluster.views import ArtifactView, DealView, ProbeView, ProviderView, StorageView

_MB = 10**6


def print_storage(view: StorageView) -> None:
    """What `pouw storage status` shows."""
    say(f"artifacts  {view.artifacts} kept under deals, {view.pieces_active} of {view.pieces_wanted} pieces active")
    say(f"providers  {view.providers} heard of lately")
    say(f"proofs     {view.proofs_passed} passed, {view.proofs_failed} missed")
    for reason in view.reasons:
        say(f"waiting    {reason}")


def print_deals(deals: Sequence[DealView]) -> None:
    """Deals, one a line, and under each its pieces."""
    if not deals:
        say("no deals; a job asks for one with storage: {replicas: N} or storage: {data: K, parity: M}")
        return
    rows = (
        (
            deal.deal_id[:SHORT],
            deal.name or deal.root[:SHORT],
            deal.state,
            f"{deal.bytes / _MB:.1f} MB",
            deal.scheme,
            f"{deal.active}/{len(deal.pieces)}",
            ", ".join(_piece(piece.piece, piece.state, piece.node, piece.strikes) for piece in deal.pieces),
            deal.paid,
            deal.proofs_left,
            deal.reason,
        )
        for deal in deals
    )
    columns = ("deal", "of", "state", "size", "scheme", "active", "pieces", "paid", "left", "reason")
    print_table(columns, rows, frozenset({"size", "paid", "left"}))


def print_artifacts(artifacts: Sequence[ArtifactView]) -> None:
    """What a job has, one a line."""
    if not artifacts:
        say("the site has nothing of this job")
        return
    rows = (
        (
            each.kind,
            each.part,
            f"{each.bytes / _MB:.1f} MB",
            each.root,
            ", ".join(deal[:SHORT] for deal in each.deals) or "under no deal",
        )
        for each in artifacts
    )
    print_table(("what", "of", "size", "root", "deals"), rows, frozenset({"size"}))


def print_kept(kept: Sequence[KeptView]) -> None:
    """Deals that were just opened."""
    rows = ((each.deal_id[:SHORT], each.kind, each.part, f"{each.bytes / _MB:.1f} MB", each.cost) for each in kept)
    print_table(("deal", "what", "of", "size", "credits"), rows, frozenset({"size", "credits"}))
    say("providers are looked for now; watch it with: pouw storage deals")


def print_providers(providers: Sequence[ProviderView]) -> None:
    """Providers, one a line."""
    if not providers:
        say("no storage providers yet: every machine of the site becomes one soon after it has joined")
        return
    rows = (
        (
            each.provider[:SHORT],
            each.node,
            each.state,
            f"{each.used_bytes / _MB:.1f}/{each.capacity_bytes / _MB:.0f} MB",
            each.proofs,
            each.strikes,
            each.paid,
            each.slashed,
            f"{each.locked}/{each.stake}",
            each.reason,
        )
        for each in providers
    )
    columns = ("provider", "node", "state", "used", "proofs", "missed", "paid", "lost", "locked", "reason")
    print_table(columns, rows, frozenset({"used", "proofs", "missed", "paid", "lost", "locked"}))


def print_probes(probes: Sequence[ProbeView]) -> None:
    """What the holders answered."""
    if not probes:
        say("nobody keeps anything to be asked for")
        return
    rows = (
        (each.deal_id[:SHORT], each.piece, each.provider[:SHORT], "yes" if each.served else "NO", each.reason)
        for each in probes
    )
    print_table(("deal", "piece", "provider", "served", "reason"), rows, frozenset({"piece"}))


def _piece(number: int, state: str, node: str, strikes: int) -> str:
    where = f" {node}" if node else ""
    missed = f" ({strikes} missed)" if strikes else ""
    return f"{number}:{state}{where}{missed}"
