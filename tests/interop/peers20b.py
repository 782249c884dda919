"""Peers that speak OpenADR 2.0b and that we did not write: openleadr's VTN and VEN, as they are installed, unmodified.

openleadr keeps some of its settings in classes, so a test has one server at a time; its banners go nowhere. `RawVen`
sends messages that no library would, by hand.
"""

import asyncio
import contextlib
import dataclasses
import io
import logging
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web
from authority import Authority, Pair
from openleadr import OpenADRClient, OpenADRServer, hooks, objects
from openleadr.service import VTNService
from openleadr.utils import certificate_fingerprint

from vtn.oadr20b.codec.decode import decode
from vtn.oadr20b.codec.encode import event_response_values, request_values, response_values
from vtn.oadr20b.codec.messages import (
    EiEvent,
    EiResponse,
    EventResponse,
    OadrMessage,
    OadrReportRequest,
    PartyRegistration,
)
from vtn.oadr20b.codec.signatures import MessageWriter
from vtn.oadr20b.tls import client_tls

PATIENCE_S = 30.0
PATH = "/OpenADR2/Simple/2.0b"
NO_WARNINGS = "ignore:It is recommended to use web.AppKey"


@dataclasses.dataclass(frozen=True)
class Files:
    """A certificate, its key, the authority of the other side's, and the certificate's fingerprint."""

    certificate: Path
    key: Path
    ca: Path
    fingerprint: str


def files_of(pair: Pair, authority: Authority) -> Files:
    """An issued certificate as the peers want it."""
    return Files(pair.pem, pair.key_file, authority.file, certificate_fingerprint(pair.certificate))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def eventually(holds, within_s: float = PATIENCE_S):
    """Wait until something holds, and return it; what is awaitable is awaited."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                found = holds()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"nothing came of it within {within_s:g} s") from None


def interval(start: datetime, minutes: float, value: float) -> dict[str, Any]:
    return {"dtstart": start, "duration": timedelta(minutes=minutes), "signal_payload": value}


class Drms:
    """A utility: stock `OpenADRServer`, and what it was told."""

    def __init__(self, port: int, files: Files | None = None, *, poll_s: float = 0.0, verify: bool = True) -> None:
        tls = {} if files is None else {"http_cert": files.certificate, "http_key": files.key, "http_ca_file": files.ca}
        signing = {} if files is None else {"cert": files.certificate, "key": files.key}
        self.port = port
        self.url = f"http{'s' if files else ''}://127.0.0.1:{port}{PATH}"
        self.vens: dict[str, dict[str, Any]] = {}
        self.registered: list[dict[str, Any]] = []
        self.opts: list[tuple[str, str]] = []
        self.answers: list[tuple[str, int, str]] = []
        self.kinds: list[str] = []
        self.values: dict[str, list[tuple[datetime, float]]] = {}
        self.offered: list[tuple[str, str]] = []
        self.offers: list[tuple[Any, ...]] = []
        self.report_every: timedelta | None = None
        with contextlib.redirect_stdout(io.StringIO()):
            self.server = OpenADRServer(
                vtn_id="UtilityVTN",
                http_port=port,
                requested_poll_freq=timedelta(seconds=poll_s),
                ven_lookup=self._look_up,
                verify_message_signatures=verify and files is not None,
                show_server_cert_domain=False,
                show_fingerprint=False,
                **signing,
                **tls,
            )
        self.fingerprint = files.fingerprint if files is not None else None
        self.server.add_handler("on_create_party_registration", self._register)
        self.server.add_handler("on_register_report", self._offer)

    async def _look_up(self, ven_id: str):
        return self.vens.get(ven_id)

    async def _register(self, info: dict[str, Any]):
        self.registered.append(info)
        ven_id = info.get("ven_id") or f"ven-{info['ven_name']}"
        registration_id = info.get("registration_id") or f"reg-{len(self.registered)}"
        self.vens[ven_id] = {
            "ven_id": ven_id,
            "ven_name": info["ven_name"],
            "fingerprint": info.get("fingerprint"),
            "registration_id": registration_id,
        }
        return ven_id, registration_id

    async def handle(self, kind: str, payload: dict[str, Any]) -> None:
        """Every message that comes in, as openleadr tells its hooks."""
        self.kinds.append(kind)
        for one in payload.get("event_responses", []) if kind == "oadrCreatedEvent" else ():
            self.answers.append((str(one["event_id"]), one["modification_number"], one["opt_type"]))

    async def _offer(  # noqa: PLR0917 - openleadr looks for these names
        self, ven_id, resource_id, measurement, unit, scale, min_sampling_interval, max_sampling_interval
    ):
        self.offers.append((ven_id, unit, scale, min_sampling_interval, max_sampling_interval))
        self.offered.append((measurement, str(resource_id)))
        if self.report_every is None or measurement == "Status":  # which openleadr cannot read
            return None
        name = f"{measurement}/{resource_id}"

        def take(values):
            self.values.setdefault(name, []).extend(values)

        return take, self.report_every, self.report_every

    def event(self, ven_id: str, name: str, kind: str, intervals: list[dict[str, Any]], **more: Any) -> str:
        async def answered(ven_id, event_id, opt_type):
            self.opts.append((event_id, opt_type))

        return self.server.add_event(ven_id, name, kind, intervals, callback=answered, **more)

    def held(self, ven_id: str, event_id: str):
        events = self.server.services["event_service"].events[ven_id]
        return next(one for one in events if one.event_descriptor.event_id == event_id)

    def touch(self, ven_id: str) -> None:
        """Have the list of events sent at the next poll."""
        self.server.services["poll_service"].events_updated[ven_id] = True


@contextlib.asynccontextmanager
async def drms(port: int | None = None, files: Files | None = None, **more: Any) -> AsyncIterator[Drms]:
    """A utility that runs, for the length of a block."""
    made = Drms(port or free_port(), files, **more)
    with contextlib.redirect_stdout(io.StringIO()):
        await made.server.run()
    hooks.register("before_handle", made.handle)
    try:
        yield made
    finally:
        hooks.HOOKS["before_handle"].remove(made.handle)
        await made.server.stop()
        VTNService._create_message = None


class ForeignVen:
    """A VEN: stock `OpenADRClient`, and what it was told."""

    def __init__(self, name: str, url: str, files: Files | None = None, *, sign: bool = True, **more: Any) -> None:
        tls = {} if files is None else {"cert": files.certificate, "key": files.key, "ca_file": files.ca}
        self.events: list[dict[str, Any]] = []
        self.opt = "optIn"
        with contextlib.redirect_stdout(io.StringIO()):
            self.client = OpenADRClient(
                ven_name=name,
                vtn_url=url,
                show_fingerprint=False,
                disable_signature=not sign,
                check_hostname=False,
                **tls,
                **more,
            )
        self.client.add_handler("on_event", self._take)
        self.client.add_handler("on_update_event", self._take)

    async def _take(self, event: dict[str, Any]) -> str:
        self.events.append(event)
        return self.opt

    def seen(self, event_id: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event_descriptor"]["event_id"] == event_id]

    async def opt_anew(self, event: dict[str, Any], opt: str) -> None:
        descriptor = event["event_descriptor"]
        await self.client.created_event(
            "again", descriptor["event_id"], opt, modification_number=descriptor["modification_number"]
        )

    async def stop(self) -> None:
        if self.client.scheduler.running:
            self.client.scheduler.shutdown(wait=False)
        if self.client.report_queue_task:
            self.client.report_queue_task.cancel()
        if self.client.client_session:
            await self.client.client_session.close()


@contextlib.asynccontextmanager
async def foreign_ven(name: str, url: str, files: Files | None = None, *, reports=(), **more: Any):
    """A VEN that runs, for the length of a block; `reports` are arguments of `add_report`."""
    made = ForeignVen(name, url, files, **more)
    for report in reports:
        made.client.add_report(**report)
    await made.client.run()
    try:
        yield made
    finally:
        await made.stop()


def now() -> datetime:
    return datetime.now(UTC)


def measurement(name: str, description: str, unit: str, scale: str = "none"):
    power = objects.PowerAttributes(60, 240, True) if name == "powerReal" else None
    return objects.Measurement(name=name, description=description, unit=unit, scale=scale, power_attributes=power)


logging.getLogger("openleadr").setLevel(logging.CRITICAL)


class RawDrms:
    """A utility by hand: polls bring the bytes that a test puts into `queue`, in order; what comes in is in `seen`."""

    def __init__(self) -> None:
        self.queue: list[bytes] = []
        self.seen: list[OadrMessage] = []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{PATH}"
        self.vtn_id, self.ven_id, self.registration_id = "20", "0042", "1.2.3"
        self.requests: list[OadrReportRequest] = []
        self._writer = MessageWriter()

    def of(self, kind: str) -> list[OadrMessage]:
        return [one for one in self.seen if one.kind == kind]

    def distribute(self, *events: EiEvent) -> bytes:
        values = {"response": None, "request_id": "000", "vtn_id": self.vtn_id, "events": events}
        return self._writer.write("oadrDistributeEvent", now(), **values)

    def write(self, kind: str, **values: Any) -> bytes:
        return self._writer.write(kind, now(), ven_id=self.ven_id, **values)

    async def _handle(self, request: web.Request) -> web.Response:
        message = decode(await request.read())[0]
        self.seen.append(message)
        return web.Response(body=self._answer(message), content_type="application/xml")

    def _answer(self, message: OadrMessage) -> bytes:
        response = response_values(EiResponse(request_id=message.request_id))
        if message.kind == "oadrPoll":
            return self.queue.pop(0) if self.queue else b""
        if message.kind == "oadrCreatePartyRegistration":
            ids = {"registration_id": self.registration_id, "vtn_id": self.vtn_id, "poll_freq": timedelta(seconds=1)}
            return self.write("oadrCreatedPartyRegistration", response=response, **ids)
        if message.kind == "oadrRegisterReport":
            requests = [request_values(one) for one in self.requests]
            return self.write("oadrRegisteredReport", response=response, report_requests=requests)
        if message.kind in {"oadrCreateOpt", "oadrCancelOpt"}:
            opt_id = message.opt_id or (message.opt.opt_id if message.opt else "")
            kind = "oadrCreatedOpt" if message.kind == "oadrCreateOpt" else "oadrCanceledOpt"
            return self.write(kind, response=response, opt_id=opt_id)
        if message.kind == "oadrUpdateReport":
            return self.write("oadrUpdatedReport", response=response)
        return self.write("oadrResponse", response=response)


@contextlib.asynccontextmanager
async def raw_drms(made: RawDrms | None = None) -> AsyncIterator[RawDrms]:
    """A utility by hand that runs, for the length of a block."""
    made = made or RawDrms()
    app = web.Application(client_max_size=2**24)
    app.router.add_post(PATH + "/{service}", made._handle)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", made.port).start()
    try:
        yield made
    finally:
        await runner.cleanup()


class RawVen:
    """A VEN by hand: it sends what a test writes, and reads what comes back."""

    def __init__(self, url: str, ven_id: str = "", files: Files | None = None, *, sign: bool = False) -> None:
        self.url, self.ven_id = url, ven_id
        self.writer = MessageWriter(*((files.certificate, files.key) if files is not None and sign else (None, None)))
        self._tls: Any = True
        if files is not None:
            self._tls = client_tls(files.ca, files.certificate, files.key, all_ciphers=True)
            self._tls.check_hostname = False
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers={"Content-Type": "application/xml"})
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session
        await self._session.close()

    async def post(self, service: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        assert self._session
        async with self._session.post(
            f"{self.url}/{service}", data=io.BytesIO(body), ssl=self._tls, headers=headers
        ) as answer:
            return answer.status, await answer.read()

    async def say(self, service: str, kind: str, *, at: datetime | None = None, **values: Any) -> OadrMessage:
        """Send a message, and return the one that answers it."""
        body = self.writer.write(kind, at or now(), **{"ven_id": self.ven_id, **values})
        status, content = await self.post(service, body)
        assert status == 200, (status, content)
        return decode(content)[0]

    async def register(self, name: str, **more: Any) -> OadrMessage:
        said = PartyRegistration(ven_name=name, **more.pop("registration", {}))
        values = {"registration_id": None, "ven_id": self.ven_id or None, "request_id": "r1", **more}
        reply = await self.say("EiRegisterParty", "oadrCreatePartyRegistration", registration=said, **values)
        self.ven_id = reply.ven_id or self.ven_id
        return reply

    async def poll(self) -> OadrMessage:
        return await self.say("OadrPoll", "oadrPoll")

    async def answer(self, event_id: str, modification: int, opt: str = "optIn") -> OadrMessage:
        said = event_response_values(EventResponse(event_id, modification, opt, "r"))
        response = response_values(EiResponse(request_id="r"))
        return await self.say("EiEvent", "oadrCreatedEvent", response=response, event_responses=[said])
