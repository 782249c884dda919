"""Tell the automaker's app what changed: signed webhooks in order, each again until it is taken.

The number up to which the app was told is stored, so a restart repeats at most what was under way. What goes out names
a pseudonym, what happened and when; the app asks for the rest.
"""

import asyncio
import logging
import time
from http import HTTPStatus

import aiohttp
from sqlalchemy.exc import SQLAlchemyError

from ven_adapters.enrolment_api.responses import EnrolmentWebhook
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.enrolment_api.tables import EnrolmentChangeRow
from ven_adapters.transport.http import signatures
from vtn.databases import parse_at
from vtn.limits import doubled_s

ANSWER_S = 10.0
AT_ONCE = 100
FIRST_WAIT_S, LONGEST_WAIT_S = 0.4, 60.0
LOOK_EVERY_S = 1.0

_log = logging.getLogger(__name__)


async def tell(store: EnrolmentStore, url: str, secret: str, changed: asyncio.Event) -> None:
    """Go on until cancelled; `changed` is set by whoever has news."""
    failures = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as http:
        while True:
            changed.clear()
            try:
                told = await _tell_some(http, store, url, secret)
                failures = 0
            except (aiohttp.ClientError, TimeoutError, OSError, SQLAlchemyError) as error:
                failures, told = failures + 1, 0
                _log.warning("the automaker's app was not told: %s", type(error).__name__)
            if told < AT_ONCE:
                await _pause(changed, failures)


async def _pause(changed: asyncio.Event, failures: int) -> None:
    """Until there is news; after a failure for longer each time, news or not."""
    if failures:
        await asyncio.sleep(doubled_s(failures, FIRST_WAIT_S, LONGEST_WAIT_S))
        return
    try:
        async with asyncio.timeout(LOOK_EVERY_S):
            await changed.wait()
    except TimeoutError:
        return


async def _tell_some(http: aiohttp.ClientSession, store: EnrolmentStore, url: str, secret: str) -> int:
    changes = await store.untold(AT_ONCE)
    for change in changes:
        await post_signed(http, url, secret, _news(change))
        await store.note_told(change.seq)
    return len(changes)


def _news(change: EnrolmentChangeRow) -> bytes:
    at, ref = parse_at(change.at), change.vehicle_ref
    news = EnrolmentWebhook(number=change.seq, type=change.what, vehicle_ref=ref, at=at, detail=change.detail)
    return news.model_dump_json().encode()


async def post_signed(http: aiohttp.ClientSession, url: str, secret: str, body: bytes) -> None:
    """One signed webhook; raises aiohttp.ClientError unless the app takes it."""
    now_s = int(time.time())
    headers = {
        "Content-Type": "application/json",
        signatures.TIMESTAMP_HEADER: str(now_s),
        signatures.SIGNATURE_HEADER: signatures.sign(secret, now_s, body),
    }
    async with http.post(url, data=body, headers=headers, allow_redirects=False) as answer:
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise aiohttp.ClientError(f"answered {answer.status}")
