"""Who of a site's roles still answers: signed heartbeats and passing time in, silence and death out.

Whoever watches asks each role again and again, and numbers its questions; the answer is signed and names the watch and
the question. So an answer that was recorded earlier is refused without anybody's clock: its question is answered
already, or was another watch's. Time enters as what has passed between two ticks, at most `STEP_S` of it: a watch that
was held up itself, on a busy machine or by a debugger, has not listened and so accuses nobody.

Two steps: a role that is *silent* may only be slow, and nothing is taken from it that it could miss; one that stays so
is *dead* and is killed. One that its machine finds stopped by a signal, twice in a row, is dead without more waiting.
What either means for a role is for its carer to say. Nothing here acts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeAlias

from cluster.errors import HeartbeatError
from consensus.crypto.keys import Signer
from consensus.crypto.signing import decode_signed, open_signed, sign
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest, PublicKey, Uint32, Uint63

PERIOD_S: Final = 1.0
"""Between two questions to a role: each costs a call, at both ends."""
HERE_PERIOD_S: Final = 2.0
"""The same for roles on the watcher's machine: that they have ended or were stopped is seen sooner, by looking."""
TICK_S: Final = 0.25
"""Between two looks at the clock, and at the processes of this machine, which costs next to nothing."""
STEP_S: Final = 1.0
"""No pause between two ticks counts for more."""


class Heartbeat(Record, frozen=True, tag="pouw/heartbeat/1"):
    """A role's word that its process answered one question. Signed by the role."""

    role: str
    pid: Uint32
    watch: Digest
    """Who asked: drawn at random by each process that watches."""
    question: Uint63
    work: Uint63 = 0
    """Slots that this process ran; 0 for roles that run none."""


def answer(signer: Signer, chain_id: Digest, heartbeat: Heartbeat) -> bytes:
    """The signed answer of a role."""
    return encode(sign(signer, chain_id, heartbeat))


class Pulse(StrEnum):
    """How a role is doing."""

    STARTING = "starting"
    ALIVE = "alive"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """After how many seconds without an answer a role counts as what, if it is asked every `PERIOD_S`."""

    silent_s: float = 2.5
    dead_s: float = 10.0
    start_s: float = 120.0
    """Dead if it did not answer at all by then."""

    def at_period(self, period_s: float) -> "Patience":
        """As long after a question, for a role that is asked less often."""
        later_s = period_s - PERIOD_S
        return replace(self, silent_s=self.silent_s + later_s, dead_s=self.dead_s + later_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One role under watch."""

    patience: Patience
    key: PublicKey | None = None
    """Who has to sign; whoever does first, if that was not known."""
    pid: int = 0
    answered: int = -1
    """The newest question it answered."""
    quiet_s: float = 0.0
    was_stopped: bool = False
    """Whether a signal had stopped it at the last tick."""
    pulse: Pulse = Pulse.STARTING


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """Everything a watch knows."""

    watch: Digest
    next_question: int = 0
    roles: Mapping[str, Watched] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A role is to be watched. If it was known, another process has taken its place."""

    role: str
    patience: Patience
    key: PublicKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A role is not there any more, and rightly so."""

    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """An answer arrived that `open_beat` accepted."""

    heartbeat: Heartbeat
    signer: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """So much time has passed since the last tick."""

    passed_s: float
    stopped: frozenset[str] = frozenset()
    """Roles whose processes a signal has stopped, as their machine says: to wait for their answers is in vain."""


Event: TypeAlias = Begun | Ended | Beat | Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A role answers for the first time, again, or from another process than before."""

    role: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FellSilent:
    """A role does not answer. It may be slow."""

    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """A role has not answered for so long that its process is to be killed. It counts as starting from now on."""

    role: str
    pid: int
    """0 if it never answered."""


Effect: TypeAlias = Heard | FellSilent | Died


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """The next state and what has happened, in order."""

    state: WatchState
    effects: tuple[Effect, ...] = ()


def ask(state: WatchState) -> tuple[WatchState, int]:
    """Number the next question."""
    return replace(state, next_question=state.next_question + 1), state.next_question


def open_beat(state: WatchState, data: bytes, chain_id: Digest) -> Beat:
    """Check an answer.

    Raises:
        SignatureError, EncodingError: not a signed heartbeat of this chain.
        HeartbeatError: of a role that is not watched, by another key, of another watch, to no question that was asked,
            or to one that is answered.
    """
    signed = decode_signed(data)
    beat = open_signed(signed, Heartbeat, chain_id)
    role = state.roles.get(beat.role)
    if role is None:
        raise HeartbeatError(f"{beat.role[:64]!r} is not watched", code="heartbeat-role")
    if role.key not in (None, signed.signer):
        raise HeartbeatError(f"{beat.role} does not sign with its key", code="heartbeat-key")
    if beat.watch != state.watch:
        raise HeartbeatError(f"{beat.role} answers another watch", code="heartbeat-watch")
    if not role.answered < beat.question < state.next_question:
        raise HeartbeatError(f"{beat.role} answers question {beat.question} out of order", code="heartbeat-replayed")
    return Beat(heartbeat=beat, signer=signed.signer)


def step(state: WatchState, event: Event) -> Transition:
    """What `event` leads to."""
    match event:
        case Begun(role=role, patience=patience, key=key):
            return _with(state, role, Watched(patience=patience, key=key, answered=state.next_question - 1))
        case Ended(role=role):
            return Transition(state=replace(state, roles={n: r for n, r in state.roles.items() if n != role}))
        case Beat():
            return _hear(state, event)
        case Tick():
            return _wait(state, event)


def _with(state: WatchState, name: str, role: Watched, *effects: Effect) -> Transition:
    return Transition(state=replace(state, roles={**state.roles, name: role}), effects=effects)


def _hear(state: WatchState, event: Beat) -> Transition:
    beat, known = event.heartbeat, state.roles[event.heartbeat.role]
    heard = replace(known, key=event.signer, pid=beat.pid, answered=beat.question, quiet_s=0.0, pulse=Pulse.ALIVE)
    is_news = known.pulse is not Pulse.ALIVE or known.pid != beat.pid
    return _with(state, beat.role, heard, *([Heard(role=beat.role, pid=beat.pid)] if is_news else []))


def running(state: WatchState) -> tuple[tuple[str, int], ...]:
    """Roles that have answered, with their processes: worth a look whether a signal has stopped them."""
    roles = state.roles.items()
    return tuple((name, role.pid) for name, role in roles if role.pid and role.pulse is not Pulse.STARTING)


def _wait(state: WatchState, tick: Tick) -> Transition:
    passed_s = min(tick.passed_s, STEP_S)
    roles: dict[str, Watched] = {}
    effects: list[Effect] = []
    for name, role in state.roles.items():
        is_stopped = name in tick.stopped and role.pulse is not Pulse.STARTING
        roles[name] = later = _judge(replace(role, quiet_s=role.quiet_s + passed_s), is_stopped=is_stopped)
        if later.pulse is Pulse.SILENT and role.pulse is Pulse.ALIVE:
            effects.append(FellSilent(role=name))
        elif later.quiet_s < role.quiet_s + passed_s:
            effects.append(Died(role=name, pid=role.pid))
    return Transition(state=replace(state, roles=roles), effects=tuple(effects))


def _judge(role: Watched, *, is_stopped: bool) -> Watched:
    patience = role.patience
    limit_s = patience.start_s if role.pulse is Pulse.STARTING else patience.dead_s
    if role.quiet_s > limit_s or (is_stopped and role.was_stopped):
        return replace(role, pulse=Pulse.STARTING, quiet_s=0.0, was_stopped=False, pid=0)
    is_silent = role.pulse is Pulse.ALIVE and role.quiet_s > patience.silent_s
    return replace(role, pulse=Pulse.SILENT if is_silent else role.pulse, was_stopped=is_stopped)
