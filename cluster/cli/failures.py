"""The edge where every error becomes words, a code and an exit code. A traceback goes to a file, never to the user."""

import os
import traceback
from typing import Final

from typer import Abort, TyperException

from cluster.config import HomeLayout, home_from_environment
from cluster.errors import ClusterError, ConflictError, ExitCode, UsageError
from cluster.secret_file import make_private_folder
from cluster.views import ErrorView

INTERRUPTED: Final = ErrorView(error="interrupted", code="interrupted")


def describe(error: BaseException) -> tuple[ErrorView, ExitCode]:
    """What to tell the user about an error, and what to exit with."""
    if isinstance(error, KeyboardInterrupt | Abort):
        return INTERRUPTED, ExitCode.INTERRUPTED
    known = _as_cluster_error(error)
    if known is None:
        return _describe_crash(error, home_from_environment())
    return ErrorView(error=known.message, code=known.code, hint=known.hint), known.exit_code


def _as_cluster_error(error: BaseException) -> ClusterError | None:
    if isinstance(error, ClusterError):
        return error
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "pouw"
        return UsageError(error.format_message(), hint=f"see: {command} --help")
    if isinstance(error, OSError) and error.filename is not None:
        return ClusterError(f"{error.filename}: {error.strerror}", code="file")
    return _from_packages(error)


def _from_packages(error: BaseException) -> ClusterError | None:
    from consensus.errors import ConsensusError, RejectedError
    from jobs.errors import DataError, DeterminismError, JobError, JobFileError, ModelError

    if isinstance(error, JobFileError):
        return UsageError(str(error), code="job-file")
    if isinstance(error, JobError):
        codes = {DataError: "data", ModelError: "model", DeterminismError: "determinism"}
        return ClusterError(str(error), code=next((codes[kind] for kind in codes if isinstance(error, kind)), "job"))
    if isinstance(error, RejectedError):
        return ConflictError(f"the ledger refuses this: {error}", code=str(error.code))
    if isinstance(error, ConsensusError):
        return ClusterError(str(error), code="encoding")
    return None


def _describe_crash(error: BaseException, home: HomeLayout) -> tuple[ErrorView, ExitCode]:
    words = f"this is a mistake in pouw itself: {type(error).__name__}: {error}"
    try:
        make_private_folder(home.root)
        with os.fdopen(os.open(home.crash_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            traceback.print_exception(error, file=file)
        hint = f"the details are at the end of {home.crash_log}"
    except OSError as refused:
        hint = f"the details could not be written to {home.crash_log}: {refused.strerror}"
    return ErrorView(error=words, code="internal", hint=hint), ExitCode.FAILED
