"""What providers and fetchers are told: work, sources, and how an artifact is read from those who keep it."""

from functools import partial

import pytest
from msgspec.structs import replace

from cluster.node.retrieval import Holder, Retrieval, RetrievalError
from cluster.node.storage_answers import RetrievalPlan
from cluster.node.storage_views import deal_views, provider_views, storage_view
from consensus.primitives.integers import Digest
from consensus.records.storage import PieceRoot, StorageTerms
from consensus.records.transactions import JobId
from storage.errors import StorageError
from tests.kit.genesis import public_key
from tests.kit.replicas import random_bytes
from tests.kit.storage_site import BINDING, COLLATERAL, COPIES, NAMES, SHARDS, SIZE, STAKED, StorageWorld
from tests.kit.virtual_time import run_virtual

SCHEMES = pytest.mark.parametrize("terms", [COPIES, SHARDS], ids=["copies", "shards"])


async def load(world: StorageWorld, name: str, deal: Digest, piece: int, *place: int) -> list[bytes]:
    host = world.hosts[name]
    if not host.is_running:
        raise OSError("it is not there")
    try:
        return host.load_plain(deal, piece, *place)
    except StorageError as error:
        raise OSError(str(error)) from error


def fetch(world: StorageWorld, plan: RetrievalPlan) -> bytes:
    """As cluster.actors.kept_weights does it, reports included."""
    terms = {number: term for number, term, _ in plan.holders}
    retrieval = Retrieval(
        data_pieces=plan.data_pieces,
        total_pieces=plan.total_pieces,
        size=plan.size,
        leaves=plan.leaves,
        holders=[
            Holder(piece=number, name=name, load=partial(load, world, name, plan.deal, number))
            for number, _, name in plan.holders
        ],
        missing=plan.missing,
        on_fault=lambda holder, why: world.desk.report_service(plan.deal, holder.piece, terms[holder.piece], why),
    )

    async def collect() -> bytes:
        return b"".join([chunk async for chunk in retrieval.chunks()])

    return run_virtual(collect())


def weights(world: StorageWorld, job: JobId) -> Digest:
    """What a completed job ended with."""
    state = world.state.jobs[job].state
    assert state is not None
    return state


def test_of_two_deals_about_an_artifact_the_one_that_is_better_off_is_read() -> None:
    world = StorageWorld()
    first = world.keep(replace(COPIES, proofs=50))
    root = world.deal(first).root
    second = world.open_client_deal(
        root=root, size=SIZE, pieces=(PieceRoot(root=root, size=SIZE),) * 2, binding=BINDING, proofs=50
    )
    world.until(lambda: world.is_whole(second))
    world.tick()
    plan = world.answers.retrieval(root)
    assert plan is not None
    assert plan.deal == first
    for number in (0, 1):
        world.hosts[world.holders(first)[number]].is_running = False
    world.tick(4)
    plan = world.answers.retrieval(root)
    assert plan is not None
    assert fetch(world, plan) == random_bytes(SIZE)


@SCHEMES
def test_weights_are_read_from_providers_once_they_have_them_all(terms: StorageTerms) -> None:
    world = StorageWorld()
    root = weights(world, world.complete_job(terms))
    assert world.answers.retrieval(root) is None
    assert world.answers.retrieval(Digest(bytes(32))) is None
    world.tick()
    assert world.answers.retrieval(root) is None
    world.until(lambda: world.answers.retrieval(root) is not None)
    plan = world.answers.retrieval(root)
    assert plan is not None
    assert fetch(world, plan) == random_bytes(SIZE)
    world.until(lambda: not world.deal(plan.deal).is_open)
    assert world.answers.retrieval(root) is None


@SCHEMES
def test_a_holder_that_lost_its_piece_is_reported_and_the_bytes_come_all_the_same(terms: StorageTerms) -> None:
    world = StorageWorld()
    key = world.keep(terms)
    world.tick()
    loser = world.host_of(key)
    plan = world.answers.retrieval(world.deal(key).root)
    assert plan is not None
    loser.lose_everything()
    for _ in range(3):
        assert fetch(world, plan) == random_bytes(SIZE)
    assert world.offer(loser.name).strikes == 1
    assert world.deal(key).pieces[0].holder.reported  # type: ignore[union-attr]


@SCHEMES
def test_a_silent_holder_is_named_and_not_asked(terms: StorageTerms) -> None:
    world = StorageWorld()
    key = world.keep(replace(terms, proofs=50))
    world.tick()
    gone = world.host_of(key, 1)
    gone.is_running = False
    world.tick(4)
    plan = world.answers.retrieval(world.deal(key).root)
    assert plan is not None
    assert [number for number, _, _ in plan.holders] == [0, 2]
    assert plan.missing == (f"piece 1 on {gone.name} is silent",)
    assert [number for number, _ in world.answers.sources(key).holders] == [0, 2]
    assert fetch(world, plan) == random_bytes(SIZE)


def test_too_few_holders_are_said_with_the_pieces_that_are_missing() -> None:
    world = StorageWorld()
    key = world.keep(replace(SHARDS, proofs=50))
    world.tick()
    for number in range(2):
        world.host_of(key, number).is_running = False
    world.tick(4)
    plan = world.answers.retrieval(world.deal(key).root)
    assert plan is not None
    with pytest.raises(RetrievalError, match=r"2 pieces are needed, 1 can be read: piece 0 on \w+ is silent; piece 1"):
        fetch(world, plan)


def test_after_a_start_providers_are_unknown_until_they_ask() -> None:
    world = StorageWorld()
    key = world.keep(replace(COPIES, proofs=50))
    world.tick()
    root = world.deal(key).root
    world.open()
    plan = world.answers.retrieval(root)
    assert plan is not None
    assert (plan.holders, len(plan.missing)) == ((), 3)
    world.tick()
    plan = world.answers.retrieval(root)
    assert plan is not None
    assert sorted(name for _, _, name in plan.holders) == sorted(world.holders(key))


def test_views_say_who_keeps_what_is_paid_and_why_not() -> None:
    world = StorageWorld(*NAMES[:3])
    key = world.keep(replace(COPIES, proofs=50))
    before = storage_view(world.desk)
    assert (before.artifacts, before.providers, before.pieces_active, before.pieces_wanted) == (1, 3, 3, 3)
    assert {view.reason for view in provider_views(world.desk)} == {"its first challenge is still to come"}
    lost = world.host_of(key)
    lost.is_running = False
    world.until(lambda: world.slashed(lost.name) > 0)
    world.tick()
    (deal,) = deal_views(world.desk)
    assert (deal.scheme, deal.needed, deal.active, deal.pieces[0].state) == ("3 copies", 1, 2, "vacant")
    assert "no provider" in deal.reason or "silent" in deal.reason
    views = {view.node: view for view in provider_views(world.desk)}
    assert views[lost.name].state == "suspended"
    assert "gets nothing new until it offers again" in views[lost.name].reason
    others = [view for node, view in views.items() if node != lost.name]
    assert all(view.state == "keeps" and view.reason.startswith("paid for") for view in others)
    view = storage_view(world.desk)
    assert (view.providers, view.pieces_active, len(view.reasons)) == (2, 2, 1)
    assert view.proofs_failed == world.offer(lost.name).strikes


def test_an_account_is_sponsored_only_before_it_has_anything() -> None:
    world = StorageWorld("north")
    stranger = public_key("stranger")
    for _ in range(3):
        world.answers.work(stranger, "stranger")
    world.tick()
    assert world.state.account(stranger).balance == STAKED
    assert STAKED > COLLATERAL
