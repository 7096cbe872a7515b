"""One miner as the gateway knows it, and how people see it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cluster.actors.remote import Handle
from cluster.control.membership import MinerState
from cluster.views import MinerTally, MinerView

_NOTHING: Final = MinerTally(slots_verified=0, blocks=0, balance="0")


@dataclass(slots=True, kw_only=True)
class MinerRecord:
    """One miner as the gateway knows it."""

    name: str
    handle: Handle
    state: MinerState = MinerState.STARTING
    key: bytes | None = None
    pid: int = 0
    node: str = ""
    slots_run: int = 0
    job: str | None = None
    """The job whose coordinator has taken it on."""
    joined_s: float = 0.0
    """When that was, on the monotonic clock."""
    is_leaving: bool = False
    """It finishes what it holds in its job and then goes to another."""
    refusals: dict[str, str] = field(default_factory=dict)
    """By job, why its coordinator takes nothing from it any more."""
    starting: asyncio.Task[None] | None = None

    @property
    def is_counted(self) -> bool:
        """Whether it is one of those that were asked for."""
        return self.state in (MinerState.STARTING, MinerState.IDLE, MinerState.WORKING, MinerState.SILENT)

    @property
    def is_present(self) -> bool:
        """Whether it can be given work."""
        return self.state in (MinerState.IDLE, MinerState.WORKING)

    def release(self) -> None:
        """It has no job any more."""
        self.job, self.is_leaving = None, False
        if self.state is MinerState.WORKING:
            self.state = MinerState.IDLE

    def view(self, tallies: Mapping[bytes, MinerTally], names: Mapping[str, str]) -> MinerView:
        """The miner for people. `names` of jobs by id."""
        tally = tallies.get(self.key or b"", _NOTHING)
        return MinerView(
            miner="" if self.key is None else self.key.hex(),
            name=self.name,
            pid=self.pid,
            node=self.node,
            device="cpu",
            state=self.state.value,
            job=self.job,
            reason=self._reason(names),
            slots_verified=tally.slots_verified,
            slots_run=self.slots_run,
            slots_unsettled=tally.slots_unsettled,
            unpaid=tally.unpaid,
            blocks=tally.blocks,
            credits=tally.balance,
        )

    def _reason(self, names: Mapping[str, str]) -> str:
        if self.state is not MinerState.IDLE:
            return _REASONS.get(self.state, "")
        refused = [f"{names[job]} refuses it: {why}" for job, why in self.refusals.items() if job in names]
        if refused:
            return "; ".join(refused)
        if self.job is None:
            return "no job needs it now"
        name = names.get(self.job, self.job[:12])
        return f"leaves {name} for another job" if self.is_leaving else f"waits for a slot of {name}"


_REASONS: Final = {
    MinerState.STARTING: "its process starts",
    MinerState.SILENT: "does not answer: others run its slots, it is replaced if it stays silent",
    MinerState.DRAINING: "finishes its slots and leaves",
    MinerState.LOST: "its process ended",
    MinerState.EXCLUDED: "a replay proved fraud: it is not paid and gets no more work",
}
