"""Catch the browser that comes back from a vendor's consent page: on this machine's own page, or as a pasted address.

Only a return that carries the state of the consent that was begun is taken; any other is answered and forgotten, so
that nobody's browser can end, or take over, somebody else's consent. Nothing that came back is shown or logged.
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from ven_adapters.contract import BackendError, ErrorCode
from vtn.listening.http import listening as answering
from vtn.listening.http import proven, same_secret
from vtn.listening.sockets import CannotListen, ListenAddress
from vtn.pages import rendered
from vtn.settings import LOOPBACK

MOST_QUERY = 8_192
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
PAGE = "ven_adapters.linking/returns.html"
DONE = rendered(PAGE, title="Thank you", text="You may close this page; the adapter goes on in its terminal.")
NOT_OURS = rendered(PAGE, title="Not this one", text="This return does not belong to the consent that was begun here.")


def matches(returned: Mapping[str, str], state: str) -> bool:
    """Whether a return carries the state, compared in constant time."""
    return same_secret(returned.get("state"), state)


def pasted(text: str, state: str) -> dict[str, str]:
    """What a pasted address brought back; INVALID_REQUEST when it is none, or of another consent."""
    try:
        query = urlsplit(text.strip()).query
    except ValueError:
        query = ""
    if not query or len(query) > MOST_QUERY:
        raise BackendError(ErrorCode.INVALID_REQUEST, "address: paste the whole address that the browser shows, with ?")
    returned = dict(parse_qsl(query, keep_blank_values=True))
    if not matches(returned, state):
        raise BackendError(ErrorCode.INVALID_REQUEST, "state: this address is of another consent; begin again")
    return returned


@contextlib.asynccontextmanager
async def listening(address: str, state: str) -> AsyncIterator["asyncio.Future[dict[str, str]]"]:
    """Listen at a loopback address of this machine; the future gets what the right browser brings back."""
    parts = urlsplit(address)
    came: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def back(request: web.Request) -> web.Response:
        returned = dict(request.query)
        if len(request.query_string) > MOST_QUERY or not matches(returned, state):
            return web.Response(status=400, text=NOT_OURS, content_type="text/html", headers=HEADERS)
        proven(request)
        if not came.done():
            came.set_result(returned)
        return web.Response(text=DONE, content_type="text/html", headers=HEADERS)

    app = web.Application()
    app.router.add_get(parts.path or "/", back)
    async with contextlib.AsyncExitStack() as stack:
        await _listen(stack, app, ListenAddress(parts.hostname or "", parts.port or 80))
        yield came


async def _listen(stack: contextlib.AsyncExitStack, app: web.Application, where: ListenAddress) -> None:
    if where.host not in LOOPBACK:
        detail = "consent.redirect_uri: is not an address of this machine; use --paste and paste the returned address"
        raise BackendError(ErrorCode.INVALID_REQUEST, detail)
    try:
        await stack.enter_async_context(answering(app, where))
    except CannotListen as error:
        hint = ": is another link under way?" if error.errno == errno.EADDRINUSE else ""
        detail = f"consent.redirect_uri: port {where.port} cannot be used ({error.strerror}){hint}"
        raise BackendError(ErrorCode.INVALID_REQUEST, detail) from None
