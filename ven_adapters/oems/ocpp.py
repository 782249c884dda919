"""Charging points of OCPP 2.1, 2.0.1 or 1.6J: this program is their central system, a car is what is plugged in there.

No automaker's cloud stands between: a cap is a charging profile in whole watts, or in whole amperes where the station
takes no watts; a pause is a cap of 0, a discharge is a negative set-point, and every effect is read off the charging
point's own meter. All of it carries its own end. With 2.1 it carries a dead-man, too: a station that loses us goes on
for the offline limit and then stops by itself. Only 2.1 discharges. For the settings see
`transport.ocpp21.settings`; security profiles 1 (loopback only), 2 and 3.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ven_adapters.contract import (
    Ack,
    BackendError,
    BackendEvent,
    Capability,
    Certainty,
    Directive,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    Rung,
    Setting,
    Snapshot,
    VehicleBackend,
    VehicleRef,
)
from ven_adapters.transport import fallback_ladder
from ven_adapters.transport.ocpp21.profiles import charging_profiles, v2x
from ven_adapters.transport.ocpp21.profiles.profile_keeper import ProfileKeeper
from ven_adapters.transport.ocpp21.profiles.profile_records import ProfileRecord
from ven_adapters.transport.ocpp21.settings import CentralSettings
from ven_adapters.transport.ocpp21.stations.charging_points import ChargingPoint, Station
from ven_adapters.transport.ocpp21.stations.operator_notices import clock_text
from ven_adapters.transport.settings import read_table

_NEED_POWER = (DirectiveKind.CAP, DirectiveKind.SETPOINT)
_GIVE_BACK = (DirectiveKind.CHARGE, DirectiveKind.RELEASE)


def backend(settings: Mapping[str, Any]) -> VehicleBackend:
    """The central system with its registered stations and cars."""
    return OcppBackend(read_table(CentralSettings, settings))


def achieve(directive: Directive, capability: Capability, snapshot: Snapshot) -> Setting | BackendError:
    """A signed power, else a current rounded down, else a pause; nothing to do for what gives the car back."""
    del snapshot
    asked_w = fallback_ladder.asked_w(directive, capability)
    if asked_w is None:
        return fallback_ladder.resume(capability)
    if asked_w < 0:
        return fallback_ladder.discharge(directive, capability)
    if asked_w > 0 and capability.can_set_power:
        return Setting(Rung.POWER, asked_w)
    if not capability.can_stop:
        return BackendError(ErrorCode.NOT_SUPPORTED, "chargingRateUnit: the station takes neither watts nor amperes")
    return fallback_ladder.current(asked_w, capability) or fallback_ladder.pause()


class OcppBackend:
    """The port over a central system, which listens from the first call on. `events` has one consumer."""

    works_alone = True

    def __init__(self, settings: CentralSettings) -> None:
        self._settings = settings
        self._profiles = ProfileKeeper(settings)
        self._opening = asyncio.Lock()
        self._port: int | None = None
        self._patient_until_s = 0.0

    async def port(self) -> int:
        """Listen, if we do not yet; the port that stations connect to."""
        async with self._opening:
            if self._port is None:
                try:
                    self._port = await self._profiles.central.open()
                    self._profiles.open()
                except OSError as error:
                    where = "settings.port" if error.filename is None else f"settings.state: {error.filename}"
                    raise BackendError(ErrorCode.BACKEND_TRANSIENT, f"{where}: {error.strerror}") from None
                self._patient_until_s = time.monotonic() + self._settings.answer_s
            return self._port

    async def _introduced(self, ref: str) -> None:
        """Stations take a moment to find us after our start: until then, wait for the first words of this car's."""
        await self.port()
        left_s = self._patient_until_s - time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, left_s)):
                while not self._profiles.knows(ref):
                    await self._profiles.news(ref)

    async def vehicles(self) -> AsyncIterator[VehicleRef]:
        """Every registered car."""
        await self.port()
        for place in self._settings.places:
            yield VehicleRef(place.ref)

    async def capabilities(self, ref: str) -> Capability:
        """What car and charging point can do; BACKEND_TRANSIENT until the station has said it."""
        await self._introduced(ref)
        point, station = self._profiles.at(ref)
        if station.v2x is None:
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, "station: has not yet said what it can do")
        return v2x.capability(point, station)

    async def snapshot(self, ref: str, *, max_age_s: int | None = None) -> Snapshot:
        """The newest reading, asked for anew when older than `max_age_s`; UNREACHABLE when none can be had."""
        await self._introduced(ref)
        if max_age_s is not None and self._old(ref, max_age_s):
            await self._refresh(ref, max_age_s)
        return self._profiles.snapshot(ref)

    async def submit(self, directive: Directive, capability: Capability, snapshot: Snapshot) -> Ack:
        """Set a charging profile, or take all away; idempotent on `directive.key`, and read before it is sent again."""
        del capability
        await self._introduced(directive.vehicle_ref)
        profiles = self._profiles
        async with profiles.turn(directive.vehicle_ref):
            seen = profiles.book.seen(directive)
            if seen is not None and (not seen.in_doubt or await profiles.settle(seen, again=True)):
                return seen.ack()
            return (await self._obtained(directive, snapshot)).ack()

    async def _obtained(self, directive: Directive, snapshot: Snapshot) -> ProfileRecord:
        """Have a directive installed, or handed back; a station that refuses the unit is asked in the other once."""
        profiles = self._profiles
        while True:
            point, station = profiles.at(directive.vehicle_ref)
            setting, unit = self._setting(directive, point, station, snapshot), v2x.rate_unit(station)
            if setting.rung is Rung.RESUME and directive.start <= profiles.clock.now():
                return await profiles.hand_back(directive, setting)
            try:
                return await profiles.install(directive, setting, v2x.spare_wh(directive, point))
            except BackendError:
                if v2x.rate_unit(profiles.at(directive.vehicle_ref)[1]) in (None, unit):
                    raise

    async def cancel(self, vehicle_ref: str, directive_id: str) -> Ack:
        """Take a directive's profile away; one that an earlier life of this program sent is found at the station."""
        await self._introduced(vehicle_ref)
        profiles = self._profiles
        async with profiles.turn(vehicle_ref):
            record = profiles.book.get(vehicle_ref, directive_id)
            if record is not None:
                return await profiles.cancel(record)
            asked = charging_profiles.clear_profile(directive_id)
            answer = await profiles.central.ask(vehicle_ref, "ClearChargingProfile", asked)
        if answer["status"] != "Accepted":
            raise _unknown()
        return Ack(directive_id, DirectiveState.CANCELLED)

    async def status(self, vehicle_ref: str, directive_id: str) -> DirectiveStatus:
        """Where a directive stands; what is in doubt, or was sent by an earlier life, is read from the station."""
        await self._introduced(vehicle_ref)
        profiles = self._profiles
        async with profiles.turn(vehicle_ref):
            record = profiles.book.get(vehicle_ref, directive_id)
            if record is not None and await self._settled(record):
                return profiles.status(record)
            known = () if record is not None else await profiles.central.profiles(vehicle_ref)
        if charging_profiles.profile_id(directive_id) not in known:
            raise _unknown()
        return DirectiveStatus(directive_id, vehicle_ref, DirectiveState.ACCEPTED, Certainty.ACCEPTED)

    async def _settled(self, record: ProfileRecord) -> bool:
        """Whether a record stands; one that is in doubt stays so while its station cannot be asked."""
        try:
            return not record.in_doubt or await self._profiles.settle(record)
        except BackendError:
            return True

    async def events(self) -> AsyncIterator[BackendEvent]:
        """Readings, directive changes and drivers' choices, as the stations tell."""
        await self.port()
        while True:
            for event in await self._profiles.outbox.batch():
                yield event

    async def close(self) -> None:
        """Hang up on every station."""
        await self._profiles.close()
        self._port = None

    def _setting(self, directive: Directive, point: ChargingPoint, station: Station, snapshot: Snapshot) -> Setting:
        """What the station will be told; raises the reason why it will not be."""
        if directive.power_w is None and directive.kind in _NEED_POWER:
            raise BackendError(ErrorCode.INVALID_REQUEST, f"power_w: is required by a {directive.kind}")
        if self._profiles.clock.now() > directive.not_after:
            raise BackendError(ErrorCode.EXPIRED, "not_after: has passed")
        if point.transaction is None:
            lost = f"; {station.unplaced} events of the station could not be placed" if station.unplaced else ""
            raise BackendError(ErrorCode.NOT_PLUGGED, f"transaction: none runs at the charging point{lost}")
        if point.prior and directive.kind not in _GIVE_BACK:
            raise BackendError(ErrorCode.USER_OVERRIDE, "priority charging: the driver asked for it")
        setting = achieve(directive, v2x.capability(point, station), snapshot)
        if isinstance(setting, BackendError):
            raise setting
        gives = (setting.power_w or 0) < 0
        refusal = v2x.refusal(directive, point, station, self._profiles.clock.now()) if gives else None
        if refusal is not None:
            raise refusal
        return setting

    def _old(self, ref: str, max_age_s: int) -> bool:
        point, _ = self._profiles.at(ref)
        power = point.snapshot.power_w
        if point.transaction is None and point.changed_at is not None:
            return False
        return power is None or (self._profiles.clock.now() - power.observed_at).total_seconds() > max_age_s

    async def _refresh(self, ref: str, max_age_s: int) -> None:
        before = self._profiles.at(ref)[0].snapshot.power_w
        try:
            await self._profiles.central.refresh(ref)
            async with asyncio.timeout(self._settings.answer_s):
                while self._old(ref, max_age_s) and self._profiles.at(ref)[0].snapshot.power_w == before:
                    await self._profiles.news(ref)
        except TimeoutError:
            why = clock_text(self._profiles.at(ref)[1].clock_offset_s)
            detail = "no newer reading came, though it was asked for" + (f": {why}" if why else "")
            raise BackendError(ErrorCode.STALE_TELEMETRY, detail) from None
        except BackendError as error:
            raise BackendError(ErrorCode.UNREACHABLE, error.detail) from None


def _unknown() -> BackendError:
    return BackendError(ErrorCode.INVALID_REQUEST, "directive_id: is not known for this car")
