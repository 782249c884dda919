"""Messages to and from one utility's VTN over HTTP: written, sent, checked and kept as they were.

An empty answer is a normal one. LinkFailed says in one sentence why nothing can be made of an exchange; whether the
utility got the message is then unknown, so every message is one that may be sent again.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

import aiohttp

from vtn.oadr20b.codec.decode import decode
from vtn.oadr20b.codec.messages import OadrMessage
from vtn.oadr20b.codec.reading import MOST_BYTES, BadMessage
from vtn.oadr20b.codec.signatures import MessageWriter, SignatureRefused, verify
from vtn.oadr20b.store.database import BridgeStore
from vtn.oadr20b.tls import client_tls
from vtn.oadr20b.upstream.settings import UtilitySettings

TIMEOUT = aiohttp.ClientTimeout(total=30.0, connect=10.0)
HEADERS = {"Content-Type": "application/xml"}
HEAVY_BYTES = 65_536

log = logging.getLogger("vtn.oadr20b.upstream")


class LinkFailed(Exception):
    """The utility cannot be reached, or answered with what is no message of its own."""


class ServiceMissing(LinkFailed):
    """The utility has no such service; what belongs to it cannot be told."""


class UtilityLink:
    """The connection to one utility. CannotStart names a file that cannot be used."""

    def __init__(self, name: str, utility: UtilitySettings, store: BridgeStore, now: Callable[[], datetime]) -> None:
        self.name = name
        self._utility = utility
        self._store = store
        self._now = now
        signing = (utility.certificate, utility.private_key) if utility.sign else (None, None)
        self._writer = MessageWriter(*signing)
        self._tls: ssl.SSLContext | bool = True
        if utility.url.startswith("https:"):
            self._tls = client_tls(
                utility.ca, utility.certificate, utility.private_key, all_ciphers=utility.all_ciphers
            )
        self._session: aiohttp.ClientSession | None = None
        self.quirks: set[str] = set()

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def exchange(self, service: str, kind: str, **values: object) -> OadrMessage | None:
        """Send a message to a service and return what is answered; None for an empty answer."""
        now = self._now()
        sent = self._writer.write(kind, now, **values)
        received = await self._post(f"{self._utility.url.rstrip('/')}/{service}", sent)
        if kind != "oadrPoll" or b"oadrResponse" not in received:  # a poll that brings nothing is nothing to dispute
            at = self._now()
            await self._store.write(
                self._store.note(self.name, now, sent, sent=True), self._store.note(self.name, at, received, sent=False)
            )
        if not received.strip():
            return None
        try:
            strict = self._utility.strict
            heavy = len(received) > HEAVY_BYTES
            read = (
                decode(received, strict=strict)
                if not heavy
                else await asyncio.to_thread(decode, received, strict=strict)
            )
            message, parsed = read
            if self._utility.fingerprint is not None:
                signed = verify(parsed.tree, self._utility.fingerprint, self._now())
                if not await self._store.take(signed, self._now()):
                    raise SignatureRefused("the signature's nonce was used before")
        except BadMessage as wrong:
            raise LinkFailed(f"{self.name} answered {kind} with what cannot be taken: {wrong}") from None
        for quirk in set(parsed.quirks) - self.quirks:
            self.quirks.add(quirk)
            log.warning("%s: tolerated: %s", self.name, quirk)
        return message

    async def _post(self, url: str, body: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT, headers=HEADERS)
        try:
            async with self._session.post(url, data=body, ssl=self._tls, allow_redirects=False) as answer:
                content = bytearray()
                async for part in answer.content.iter_any():
                    content += part
                    if len(content) > MOST_BYTES:
                        raise LinkFailed(f"{self.name} answered with more than {MOST_BYTES} bytes")
                if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                    raise ServiceMissing(f"{self.name} has no service at {url}")
                if answer.status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
                    raise LinkFailed(f"{self.name} answered {answer.status} at {url}")
                return bytes(content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LinkFailed(f"{self.name} cannot be reached: {error or type(error).__name__}") from None
