"""Tell drivers of events before and after them: signed webhooks to the automaker's app, each again until it is taken.

Some at a time, in no order between cars, so that one car's notice that the app will not have keeps no other back for
long. What is told is marked in the store, so a restart repeats at most what was under way; every repetition has the
same `notice_id`.
"""

import asyncio
import logging

import aiohttp
from sqlalchemy.exc import SQLAlchemyError

from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.enrolment_api.webhooks.notice_store import forget_notices, note_told, untold_notices
from ven_adapters.enrolment_api.webhooks.notices import EventNotice
from ven_adapters.enrolment_api.webhooks.webhook_sender import (
    ANSWER_S,
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    LOOK_EVERY_S,
    post_signed,
)
from vtn.clock import Clock
from vtn.limits import doubled_s

MOST_READ, AT_ONCE = 400, 16
FORGET_EVERY_S = 60.0

_log = logging.getLogger(__name__)


async def tell_drivers(store: EnrolmentStore, url: str, secret: str, clock: Clock) -> None:
    """Go on until cancelled."""
    failures, forgotten_s = 0, -FORGET_EVERY_S
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as http:
        while True:
            try:
                if loop.time() - forgotten_s >= FORGET_EVERY_S:
                    forgotten_s = loop.time()
                    await _forget(store, clock)
                read, missed = await _tell_some(http, store, url, secret)
            except (SQLAlchemyError, OSError) as error:
                _log.warning("the enrolment store is out of reach: %s", type(error).__name__)
                read, missed = 0, 1
            failures = failures + 1 if missed else 0
            if failures:
                await asyncio.sleep(doubled_s(failures, FIRST_WAIT_S, LONGEST_WAIT_S))
            elif read < MOST_READ:
                await asyncio.sleep(LOOK_EVERY_S)


async def _forget(store: EnrolmentStore, clock: Clock) -> None:
    if lost := await forget_notices(store, clock.now()):
        _log.error("%d notices of events were not taken by the automaker's app in time, and are let go", lost)


async def _tell_some(http: aiohttp.ClientSession, store: EnrolmentStore, url: str, secret: str) -> tuple[int, int]:
    """How many notices were tried, and how many of them the app did not take."""
    notices, turns = await untold_notices(store, MOST_READ), asyncio.Semaphore(AT_ONCE)

    async def tell(notice: EventNotice) -> str | None:
        async with turns:
            try:
                await post_signed(http, url, secret, notice.model_dump_json(exclude_none=True).encode())
            except (aiohttp.ClientError, TimeoutError, OSError):
                return None
        return notice.notice_id

    taken = [done for done in await asyncio.gather(*map(tell, notices)) if done is not None]
    if taken:
        await note_told(store, taken)
    if missed := len(notices) - len(taken):
        _log.warning("the automaker's app did not take %d of %d notices of events", missed, len(notices))
    return len(notices), missed
