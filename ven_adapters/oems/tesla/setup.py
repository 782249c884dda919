"""Whether Teslas can be commanded as they are set up: `fleet_status` of each owner's cars, and the key of our domain.

Looked at before a car is first said to be capable of anything, then once a day, or once an hour while something is
missing. A look that fails says nothing: a car is not kept from its commands by it. Faults are logged when they are new.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from ven_adapters.contract import BackendError, ErrorCode, SetupFault
from ven_adapters.oems.tesla.accounts import TeslaAccounts
from ven_adapters.oems.tesla.settings import TeslaSettings
from ven_adapters.oems.tesla.shapes import judge, price
from ven_adapters.oems.tesla.status import CarSetup, domain_fault, faults_of, setup_of
from ven_adapters.transport.grants.grants import AppTokens
from ven_adapters.transport.http.codec import dumps
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.readings.vendor_readings import pick
from ven_adapters.transport.vendor_session import Dialect, VendorSession

AT_ONCE = 50
LOOK_EVERY, LOOK_AGAIN = timedelta(days=1), timedelta(hours=1)
PARTNER_SCOPE = "openid vehicle_device_data vehicle_cmds vehicle_charging_cmds"
_log = logging.getLogger(__name__)


class TeslaSetup:
    """What is missing, as it was found last."""

    def __init__(self, accounts: TeslaAccounts, settings: TeslaSettings) -> None:
        self._accounts, self._settings = accounts, settings
        self._cars: dict[str, CarSetup] = {}
        self._found: dict[str, tuple[SetupFault, ...]] = {}
        self._domain: SetupFault | None = None
        self._due: dict[str, datetime] = {}
        self._told: set[SetupFault] = set()
        self._looking = asyncio.Lock()

    async def takes_commands(self, ref: str) -> bool:
        """Whether nothing is known that keeps a car from its commands."""
        name = await self._accounts.account_of(ref)
        async with self._looking:
            if ref not in self._cars:
                await self._look_at(name)
        return not any(fault.takes_no_command for fault in self._found.get(ref, ()))

    async def faults(self) -> Sequence[SetupFault]:
        """Everything that is missing, looked at anew where that is due."""
        async with self._looking:
            now = self._settings.clock.now()
            for name, refs in self._accounts.listed().items():
                if self._due.get(name, now) <= now or any(ref not in self._cars for ref in refs):
                    await self._look_at(name)
            if self._settings.domain and self._due.get("", now) <= now:
                await self._look_at_domain()
        return tuple(self._all())

    async def faults_of(self, name: str) -> Sequence[SetupFault]:
        """What is missing at one owner's cars now."""
        async with self._looking:
            await self._look_at(name)
        mine = self._accounts.listed().get(name, [])
        return tuple(fault for ref in mine for fault in self._found.get(ref, ()))

    def _all(self) -> Iterator[SetupFault]:
        if self._domain is not None:
            yield self._domain
        for found in self._found.values():
            yield from found

    async def _look_at(self, name: str) -> None:
        """Ask about the cars of one account."""
        now, refs = self._settings.clock.now(), self._accounts.listed().get(name, [])
        self._due[name] = now + LOOK_AGAIN
        try:
            refs = refs or await self._accounts.refs_of(name)
            for first in range(0, len(refs), AT_ONCE):
                await self._ask(name, refs[first : first + AT_ONCE])
        except BackendError as error:
            _log.warning("what an owner's cars need to be set up could not be asked for: %s", error.code)
            self._cars |= {ref: CarSetup() for ref in refs if ref not in self._cars}
            return
        if not any(self._found.get(ref) for ref in refs):
            self._due[name] = now + LOOK_EVERY
        self._tell()

    async def _ask(self, name: str, refs: Sequence[str]) -> None:
        vins = {ref: self._settings.names.native(ref) for ref in refs}
        call = Call("POST", "/api/1/vehicles/fleet_status", body=dumps({"vins": list(vins.values())}))
        raw = pick(await self._accounts.json(name, call), "response")
        for ref, vin in vins.items():
            setup = self._cars[ref] = setup_of(raw, vin)
            url, domain, streamed = self._settings.url, self._settings.domain, self._settings.telemetry is not None
            self._found[ref] = tuple(faults_of(ref, setup, url, domain, streamed=streamed))
        discounted = sum(self._cars[ref].discounted for ref in refs)
        if discounted:
            _log.info("%d of %d cars are read at a lower price, because they cannot stream", discounted, len(refs))

    async def _look_at_domain(self) -> None:
        """Ask whether Tesla has the key of our domain, with a token of our own."""
        now, settings, domain = self._settings.clock.now(), self._settings, self._settings.domain
        self._due[""] = now + LOOK_AGAIN
        client = dataclasses.replace(settings.client, more={"audience": settings.consent.audience or settings.url})
        session = VendorSession(settings, settings.url, AppTokens(client, PARTNER_SCOPE), Dialect(judge, price))
        call = Call("GET", "/api/1/partner_accounts/public_key", query={"domain": domain})
        try:
            raw = await session.json(call)
            self._domain = domain_fault(domain, (raw.get("response") or {}).get("public_key"))
        except BackendError as error:
            if error.code is not ErrorCode.INVALID_REQUEST:  # as 404 and 412 are: there is no such partner here
                _log.warning("whether our domain is registered could not be asked: %s", error.code)
                return
            self._domain = domain_fault(domain, None)
        finally:
            await session.close()
        if self._domain is None:
            self._due[""] = now + LOOK_EVERY
        self._tell()

    def _tell(self) -> None:
        """Log what is new; what is gone can be new again."""
        standing = set(self._all())
        for fault in sorted(standing - self._told, key=lambda one: one.vehicle_ref or ""):
            _log.warning("%s %s", fault.vehicle_ref or "every car", fault.sentence)
        self._told = standing
