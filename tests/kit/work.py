"""Records of training without training: a digest is the hash of a word; two works differ where their words do."""

from consensus.crypto.signing import Signed
from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.work import Assignment, RoundCommit, SlotCommit, SlotReport, StepRecord
from tests.kit.genesis import public_key


def word(*parts: object) -> Digest:
    """A digest that stands for some content."""
    return sha256("pouw/test-word/1", *[str(part).encode() for part in parts])


class DictWorkLog:
    """The `WorkLog` port backed by two dictionaries that a test may fill as it likes."""

    def __init__(self) -> None:
        self.reports: dict[tuple[Digest, int, PublicKey], Digest] = {}
        self.states: dict[tuple[Digest, int], Digest] = {}

    def commitments(self, job: Digest, round_number: int, miner: PublicKey) -> frozenset[Digest | None]:
        return frozenset([self.reports.get((job, round_number, miner))])

    def is_start_state(self, job: Digest, round_number: int, state: Digest) -> bool:
        return self.states.get((job, round_number)) == state


def make_assignment(job: Digest, round_number: int = 0, slot: int = 0, **changes: object) -> Assignment:
    """An assignment of a slot to `miner`, from the state `state_word` gives the round."""
    fields: dict[str, object] = {
        "job": job,
        "round": round_number,
        "slot": slot,
        "attempt": 0,
        "miner": public_key("miner"),
        "state": state_word(job, round_number),
    }
    return Assignment(**{**fields, **changes})


def make_step(assignment: Assignment, step: int = 0, salt: str = "", **changes: object) -> StepRecord:
    """A step of the assigned slot. Another `salt` gives other nonces."""
    place = (assignment.job.hex(), assignment.round, assignment.slot, step, salt)
    fields: dict[str, object] = {
        "job": assignment.job,
        "round": assignment.round,
        "slot": assignment.slot,
        "step": step,
        "miner": assignment.miner,
        "indices": word("indices", *place),
        "batch": word("batch", *place),
        "batch_bytes": 16_384,
        "weights_in": assignment.state,
        "weights_out": word("weights", *place),
        "weight_bytes": 65_536,
        "loss_bits": 0x3F800000,
    }
    return StepRecord(**{**fields, **changes})


def make_report(assignment: Assignment, steps: int = 2, salt: str = "", **changes: object) -> SlotReport:
    """A report of the assigned slot with as many steps."""
    fields: dict[str, object] = {
        "job": assignment.job,
        "round": assignment.round,
        "slot": assignment.slot,
        "attempt": assignment.attempt,
        "miner": assignment.miner,
        "replay_class": word("class"),
        "assignment": assignment.digest,
        "steps": tuple(make_step(assignment, number, salt) for number in range(steps)),
        "update": word("update", assignment.digest.hex(), salt),
        "examples": 64,
    }
    return SlotReport(**{**fields, **changes})


def state_word(job: Digest, round_number: int) -> Digest:
    """The state that a round starts from."""
    return word("state", job.hex(), round_number)


def make_commit(job: Digest, round_number: int, reports: list[Signed], **changes: object) -> RoundCommit:
    """A round commit that names these reports in slot order."""
    fields: dict[str, object] = {
        "job": job,
        "round": round_number,
        "state_in": state_word(job, round_number),
        "state_out": state_word(job, round_number + 1),
        "optimizer_out": None,
        "slots": tuple(SlotCommit(miner=report.signer, report=report.digest) for report in reports),
        "loss_bits": 0x3F800000,
    }
    return RoundCommit(**{**fields, **changes})
