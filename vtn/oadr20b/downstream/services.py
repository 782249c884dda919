"""The five services over HTTP: read a message, say who sent it, have it answered.

What is no message is answered with a status of HTTP; everything else with a message of the profile and a code in it,
and never with 500 for what a VEN sent. Who a VEN is says the certificate of its connection, which is terminated here
and nowhere else; header fields of proxies mean nothing.
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from openleadr.utils import certificate_fingerprint_from_der

from vtn.listening.http import proven
from vtn.oadr20b.codec.decode import read
from vtn.oadr20b.codec.messages import Code, OadrMessage
from vtn.oadr20b.codec.reading import BadMessage, Parsed, parse
from vtn.oadr20b.codec.signatures import MessageWriter, SignatureRefused, verify
from vtn.oadr20b.downstream import events, opts, registration, reports
from vtn.oadr20b.downstream.context import Answer, DownstreamContext, MessageRefused, answered
from vtn.oadr20b.downstream.due import next_message
from vtn.oadr20b.downstream.vens import ServedVen

HEAVY_BYTES = 65_536
TYPES = frozenset({"application/xml", "text/xml"})
Handler = Callable[[DownstreamContext, ServedVen, OadrMessage], Awaitable[Answer | None]]
log = logging.getLogger("vtn.oadr20b.downstream")


async def _poll(context: DownstreamContext, ven: ServedVen, message: OadrMessage) -> Answer:
    due = next_message(context, ven)
    return due[1] if due is not None else Answer("oadrResponse", {"response": answered(message), "ven_id": ven.ven_id})


async def _noted(_context: DownstreamContext, _ven: ServedVen, _message: OadrMessage) -> None:
    """An answer to something that we sent, which asks for nothing more."""


SERVICES: Mapping[str, Mapping[str, Handler]] = {
    "OadrPoll": {"oadrPoll": _poll, "oadrResponse": _noted},
    "EiRegisterParty": {
        "oadrCancelPartyRegistration": registration.cancel,
        "oadrCanceledPartyRegistration": registration.cancelled,
        "oadrResponse": _noted,
    },
    "EiEvent": {
        "oadrRequestEvent": events.request,
        "oadrCreatedEvent": events.created,
        "oadrResponse": _noted,
    },
    "EiReport": {
        "oadrRegisterReport": reports.register,
        "oadrCreatedReport": reports.created,
        "oadrCanceledReport": reports.cancelled,
        "oadrUpdateReport": reports.update,
        "oadrCreateReport": reports.ask,
        "oadrCancelReport": reports.ask_to_cancel,
        "oadrRegisteredReport": _noted,
        "oadrUpdatedReport": _noted,
        "oadrResponse": _noted,
    },
    "EiOpt": {"oadrCreateOpt": opts.create, "oadrCancelOpt": opts.cancel},
}
"""Who answers what where. Registering is apart: whoever does it is not registered yet."""
REGISTERING = {"oadrQueryRegistration": registration.query, "oadrCreatePartyRegistration": registration.create}
REPLIES: Mapping[str, str] = {
    "oadrQueryRegistration": "oadrCreatedPartyRegistration",
    "oadrCreatePartyRegistration": "oadrCreatedPartyRegistration",
    "oadrCancelPartyRegistration": "oadrCanceledPartyRegistration",
    "oadrRequestEvent": "oadrDistributeEvent",
    "oadrRegisterReport": "oadrRegisteredReport",
    "oadrUpdateReport": "oadrUpdatedReport",
    "oadrCreateReport": "oadrCreatedReport",
    "oadrCancelReport": "oadrCanceledReport",
    "oadrCreateOpt": "oadrCreatedOpt",
    "oadrCancelOpt": "oadrCanceledOpt",
}
"""The message that answers a message; oadrResponse answers all others."""
UNSIGNED_OK = frozenset({"oadrQueryRegistration", "oadrCreatePartyRegistration"})


@dataclasses.dataclass(slots=True)
class ServiceCounts:
    """What was answered since the start, by HTTP status or response code."""

    answers: dict[int, int] = dataclasses.field(default_factory=dict)

    def count(self, code: int) -> None:
        """One more."""
        self.answers[code] = self.answers.get(code, 0) + 1


class Services:
    """Answers every message."""

    def __init__(self, context: DownstreamContext, writer: MessageWriter) -> None:
        self._context = context
        self._writer = writer
        self.counts = ServiceCounts()

    def application(self) -> web.Application:
        """The services at their paths."""
        settings = self._context.settings.server
        app = web.Application(client_max_size=settings.most_bytes)
        for service in SERVICES:
            app.router.add_post(f"{settings.path}/{service}", self._handler(service))
        return app

    def _handler(self, service: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if request.content_type not in TYPES:
                return self._plain(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the Content-Type must be application/xml")
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                return self._plain(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the message is too large")
            fingerprint = fingerprint_of(request)
            secure = request.transport is not None and request.transport.get_extra_info("ssl_object") is not None
            try:
                written, ven = await self.answer(service, body, fingerprint, secure=secure)
            except BadMessage as wrong:
                return self._plain(HTTPStatus.BAD_REQUEST, str(wrong))
            if ven is not None:
                proven(request)
            return web.Response(body=written, content_type="application/xml", charset="utf-8")

        return handle

    def _plain(self, status: HTTPStatus, text: str) -> web.Response:
        self.counts.count(status)
        return web.Response(status=status, text=text)

    async def answer(
        self, service: str, body: bytes, fingerprint: str | None, *, secure: bool
    ) -> tuple[bytes, ServedVen | None]:
        """The answer to a message, and the VEN that proved to have sent it. BadMessage for what is none."""
        context = self._context
        sender = context.registry.of_fingerprint(fingerprint)
        lenient = sender.provision.lenient if sender is not None else not secure and self._any_lenient()
        parsed = await _parsed(body, context.settings.server.most_bytes, strict=not lenient)
        message = read(parsed)
        ven: ServedVen | None = None
        try:
            ven = self._who(message, sender, secure=secure)
            await self._signed(ven, message, parsed)
            async with ven.lock if ven is not None else contextlib.nullcontext():
                reply = await self._reply(service, ven, message)
        except MessageRefused as refused:
            self.counts.count(refused.code)
            if refused.code != Code.NOT_REGISTERED:
                log.info("%s of %s is refused: %s", message.kind, message.ven_id, refused)
            reply = self._refusal(message, refused)
            ven = ven if refused.code != Code.NOT_REGISTERED else None
        else:
            self.counts.count(Code.OK)
        if reply is None:
            return b"", ven
        now = context.clock.now()
        written = self._writer.write(reply.kind, now, **reply.values)
        if ven is not None and not (message.kind == "oadrPoll" and reply.kind == "oadrResponse"):
            note = context.store.note
            await context.store.write(
                note(f"20b {ven.ven_id}", now, body, sent=False), note(f"20b {ven.ven_id}", now, written, sent=True)
            )
        return written, ven

    def _any_lenient(self) -> bool:
        return any(one.provision.lenient for one in self._context.registry.vens.values())

    def _who(self, message: OadrMessage, sender: ServedVen | None, *, secure: bool) -> ServedVen | None:
        """Whose message it is: with TLS the certificate's VEN, and no other; without, that of the venID or name."""
        registry = self._context.registry
        if secure:
            if (
                sender is not None
                and message.ven_id not in {None, "", sender.ven_id}
                and message.kind not in REGISTERING
            ):
                raise MessageRefused(Code.NOT_REGISTERED, "the venID is not the one of this certificate")
            return sender
        if message.ven_id:
            return registry.vens.get(message.ven_id)
        return registry.of_name(message.registration.ven_name) if message.registration is not None else None

    async def _signed(self, ven: ServedVen | None, message: OadrMessage, parsed: Parsed) -> None:
        """Verify a signature where one is wanted, or is there."""
        mode = self._context.settings.signatures
        present = parsed.tree.find("{http://www.w3.org/2000/09/xmldsig#}Signature") is not None
        if mode == "ignore" or (mode == "when_present" and not present):
            return
        if ven is None or ven.provision.fingerprint is None:
            if mode == "required" and message.kind not in UNSIGNED_OK:
                raise MessageRefused(Code.NOT_REGISTERED, "nobody is known who could have signed this")
            return
        if mode == "required" and not present and message.kind == "oadrQueryRegistration":
            return
        now = self._context.clock.now()
        try:
            signed = verify(parsed.tree, ven.provision.fingerprint, now)
        except SignatureRefused as wrong:
            raise MessageRefused(Code.NOT_REGISTERED, str(wrong)) from None
        if not await self._context.store.take(signed, now):
            raise MessageRefused(Code.NOT_REGISTERED, "the signature's nonce was used before")

    async def _reply(self, service: str, ven: ServedVen | None, message: OadrMessage) -> Answer | None:
        context = self._context
        if service == "EiRegisterParty" and message.kind in REGISTERING:
            return await REGISTERING[message.kind](context, ven, message)
        if ven is None:
            raise MessageRefused(Code.NOT_REGISTERED, "this VEN is not known here")
        handler = SERVICES[service].get(message.kind)
        if handler is None:
            raise MessageRefused(Code.COMPLIANCE_ERROR, f"{message.kind} does not belong to the service {service}")
        ven.seen_at = context.clock.now()
        if not ven.registered:
            if handler in {_noted, registration.cancelled}:
                return None
            return Answer("oadrRequestReregistration", {"ven_id": ven.ven_id})
        return await handler(context, ven, message)

    def _refusal(self, message: OadrMessage, refused: MessageRefused) -> Answer:
        """The answer to a message that is refused: the element that belongs to it, with the code."""
        response = answered(message, refused.code, str(refused))
        settings = self._context.settings
        kind = REPLIES.get(message.kind, "oadrResponse")
        ven_id = message.ven_id or ""
        values: dict[str, Any] = {
            "response": response,
            "ven_id": ven_id or None,
            "vtn_id": settings.vtn_id,
            "poll_freq": settings.poll,
            "registration_id": message.registration_id or "" if kind == "oadrCanceledPartyRegistration" else None,
            "request_id": message.request_id,
            "opt_id": message.opt_id or (message.opt.opt_id if message.opt is not None else ""),
            "events": [],
            "report_requests": [],
            "pending_reports": [],
        }
        if kind in {"oadrResponse", "oadrCanceledPartyRegistration"}:
            values["ven_id"] = ven_id
        return Answer(kind, values)


async def _parsed(body: bytes, most_bytes: int, *, strict: bool) -> Parsed:
    if len(body) <= HEAVY_BYTES:
        return parse(body, most_bytes=most_bytes, strict=strict)
    return await asyncio.to_thread(parse, body, most_bytes=most_bytes, strict=strict)


def fingerprint_of(request: web.Request) -> str | None:
    """The fingerprint of the certificate that a client showed at its connection; None without TLS."""
    found = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
    shown = found.getpeercert(binary_form=True) if found is not None else None
    return str(certificate_fingerprint_from_der(shown)) if shown else None
