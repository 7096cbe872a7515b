"""The commands about storage, wallet stake, and jobs that pay for the keeping."""

from pathlib import Path

import msgspec
import pytest

from cluster.config import HomeLayout
from cluster.errors import ExitCode
from cluster.views import ArtifactView
from cluster.wallet.keystore import client_keystore
from cluster.wallet.names import CLIENT_KEY
from tests.kit.command import Pouw
from tests.kit.memory_site import (
    DEAL,
    DEAL_ID,
    JOB_ID,
    PROBE,
    PROVIDER,
    STATE,
    STORAGE,
    WEIGHTS,
    MemorySite,
)

JOB_FILE = """\
name: digits
model: {name: mlp, hidden: [16]}
data: {source: digits, split: {train: 0.7, validation: 0.1, test: 0.2}}
train: {loss: cross_entropy, batch_size: 64, slots: 2, optimizer: {name: sgd, lr: 0.1}, rounds: 4}
storage: {replicas: 3, reward: 3, proofs: 10, collateral: 2}
reward: 10
"""


@pytest.fixture
def payer(home: HomeLayout, site: MemorySite) -> str:
    """Address of the usual key, with credits."""
    address = client_keystore(home).create(CLIENT_KEY).public_key.hex()
    site.give(address, "25")
    return address


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    file = tmp_path / "digits.yaml"
    file.write_text(JOB_FILE)
    return file


def as_json(view: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(view))


@pytest.mark.parametrize(
    ("command", "view"), [("status", STORAGE), ("deals", [DEAL]), ("providers", [PROVIDER]), ("probe", [PROBE])]
)
def test_json_is_the_views_of_the_site(pouw: Pouw, site: MemorySite, command: str, view: object) -> None:
    outcome = pouw("storage", command, "--json")
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    assert msgspec.json.decode(outcome.out) == as_json(view)


def test_people_see_who_keeps_what_and_why_not(pouw: Pouw, site: MemorySite) -> None:
    status = pouw("storage", "status").out
    assert "1 of 2 pieces active" in status
    assert "50 passed, 1 missed" in status
    deals = pouw("storage", "deals").out
    assert DEAL_ID[:12] in deals
    assert "0:active 10.0.0.7 (1 missed)" in " ".join(deals.split())
    assert "1:vacant" in " ".join(deals.split())
    providers = " ".join(pouw("storage", "providers").out.split())
    assert "10.0.0.7" in providers
    assert "paid for 50 proofs" in providers
    assert "yes" in pouw("storage", "probe").out


def test_a_site_that_keeps_nothing_says_how_to_change_that(pouw: Pouw, site: MemorySite) -> None:
    site.kept, site.offers, site.probes = (), (), ()
    assert "storage: {replicas: N}" in pouw("storage", "deals").out
    assert "no storage providers yet" in pouw("storage", "providers").out
    outcome = pouw("storage", "probe")
    assert (outcome.code, "nobody keeps anything" in outcome.out) == (ExitCode.OK, True)


def test_a_probe_that_is_not_served_exits_1(pouw: Pouw, site: MemorySite) -> None:
    site.probes = (PROBE, msgspec.structs.replace(PROBE, piece=1, served=False, reason="chunk 0: no answer"))
    outcome = pouw("storage", "probe", "3f2a")
    assert outcome.code == ExitCode.FAILED
    assert "NO" in outcome.out
    assert "chunk 0: no answer" in outcome.out


def test_a_probe_of_an_unknown_deal_is_not_taken_for_one_that_was_served(pouw: Pouw, site: MemorySite) -> None:
    outcome = pouw("storage", "probe", "00ff", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.NOT_FOUND, "not-found")
    outcome = pouw("storage", "probe", "no-hex", "--json")
    assert outcome.code in {ExitCode.USAGE, ExitCode.NOT_FOUND}


def test_a_machine_is_drained(pouw: Pouw, site: MemorySite) -> None:
    outcome = pouw("storage", "drain", "10.0.0.7")
    assert (outcome.code, site.drained) == (ExitCode.OK, ["10.0.0.7"])
    assert "pouw storage deals" in outcome.out


def test_an_unknown_machine_exits_4_and_names_those_there_are(pouw: Pouw, site: MemorySite) -> None:
    outcome = pouw("storage", "drain", "10.0.0.9")
    assert outcome.code == ExitCode.NOT_FOUND
    assert "no storage provider is on 10.0.0.9" in outcome.err
    assert "10.0.0.7" in outcome.err
    assert site.drained == []


def test_a_deal_is_closed_by_the_beginning_of_its_id(pouw: Pouw, site: MemorySite, payer: str) -> None:
    outcome = pouw("storage", "close", "3f2a", "--json")
    assert (outcome.code, outcome.json["deal_id"]) == (ExitCode.OK, DEAL_ID)
    assert [deal.state for deal in site.kept] == ["closed"]
    again = pouw("storage", "close", "3f2a", "--json")
    assert (again.code, again.error_code) == (ExitCode.NOT_FOUND, "not-found")


def test_an_id_that_several_deals_begin_with_closes_none(pouw: Pouw, site: MemorySite, payer: str) -> None:
    site.kept = (DEAL, msgspec.structs.replace(DEAL, deal_id="3f2a" + "2" * 60))
    outcome = pouw("storage", "close", "3f2a")
    assert outcome.code == ExitCode.NOT_FOUND
    assert "2 open deals have an id that begins with '3f2a'" in outcome.err
    assert "pouw storage deals" in outcome.err
    assert pouw("storage", "close", DEAL_ID).code == ExitCode.OK


def test_an_unknown_deal_or_key_exits_4(pouw: Pouw, site: MemorySite, payer: str) -> None:
    assert pouw("storage", "close", "ffff").code == ExitCode.NOT_FOUND
    outcome = pouw("storage", "close", "3f2a", "--key", "other", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.NOT_FOUND, "no-key")
    assert site.kept == (DEAL,)


@pytest.mark.parametrize("command", ["status", "deals", "providers", "probe"])
def test_without_a_site_every_command_exits_3(pouw: Pouw, home: HomeLayout, command: str) -> None:
    outcome = pouw("storage", command, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.UNREACHABLE, "not-up")


def test_credits_are_staked_and_taken_back(pouw: Pouw, site: MemorySite, payer: str) -> None:
    outcome = pouw("wallet", "stake", "20", "--json")
    assert (outcome.code, outcome.json["stake"]) == (ExitCode.OK, "20")
    assert site.balances[payer] == 5_000_000
    assert "12.5 credits are staked now" in pouw("wallet", "stake", "7.5", "--out").out
    assert site.balances[payer] == 12_500_000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["26"], (ExitCode.FAILED, "funds")),
        (["1", "--out"], (ExitCode.FAILED, "stake")),
        (["much"], (ExitCode.USAGE, "amount")),
        (["1.0000001"], (ExitCode.USAGE, "amount")),
    ],
)
def test_stakes_that_are_not_there_are_refused(
    pouw: Pouw, site: MemorySite, payer: str, arguments: list[str], expected: tuple[ExitCode, str]
) -> None:
    outcome = pouw("wallet", "stake", *arguments, "--json")
    assert (outcome.code, outcome.error_code) == expected
    assert site.balances[payer] == 25_000_000


def test_a_job_pays_for_work_and_keeping(pouw: Pouw, site: MemorySite, payer: str, job_file: Path) -> None:
    assert pouw("submit", job_file).code == ExitCode.OK
    assert site.balances[payer] == 25_000_000 - 10_000_000 - 3_000_000


def test_credits_that_do_not_cover_the_keeping_are_refused_before_the_upload(
    pouw: Pouw, site: MemorySite, payer: str, job_file: Path
) -> None:
    site.give(payer, "12.9")
    outcome = pouw("submit", job_file, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "funds")
    assert "the job costs 13 credits" in str(outcome.json["error"])
    assert "`storage`" in str(outcome.json["hint"])
    assert site.uploads == 0


def test_a_job_file_with_wrong_storage_says_where(pouw: Pouw, home: HomeLayout, job_file: Path) -> None:
    job_file.write_text(JOB_FILE.replace("replicas: 3", "replicas: 0"))
    outcome = pouw("submit", job_file, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.USAGE, "job-file")
    assert f"{job_file}:5: storage.replicas: must be at least 1" in str(outcome.json["error"])


SEGMENTS = tuple(
    ArtifactView(kind="dataset", part=part, root=f"{number:064x}", bytes=size, binding="00" * 32, deals=deals)
    for number, (part, size, deals) in enumerate([("train", 3_000, ()), ("train", 1_000, ()), ("test", 50, ("ab",))])
)
CHECKPOINTS = tuple(
    ArtifactView(kind=kind, part=part, root=root * 32, bytes=100, binding="00" * 32)
    for kind, part, root in (
        ("checkpoint", "9", "a9"),
        ("optimizer", "9", "b9"),
        ("checkpoint", "10", "a0"),
        ("optimizer", "10", "b0"),
    )
)


def test_what_a_job_has_is_listed_with_its_deals(pouw: Pouw, site: MemorySite) -> None:
    site.left = (*CHECKPOINTS, *SEGMENTS)
    words = " ".join(pouw("storage", "artifacts", JOB_ID).out.split())
    assert "checkpoint 10 0.0 MB" in words
    assert f"{SEGMENTS[2].root} ab" in words
    assert msgspec.json.decode(pouw("storage", "artifacts", JOB_ID, "--json").out) == as_json(site.left)


def test_weights_are_kept_in_three_copies_if_nothing_is_said(pouw: Pouw, site: MemorySite, payer: str) -> None:
    outcome = pouw("storage", "keep", JOB_ID, "--reward", "6", "--proofs", "10", "--json")
    assert outcome.code == ExitCode.OK
    (deal,) = site.opened
    assert (deal.root.hex(), deal.data_pieces, len(deal.pieces)) == (WEIGHTS.root, 1, 3)
    assert (deal.price * 30, deal.collateral, deal.proofs) == (6_000_000, 1_000_000, 10)
    assert {(piece.root, piece.size) for piece in deal.pieces} == {(deal.root, deal.size)}
    assert site.balances[payer] == 19_000_000
    (view,) = msgspec.json.decode(outcome.out)
    assert (view["cost"], view["root"]) == ("6", WEIGHTS.root)


def test_a_dataset_is_kept_in_shards_and_paid_for_by_size(pouw: Pouw, site: MemorySite, payer: str) -> None:
    site.left = SEGMENTS
    words = ("--what", "dataset", "--data", "2", "--parity", "1", "--reward", "8", "--proofs", "10")
    outcome = pouw("storage", "keep", JOB_ID, *words)
    assert outcome.code == ExitCode.OK
    assert [(deal.root.hex(), deal.data_pieces, deal.price * 30) for deal in site.opened] == [
        (SEGMENTS[0].root, 2, 6_000_000 - 6_000_000 % 30),
        (SEGMENTS[1].root, 2, 2_000_000 - 2_000_000 % 30),
    ]
    assert site.cut == [(each.root, 2, 3) for each in SEGMENTS[:2]]


@pytest.mark.parametrize(("given", "roots"), [((), {"a0", "b0"}), (("--round", "9"), {"a9", "b9"})])
def test_a_checkpoint_is_kept_with_its_optimizer(
    pouw: Pouw, site: MemorySite, payer: str, given: tuple[str, ...], roots: set[str]
) -> None:
    site.left = (*CHECKPOINTS, *SEGMENTS)
    assert pouw("storage", "keep", JOB_ID, "--what", "checkpoint", *given).code == ExitCode.OK
    assert {deal.root.hex()[:2] for deal in site.opened} == roots


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("--replicas", "3", "--data", "2", "--parity", "1"), ExitCode.USAGE, "scheme"),
        (("--data", "2"), ExitCode.USAGE, "scheme"),
        (("--replicas", "65"), ExitCode.USAGE, "scheme"),
        (("--data", "60", "--parity", "5"), ExitCode.USAGE, "scheme"),
        (("--reward", "many"), ExitCode.USAGE, "amount"),
        (("--reward", "0.000001"), ExitCode.USAGE, "reward"),
        (("--reward", "26"), ExitCode.FAILED, "funds"),
        (("--what", "dataset"), ExitCode.NOT_FOUND, "not-found"),
        (("--what", "checkpoint", "--round", "3"), ExitCode.NOT_FOUND, "not-found"),
    ],
)
def test_what_cannot_be_kept_is_said_and_nothing_is_paid(
    pouw: Pouw, site: MemorySite, payer: str, *, words: tuple[str, ...], code: ExitCode, error: str
) -> None:
    outcome = pouw("storage", "keep", JOB_ID, *words, "--json")
    assert (outcome.code, outcome.error_code) == (code, error)
    assert (site.opened, site.balances[payer]) == ([], 25_000_000)


def test_a_site_that_offers_pieces_of_something_else_is_not_paid(pouw: Pouw, site: MemorySite, payer: str) -> None:
    site.offered = "00" * 32
    outcome = pouw("storage", "keep", JOB_ID, "--json")
    assert outcome.error_code == "artifact"
    assert site.opened == []


def test_a_site_that_offers_more_pieces_than_were_asked_for_is_not_paid(
    pouw: Pouw, site: MemorySite, payer: str
) -> None:
    site.surplus = 1
    outcome = pouw("storage", "keep", JOB_ID, "--json")
    assert outcome.error_code == "artifact"
    assert (site.opened, site.balances[payer]) == ([], 25_000_000)


def test_what_is_under_deals_already_is_not_paid_for_again(pouw: Pouw, site: MemorySite, payer: str) -> None:
    site.left = (msgspec.structs.replace(WEIGHTS, deals=("ab",)),)
    outcome = pouw("storage", "keep", JOB_ID, "--json")
    assert (outcome.code, site.opened) == (ExitCode.FAILED, [])
    assert "deals about all of this already" in outcome.err + outcome.out


def test_an_artifact_is_fetched_by_its_root(pouw: Pouw, site: MemorySite, tmp_path: Path) -> None:
    outcome = pouw("storage", "fetch", WEIGHTS.root, str(tmp_path / "w"))
    assert outcome.code == ExitCode.OK
    assert (tmp_path / "w").read_bytes() == STATE
    outcome = pouw("storage", "fetch", "00" * 32, str(tmp_path / "none"), "--json")
    assert (outcome.code, (tmp_path / "none").exists()) == (ExitCode.NOT_FOUND, False)
    assert pouw("storage", "fetch", "no-root", str(tmp_path / "none"), "--json").code == ExitCode.USAGE
