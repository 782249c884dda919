"""Where an automaker's file listens: the addresses and bounds that its table of settings names, and ports for webhooks.

Keys of the table: `webhook_host` and `webhook_port` beside `webhook_secret`, or `host` and `port` beside `stations`;
and `listening`, the bounds of connections, as `[bounds.connections]` of the VTN has them.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pydantic
from aiohttp import web

from ven_adapters.contract import BackendError, ErrorCode
from vtn.bounds import ConnectionBounds
from vtn.listening.http import HttpOptions, listening
from vtn.listening.sockets import CannotListen, ListenAddress

LOOPBACK_HOST = "127.0.0.1"
STATIONS_PORT = 9310


def bounds_of(table: Mapping[str, Any]) -> ConnectionBounds:
    """The table `listening` of an automaker's settings; BackendError INVALID_REQUEST names the key that is wrong."""
    try:
        return ConnectionBounds.model_validate(table.get("listening", {}))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(("listening", *map(str, first["loc"])))
        rule = "is not a setting" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise BackendError(ErrorCode.INVALID_REQUEST, f"{key}: {rule}") from None


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
