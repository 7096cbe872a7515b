"""Watches over actors: asks each for its heartbeat, has cluster.control.heartbeats judge, and passes on what changed.

One question a role is under way at a time, so a frozen process has one to answer when it wakes. The gateway watches
over supervisor, verifier, coordinators and miners; the host process over the gateway. A role that runs on the watcher's
own machine is killed here when it is dead by the rules, and Ray starts it again; of others `on_change` has to dispose.
"""

import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import psutil
import ray

from cluster.actors.remote import Handle, cause_of
from cluster.config import ProcessMark, mark_process
from cluster.control.heartbeats import (
    HERE_PERIOD_S,
    PERIOD_S,
    TICK_S,
    Begun,
    Died,
    Ended,
    Event,
    FellSilent,
    Heard,
    Heartbeat,
    Patience,
    Tick,
    WatchState,
    answer,
    ask,
    open_beat,
    running,
    step,
)
from cluster.errors import HeartbeatError
from consensus.crypto.keys import Signer
from consensus.errors import ConsensusError
from consensus.primitives.integers import Digest, PublicKey

STOPPED: Final = "T"
ENDED: Final = ("", "Z", "X")

_log = logging.getLogger("pouw.heartbeats")


@dataclass(frozen=True, slots=True)
class Heart:
    """Answers for one role. Its process may be busy: Ray calls this in a thread of its own."""

    signer: Signer
    chain_id: Digest
    role: str

    def beat(self, watch: bytes, question: int, work: int = 0) -> bytes:
        """The signed answer to one question."""
        beat = Heartbeat(role=self.role, pid=os.getpid(), watch=Digest(watch), question=question, work=work)
        return answer(self.signer, self.chain_id, beat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Ray says that the actor's process ended and that it is not started again."""

    role: str


Change: TypeAlias = Heard | FellSilent | Died | Gone


@dataclass(slots=True, kw_only=True)
class Vigil:
    """One watch. `watch` is drawn at random for each process that watches."""

    chain_id: Digest
    watch: Digest
    on_change: Callable[[Change], None]
    work: dict[str, int] = field(default_factory=dict)
    """What each role said last about the work it has done."""
    _state: WatchState = field(init=False)
    _handles: dict[str, Handle] = field(default_factory=dict)
    _at_home: dict[str, ProcessMark | None] = field(default_factory=dict)
    _here: set[str] = field(default_factory=set)
    _asking: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _asked_s: dict[str, float] = field(default_factory=dict)
    """When each role was asked last."""

    def __post_init__(self) -> None:
        self._state = WatchState(watch=self.watch)

    def begin(
        self,
        role: str,
        handle: Handle,
        patience: Patience,
        *,
        key: PublicKey | None = None,
        is_at_home: bool = False,
        is_here: bool = False,
    ) -> None:
        """Watch over an actor from now on. `is_here`: it runs on this machine; `is_at_home`: Ray restarts it there."""
        self.end(role)
        self._handles[role] = handle
        if is_here or is_at_home:
            self._here.add(role)
            patience = patience.at_period(HERE_PERIOD_S)
        if is_at_home:
            self._at_home[role] = None
        self._tell(Begun(role=role, patience=patience, key=key))

    def end(self, role: str) -> None:
        """Watch over it no more."""
        self._tell(Ended(role=role))
        self._handles.pop(role, None)
        self._at_home.pop(role, None)
        self._here.discard(role)
        self.work.pop(role, None)
        self._asked_s.pop(role, None)
        asking = self._asking.pop(role, None)
        if asking is not None:
            asking.cancel()

    def is_watched(self, role: str) -> bool:
        """Whether an actor is watched over."""
        return role in self._handles

    async def run(self) -> None:
        """Ask and judge, until it is cancelled."""
        before_s = time.monotonic()
        while True:
            for role in [role for role in self._handles if self._is_due(role, before_s)]:
                self._asked_s[role] = before_s
                self._asking[role] = asyncio.create_task(self._ask(role, self._handles[role]))
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            self._tell(Tick(passed_s=now_s - before_s, stopped=self._look()))
            before_s = now_s

    def _is_due(self, role: str, now_s: float) -> bool:
        period_s = HERE_PERIOD_S if role in self._here else PERIOD_S
        return role not in self._asking and now_s - self._asked_s.get(role, -math.inf) >= period_s

    def _look(self) -> frozenset[str]:
        """The roles on this machine whose processes a signal has stopped. Those that have ended are asked at once."""
        looks = {role: process_state(pid) for role, pid in running(self._state) if role in self._here}
        for role in (role for role, state in looks.items() if state in ENDED):
            self._asked_s.pop(role, None)  # Ray's answer says what becomes of it
        return frozenset(role for role, state in looks.items() if state == STOPPED)

    async def _ask(self, role: str, handle: Handle) -> None:
        self._state, question = ask(self._state)
        try:
            data = await handle.beat.remote(self.watch, question)
            beat = open_beat(self._state, data, self.chain_id)
        except ray.exceptions.ActorDiedError as error:
            _log.warning("%s is gone: %s", role, str(error).partition("\n")[0])
            self.end(role)
            self.on_change(Gone(role=role))
        except ray.exceptions.RayError as error:
            _log.info("%s does not answer: %s", role, str(cause_of(error)).partition("\n")[0])
            self._asked_s.pop(role, None)  # it may be starting again
        except (ConsensusError, HeartbeatError) as error:
            _log.warning("refused a heartbeat of %s: %s", role, error)
        else:
            self.work[role] = beat.heartbeat.work
            self._tell(beat)
        finally:
            if self._asking.get(role) is asyncio.current_task():
                self._asking.pop(role)

    def _tell(self, event: Event) -> None:
        transition = step(self._state, event)
        self._state = transition.state
        for effect in transition.effects:
            self._note(effect)
            self.on_change(effect)

    def _note(self, effect: Heard | FellSilent | Died) -> None:
        match effect:
            case Heard(role=role, pid=pid):
                _log.info("%s answers, process %d", role, pid)
                if role in self._at_home:
                    self._at_home[role] = _mark(pid)
            case FellSilent(role=role):
                _log.warning("%s does not answer", role)
            case Died(role=role) if role in self._at_home:
                self._kill(role, self._at_home[role])

    def _kill(self, role: str, mark: ProcessMark | None) -> None:
        """End a role's process, which Ray starts again. One that never answered is known to Ray only."""
        if mark is None or not mark.is_alive:
            _log.error("%s never answered: it is started again", role)
            ray.kill(self._handles[role], no_restart=False)
            return
        _log.error("%s stays silent: process %d is killed, Ray starts it again", role, mark.pid)
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(mark.pid, signal.SIGKILL)


def _mark(pid: int) -> ProcessMark | None:
    try:
        return mark_process(pid)
    except psutil.NoSuchProcess:
        return None


def process_state(pid: int) -> str:
    """Linux's letter for it, a small `t` for one that a debugger holds; empty if there is no such process."""
    try:
        about = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return about[about.rindex(")") + 2]
