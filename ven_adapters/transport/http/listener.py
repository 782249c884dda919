"""Where an automaker's file listens: the addresses that its table of settings names, and ports for webhooks."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web

from ven_adapters.contract import BackendError, ErrorCode
from vtn.bounds import ConnectionBounds
from vtn.listening.http import HttpOptions, listening
from vtn.listening.sockets import CannotListen, ListenAddress

LOOPBACK_HOST = "127.0.0.1"
STATIONS_PORT = 9310


@dataclasses.dataclass(frozen=True, slots=True)
class WebhookAddress:
    """Where to listen, and the secret that signs."""

    secret: str = dataclasses.field(repr=False)
    host: str = LOOPBACK_HOST
    port: int = 0
    bounds: ConnectionBounds = dataclasses.field(default_factory=ConnectionBounds)


def addresses_of(table: Mapping[str, Any]) -> list[ListenAddress]:
    """Where an automaker's file will listen, by a table that it has accepted."""
    found = []
    if table.get("webhook_secret") is not None:
        host, port = table.get("webhook_host") or LOOPBACK_HOST, table.get("webhook_port") or 0
        found.append(ListenAddress(host, port, "backend.webhook_port"))
    if table.get("stations") is not None:
        port = table["port"] if table.get("port") is not None else STATIONS_PORT
        found.append(ListenAddress(table.get("host") or LOOPBACK_HOST, port, "backend.port"))
    return found


@contextlib.asynccontextmanager
async def receiving(app: web.Application, where: ListenAddress, bounds: ConnectionBounds) -> AsyncIterator[int]:
    """Take webhooks at an address; the port. BACKEND_TRANSIENT while somebody else has it: it may be ours again."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(listening(app, where, HttpOptions(bounds)))
        except CannotListen as error:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, str(error)) from None
        yield port
