"""Messages to VENs that do not poll: the VTN is the HTTP client, and what a poll would bring is posted to them.

What they answer in the same exchange is taken like any other message of theirs. A VEN that cannot be reached is tried
again after longer and longer waits, and keeps nobody else waiting.
"""

import asyncio
import logging
import ssl

import aiohttp

from vtn.limits import doubled_s
from vtn.oadr20b.codec.reading import BadMessage
from vtn.oadr20b.codec.signatures import MessageWriter
from vtn.oadr20b.downstream.context import DownstreamContext
from vtn.oadr20b.downstream.due import next_message
from vtn.oadr20b.downstream.services import Services
from vtn.oadr20b.downstream.vens import ServedVen

TIMEOUT = aiohttp.ClientTimeout(total=15.0, connect=5.0)
AT_ONCE = 32
LOOK_S = 0.5
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 300.0
MOST_BYTES = 1_048_576
HEADERS = {"Content-Type": "application/xml"}
log = logging.getLogger("vtn.oadr20b.downstream")


class MessagePusher:
    """Sends what is due to every VEN that is provisioned and registered for it."""

    def __init__(
        self, context: DownstreamContext, services: Services, writer: MessageWriter, tls: ssl.SSLContext | None
    ) -> None:
        self._context = context
        self._services = services
        self._writer = writer
        self._tls = tls
        self._waits: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Go on for ever."""
        async with aiohttp.ClientSession(timeout=TIMEOUT, headers=HEADERS) as session:
            while True:
                due = [one for one in self._context.registry.vens.values() if self._wants(one)]
                for start in range(0, len(due), AT_ONCE):
                    works = (self._send(session, one) for one in due[start : start + AT_ONCE])
                    await asyncio.gather(*works)
                await asyncio.sleep(LOOK_S)

    def _wants(self, ven: ServedVen) -> bool:
        if not ven.registered or ven.registration.transport_address is None or not ven.provision.push:
            return False
        return self._waits.get(ven.ven_id, (0, 0.0))[1] <= self._context.loop_s()

    async def _send(self, session: aiohttp.ClientSession, ven: ServedVen) -> None:
        due = next_message(self._context, ven)
        if due is None:
            return
        service, message = due
        url = f"{ven.registration.transport_address}/{service}"
        now = self._context.clock.now()
        body = self._writer.write(message.kind, now, **message.values)
        try:
            async with session.post(
                url, data=body, ssl=self._tls or True, allow_redirects=False, raise_for_status=True
            ) as reply:
                content = await reply.content.read(MOST_BYTES)
            if content.strip():
                await self._services.answer(service, content, ven.provision.fingerprint, secure=self._tls is not None)
        except (aiohttp.ClientError, TimeoutError, OSError, BadMessage) as error:
            failures = self._waits.get(ven.ven_id, (0, 0.0))[0] + 1
            wait_s = doubled_s(failures, FIRST_RETRY_S, LONGEST_RETRY_S)
            self._waits[ven.ven_id] = failures, self._context.loop_s() + wait_s
            ven.sent.clear()
            log.warning("the VEN %s cannot be sent %s (%d times): %s", ven.ven_id, message.kind, failures, error)
        else:
            self._waits.pop(ven.ven_id, None)
