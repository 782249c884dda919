"""Adapters that take directives wrongly, or say wrong things of them."""

# ruff: noqa: ARG002 - the arguments are the port's

import asyncio
import dataclasses
import itertools
from datetime import timedelta

from adapters_breaking import BackendError, ErrorCode, Errors, Orders, Stands, Whole, broken, other

from ven_adapters.contract import (
    Ack,
    Certainty,
    DirectiveKind,
    DirectiveState,
    OnCommLoss,
    Rung,
    Setting,
)
from ven_adapters.oems import nissan
from ven_adapters.transport.http.session import Call

NUMBERS = itertools.count()


@broken("a_lost_answer_is_an_unknown_outcome_and_not_sent_again")
class InventsSuccess(Whole):
    """An answer that never came was surely a yes."""

    async def submit(self, directive, capability, snapshot):
        try:
            return await self.inner.submit(directive, capability, snapshot)
        except BackendError as error:
            if error.code is ErrorCode.OUTCOME_UNKNOWN:
                return Ack(directive.directive_id, DirectiveState.ACCEPTED)
            raise


@broken("a_lost_answer_is_an_unknown_outcome_and_not_sent_again")
class SendsBlindlyAgain(Whole):
    """What had no answer is sent again until it has one."""

    async def submit(self, directive, capability, snapshot):
        for _ in range(5):
            try:
                return await self.inner.submit(directive, capability, snapshot)
            except BackendError as error:
                last = error
        raise last


@broken("a_directive_is_sent_again_after_a_lost_answer_without_a_second_effect")
class MakesANewDirectiveOfARetry(Whole):
    """A retry is a new directive with a new key."""

    async def submit(self, directive, capability, snapshot):
        number = next(NUMBERS)
        fresh = {"directive_id": f"{directive.directive_id}-{number}", "key": f"{directive.key}-{number}"}
        return await self.inner.submit(dataclasses.replace(directive, **fresh), capability, snapshot)


@broken("a_rate_limit_is_told_with_its_wait_and_not_hammered")
class Hammers(Whole):
    """A 429 is answered by the same call, at once."""

    async def submit(self, directive, capability, snapshot):
        for _ in range(6):
            try:
                return await self.inner._session.call(self._call(directive))  # type: ignore[attr-defined]
            except BackendError as error:
                last = error
        raise last

    def _call(self, directive):
        path = f"/v1/vehicles/{directive.vehicle_ref}/directives/{directive.directive_id}"
        return Call("PUT", path, body=b"{}", writes=True)


@broken("a_rate_limit_is_told_with_its_wait_and_not_hammered")
class LosesTheWait(Errors):
    """The time to wait is not passed on."""

    def change(self, error):
        return BackendError(error.code, error.detail)


@broken("a_revoked_grant_is_told_as_such")
class TakesRevokedForBusy(Errors):
    """A revoked grant is a server that is busy."""

    def change(self, error):
        revoked = error.code is ErrorCode.REAUTH_REQUIRED
        return other(error, ErrorCode.BACKEND_TRANSIENT) if revoked else error


@broken("a_car_off_its_cable_is_refused")
class KnowsOneError(Errors):
    """Every refusal is the same."""

    def change(self, error):
        return other(error, ErrorCode.REJECTED_BY_VEHICLE)


@broken("another_apps_schedule_is_a_conflict")
class FightsOtherApps(Errors):
    """Another application's schedule is called interference of the car."""

    def change(self, error):
        conflict = error.code is ErrorCode.SCHEDULE_CONFLICT
        return other(error, ErrorCode.BACKEND_TRANSIENT) if conflict else error


@broken("the_same_key_is_the_same_directive")
class NewKeyEachTime(MakesANewDirectiveOfARetry):
    """The idempotency key is drawn anew for every call."""


@broken("the_same_key_with_another_body_is_a_conflict")
class LooksAtTheKeyAlone(Whole):
    """A key that was seen is answered as before, whatever stands in the body."""

    async def submit(self, directive, capability, snapshot):
        seen = self.__dict__.setdefault("seen", {})
        if directive.key not in seen:
            seen[directive.key] = await self.inner.submit(directive, capability, snapshot)
        return seen[directive.key]


@broken("a_directive_is_never_sent_after_its_not_after")
class SendsLate(Orders):
    """The window counts, not_after does not."""

    def change(self, directive):
        return dataclasses.replace(directive, not_after=directive.end)


@broken("nothing_is_obeyed_after_its_not_after")
class LetsTheCarObeyLate(SendsLate):
    """The cloud is not told until when a command is worth obeying."""


@broken("a_directive_does_not_begin_before_its_start")
class BeginsAtOnce(Orders):
    """A directive for later begins now."""

    def change(self, directive):
        return dataclasses.replace(directive, start=self.now)


@broken("a_directive_holds_until_its_end")
class EndsEarly(Orders):
    """A directive ends after ten minutes."""

    def change(self, directive):
        return dataclasses.replace(directive, end=min(directive.end, directive.start + timedelta(minutes=10)))


@broken("the_end_gives_the_car_back")
class EndsLate(Orders):
    """A directive goes on for an hour."""

    def change(self, directive):
        return dataclasses.replace(directive, end=directive.end + timedelta(hours=1))


@broken("nothing_is_in_force_before_the_car_obeys")
class TakesAcceptedForDone(Stands):
    """What was accepted is in force."""

    def change(self, status):
        accepted = status.state is DirectiveState.ACCEPTED
        return dataclasses.replace(status, state=DirectiveState.IN_FORCE) if accepted else status


@broken("late_obedience_is_not_told_early")
class TakesSlowForDone(TakesAcceptedForDone):
    """What was accepted minutes ago is in force."""


@broken("certainty_is_not_rounded_up")
class RoundsCertaintyUp(Stands):
    """Everything is known for sure."""

    def change(self, status):
        return dataclasses.replace(status, certainty=Certainty.METERED)


@broken("a_limit_without_effect_is_not_claimed")
class SwearsToWhatItWasTold(RoundsCertaintyUp):
    """A limit that the cloud believes in was metered."""


@broken("a_car_that_restarts_itself_is_not_claimed")
class SwearsToTheRestart(RoundsCertaintyUp):
    """A pause that the cloud believes in was metered."""


@broken("a_pulled_cable_ends_the_claim")
class OnceInForceAlwaysInForce(Stands):
    """A directive that was in force once stays so."""

    def change(self, status):
        return dataclasses.replace(status, state=DirectiveState.IN_FORCE, error=None)


@broken("a_driver_who_charges_now_has_the_car")
class IgnoresTheDriver(OnceInForceAlwaysInForce):
    """A driver's decision changes nothing."""


@broken("cancel_gives_the_car_back")
class CancelsOnPaper(Whole):
    """cancel() answers, and nobody is told."""

    async def cancel(self, vehicle_ref, directive_id):
        return Ack(directive_id, DirectiveState.CANCELLED)


@broken("a_restart_forgets_no_directive")
class RemembersInMemory(Whole):
    """Directives of an earlier life are unknown."""

    async def submit(self, directive, capability, snapshot):
        self.__dict__.setdefault("mine", set()).add(directive.directive_id)
        return await self.inner.submit(directive, capability, snapshot)

    async def status(self, vehicle_ref, directive_id):
        if directive_id not in self.__dict__.get("mine", ()):
            raise BackendError(ErrorCode.INVALID_REQUEST, "directive_id: is not known")
        return await self.inner.status(vehicle_ref, directive_id)


@broken("the_rung_that_was_taken_is_told_truthfully")
class HidesTheRung(Whole):
    """The Ack does not say what became of the request."""

    async def submit(self, directive, capability, snapshot):
        return dataclasses.replace(await self.inner.submit(directive, capability, snapshot), setting=None)


@broken("the_rung_that_was_taken_is_told_truthfully")
class PausesAndTellsTheCap(Whole):
    """A cap becomes a pause and is told as the cap."""

    async def submit(self, directive, capability, snapshot):
        if directive.kind is not DirectiveKind.CAP:
            return await self.inner.submit(directive, capability, snapshot)
        pause = dataclasses.replace(directive, kind=DirectiveKind.CURTAIL, power_w=None)
        ack = await self.inner.submit(pause, capability, snapshot)
        return dataclasses.replace(ack, setting=Setting(Rung.CURRENT, directive.power_w, current_a=14))


def rounded_up(directive, capability, snapshot):
    """Currents rounded to the next ampere above, and never below the car's least."""
    control = capability.current
    if directive.kind is not DirectiveKind.CAP or control is None:
        return nissan.achieve(directive, capability, snapshot)
    amps = max(control.min_a, -(-directive.power_w // capability.voltage_v))
    return Setting(Rung.CURRENT, amps * capability.voltage_v, current_a=amps)


@broken("a_cap_is_never_exceeded")
def rounds_up(settings, patch):
    """Currents are rounded to the next ampere above."""
    made = Whole(settings)
    made.inner._achieve = rounded_up  # type: ignore[attr-defined]
    return made


@broken("a_cap_below_the_least_current_is_not_rounded_up")
def keeps_the_least_current(settings, patch):
    """A cap below the least current becomes the least current."""
    return rounds_up(settings, patch)


@broken("what_is_already_so_is_a_success")
class RefusesWhatIsSo(Whole):
    """A pause of a paused car fails, because there is nothing to do."""

    async def submit(self, directive, capability, snapshot):
        if snapshot.power_w is not None and snapshot.power_w.value == 0 and directive.kind is DirectiveKind.CURTAIL:
            raise BackendError(ErrorCode.ALREADY_IN_STATE, "the car is paused")
        return await self.inner.submit(directive, capability, snapshot)


@broken("a_discharge_without_its_dead_man_is_refused")
class SetsTheDeadManItself(Orders):
    """A discharge that would go on on a dead line is taken as one that stops."""

    def change(self, directive):
        return dataclasses.replace(directive, on_comm_loss=OnCommLoss.STOP)


@broken("a_careless_cloud_is_not_asked_for_what_is_not_allowed")
class LeavesGuardingToTheCloud(SetsTheDeadManItself):
    """What the cloud would take, the adapter passes on."""


@broken("a_discharge_stops_at_its_reserve")
class LosesTheReserve(Orders):
    """The directive's reserve is not passed on."""

    def change(self, directive):
        return dataclasses.replace(directive, reserve_soc_pct=None)


@broken("a_careless_cloud_still_hears_of_the_reserve")
class LosesTheReserveToo(LosesTheReserve):
    """The reserve is the cloud's affair, and the cloud has none."""


@broken("a_discharge_stays_within_its_energy")
class LosesTheEnergy(Orders):
    """The directive's energy is not passed on."""

    def change(self, directive):
        return dataclasses.replace(directive, max_energy_wh=None)


@broken("a_car_without_discharge_refuses_it")
class PausesInstead(Whole):
    """A car that cannot feed the grid is paused, and that is called a success."""

    async def submit(self, directive, capability, snapshot):
        if (directive.power_w or 0) < 0 and capability.discharge is None:
            directive = dataclasses.replace(directive, kind=DirectiveKind.CURTAIL, power_w=None)
        return await self.inner.submit(directive, capability, snapshot)


@broken("a_sleeping_car_is_woken_once_at_most")
class WakesUntilItWorks(Whole):
    """A sleeping car is called again and again."""

    async def submit(self, directive, capability, snapshot):
        for _ in range(4):
            try:
                return await self.inner.submit(directive, capability, snapshot)
            except BackendError as error:
                last = error
                await asyncio.sleep(0)
        raise last


@broken("an_event_stops_a_car_and_its_end_gives_it_back")
class TakesNoOrder(Whole):
    """No order is ever taken."""

    async def submit(self, directive, capability, snapshot):
        raise BackendError(ErrorCode.NOT_SUPPORTED, "no order is taken")
