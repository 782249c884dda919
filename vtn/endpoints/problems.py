"""What went wrong, as OpenADR problem documents (ERR-01..15). The only place where an error meets a status."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from vtn import errors
from vtn.endpoints import request_id
from vtn.wire import document

STATUSES: Mapping[type[errors.VtnError], HTTPStatus] = {
    errors.Rejected: HTTPStatus.BAD_REQUEST,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Moved: HTTPStatus.CONFLICT,
    errors.OverQuota: HTTPStatus.FORBIDDEN,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.TooSlow: HTTPStatus.REQUEST_TIMEOUT,
    errors.TooOften: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
AUTHENTICATE = "WWW-Authenticate"
CHALLENGE = 'Bearer error="invalid_token"'
MEDIA_TYPE = "application/json"
OUT_OF_REACH = "the server cannot reach its database; a write may or may not have taken effect"


def problem(
    status: HTTPStatus,
    detail: str,
    *,
    media_type: str = MEDIA_TYPE,
    extra: Mapping[str, Any] | None = None,
    challenge: str | None = None,
) -> web.Response:
    """A problem answer; `instance` is the request's id, which its log lines and its answer's head carry too.

    No cache keeps it. `challenge` says by which scheme the client may prove who it is, if a 401 or 403 is to say so.
    """
    content = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "instance": request_id.urn(),
        **(extra or {}),
    }
    headers = {"Content-Type": media_type, request_id.HEADER: request_id.current(), "Cache-Control": "no-store"}
    headers |= {AUTHENTICATE: challenge} if challenge else {}
    return web.Response(status=status, body=document.render(content), headers=headers)


def refusal(error: errors.VtnError, *, media_type: str = MEDIA_TYPE) -> web.Response:
    """The answer to a request that was refused on purpose; every fault of the request is listed."""
    status = STATUSES.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    faults = [{"path": f.path, "rule": f.rule} for f in error.faults] if isinstance(error, errors.Rejected) else []
    detail = OUT_OF_REACH if status is HTTPStatus.SERVICE_UNAVAILABLE else str(error)
    extra = {"errors": faults} if faults else None
    answer = problem(status, detail, media_type=media_type, extra=extra, challenge=_challenge(error))
    if isinstance(error, errors.TooOften):
        answer.headers["Retry-After"] = str(math.ceil(error.wait_s))
    return answer


def _challenge(error: errors.VtnError) -> str | None:
    """What RFC 6750, 3.1 says of a bearer token that does not hold, or holds too little."""
    if isinstance(error, errors.Unauthenticated):
        return CHALLENGE
    if isinstance(error, errors.Forbidden) and error.scope:
        return f'Bearer error="insufficient_scope", scope="{error.scope}"'
    return None
