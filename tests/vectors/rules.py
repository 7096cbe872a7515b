"""Vectors of what the rules compute: nonces, difficulty, sampling, beacons and the state root."""

from consensus.chain.difficulty import next_target
from consensus.chain.genesis import genesis_beacon
from consensus.finality.certificate import derive_beacon
from consensus.ledger.entries import Account, account_key
from consensus.ledger.state import LedgerState, state_root
from consensus.mechanisms.pouw.nonce import nonce, proof_of_work_hash, tries
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Credits, Target
from consensus.records.block import Certificate, Header
from consensus.replay.sampling import is_sampled
from tests.kit.genesis import PARAMS
from tests.kit.work import make_assignment, make_step, word
from tests.vectors.examples import example

LATE_MS = (-10_000, -9_999, -5_000, 0, 1, 15_000, 60_000, 120_000, 9_990_000, 2**62)


def work_vectors() -> object:
    """Steps, their tries and nonces, and the hash under an example header."""
    header = example(Header)
    vectors = []
    for number in range(3):
        step = make_step(make_assignment(word("job"), number), number, weight_bytes=10_000 * number)
        for attempt in (0, 1, 255):
            value = nonce(step.digest, attempt)
            vectors.append(
                {
                    "step": encode(step).hex(),
                    "step_digest": step.digest.hex(),
                    "tries": tries(PARAMS, step),
                    "attempt": attempt,
                    "nonce": value.hex(),
                    "hash": proof_of_work_hash(encode(header), value).hex(),
                }
            )
    return {"params": encode(PARAMS).hex(), "header": encode(header).hex(), "vectors": vectors}


def difficulty_vectors() -> object:
    """The target after early and late blocks, from a middle, the smallest and the easiest target."""
    targets = (Target((1 << 200).to_bytes(32, "big")), Target((1).to_bytes(32, "big")), PARAMS.easiest_target)
    return [
        {
            "before": target.hex(),
            "late_ms": late_ms,
            "target": next_target(PARAMS, target, late_ms).hex(),
        }
        for target in targets
        for late_ms in LATE_MS
    ]


def sampling_vectors() -> object:
    """The slots of the first rounds that are drawn."""
    return [
        {
            "beacon": word("beacon").hex(),
            "job": word("job").hex(),
            "audit_ppm": audit_ppm,
            "drawn": [
                [number, slot]
                for number in range(8)
                for slot in range(8)
                if is_sampled(word("beacon"), word("job"), number, slot, audit_ppm)
            ],
        }
        for audit_ppm in (0, 50_000, 500_000, 1_000_000)
    ]


def beacon_vectors() -> object:
    """The beacon of height 0 and the one an example certificate releases."""
    certificate = example(Certificate)
    assert isinstance(certificate, Certificate)
    first = genesis_beacon(word("chain"))
    return {
        "chain_id": word("chain").hex(),
        "height_0": first.hex(),
        "certificate": encode(certificate).hex(),
        "next": derive_beacon(certificate, first).hex(),
    }


def state_vectors() -> object:
    """Entries and the root over them, as accounts are added one by one."""
    state, vectors = LedgerState(), []
    for number in range(12):
        account = Account(balance=Credits(number * 1_000), excluded=number % 5 == 0)
        key = word("account", number)
        state = state.with_account(key, account).with_totals(issued=account.balance)
        vectors.append({"key": account_key(key).hex(), "value": encode(account).hex(), "root": state_root(state).hex()})
    return {"root_of_nothing": state_root(LedgerState()).hex(), "steps": vectors}
