"""Every error as one kind of answer: an `ErrorView` with a stable code and the HTTP status it stands for."""

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from cluster.api.encoding import InternalError, json_response
from cluster.errors import ClusterError
from cluster.views import ErrorView
from consensus.errors import EncodingError, RejectedError, SignatureError

logger = logging.getLogger(__name__)

_CONFLICT = 409
_UNPROCESSABLE = 422


def error_response(error: ClusterError) -> Response:
    """The answer for an error that knows its own words."""
    view = ErrorView(error=error.message, code=error.code, hint=error.hint)
    return json_response(view, error.http_status)


def internal_response() -> Response:
    """The answer for an error nobody expected: nothing of it leaves the site."""
    return error_response(InternalError("the site failed on this request", hint="the reason is in the site's log"))


def install_failures(app: FastAPI) -> None:
    """Answer every known kind of error in the one form."""
    app.add_exception_handler(ClusterError, _on_cluster_error)
    app.add_exception_handler(RejectedError, _on_rejected)
    app.add_exception_handler(EncodingError, _on_malformed)
    app.add_exception_handler(SignatureError, _on_malformed)
    app.add_exception_handler(RequestValidationError, _on_bad_parameter)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_cluster_error(_request: Request, error: Exception) -> Response:
    return error_response(error) if isinstance(error, ClusterError) else internal_response()


async def _on_rejected(_request: Request, error: Exception) -> Response:
    code = str(error.code) if isinstance(error, RejectedError) else "rejected"
    return json_response(ErrorView(error=f"the ledger refuses this: {error}", code=code), _CONFLICT)


async def _on_malformed(_request: Request, error: Exception) -> Response:
    code = "signature" if isinstance(error, SignatureError) else "encoding"
    return json_response(ErrorView(error=str(error), code=code), _UNPROCESSABLE)


async def _on_bad_parameter(_request: Request, error: Exception) -> Response:
    mistakes = error.errors() if isinstance(error, RequestValidationError) else []
    words = "; ".join(f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in mistakes)
    return json_response(ErrorView(error=f"bad parameter: {words}", code="request"), _UNPROCESSABLE)


async def _on_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return internal_response()
    view = ErrorView(error=str(error.detail), code="route", hint="the command line and the site may differ in version")
    return json_response(view, error.status_code)
