"""Peers that speak OpenADR 2.0b and that we did not write: openleadr's VTN and VEN, as they are installed, unmodified.

openleadr keeps some of its settings in classes, so a test has one server at a time; it prints banners, which go nowhere.
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
from typing import Any

from openleadr import OpenADRClient, OpenADRServer, objects

PATIENCE_S = 30.0
PATH = "/OpenADR2/Simple/2.0b"
NO_WARNINGS = "ignore:It is recommended to use web.AppKey"


@dataclasses.dataclass(frozen=True)
class Files:
    """A certificate, its key and the authority of the other side's."""

    certificate: Path
    key: Path
    ca: Path
    fingerprint: str = ""


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

    def __init__(self, port: int, files: Files | None = None, *, poll_s: float = 0.3, verify: bool = True) -> None:
        tls = {} if files is None else {"http_cert": files.certificate, "http_key": files.key, "http_ca_file": files.ca}
        signing = {} if files is None else {"cert": files.certificate, "key": files.key}
        self.port = port
        self.url = f"http{'s' if files else ''}://127.0.0.1:{port}{PATH}"
        self.vens: dict[str, dict[str, Any]] = {}
        self.registered: list[dict[str, Any]] = []
        self.opts: list[tuple[str, str]] = []
        self.values: dict[str, list[tuple[datetime, float]]] = {}
        self.offered: list[tuple[str, str]] = []
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

    async def _offer(self, ven_id, resource_id, measurement, unit, scale, min_sampling_interval, max_sampling_interval):
        self.offered.append((measurement, str(resource_id)))
        if self.report_every is None:
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
    try:
        yield made
    finally:
        await made.server.stop()


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
    return objects.Measurement(name=name, description=description, unit=unit, scale=scale)


logging.getLogger("openleadr").setLevel(logging.CRITICAL)
