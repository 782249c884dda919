"""Keeps directives true at the stations: installs, takes back, stops, and reads before it sends again.

One car's calls never overlap. A newer profile is put above the older ones before those are taken away, so the car is
never without an order in between. What could not be taken away is taken away when its station is back; until then
the profile's own dead-man fields bound it.
"""

import asyncio
import collections
import contextlib
import dataclasses
import functools
from collections.abc import Mapping

from ven_adapters.contract import (
    Ack,
    BackendError,
    ChargeState,
    Directive,
    DirectiveState,
    DirectiveStatus,
    DriverChoice,
    DriverChose,
    ErrorCode,
    Known,
    Reading,
    Setting,
    Snapshot,
)
from ven_adapters.lifecycle.transitions import Trigger
from ven_adapters.transport.ocpp21.central_system import CentralSystem
from ven_adapters.transport.ocpp21.event_buffer import Outbox
from ven_adapters.transport.ocpp21.frames import Payload
from ven_adapters.transport.ocpp21.profiles import charging_profiles, composite, v2x
from ven_adapters.transport.ocpp21.profiles.charging_profiles import ProfileWindow, profile_id
from ven_adapters.transport.ocpp21.profiles.profile_records import ProfileRecord, ProfileRecords, advance
from ven_adapters.transport.ocpp21.settings import CentralSettings
from ven_adapters.transport.ocpp21.stations.charging_points import SOURCE, ChargingPoint, Station, at_evse
from ven_adapters.transport.ocpp21.stations.operator_notices import clock_text
from ven_adapters.transport.windows.journal import Journal
from vtn.clock import sleep_until
from vtn.limits import Limit

S = DirectiveState
# Profiles for one car: so many at once, then one each fifteen seconds.
BURST, PER_S = 20.0, 1.0 / 15.0
MOST_POINTS = 1_000_000


class ProfileKeeper:
    """Owner of the register: every change at a charging point passes by the directives that it may concern."""

    def __init__(self, settings: CentralSettings) -> None:
        self._settings = settings
        self.clock = settings.clock
        self.central = CentralSystem(settings, self)
        self.book = ProfileRecords(
            Journal(settings.state / "profiles.jsonl" if settings.state else None, ProfileRecord)
        )
        self.outbox = Outbox()
        self._budgets = Limit(BURST, PER_S, MOST_POINTS)
        self._strays: dict[str, dict[int, int]] = {}
        self._turns: collections.defaultdict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self._news: collections.defaultdict[str, asyncio.Event] = collections.defaultdict(asyncio.Event)

    def at(self, ref: str) -> tuple[ChargingPoint, Station]:
        """A car's charging point and its station; INVALID_REQUEST for a car that is not registered."""
        point = self.central.register.point(ref)
        return point, at_evse(self.central.register.station(point.place.station), point.place.evse)

    def open(self) -> None:
        """Take up the directives of an earlier life; each is read from its station when that is back."""
        for record in self.book.open(self.clock.now()):
            if not record.final:
                self.central.beside(self._accompany(record))

    async def close(self) -> None:
        """Hang up on every station."""
        await self.central.close()
        self.book.close()

    def knows(self, ref: str) -> bool:
        """Whether a station has said what it can do and how its car stands; INVALID_REQUEST for no car of ours."""
        point, station = self.at(ref)
        if station.v2x is None or point.changed_at is None or point.transaction is None:
            return station.v2x is not None and point.changed_at is not None
        power, since = point.snapshot.power_w, station.connected_at
        fresh = power is not None and (since is None or power.observed_at > since)
        return fresh and (point.needs is not None or not (station.v2x and point.place.max_discharge_w))

    def turn(self, ref: str) -> asyncio.Lock:
        """A car's turn: whoever holds it is the only one to call."""
        return self._turns[ref]

    def snapshot(self, ref: str) -> Snapshot:
        """The newest reading; a car that its station holds back in our name is paused by a directive."""
        point, station = self.at(ref)
        held = dataclasses.replace(point.snapshot, der_alarm=_alarm(station))
        state = held.charge_state
        ours = any(record.state in (S.ACCEPTED, S.IN_FORCE) for record in self.book.live(ref))
        if state is None or state.value is not ChargeState.NO_POWER or not ours:
            return held
        return dataclasses.replace(held, charge_state=dataclasses.replace(state, value=ChargeState.PAUSED_BY_DIRECTIVE))

    def status(self, record: ProfileRecord) -> DirectiveStatus:
        """Where a directive stands; a station whose clock is out, so that nothing proves it, is told as well."""
        _, station = self.at(record.directive.vehicle_ref)
        return record.status(clock_text(station.clock_offset_s))

    async def news(self, ref: str) -> None:
        """Return when something changed at a car's charging point."""
        self._news[ref].clear()
        await self._news[ref].wait()

    # What the register tells.

    def changed(self, ref: str) -> None:
        """A point or its station changed: push it, and let it have its effect on the car's directives."""
        self._news[ref].set()
        point, station = self.at(ref)
        for record in self.book.live(ref):
            if advance(record, point, station, self.clock.now()):
                self.book.note(record)
                self.outbox.status(self.status(record))
            self._watch(record, point, station)
        self._sweep(ref, station)
        self.outbox.snapshot(self.snapshot(ref))

    def back(self, ref: str) -> None:
        """A station is back."""
        self.central.beside(self._recheck(ref))

    def prior(self, ref: str, *, on: bool) -> None:
        """A driver pressed 'charge now' at the station: what we asked is over."""
        for record in self.book.live(ref) if on else ():
            self._stop(
                record, S.OVERRIDDEN, Trigger.DRIVER, ErrorCode.USER_OVERRIDE, "the driver asked for priority charging"
            )
        choice = DriverChoice.BOOST if on else DriverChoice.OPT_IN
        self.outbox.choice(DriverChose(ref, choice, self.clock.now()))

    def late(self, station: str, action: str, payload: Payload, answer: Payload) -> None:
        """An acceptance that came after its time, and that nobody waits for any more, is taken back."""
        if action != "SetChargingProfile" or answer.get("status") != "Accepted":
            return
        point = self.central.register.at(station, payload["evseId"])
        number = payload["chargingProfile"]["id"]
        if point is None:
            return
        records = self.book.of(point.place.ref)
        record = next((one for one in records if profile_id(one.directive.directive_id) == number), None)
        if record is not None and not record.final and self.clock.now() <= record.directive.not_after:
            if record.in_doubt:
                self.accept(record)
            return
        if record is not None and record.in_doubt:
            self._push(record, S.EXPIRED, Trigger.TIME, ErrorCode.EXPIRED, "accepted after not_after, and taken back")
        clear = {"chargingProfileId": number}
        self.central.beside(self._dismiss(point.place.ref, clear))

    # What the port asks.

    async def install(self, directive: Directive, setting: Setting, spare_wh: float) -> ProfileRecord:
        """Put a profile above all others; a directive that begins now takes the others away."""
        ref = directive.vehicle_ref
        level = await self._level(ref)
        point, station = self.at(ref)
        now = self.clock.now()
        record = ProfileRecord(directive, setting, point.transaction or "", level, now, needs=point.needs)
        window = dataclasses.replace(self._window(record, point, station), spare_wh=spare_wh)
        self._pay(ref)
        answer = await self._send(record, "SetChargingProfile", charging_profiles.set_profile(window, now))
        if (refusal := charging_profiles.refusal(answer)) is not None:
            self.book.drop(record)
            if charging_profiles.refused_unit(answer):
                self.central.register.refused_unit(point.place.station, window.unit)
            raise refusal
        self.accept(record)
        return record

    def _window(self, record: ProfileRecord, point: ChargingPoint, station: Station) -> ProfileWindow:
        """What a record's profile is made of."""
        phases, voltage_v = v2x.wiring(point)
        return ProfileWindow(
            *(record.directive, record.setting, point.place, record.transaction, record.level),
            offline_limit_s=self._settings.offline_limit_s,
            unit=v2x.rate_unit(station) or v2x.UNITS[0],
            phases=phases,
            voltage_v=voltage_v,
        )

    def _pay(self, ref: str) -> None:
        """One profile from the car's budget; what takes profiles away is free."""
        if wait_s := self._budgets.wait_s(ref, self.clock.now().timestamp()):
            raise BackendError(ErrorCode.RATE_LIMITED, "our own budget for this car is spent", retry_after_s=wait_s)

    async def hand_back(self, directive: Directive, setting: Setting) -> ProfileRecord:
        """Take every transaction profile of a car away: its driver's settings hold again."""
        point, _ = self.at(directive.vehicle_ref)
        record = ProfileRecord(directive, setting, point.transaction or "", 0, self.clock.now(), to_clear=False)
        await self._send(record, "ClearChargingProfile", self._all_of(directive.vehicle_ref))
        for older in self.book.of(directive.vehicle_ref):
            older.to_clear = False
        self._strays[directive.vehicle_ref] = {}
        self.accept(record)
        return record

    async def settle(self, record: ProfileRecord, *, again: bool = False) -> bool:
        """Read whether the station holds what was in doubt; False, and forgotten, when it does not.

        `again`: it is sent once more otherwise, so that what cannot be read is forgotten too; a profile that is set
        twice is one. NOT_SUPPORTED when it cannot be read.
        """
        numbers = await self._held(record.directive.vehicle_ref)
        if numbers is None or not (
            record.to_clear or self.central.version(record.directive.vehicle_ref).reads_profiles
        ):
            if again and record.state is S.REQUESTED:
                self.book.drop(record)
                return False
            raise BackendError(ErrorCode.NOT_SUPPORTED, "the station cannot say which profiles it holds")
        if profile_id(record.directive.directive_id) in numbers if record.to_clear else not numbers:
            self.accept(record, Trigger.READ)
            self.changed(record.directive.vehicle_ref)
            return True
        if record.state is S.REQUESTED:
            self.book.drop(record)
            return False
        self._let_go(record)
        return True

    async def cancel(self, record: ProfileRecord) -> Ack:
        """End a directive now."""
        if record.to_clear:
            await self.central.ask(record.directive.vehicle_ref, "ClearChargingProfile", _clear(record))
            record.to_clear = False
        if not record.final:
            self._push(record, S.CANCELLED, Trigger.CANCEL)
        return record.ack()

    def accept(self, record: ProfileRecord, trigger: Trigger = Trigger.ACK) -> None:
        """The station took it: from its start on the older ones are over, and its end is watched."""
        if record.final:  # it ended before its station answered, and is taken away again
            return
        self._recall(record)
        record.move(S.ACCEPTED, trigger)
        self.book.note(record)
        self.outbox.status(self.status(record))
        if record.directive.start <= self.clock.now():
            self._supersede(record)
        self.central.beside(self._accompany(record))

    def _recall(self, record: ProfileRecord) -> None:
        """What the car said of itself to an earlier life of this program holds for its session."""
        point, _ = self.at(record.directive.vehicle_ref)
        if point.needs is None and record.needs is not None and point.transaction == record.transaction:
            self.central.register.put(dataclasses.replace(point, needs=record.needs))

    # How it is done.

    async def _send(self, record: ProfileRecord, action: str, payload: Payload) -> Payload:
        """Send while it is still time; what was never sent leaves no record."""
        self.book.add(record)
        ready = functools.partial(self._in_time, record.directive)
        try:
            return await self.central.ask(record.directive.vehicle_ref, action, payload, ready=ready)
        except BackendError as error:
            if not error.may_have_happened and not record.final:
                self.book.drop(record)
            raise

    def _in_time(self, directive: Directive) -> None:
        if self.clock.now() > directive.not_after:
            raise BackendError(ErrorCode.EXPIRED, "not_after: has passed")

    async def _level(self, ref: str) -> int:
        """The level above every profile of a car; when there is none left, the others have to go first."""
        if ref not in self._strays:
            await self._look(ref)
        _, station = self.at(ref)
        now = self.clock.now()
        standing = [one.level for one in self.book.of(ref) if one.to_clear and now < one.directive.end]
        level = max([*standing, *self._strays[ref].values(), charging_profiles.LOWEST_LEVEL - 1]) + 1
        if level <= (station.highest_level or charging_profiles.USUAL_HIGHEST_LEVEL):
            return level
        await self.central.ask(ref, "ClearChargingProfile", self._all_of(ref))
        for record in self.book.of(ref):
            record.to_clear = False
            if not record.final:
                self._push(record, S.SUPERSEDED, Trigger.REPLACED)
        self._strays[ref] = {}
        return charging_profiles.LOWEST_LEVEL

    def _all_of(self, ref: str) -> Payload:
        """The payload of ClearChargingProfile for every transaction profile of a car."""
        criteria = {"evseId": self.at(ref)[0].place.evse, "chargingProfilePurpose": "TxProfile"}
        return {"chargingProfileCriteria": criteria}

    def _let_go(self, record: ProfileRecord) -> None:
        record.to_clear = False
        if not record.final:
            self._push(
                record, S.FAILED, Trigger.READ, ErrorCode.UNREACHABLE, "the station let go of it while it was away"
            )

    async def _held(self, ref: str) -> Mapping[int, int] | None:
        """The profiles that a station holds for a car: levels by number; None where it cannot say.

        A station that lists none is asked what limit holds when each of our profiles should be the highest.
        """
        if self.central.version(ref).reads_profiles:
            return await self.central.profiles(ref)
        point, station = self.at(ref)
        now = self.clock.now()
        standing = [one for one in self.book.of(ref) if one.to_clear and now < one.directive.end]
        windows = [
            self._window(one, point, station) for one in standing if point.transaction in (None, one.transaction)
        ]
        if not windows:
            return {}
        schedule = await self.central.schedule(ref, composite.duration_s(windows, now), windows[0].unit)
        return None if schedule is None else composite.held(windows, schedule, now)

    async def _look(self, ref: str) -> Mapping[int, int] | None:
        """The profiles that a station holds for a car; those of an earlier life of this program are strays.

        A station that cannot list them is told to drop them all, when we know of none that should be there.
        """
        numbers = await self._held(ref)
        if not self.central.version(ref).reads_profiles:
            if ref not in self._strays and not numbers and numbers is not None:
                await self.central.ask(ref, "ClearChargingProfile", self._all_of(ref))
            self._strays[ref] = {}
            return numbers
        numbers = numbers or {}
        mine = {profile_id(record.directive.directive_id) for record in self.book.of(ref)}
        self._strays[ref] = {number: level for number, level in numbers.items() if number not in mine}
        return numbers

    async def _accompany(self, record: ProfileRecord) -> None:
        """Be there when a directive begins and when it ends."""
        ref = record.directive.vehicle_ref
        if record.directive.start > self.clock.now():
            await sleep_until(self.clock, record.directive.start)
            if not record.final and not record.in_doubt:
                self._supersede(record)
        await sleep_until(self.clock, record.directive.end)
        self.changed(ref)

    def _supersede(self, record: ProfileRecord) -> None:
        """Everything that was there before a directive that begins is over."""
        ref = record.directive.vehicle_ref
        records = self.book.of(ref)
        for older in records[: records.index(record)]:
            self._stop(older, S.SUPERSEDED, Trigger.REPLACED)
        for number in tuple(self._strays.get(ref, ())):
            self._strays[ref].pop(number)
            self.central.beside(self._dismiss(ref, {"chargingProfileId": number}))

    def _watch(self, record: ProfileRecord, point: ChargingPoint, station: Station) -> None:
        """Stop a discharge for which a reason appeared why it must not go on."""
        if record.final or record.in_doubt or not record.gives:
            return
        if (error := v2x.stop(record.directive, point, station)) is not None:
            self._stop(record, S.FAILED, Trigger.TELEMETRY, error.code, error.detail)

    def _stop(
        self,
        record: ProfileRecord,
        state: DirectiveState,
        trigger: Trigger,
        error: ErrorCode | None = None,
        detail: str | None = None,
    ) -> None:
        if not record.final:
            self._push(record, state, trigger, error, detail)
        ref = record.directive.vehicle_ref
        self._sweep(ref, self.at(ref)[1])

    def _push(
        self,
        record: ProfileRecord,
        state: DirectiveState,
        trigger: Trigger,
        error: ErrorCode | None = None,
        detail: str | None = None,
    ) -> None:
        record.move(state, trigger, error, detail)
        self.book.note(record)
        self.outbox.status(self.status(record))

    def _sweep(self, ref: str, station: Station) -> None:
        """Take away what is over; what a lost answer leaves uncertain is taken away again at the next change."""
        now = self.clock.now()
        for record in self.book.of(ref) if station.connected else ():
            if record.lingers(now):
                record.clearing = True
                self.central.beside(self._take_away(record))

    async def _take_away(self, record: ProfileRecord) -> None:
        ref = record.directive.vehicle_ref
        try:
            async with self.turn(ref):
                await self.central.ask(ref, "ClearChargingProfile", _clear(record))
            record.to_clear = False
        finally:
            record.clearing = False

    async def _dismiss(self, ref: str, payload: Payload) -> None:
        await self.central.ask(ref, "ClearChargingProfile", payload)

    async def _recheck(self, ref: str) -> None:
        """After an absence: own up to what the station let go of, and take away what should be gone."""
        if not self.central.version(ref).reads_profiles:  # the answer may come before the news of the transaction
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.answer_s):
                    while self.at(ref)[0].changed_at is None:
                        await self.news(ref)
        async with self.turn(ref):
            numbers = await self._look(ref)
        for record in self.book.of(ref):
            held = numbers is None or profile_id(record.directive.directive_id) in numbers
            if numbers is None and record.state is S.REQUESTED:
                continue
            if held and record.in_doubt and record.state is not S.REQUESTED:  # an earlier life was sure of it
                self.accept(record, Trigger.READ)
            if held or (record.in_doubt and record.state is S.REQUESTED) or not record.to_clear:
                continue
            self._let_go(record)
        self.changed(ref)


def _alarm(station: Station) -> Reading[Known] | None:
    """Whether an alarm of the station's inverter stands; None from one that never told of any."""
    at = station.alarmed_at
    return None if at is None else Reading(Known.YES if station.alarms else Known.NO, at, at, SOURCE)


def _clear(record: ProfileRecord) -> Payload:
    return charging_profiles.clear_profile(record.directive.directive_id)
