"""`vtn 20b upstream`: every utility's VEN in one process, until it is stopped."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

from vtn.clock import parse_clock
from vtn.errors import CannotStart
from vtn.ids import uuids
from vtn.oadr20b.process import run_bridge
from vtn.oadr20b.settings import OWN_FILES
from vtn.oadr20b.store.database import opened
from vtn.oadr20b.upstream.settings import UpstreamSettings
from vtn.oadr20b.upstream.ven import UpstreamParts, UpstreamVen
from vtn.oadr20b.vtn_client import vtn_client
from vtn.privatefiles import closed_tree
from vtn.tasks import cancel_tasks

TIDY_S = 3_600.0


async def upstream(settings: UpstreamSettings) -> None:
    """Be a VEN of every utility until SIGTERM or SIGINT; CannotStart names what the operator must mend."""
    said = f"upstream is ready: {', '.join(settings.utilities)}"
    await run_bridge(running(settings), lambda _: said, lambda tasks: tasks)


@contextlib.asynccontextmanager
async def running(settings: UpstreamSettings) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Every utility's VEN as a task, for the length of a block."""
    try:
        closed_tree(settings.var, OWN_FILES)
    except OSError as error:
        raise CannotStart(f"the folder {settings.var} cannot be used: {error.strerror}") from None
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened(settings.store()))
        client = await stack.enter_async_context(vtn_client(settings.vtn))
        chance = random.Random()  # noqa: S311 - jitter between polls, not a secret
        parts = UpstreamParts(settings, store, client, parse_clock(settings.clock), chance, uuids())
        vens = [UpstreamVen(name, utility, parts) for name, utility in settings.utilities.items()]
        for ven in vens:
            stack.push_async_callback(ven.link.close)
        tasks = [asyncio.create_task(ven.run(), name=ven.name) for ven in vens]
        tasks.append(asyncio.create_task(_tidy(vens, parts)))
        stack.push_async_callback(cancel_tasks, tasks)
        yield tasks


async def _tidy(vens: list[UpstreamVen], parts: UpstreamParts) -> None:
    while True:
        await parts.store.forget(parts.clock.now(), parts.settings.journal_days)
        for ven in vens:
            await ven.tidy()
        await asyncio.sleep(TIDY_S)
