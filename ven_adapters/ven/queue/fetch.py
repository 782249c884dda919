"""An executor's place in the line: ask NATS for so many commands, and hand each over as it comes.

A batch is never waited for: what has arrived is somebody's car. The rest of a request ends by itself after `FETCH_S`.
"""

from collections.abc import AsyncIterator
from typing import Any

import orjson
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg

from ven_adapters.ven.queue.connection import EXECUTORS, Away, QueueConnection

FETCHED = 100
FETCH_S = 0.5
PATIENCE_S = 1.0
REQUEST_IS_OVER = "408"
BILLION = 1_000_000_000


class CommandFetch:
    """Commands for one executor, over whichever connection the link has now."""

    def __init__(self, link: QueueConnection) -> None:
        self._link = link
        self._on: Connection | None = None
        self._inbox = ""
        self._arriving: Any = None

    async def some(self, most: int) -> AsyncIterator[Msg]:
        """At most so many commands, as they come; none when nobody hands any in for a while. Raises Away."""
        await self._listen()
        left = min(most, FETCHED)
        ask = orjson.dumps({"batch": left, "expires": int(FETCH_S * BILLION)})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._link.names.stream}.{EXECUTORS}"
        await self._link.connection.publish(subject, ask, reply=self._inbox)
        while left:
            message = await self._arriving.next_msg(timeout=FETCH_S + PATIENCE_S)
            status = (message.headers or {}).get("Status")
            if status == REQUEST_IS_OVER:
                return
            if status is not None:
                raise Away(maybe=False)
            left -= 1
            yield message

    async def _listen(self) -> None:
        """Subscribe anew where the connection is another one; nats-py renews subscriptions when it reconnects."""
        connection = self._link.connection
        if self._on is not connection:
            self._inbox = connection.new_inbox()
            self._arriving = await connection.subscribe(self._inbox)
            self._on = connection
