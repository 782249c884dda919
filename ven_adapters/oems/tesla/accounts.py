"""Tesla owners' accounts: one session for each grant, whose car is whose, and the region where an account lives."""

import logging
from collections.abc import AsyncIterator
from typing import Any

from ven_adapters.contract import BackendError, VehicleRef
from ven_adapters.oems.tesla.shapes import WrongRegion, judge, price
from ven_adapters.transport.grants.grants import OwnerTokens
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.readings.vendor_readings import pick
from ven_adapters.transport.vendor_session import Dialect, VendorSession
from ven_adapters.transport.vendor_settings import OwnersSettings

_log = logging.getLogger(__name__)


class TeslaAccounts:
    """Every owner who consented, and the cars of each."""

    def __init__(self, settings: OwnersSettings) -> None:
        self._settings, self._grants, self._names = settings, settings.grants, settings.names
        self._sessions: dict[str, VendorSession] = {}
        self._account_of: dict[str, str] = {}
        self._unlisted: BackendError | None = None

    async def refs(self) -> AsyncIterator[VehicleRef]:
        """Every car; an owner whose grant fails hides his own cars only."""
        self._unlisted = None
        for name in self._grants.names():
            try:
                for ref in await self.refs_of(name):
                    yield VehicleRef(ref)
            except BackendError as error:
                self._unlisted = error
                _log.warning("an owner's cars could not be listed: %s", error.code)

    async def refs_of(self, name: str) -> list[str]:
        """One owner's cars, listed anew."""
        refs = [self._names.ref(vin) for vin in await self._vins(name)]
        self._account_of |= dict.fromkeys(refs, name)
        return refs

    def listed(self) -> dict[str, list[str]]:
        """The refs of the cars that were listed, by account; of accounts that still have a grant."""
        found: dict[str, list[str]] = {name: [] for name in self._grants.names()}
        for ref, name in self._account_of.items():
            if name in found:
                found[name].append(ref)
        return found

    async def account_of(self, ref: str) -> str:
        """Whose car it is; the vendor is asked for its cars when that is not known."""
        await self._names.learn(ref, self.refs)
        if not self._names.knows(ref) and self._unlisted is not None:
            raise self._unlisted  # it may be one of the cars that could not be listed
        self._names.native(ref)
        return self._account_of[ref]

    async def of(self, ref: str, method: str, path: str, **more: Any) -> Any:
        """The answer to a call about one car."""
        name = await self.account_of(ref)
        call = Call(method, f"/api/1/vehicles/{self._names.native(ref)}{path}", vehicle=ref, **more)
        return await self.json(name, call)

    async def json(self, name: str, call: Call) -> Any:
        """The answer to an account's call, from the region where the account turns out to live."""
        session = self._session(name)
        try:
            return await session.json(call)
        except WrongRegion:
            raw = await session.json(Call("GET", "/api/1/users/region"))
            session.move(str(pick(raw, "response", "fleet_api_base_url")))
            return await session.json(call)

    async def close(self) -> None:
        """Let go of every owner's connections."""
        for session in self._sessions.values():
            await session.close()

    def _session(self, name: str) -> VendorSession:
        if name not in self._sessions:
            tokens = OwnerTokens(self._settings.client, self._grants.file(name))
            self._sessions[name] = VendorSession(self._settings, self._settings.url, tokens, Dialect(judge, price))
        return self._sessions[name]

    async def _vins(self, name: str) -> list[str]:
        vins: list[str] = []
        page: int | None = 1
        while page is not None:
            raw = await self.json(name, Call("GET", "/api/1/vehicles", query={"page": str(page)}))
            vins += [str(pick(car, "vin")) for car in pick(raw, "response")]
            page = (raw.get("pagination") or {}).get("next")
        return vins
