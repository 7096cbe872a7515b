"""Errors that reach a person: what is wrong, a stable code, what to do next, and the exit code it stands for."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command (stable)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    NOT_AUTHORISED = 5
    INTERRUPTED = 130


class ClusterError(Exception):
    """Base. `code` is stable and crosses HTTP; `hint` says what to do next."""

    exit_code: ExitCode = ExitCode.FAILED
    code: str = "failed"
    http_status: int = 500

    def __init__(self, message: str, hint: str = "", code: str | None = None) -> None:
        self.message, self.hint = message, hint
        if code is not None:
            self.code = code
        super().__init__(message, hint, code)

    def __str__(self) -> str:
        return self.message


class UsageError(ClusterError):
    """The command or its input is wrong."""

    exit_code = ExitCode.USAGE
    code = "usage"
    http_status = 422


class UnreachableError(ClusterError):
    """Nobody answers, or not now: trying again may help."""

    exit_code = ExitCode.UNREACHABLE
    code = "unreachable"
    http_status = 503


class NotFoundError(ClusterError):
    """There is no such job, miner, account or block."""

    exit_code = ExitCode.NOT_FOUND
    code = "not-found"
    http_status = 404


class NotAuthorisedError(ClusterError):
    """Wrong token, key or passphrase."""

    exit_code = ExitCode.NOT_AUTHORISED
    code = "not-authorised"
    http_status = 401


class ConflictError(ClusterError):
    """Not in this state: the job is not finished, the site is already up, a rule of the ledger says no."""

    code = "conflict"
    http_status = 409


class HeartbeatError(ClusterError):
    """An answer to a watch that is not the one it asked for. Nothing follows from it."""

    code = "heartbeat"
