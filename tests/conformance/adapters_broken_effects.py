"""Adapters whose cars do something else than they were asked, or than is said of them."""

import dataclasses
import logging

from adapters_breaking import BackendError, ErrorCode, Errors, Orders, Readings, Whole, broken, other
from adapters_broken_orders import CancelsOnPaper, EndsLate, MakesANewDirectiveOfARetry, RoundsCertaintyUp

from ven_adapters.contract import (
    Ack,
    Certainty,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    DriverChose,
    Known,
    VehicleRef,
)
from ven_adapters.oems import ford

# ruff: noqa: ARG002 - the arguments are the port's

LOG = logging.getLogger("a.third.party")
VIN = "1ZZZZ9ZZ9Z1000042"
TAKEN = DirectiveState.ACCEPTED


@broken("units_are_the_contracts")
class TellsPermille(Readings):
    """The level is told in thousandths."""

    def change(self, name, reading):
        return dataclasses.replace(reading, value=reading.value * 10) if name == "soc_pct" else reading


@broken("exported_energy_is_counted")
class CountsExportsInKilowattHours(Readings):
    """What the car gave is counted in kWh."""

    def change(self, name, reading):
        return dataclasses.replace(reading, value=reading.value / 1_000) if name == "energy_exported_wh" else reading


@broken("a_car_elsewhere_is_refused")
class FindsEveryCarAtHome(Readings):
    """Every car is at home."""

    def change(self, name, reading):
        return dataclasses.replace(reading, value=Known.YES) if name == "at_site" else reading


@broken("a_car_that_blocks_is_seen_not_to_charge")
class ThinksThatPluggedCarsCharge(Readings):
    """A car on its cable draws its most."""

    def change(self, name, reading):
        return dataclasses.replace(reading, value=7_680.0) if name == "power_w" else reading


@broken("a_current_on_three_phases_shows")
class CountsOnePhase(Whole):
    """The power is taken for that of one phase."""

    async def snapshot(self, ref, *, max_age_s=None):
        told = await self.inner.snapshot(ref, max_age_s=max_age_s)
        if told.phases is None or told.power_w is None:
            return told
        one = dataclasses.replace(told.power_w, value=told.power_w.value / told.phases.value)
        return dataclasses.replace(told, power_w=one)


@broken("names_of_cars_are_no_vins")
class ListsVins(Whole):
    """Cars go by their VINs."""

    async def vehicles(self):
        async for _ in self.inner.vehicles():
            yield VehicleRef(VIN)


@broken("nothing_said_in_the_whole_run_tells_a_secret")
class LogsItsSettings(Whole):
    """The settings are logged when the adapter is made."""

    def __init__(self, settings, patch=None) -> None:
        LOG.info("made with %s", dict(settings))
        super().__init__(settings)


@broken("a_pause_is_taken_and_the_car_stops")
class PromisesAndSleeps(Whole):
    """A directive is accepted, and that is all."""

    async def submit(self, directive, capability, snapshot):
        self.asked = directive
        return Ack(directive.directive_id, TAKEN)

    async def status(self, vehicle_ref, directive_id):
        return DirectiveStatus(directive_id, vehicle_ref, TAKEN, Certainty.ACCEPTED)


@broken("the_same_key_from_two_callers_at_once_is_one_effect")
class CountsCallers(MakesANewDirectiveOfARetry):
    """Each caller gets a directive of its own."""


@broken("a_newer_directive_replaces_the_older")
class FirstComeFirstServed(Whole):
    """While a directive holds a car, newer ones are put by."""

    async def submit(self, directive, capability, snapshot):
        held = self.__dict__.setdefault("held", set())
        if directive.vehicle_ref in held:
            return Ack(directive.directive_id, TAKEN)
        held.add(directive.vehicle_ref)
        return await self.inner.submit(directive, capability, snapshot)


@broken("release_gives_the_car_back")
class NeverLetsGo(Whole):
    """A RELEASE is accepted and forgotten."""

    async def submit(self, directive, capability, snapshot):
        if directive.kind is DirectiveKind.RELEASE:
            return Ack(directive.directive_id, TAKEN)
        return await self.inner.submit(directive, capability, snapshot)


@broken("a_car_that_only_keeps_windows_is_held_by_one", brand="ford")
class KeepsWindowsToItself(Whole):
    """A window is accepted and never put into the car."""

    oem = ford

    async def submit(self, directive, capability, snapshot):
        if capability.schedule is not None:
            return Ack(directive.directive_id, TAKEN)
        return await self.inner.submit(directive, capability, snapshot)


@broken("a_cap_without_a_power_is_refused")
class FillsInAPower(Orders):
    """A cap without a power is a cap of nothing."""

    def change(self, directive):
        missing = directive.kind is DirectiveKind.CAP and directive.power_w is None
        return dataclasses.replace(directive, power_w=0) if missing else directive


@broken("a_cap_above_what_the_car_takes_holds_nothing_back")
class CapsMoreThanAsked(Orders):
    """No cap is above 3 kW."""

    def change(self, directive):
        capped = directive.kind is DirectiveKind.CAP
        return dataclasses.replace(directive, power_w=min(3_000, directive.power_w)) if capped else directive


@broken("a_directive_cancelled_before_its_start_never_begins")
class CancelsLaterOnPaper(CancelsOnPaper):
    """What has not begun is cancelled in our own book only."""


@broken("cancel_stops_a_discharge")
class GoesOnGiving(CancelsOnPaper):
    """A cancelled discharge goes on."""


@broken("a_discharge_ends_with_its_window")
class GivesForAnHourMore(EndsLate):
    """A discharge goes on for an hour after its end."""


@broken("a_discharge_feeds_the_grid_at_the_power_asked")
class GivesHalf(Orders):
    """A discharge is at half the power."""

    def change(self, directive):
        gives = (directive.power_w or 0) < 0
        return dataclasses.replace(directive, power_w=directive.power_w // 2) if gives else directive


@broken("a_discharge_is_bounded_by_what_the_car_can")
class PromisesWhatNoCarCan(Whole):
    """A discharge is told at the power that was asked, whatever the car can."""

    async def submit(self, directive, capability, snapshot):
        ack = await self.inner.submit(directive, capability, snapshot)
        return dataclasses.replace(ack, setting=dataclasses.replace(ack.setting, power_w=directive.power_w))


@broken("a_car_that_cannot_be_paused_is_not_promised")
class PromisesAnything(Whole):
    """What a car cannot be told is accepted all the same."""

    async def submit(self, directive, capability, snapshot):
        try:
            return await self.inner.submit(directive, capability, snapshot)
        except BackendError as error:
            if error.code is ErrorCode.NOT_SUPPORTED:
                return Ack(directive.directive_id, TAKEN)
            raise


@broken("an_unknown_directive_is_an_invalid_request")
class RemembersWhatNeverWas(Whole):
    """A directive that nobody knows was surely released."""

    async def status(self, vehicle_ref, directive_id):
        return DirectiveStatus(directive_id, vehicle_ref, DirectiveState.RELEASED, Certainty.NONE)


@broken("after_a_lost_answer_the_state_can_be_read")
class AssumesTheBest(Whole):
    """What the cloud does not know is in force."""

    async def status(self, vehicle_ref, directive_id):
        try:
            return await self.inner.status(vehicle_ref, directive_id)
        except BackendError:
            return DirectiveStatus(directive_id, vehicle_ref, DirectiveState.IN_FORCE, Certainty.ACCEPTED)


@broken("a_car_that_nobody_reaches_is_unreachable")
class TakesDeepSleepForUnplugged(Errors):
    """A car that nobody reaches is off its cable."""

    def change(self, error):
        return other(error, ErrorCode.NOT_PLUGGED) if error.code is ErrorCode.UNREACHABLE else error


@broken("a_car_that_was_read_flat_is_out_of_reach")
class TakesFlatForUnplugged(TakesDeepSleepForUnplugged):
    """A car whose small battery is flat is off its cable."""


@broken("a_start_that_does_nothing_is_not_claimed")
class SwearsToTheStart(RoundsCertaintyUp):
    """A start that the cloud believes in was metered."""


@broken("a_low_current_that_does_not_take_is_not_claimed")
class SwearsToTheCurrent(RoundsCertaintyUp):
    """A current that the cloud believes in was metered."""


@broken("a_drivers_choice_is_pushed")
class KeepsDriversToItself(Whole):
    """What drivers decide is not told."""

    async def events(self):
        async for event in self.inner.events():
            if not isinstance(event, DriverChose):
                yield event


@broken("a_driver_who_leaves_the_event_is_left_alone")
class TriesTheDriverAgain(Errors):
    """A driver's decision is an outage that will pass."""

    def change(self, error):
        left = error.code is ErrorCode.USER_OVERRIDE
        return BackendError(ErrorCode.BACKEND_TRANSIENT, error.detail, retry_after_s=60.0) if left else error
