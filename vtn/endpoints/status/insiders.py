"""Who may be told how this server is: Business Logic, and whoever asks from this machine itself.

To everybody else the server tells no more than that it is up or down. A proxy on this machine must say that it is one
(`X-Forwarded-For`, `Forwarded` or `Via`), or what it passes on looks as if it came from here.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from vtn.endpoints.guard import HttpContext, authenticate
from vtn.errors import VtnError
from vtn.rules.scopes import ApiOperation
from vtn.settings import is_loopback

PROXY_HEADERS = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via")
WATCH = ApiOperation("watch", "GET", "/", None)

Insider = Callable[[web.Request], Awaitable[bool]]


def nearby(request: web.Request) -> bool:
    """Whether the request comes from this machine itself, and not through a proxy on it."""
    if any(name in request.headers for name in PROXY_HEADERS):
        return False
    return request.remote != "localhost" and is_loopback(request.remote)  # a name is no proof of an address


async def everyone(_request: web.Request) -> bool:
    """Makes everybody an insider."""
    return True


def insider(context: HttpContext) -> Insider:
    """What tells whether a request is an insider's; a proof that does not hold is as good as none."""

    async def judged(request: web.Request) -> bool:
        if nearby(request):
            return True
        try:
            return (await authenticate(context, request, WATCH)).is_bl
        except VtnError:
            return False

    return judged
