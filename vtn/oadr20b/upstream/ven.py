"""One registration with one utility: register, offer reports, take events, poll, and begin again after failures.

The registrationID and venID are kept, so a restart goes on with them and registers nothing anew. 452 and 463, and an
oadrRequestReregistration, make it register with the ids that it has. Polls are spread: each waits 0.9 to 1.0 of what
the utility asks for.
"""

import asyncio
import dataclasses
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pydantic

from vtn.client import Client, VtnRefused, VtnUnreachable
from vtn.clock import Clock, sleep_for
from vtn.limits import half_spread_s
from vtn.oadr20b.codec.encode import response_values
from vtn.oadr20b.codec.messages import Code, EiResponse, OadrMessage, PartyRegistration
from vtn.oadr20b.store.database import BridgeStore
from vtn.oadr20b.store.tables import UP_CONNECTION
from vtn.oadr20b.upstream.events import UpstreamEvents
from vtn.oadr20b.upstream.link import LinkFailed, UtilityLink
from vtn.oadr20b.upstream.opts import UpstreamOpts, whole_opt
from vtn.oadr20b.upstream.reports import UpstreamReports
from vtn.oadr20b.upstream.settings import UpstreamSettings, UtilitySettings

MOST_AT_ONCE = 50
SPREAD = 0.1
GONE = frozenset({Code.INVALID_ID, Code.NOT_REGISTERED})
FAILURES_TO_ALARM = 3
log = logging.getLogger("vtn.oadr20b.upstream")


class NotRegistered(Exception):
    """The utility does not know us, or wants us to register again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """What is known of a registration."""

    ven_id: str | None = None
    registration_id: str | None = None
    vtn_id: str = ""
    poll_s: float | None = None
    reports_registered: bool = False


_CONNECTION = pydantic.TypeAdapter(Connection)


@dataclasses.dataclass(frozen=True, slots=True)
class UpstreamParts:
    """What all utilities share."""

    settings: UpstreamSettings
    store: BridgeStore
    vtn: Client
    clock: Clock
    chance: random.Random
    ids: Callable[[], str]


class UpstreamVen:
    """The VEN that we are to one utility."""

    def __init__(self, name: str, utility: UtilitySettings, parts: UpstreamParts) -> None:
        self.name = name
        self._utility = utility
        self._parts = parts
        self.link = UtilityLink(name, utility, parts.store, parts.clock.now)
        self.events = UpstreamEvents(self.link, parts.vtn, parts.store, utility.opt)
        self.opts = UpstreamOpts(self.link, parts.store, parts.ids)
        self.reports = UpstreamReports(self.link, utility, parts.vtn, parts.store)
        self.connection = Connection(ven_id=utility.ven_id)
        self._synced = False
        self._look_at_s = 0.0
        self.failures = 0

    async def run(self) -> None:
        """Go on for ever; failures are logged, and waited for longer and longer."""
        await self.load()
        while True:
            await sleep_for(self._parts.clock, await self.turn())

    async def load(self) -> None:
        """Read where the process that was here before ended."""
        row = await self._parts.store.row(UP_CONNECTION, name=self.name)
        if row is not None:
            self.connection = _CONNECTION.validate_json(row["document"])
        for part in (self.events, self.opts, self.reports):
            await part.load()

    async def turn(self) -> float:
        """One poll with all that belongs to it; how many seconds to wait until the next one."""
        settings = self._parts.settings
        try:
            try:
                await self._go_on()
            except NotRegistered as why:
                log.warning("%s: we register again: %s", self.name, why)
                await self._register()
                await self._go_on()
        except (LinkFailed, NotRegistered, VtnUnreachable, VtnRefused) as error:
            self.failures += 1
            if self.failures in {1, FAILURES_TO_ALARM} or self.failures % 100 == 0:
                log.log(
                    logging.ERROR if self.failures >= FAILURES_TO_ALARM else logging.WARNING,
                    "%s: %d times in a row: %s",
                    *(self.name, self.failures, error),
                )
            return half_spread_s(
                self.failures, settings.first_retry_s, settings.longest_retry_s, self._parts.chance.random()
            )
        self.failures = 0
        return poll_wait(self.connection.poll_s or self._utility.poll_s, self._parts.chance.random())

    async def _go_on(self) -> None:
        if self.connection.registration_id is None:
            await self._register()
        ven_id = self.connection.ven_id or ""
        if not self.connection.reports_registered:
            await self.reports.register(ven_id, self._parts.ids(), self._parts.clock.now())
            await self._keep(reports_registered=True)
        if not self._synced:
            await self.events.settle(ven_id, self.connection.vtn_id)
            reply = await self._ask("EiEvent", "oadrRequestEvent", request_id=self._parts.ids(), reply_limit=None)
            if reply is not None and reply.kind == "oadrDistributeEvent":
                await self._handle(reply)
            self._synced = True
        await self.events.settle(ven_id, self.connection.vtn_id)
        for _ in range(MOST_AT_ONCE):
            reply = await self._ask("OadrPoll", "oadrPoll")
            if reply is None or reply.kind == "oadrResponse":
                break
            await self._handle(reply)
        await self._look()

    async def _ask(self, service: str, kind: str, **values: Any) -> OadrMessage | None:
        """An exchange whose answer may say that we are not registered."""
        reply = await self.link.exchange(service, kind, ven_id=self.connection.ven_id or "", **values)
        if reply is not None and reply.response is not None and reply.response.code in GONE:
            raise NotRegistered(f"{reply.response.code}: {reply.response.description[:100]}")
        return reply

    # --- what the utility says ----------------------------------------------------------------------------------------

    async def _handle(self, message: OadrMessage) -> None:
        now, ven_id = self._parts.clock.now(), self.connection.ven_id or ""
        answer = response_values(EiResponse(request_id=message.request_id))
        if message.kind == "oadrDistributeEvent":
            if self.connection.vtn_id and message.vtn_id not in {None, "", self.connection.vtn_id}:
                log.warning("%s calls itself %s, and %s before", self.name, message.vtn_id, self.connection.vtn_id)
            await self.events.take(message, ven_id, now)
        elif message.kind == "oadrCreateReport":
            await self.reports.take(message, ven_id, now)
        elif message.kind == "oadrCancelReport":
            await self.reports.cancel(message, ven_id)
        elif message.kind == "oadrRegisterReport":  # its own reports, of which we want none
            await self.link.exchange(
                "EiReport", "oadrRegisteredReport", response=answer, report_requests=[], ven_id=ven_id
            )
        elif message.kind == "oadrUpdateReport":
            await self.link.exchange("EiReport", "oadrUpdatedReport", response=answer, ven_id=ven_id)
        elif message.kind == "oadrRequestReregistration":
            await self.link.exchange("EiRegisterParty", "oadrResponse", response=answer, ven_id=ven_id)
            raise NotRegistered("the utility asked for it")
        elif message.kind == "oadrCancelPartyRegistration":
            await self.link.exchange(
                "EiRegisterParty",
                "oadrCanceledPartyRegistration",
                response=answer,
                registration_id=self.connection.registration_id or "",
                ven_id=ven_id,
            )
            log.error("%s cancelled our registration", self.name)
            await self._keep(registration_id=None, reports_registered=False)
            raise LinkFailed(f"{self.name} cancelled our registration")
        else:
            log.warning("%s sent %s, which no VEN is sent", self.name, message.kind)
            await self.link.exchange(
                "OadrPoll",
                "oadrResponse",
                response=response_values(EiResponse(Code.NOT_RECOGNIZED, "not for a VEN", message.request_id)),
                ven_id=ven_id,
            )

    async def _register(self) -> None:
        """Register, with the ids that we have; NotRegistered when the utility refuses."""
        utility = self._utility
        said = PartyRegistration(ven_name=utility.ven_name, xml_signature=utility.sign)
        reply = await self.link.exchange(
            "EiRegisterParty",
            "oadrCreatePartyRegistration",
            request_id=self._parts.ids(),
            registration=said,
            registration_id=self.connection.registration_id,
            ven_id=self.connection.ven_id,
        )
        if reply is None or reply.response is None or reply.response.code != Code.OK or not reply.registration_id:
            why = f"{reply.response.code} {reply.response.description}" if reply and reply.response else "no answer"
            if reply is not None and reply.response is not None and reply.response.code == Code.INVALID_ID:
                await self._keep(registration_id=None)
            raise NotRegistered(f"the registration is refused: {why[:200]}")
        await self._keep(
            ven_id=reply.ven_id or self.connection.ven_id,
            registration_id=reply.registration_id,
            vtn_id=reply.vtn_id or "",
            poll_s=reply.poll_freq.total_seconds() if reply.poll_freq and reply.poll_freq > timedelta(0) else None,
            reports_registered=False,
        )
        self._synced = False
        log.info("%s: registered as %s", self.name, self.connection.ven_id)

    async def _keep(self, **changed: Any) -> None:
        self.connection = dataclasses.replace(self.connection, **changed)
        row = {"name": self.name, "document": _CONNECTION.dump_json(self.connection).decode()}
        await self._parts.store.write(self._parts.store.put(UP_CONNECTION, [row]))

    # --- what our VENs say --------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Read what our VENs reported, as often as settings say, and tell the utility what follows from it."""
        loop_s, now = asyncio.get_running_loop().time(), self._parts.clock.now()
        if loop_s < self._look_at_s:
            return
        ven_id = self.connection.ven_id or ""
        standing = await self.reports.reported(await self.reports.standing_id(now))
        live = [one for one in self.events.held.values() if one.wanted and one.oa3_id is not None and one.ends_at > now]
        on_event = {one.event_id: await self.reports.reported(one.oa3_id or "") for one in live}
        for one in live:
            opt = whole_opt(on_event[one.event_id], self._utility.opt_out_above)
            if opt is not None:
                await self.events.change_opt(one.event_id, opt)
        await self.events.settle(ven_id, self.connection.vtn_id)
        await self.opts.want(live, on_event, standing, now)
        await self.opts.settle(ven_id)
        await self.reports.settle(ven_id, self._parts.ids(), standing, now)
        self._look_at_s = loop_s + self._parts.settings.look_s

    async def tidy(self) -> None:
        """Drop what nobody will ask for again."""
        await self.events.forget(self._parts.clock.now())
        await self.reports.forget()


def poll_wait(poll_s: float, chance: float) -> float:
    """The wait until the next poll: 0.9 to 1.0 of what was asked for."""
    return poll_s * (1.0 - SPREAD * chance)
