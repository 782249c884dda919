"""Let go of what is older than it must be kept, slice by slice, so that everything else goes on between two slices."""

import asyncio
import logging
from collections.abc import Callable, Collection
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from ven_adapters.ven.store.database import AdapterStore
from vtn.clock import Clock

FORGET_EVERY_S = 3600.0
PAUSE_S = 0.25

_log = logging.getLogger(__name__)


async def forget(
    store: AdapterStore, clock: Clock, kept: timedelta, live_events: Callable[[], Collection[str] | None]
) -> None:
    """Delete what is older than `kept`, as soon as it is known what still counts and then every hour; never returns."""
    while True:
        live = live_events()
        if live is None:
            await asyncio.sleep(PAUSE_S)
            continue
        try:
            gone = await store.forget(clock.now() - kept, live)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("the store is out of reach, and nothing old is let go: %s", type(error).__name__)
            gone = 0
        await asyncio.sleep(PAUSE_S if gone else FORGET_EVERY_S)
