"""Adapters that tell wrong things of cars."""

# ruff: noqa: ARG002 - the arguments are the port's

import asyncio
import dataclasses
from datetime import timedelta, timezone

from adapters_breaking import BackendError, ErrorCode, Errors, Readings, Whole, broken

from ven_adapters.contract import ChargeState, DriverChose, Known, Reachability, Reading, SetupFault, Snapshot, Validity
from ven_adapters.transport.http.webhook_queue import Intake


@broken("no_car_is_missing")
class HidesACar(Whole):
    """One car is never listed."""

    async def vehicles(self):
        listed = [vehicle async for vehicle in self.inner.vehicles()]
        for vehicle in listed[:-1]:
            yield vehicle


@broken("every_car_is_listed_once")
class ListsTwice(Whole):
    """The first page is listed again."""

    async def vehicles(self):
        for _ in range(2):
            async for vehicle in self.inner.vehicles():
                yield vehicle


@broken("no_set_up_is_told_to_be_missing")
class LacksAKey(Whole):
    """A car without our key is enrolled."""

    async def setup_faults(self):
        return (SetupFault(None, "takes no key of ours: register the domain", takes_no_command=True),)


@broken("a_capability_record_makes_sense")
class TellsKilowattHours(Whole):
    """The battery's size is told in kWh."""

    async def capabilities(self, ref):
        told = await self.inner.capabilities(ref)
        return dataclasses.replace(told, usable_wh=told.usable_wh // 1_000)


@broken("readings_agree_with_the_car")
class TellsKilowatts(Readings):
    """The power is told in kW."""

    def change(self, name, reading):
        return dataclasses.replace(reading, value=reading.value / 1_000) if name == "power_w" else reading


@broken("readings_agree_with_the_car")
class TurnsTheSign(Readings):
    """The power is told positive towards the grid."""

    def change(self, name, reading):
        return dataclasses.replace(reading, value=-reading.value) if name == "power_w" else reading


@broken("readings_agree_with_the_car")
class TellsShares(Readings):
    """The level is told as a share of one."""

    def change(self, name, reading):
        return dataclasses.replace(reading, value=reading.value / 100) if name == "soc_pct" else reading


@broken("every_reading_tells_when_the_car_saw_it")
class TellsLocalTime(Readings):
    """Instants are told in the zone of the car's home."""

    def change(self, name, reading):
        return dataclasses.replace(reading, observed_at=reading.observed_at.astimezone(timezone(timedelta(hours=-7))))


@broken("a_stale_reading_tells_its_age")
class StampsAnew(Readings):
    """A reading is stamped with the instant at which it was asked for."""

    def change(self, name, reading):
        return dataclasses.replace(reading, observed_at=self.now, received_at=self.now)


@broken("an_impossible_value_is_no_value")
class BelievesEverything(Readings):
    """255 % is a level like any other."""

    def change(self, name, reading):
        return dataclasses.replace(reading, validity=Validity.OK)


@broken("an_observation_from_the_future_is_not_used")
class BelievesTheFuture(BelievesEverything):
    """An observation of tomorrow is used today."""


@broken("a_reading_that_is_too_old_is_taken_anew")
class ReadsOnce(Whole):
    """A reading is kept for ever."""

    async def snapshot(self, ref, *, max_age_s=None):
        kept = self.__dict__.setdefault("kept", {})
        if ref not in kept:
            kept[ref] = await self.inner.snapshot(ref)
        return kept[ref]


@broken("energy_counters_follow_the_car")
class CountsKilowattHours(Readings):
    """The energy counter is told in kWh."""

    def change(self, name, reading):
        return dataclasses.replace(reading, value=reading.value / 1_000) if name == "energy_added_wh" else reading


@broken("the_meter_wins_over_the_state")
class BelievesTheState(Whole):
    """A car that is said to be paused draws nothing, whatever its meter says."""

    async def snapshot(self, ref, *, max_age_s=None):
        told = await self.inner.snapshot(ref, max_age_s=max_age_s)
        paused = told.charge_state is not None and told.charge_state.value is ChargeState.PAUSED_BY_DIRECTIVE
        nothing = dataclasses.replace(told.power_w, value=0.0) if told.power_w is not None else None
        return dataclasses.replace(told, power_w=nothing) if paused else told


@broken("a_sleeping_car_is_asleep_and_not_unplugged")
class TakesAsleepForUnplugged(Whole):
    """A car that does not answer has surely left."""

    async def snapshot(self, ref, *, max_age_s=None):
        try:
            told = await self.inner.snapshot(ref, max_age_s=max_age_s)
        except BackendError:
            return Snapshot(ref, plugged=Reading(Known.NO, self.now, self.now))
        asleep = told.reachability is not None and told.reachability.value is Reachability.ASLEEP
        return dataclasses.replace(told, plugged=Reading(Known.NO, self.now, self.now)) if asleep else told


@broken("a_flapping_plug_ends_nothing")
class MakesUpTheState(Whole):
    """The charge state is made up from the plug flag."""

    async def snapshot(self, ref, *, max_age_s=None):
        told = await self.inner.snapshot(ref, max_age_s=max_age_s)
        out = told.plugged is not None and told.plugged.value is Known.NO
        state = Reading(ChargeState.UNPLUGGED, self.now, self.now)
        return dataclasses.replace(told, charge_state=state) if out else told


@broken("coarse_power_can_be_mended")
class DropsTheCurrent(Readings):
    """Of the electric readings only the power is passed on, in whole kilowatts."""

    def change(self, name, reading):
        if name == "power_w":
            return dataclasses.replace(reading, value=round(reading.value / 2_000) * 2_000)
        return None if name in {"current_a", "voltage_v"} else reading


@broken("a_car_that_cannot_resume_says_so")
class AssumesFromTheBadge(Whole):
    """Every car of the brand can stop and start."""

    async def capabilities(self, ref):
        told = await self.inner.capabilities(ref)
        return dataclasses.replace(told, can_stop=True, can_resume_after_stop=True)


@broken("an_unknown_car_is_an_invalid_request")
class InventsACar(Whole):
    """A car that nobody knows has an empty snapshot."""

    async def snapshot(self, ref, *, max_age_s=None):
        try:
            return await self.inner.snapshot(ref, max_age_s=max_age_s)
        except BackendError:
            return Snapshot(ref)


@broken("an_answer_that_makes_no_sense_is_an_error_of_the_contract")
class LetsExceptionsOut(Errors):
    """A parser's exception reaches the caller."""

    def change(self, error):
        return ValueError("expected an object") if error.detail.startswith("the backend's answer") else error


@broken("what_happens_to_a_car_is_pushed")
class PushesNothing(Whole):
    """Events never come."""

    async def events(self):
        await asyncio.Event().wait()
        yield DriverChose


@broken("events_come_back_after_the_line_was_cut")
def never_subscribes_again(settings, patch):
    """The subscription is made once and never renewed."""
    return Whole({**settings, "webhook_quiet_s": 3_600.0})


@broken("a_push_that_comes_twice_is_told_once")
def forgets_what_was_pushed(settings, patch):
    """Deliveries are not remembered."""
    patch.setattr(Intake, "_remember", lambda _self, _name: None)
    return Whole(settings)


@broken("a_path_that_is_gone_is_not_tried_for_ever")
class TakesGoneForBusy(Errors):
    """410 is a server that is busy."""

    def change(self, error):
        gone = error.code is ErrorCode.NOT_SUPPORTED
        return BackendError(ErrorCode.BACKEND_TRANSIENT, error.detail) if gone else error
