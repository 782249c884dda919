"""Put what drivers are to be told into the enrolment store, from which the enrolment API sends it."""

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from ven_adapters.enrolment_api.store import CHUNK, EnrolmentStore
from ven_adapters.enrolment_api.webhooks.notice_store import put_notices
from ven_adapters.ven.control.event_notices import EventNotices
from vtn.clock import Clock

_log = logging.getLogger(__name__)


async def store_notices(notices: EventNotices, store: EnrolmentStore, clock: Clock, retry_s: float) -> None:
    """Go on until cancelled; what cannot be stored now is tried again."""
    while True:
        await notices.news.wait()
        notices.news.clear()
        while batch := notices.drain(CHUNK):
            try:
                async with store.write(clock.now()) as write:
                    await put_notices(write, [one for one in batch.values() if one is not None])
            except (SQLAlchemyError, OSError) as error:
                _log.warning("the enrolment store is out of reach: %s", type(error).__name__)
                await asyncio.sleep(retry_s)
            else:
                notices.stored(batch)
