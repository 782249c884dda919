"""See to it that Teslas stream: each car's telemetry configuration is made, verified, and made anew when it is lost.

A car that streams costs nothing here. One that has been silent for a day, or whose configuration is not known to be the
wanted one, is asked for it: at first soon, then after waits that double up to a day. A configuration travels through
Tesla's command proxy, which signs it, and the car takes it when it is next connected, which may be hours later.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from ven_adapters.contract import BackendError, SetupFault
from ven_adapters.oems.tesla.accounts import TeslaAccounts
from ven_adapters.oems.tesla.fields import RESEND_S
from ven_adapters.oems.tesla.status import LIMIT_REACHED, SKIPPED, error_sentence, has_config
from ven_adapters.oems.tesla.telemetry import FleetTelemetry
from ven_adapters.transport.http.codec import dumps
from ven_adapters.transport.http.session import Call
from ven_adapters.transport.readings.vendor_readings import pick
from ven_adapters.transport.readings.vocabulary import note, shown
from ven_adapters.transport.vendor_settings import OwnersSettings
from vtn.limits import doubled_s
from vtn.privatefiles import write_private

AT_ONCE = 50
# Cars that stream already have told so by then.
FIRST_LOOK_S = 1.5 * RESEND_S
LOOK_EVERY_S = 900.0
FIRST_WAIT_S, LONGEST_WAIT_S = 3_600.0, 86_400.0
SILENT_FOR = timedelta(days=1)
NOT_TAKEN = "has not taken its telemetry configuration for a day: its owner drives it, or opens it in Tesla's app"
_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class CarArming:
    """One car: when it is asked next, how often it was in vain, since when it has not taken what it was given."""

    due_at: datetime
    looks: int = 0
    waits_since: datetime | None = None
    sentence: str | None = None


class TelemetryArming:
    """Every car's configuration, `wanted` alike for all. `keep_armed` sees to it until cancelled."""

    def __init__(
        self,
        accounts: TeslaAccounts,
        settings: OwnersSettings,
        telemetry: FleetTelemetry,
        wanted: Mapping[str, Any],
    ) -> None:
        self._accounts, self._settings, self._telemetry, self._wanted = accounts, settings, telemetry, wanted
        self._digest = hashlib.sha256(orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS)).hexdigest()
        self._file = settings.state / "telemetry.json"
        self._armed = _read(self._file)
        self._cars: dict[str, CarArming] = {}

    async def keep_armed(self) -> None:
        """Look at the cars that are due, again and again."""
        await self._settings.wait(FIRST_LOOK_S)
        while True:
            await self.look()
            await self._settings.wait(LOOK_EVERY_S)

    async def look(self) -> None:
        """One round over all accounts; what fails costs its own account a round."""
        for name, refs in self._accounts.listed().items():
            try:
                known = refs or await self._accounts.refs_of(name)
                await self._look_at(name, [ref for ref in known if self._is_due(ref)])
            except BackendError as error:
                _log.warning("the telemetry of an owner's cars could not be seen to: %s", error.code)

    def faults(self) -> Sequence[SetupFault]:
        """The cars that do not stream, and why."""
        return tuple(SetupFault(ref, car.sentence) for ref, car in self._cars.items() if car.sentence is not None)

    def _is_due(self, ref: str) -> bool:
        """Whether a car is to be asked; one that streams what we want is not."""
        now = self._settings.clock.now()
        car = self._cars.setdefault(ref, CarArming(now))
        heard_at = self._telemetry.last_heard.get(ref)
        if heard_at is not None and now - heard_at < SILENT_FOR and self._armed.get(ref) == self._digest:
            self._cars[ref] = CarArming(now)
            return False
        return car.due_at <= now

    async def _look_at(self, name: str, refs: Sequence[str]) -> None:
        missing = [ref for ref in refs if not await self._has_it(ref)]
        for first in range(0, len(missing), AT_ONCE):
            await self._configure(name, missing[first : first + AT_ONCE])
        if refs:
            self._write()

    async def _has_it(self, ref: str) -> bool:
        """Ask for one car's configuration; whether it need not be sent."""
        now, car = self._settings.clock.now(), self._cars[ref]
        car.looks += 1
        car.due_at = now + timedelta(seconds=doubled_s(car.looks, FIRST_WAIT_S, LONGEST_WAIT_S))
        told = pick(await self._accounts.of(ref, "GET", "/fleet_telemetry_config"), "response")
        told = told if isinstance(told, dict) else {}
        blocked = LIMIT_REACHED if told.get("limit_reached") is True else None
        blocked = SKIPPED["missing_key"] if told.get("key_paired") is False else blocked
        if not has_config(told.get("config"), self._wanted):
            car.sentence, car.waits_since = blocked, None
            self._armed.pop(ref, None)
            return blocked is not None
        self._armed[ref] = self._digest
        if told.get("synced") is True:
            car.waits_since, car.sentence = None, await self._error_of(ref)
        else:
            car.waits_since = car.waits_since or now
            car.sentence = blocked or (NOT_TAKEN if now - car.waits_since >= SILENT_FOR else None)
        return True

    async def _error_of(self, ref: str) -> str | None:
        """What a car that has its configuration and is silent reported last; None when it reported nothing."""
        raw = await self._accounts.of(ref, "GET", "/fleet_telemetry_errors")
        errors = pick(raw, "response", "fleet_telemetry_errors")
        last = max((one for one in errors if isinstance(one, dict)), key=_created_at, default=None)
        return None if last is None else error_sentence(last.get("error_name") or last.get("name"))

    async def _configure(self, name: str, refs: Sequence[str]) -> None:
        """Send the configuration to cars of one account, and keep which Tesla left out."""
        now, vins = self._settings.clock.now(), {self._settings.names.native(ref): ref for ref in refs}
        body = dumps({"vins": list(vins), "config": self._wanted})
        raw = await self._accounts.json(name, Call("POST", "/api/1/vehicles/fleet_telemetry_config", body=body))
        skipped = pick(raw, "response").get("skipped_vehicles") or {}
        left_out = {vins[vin]: str(why) for why, several in skipped.items() for vin in several or () if vin in vins}
        for ref in refs:
            self._cars[ref].sentence = self._why(left_out.get(ref))
            if ref not in left_out:
                self._cars[ref].waits_since = now
                self._armed[ref] = self._digest
        if len(left_out) < len(refs):
            _log.info("%d cars were given their telemetry configuration", len(refs) - len(left_out))

    def _why(self, reason: str | None) -> str | None:
        if reason is None or reason in SKIPPED:
            return None if reason is None else SKIPPED[reason]
        note("tesla", f"fleet_telemetry_config skips a car: {shown(reason)}")
        return f"streams nothing, because Tesla leaves it out as {shown(reason)}; it is read by calls"

    def _write(self) -> None:
        write_private(self._file, orjson.dumps(self._armed))


def _created_at(error: Mapping[str, Any]) -> str:
    return str(error.get("created_at") or "")


def _read(file: Path) -> dict[str, str]:
    """Which cars were given which configuration; nothing that cannot be read, for then they are asked."""
    try:
        raw: Any = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return {str(ref): str(digest) for ref, digest in _pairs(raw)}


def _pairs(raw: Any) -> Iterable[tuple[Any, Any]]:
    return raw.items() if isinstance(raw, dict) else ()
