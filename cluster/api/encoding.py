"""JSON in and out by msgspec, with bodies bounded while they arrive."""

from typing import Final, TypeVar

import msgspec
from fastapi import Request, Response

from cluster.errors import ClusterError, UsageError

JSON_BYTES: Final = 64 * 1024
"""Most bytes of a request that only carries a few fields."""
TRANSACTION_BYTES: Final = 1024 * 1024
SUBMISSION_BYTES: Final = 64 * 1024 * 1024
"""A job's spec and manifest; the manifest has one entry for about 4 MiB of data."""
ARTIFACT_BYTES: Final = 64 * 1024 * 1024

Body = TypeVar("Body", bound=msgspec.Struct)


class TooLargeError(ClusterError):
    """A request's body is over its limit."""

    code = "too-large"
    http_status = 413


class InternalError(ClusterError):
    """A mistake of ours. The details stay in the site's log."""

    code = "internal"


def json_response(value: object, status: int = 200) -> Response:
    """A view, or a tuple of views, as JSON."""
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: it is announced to be, or turns out to be, more than `limit` bytes.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:
        raise TooLargeError(f"a request of {announced} bytes is over the limit of {limit} here")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise TooLargeError(f"the request is over the limit of {limit} bytes here")
    return bytes(body)


async def read_json(request: Request, kind: type[Body], limit: int = JSON_BYTES) -> Body:
    """The body decoded as `kind`.

    Raises:
        TooLargeError: over `limit` bytes.
        UsageError: not JSON of this shape.
    """
    body = await read_body(request, limit)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"the request is not a {kind.__name__}: {error}", code="request") from error
