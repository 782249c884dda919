"""One zone, one cycle: read the asks, plan, and name the cars that need a step. Decides, calls nobody.

A change that is known beforehand is planned `lead_s` before it is due and sent with its own start, so that a fleet
moves when the event says and not when the last of a thousand calls has come through.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np

from ven_adapters.enrolment_api.webhooks.notices import Readiness
from ven_adapters.ven.control.car_steps import StepSource, ZoneDecision, ZoneResult
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.control.flexibility import FlexibilityWatch
from ven_adapters.ven.control.limit_watch import LimitWatch
from ven_adapters.ven.control.node_shares import NodeShares
from ven_adapters.ven.control.set_point_trim import SetPointTrim, TrimmedAsk
from ven_adapters.ven.fleet.columns import Charge, FleetView, Floats, Ints, Tri
from ven_adapters.ven.fleet.event_patience import Asking
from ven_adapters.ven.fleet.metering import LONGEST_HELD_S, Sample
from ven_adapters.ven.fleet.telemetry import instant
from ven_adapters.ven.openadr.event_runs import EventRun
from ven_adapters.ven.openadr.node_asks import NodeAsks, shared_out
from ven_adapters.ven.openadr.zone_requests import HeldEvent, RulingDimension, ZoneRequests, read_requests
from ven_adapters.ven.planning.charging_need import PlanSettings, needs_of
from ven_adapters.ven.planning.flexibility.feasible_band import HeldBand, as_it_will_be, held_band
from ven_adapters.ven.planning.flexibility.forecast import Outlook, outlook
from ven_adapters.ven.planning.flexibility.nomination import DAY_S, EventSpan, HomeForecast, ZoneNomination, nominate
from ven_adapters.ven.planning.flexibility.shortfall import flexibility_of
from ven_adapters.ven.planning.guardrails import GUARDS, Reason
from ven_adapters.ven.planning.night.expected_arrivals import ArrivalHabits, expected_arrivals
from ven_adapters.ven.planning.night.night_batteries import may_sell
from ven_adapters.ven.planning.night.night_problem import PlannedCars
from ven_adapters.ven.planning.night.planned_start import EarlierCycles, Night
from ven_adapters.ven.planning.patience import ASKED, trying_ask
from ven_adapters.ven.planning.plan import plan
from ven_adapters.ven.planning.targets import PlanInputs, plan_inputs_of
from ven_adapters.ven.planning.zone_plan import ZonePlan, with_rows_of
from vtn.clock import HOUR_S

LONGEST_BORNE_S = 3600.0
FRESH_FOR_S = 60.0
# More than any season's burden: who is to be asked last comes after everybody else in the order of burdens.
ASKED_LAST_KWH = 1e6
_READ_AT = ("soc_at_s", "plugged_at_s", "at_home_at_s", "power_at_s", "charge_state_at_s", "exported_at_s")
LEAST_DRAWN_KW = 0.05
EXPECTED_H = 18


@dataclasses.dataclass(frozen=True, slots=True)
class ControlSettings:
    """What steers all zones alike. `is_lost`: whether the VTN is lost at an instant."""

    plan_settings: PlanSettings
    seed: str
    lead_s: float
    is_lost: Callable[[datetime], bool] = lambda _at: False


class ZoneController:
    """Remembers of each zone what it was asked last, so that a cancelled event is followed by a soft restart."""

    def __init__(self, fleet_state: FleetState, settings: ControlSettings) -> None:
        self._fleet_state = fleet_state
        self._settings = settings
        self._before: dict[str, ZoneRequests] = {}
        self._released: dict[str, datetime] = {}
        self._exports_for: dict[str, str] = {}
        self._bearing: dict[str, tuple[Ints, Floats, float]] = {}
        self._steered_s: dict[str, float] = {}
        self._planned: dict[str, tuple[object, ...]] = {}
        self._fresh_since_s: dict[str, float] = {}
        self._nights: dict[str, Night] = {}
        self._trims: dict[str, SetPointTrim] = {}
        self._node_asks = NodeAsks(fleet_state.limits, settings.seed)
        self._node_shares = NodeShares(fleet_state.fleet)
        self.flexibility = FlexibilityWatch()
        self.limits = LimitWatch()

    @property
    def _plan_settings(self) -> PlanSettings:
        """What planning goes by now: the margin grows when cars have come later than their pace foretold."""
        settings = self._settings.plan_settings
        return dataclasses.replace(settings, margin_s=max(settings.margin_s, self._fleet_state.pace.margin_s))

    def steer(self, zone: str, events: Sequence[HeldEvent], now: datetime) -> ZoneResult:
        """One cycle of a zone."""
        fleet_state, now_s = self._fleet_state, now.timestamp()
        fleet_state.fleet.refresh(now)
        self._book_burden(zone, now)
        requests = self._requests(zone, events, now)
        fleet_state.limits.take(fleet_state.group_of(zone), requests.limits, now)
        nears = now_s < requests.next_change_s <= now_s + self._settings.lead_s
        fresh_until_s = self._fresh_until_s(zone, requests, now_s)
        leads = nears and now_s >= fresh_until_s
        at = instant(requests.next_change_s) if leads else now
        ahead = self._read(zone, events, at) if leads else requests
        self._planned[zone] = (_in_force(requests), _in_force(ahead))
        self._begin_exports(zone, requests, ahead, now)
        view, edition = fleet_state.fleet.zone(zone), fleet_state.fleet.edition
        patient = self._patient(view, ahead, at.timestamp(), now_s)
        planned = _as_chosen_now(patient, now_s, at.timestamp()) if leads else patient
        trim = self._trims.get(zone, SetPointTrim())
        earlier = EarlierCycles(self._nights.get(zone), trim.kw, self._expecting(view))
        decided = plan(planned, ahead, at.timestamp(), self._plan_settings, earlier=earlier)
        sample = self._sample(view, requests, decided, now_s)
        self.flexibility.take(zone, flexibility_of(planned, ahead, decided), leads=leads)
        self.limits.take(zone, decided.limits, now_s, leads=leads)
        if not leads:
            self._trims[zone] = _trimmed(trim, requests, view, sample)
            self._ask(zone, requests, decided, now_s)
            self._keep_night(zone, decided.night)
            self.flexibility.take_band(zone, view, requests, self._plan_settings, decided.night, self._planned[zone][0])
        if leads:
            decided = self._with_newcomers(zone, decided, (view, requests, now_s), at.timestamp(), earlier)
        gives_on = requests.dispatch is not None or may_sell(requests)
        decision = ZoneDecision(zone, decided, now, at, edition, gives_on=gives_on, interrupts=nears and not leads)
        step_source = StepSource(fleet_state, decision, view, self._plan_settings)
        again_s = fresh_until_s if decision.interrupts else self._next_s(requests, now_s)
        again_s = min(again_s, _next_at_an_end_s(patient.asks_left_s[decided.burden_kw > 0], at.timestamp(), now_s))
        return ZoneResult(zone, requests, decided, sample, again_s, step_source)

    def _expecting(self, view: FleetView) -> Callable[[float], PlannedCars]:
        """Tells at an instant which of these cars are expected home, from when they usually come."""

        def expected(at_s: float) -> PlannedCars:
            home, begun_s = self._fleet_state.habits.home, np.floor(at_s / HOUR_S) * HOUR_S
            away = view.take((view.plugged != Tri.YES) | (view.at_home != Tri.YES))
            edges_s = begun_s + HOUR_S * np.arange(EXPECTED_H + 1)
            offset_s = self._fleet_state.fleet.offset_s(away.row, instant(at_s))
            chance, level_pct = home.arrivals(away.row, at_s, EXPECTED_H, offset_s), home.level_pct(away.row)
            return expected_arrivals(away, ArrivalHabits(chance, edges_s, level_pct), at_s, self._plan_settings)

        return expected

    def _with_newcomers(
        self,
        zone: str,
        decided: ZonePlan,
        present: tuple[FleetView, ZoneRequests, float],
        at_s: float,
        earlier: EarlierCycles,
    ) -> ZonePlan:
        """A plan for what comes next, in which cars that came since the last one for now do what is asked until then.

        All others were told that already; these would charge on their own until the change, on top of a set-point.
        """
        view, requests, now_s = present
        came = (view.plugged == Tri.YES) & (view.plugged_since_s > self._steered_s.get(zone, now_s))
        if not came.any() or not _binds(requests):
            return decided
        patient = self._patient(view, requests, now_s, now_s)
        until = plan(patient, requests, now_s, self._plan_settings, earlier=earlier)
        until = dataclasses.replace(
            until, end_s=np.minimum(until.end_s, at_s), latest_s=np.minimum(until.latest_s, at_s)
        )
        return with_rows_of(decided, until, came)

    def _keep_night(self, zone: str, night: Night | None) -> None:
        if night is None:
            self._nights.pop(zone, None)
        else:
            self._nights[zone] = night

    def _fresh_until_s(self, zone: str, requests: ZoneRequests, now_s: float) -> float:
        """Until when what governs is news, that cars are told before they are told what comes next."""
        governs = _in_force(requests)
        if governs not in self._planned.get(zone, (governs,)):
            self._fresh_since_s[zone] = now_s
        return self._fresh_since_s.get(zone, -math.inf) + FRESH_FOR_S

    def expects(self, zone: str, events: Sequence[HeldEvent], now: datetime, ahead_s: float) -> bool:
        """Whether the zone is asked for a load or held to a limit, or will be before `ahead_s` are over."""
        soon = self._read(zone, events, now + timedelta(seconds=ahead_s))
        return any(map(_binds, (self._before.get(zone) or self._read(zone, events, now), soon)))

    def outlook(self, zone: str, events: Sequence[HeldEvent], now: datetime) -> Outlook:
        """The zone's coming day, as things stand."""
        self._fleet_state.fleet.refresh(now)
        requests = self._read(zone, events, now)
        view = self._fleet_state.fleet.zone(zone)
        earlier = EarlierCycles(self._nights.get(zone), expected=self._expecting(view))
        return outlook(view, requests, now.timestamp(), self._plan_settings, earlier)

    def inputs_at(self, zone: str, events: Sequence[HeldEvent], now: datetime) -> PlanInputs:
        """What a plan of the zone would start from now."""
        self._fleet_state.fleet.refresh(now)
        requests = self._read(zone, events, now)
        view = self._fleet_state.fleet.zone(zone)
        earlier = EarlierCycles(self._nights.get(zone), expected=self._expecting(view))
        return plan_inputs_of(view, requests, now.timestamp(), self._plan_settings, GUARDS, earlier)

    def held_band(
        self, zone: str, events: Sequence[HeldEvent], now: datetime, start_s: float, ends_s: Sequence[float]
    ) -> list[HeldBand | None]:
        """What the zone can hold from `start_s`, or from now if that is over, until each of `ends_s`."""
        cycle, at = self.inputs_at(zone, events, now), max(now, instant(start_s))
        view, requests = as_it_will_be(cycle, at.timestamp()), self._read(zone, events, at)
        return held_band(view, requests, at.timestamp(), ends_s, self._plan_settings)

    def nominate(
        self, zone: str, events: Sequence[HeldEvent], now: datetime, spans: Sequence[EventSpan], chance: int
    ) -> list[ZoneNomination]:
        """What the zone can hold in each interval of an event to come; `chance` seeds the draws of who is home."""
        inputs = self.inputs_at(zone, events, now)
        rows, hours = inputs.situation.view.row, self._fleet_state.habits.home
        offset_s = self._fleet_state.fleet.offset_s(rows, now)
        course = hours.course(rows, spans[0].start_s - DAY_S / 2, spans[-1].end_s, offset_s)
        home = HomeForecast(*course, hours.level_pct(rows))
        return nominate(inputs, spans, home, self._fleet_state.registry.followed, np.random.default_rng(chance))

    def _book_burden(self, zone: str, now: datetime) -> None:
        """What the plan in force has withheld from cars, or taken out of them, since it was last booked."""
        now_s = now.timestamp()
        self._fleet_state.burdens.begin(now)
        self._fleet_state.patience.advance(self._fleet_state.fleet.zone_rows(zone), now_s)
        rows, burden_kw, since_s = self._bearing.get(zone, (None, np.zeros(0), now_s))
        hours = max(0.0, min(now_s - since_s, LONGEST_BORNE_S)) / HOUR_S
        if rows is not None and burden_kw.any():
            self._fleet_state.fleet.note_burden(rows, burden_kw * hours)
            self._bearing[zone] = (rows, burden_kw, now_s)

    def _ask(self, zone: str, requests: ZoneRequests, decided: ZonePlan, now_s: float) -> None:
        """What the plan in force asks of cars from now on; who is out of the event is asked for nothing by it."""
        last_s, self._steered_s[zone] = self._steered_s.get(zone, now_s), now_s
        ask, burden_kw, asking = requests.ruling_ask, decided.burden_kw, None
        if ask is not None:
            out = np.isin(decided.row, self.out_of_event(ask.event_id))
            burden_kw = np.where(out, 0.0, burden_kw)
            asked = (burden_kw > 0) & np.isin(decided.reason, ASKED)
            since_s = min(now_s, max(ask.start_s, last_s))
            counts = trying_ask(requests) is not None
            rows, until_s = decided.row[asked], decided.end_s[asked]
            asking = Asking(ask.event_id, rows, burden_kw[asked], since_s, until_s, ask.end_s, counts)
        self._fleet_state.patience.ask(decided.row, asking, now_s)
        self._bearing[zone] = (decided.row, burden_kw, now_s)

    def _patient(self, view: FleetView, requests: ZoneRequests, at_s: float, now_s: float) -> FleetView:
        """The cars with what is left of their drivers' patience, those who override often as the most burdened."""
        patience, ask = self._fleet_state.patience, trying_ask(requests)
        if ask is None:
            return view
        last = patience.often_overrides(view.row)
        return dataclasses.replace(
            view,
            asks_left_s=patience.left_s(view.row, ask.event_id, at_s, now_s),
            burden_kwh=view.burden_kwh + np.where(last, ASKED_LAST_KWH, 0.0),
        )

    def expect(self, zone: str, events: Sequence[HeldEvent], run: EventRun, now: datetime) -> tuple[Ints, Floats]:
        """The cars that an event to come will ask, by the plan for its beginning as if every car were at its plug.

        Their rows, and kWh that each is expected to be held back and to give; NaN where its level is not known.
        """
        at_s = max(run.start_s, now.timestamp())
        requests = self._read(zone, events, instant(at_s))
        view = _at_their_plugs(self._fleet_state.fleet.zone(zone), at_s)
        view = self._patient(view, requests, at_s, now.timestamp())
        decided = plan(view, requests, at_s, self._plan_settings)
        ask, hours = requests.ruling_ask, (run.end_s - at_s) / HOUR_S
        rules = ask is not None and ask.event_id == run.event_id
        out = np.isin(view.row, self.out_of_event(run.event_id)) | (view.asks_left_s <= 0)
        unknown = rules & (decided.reason == Reason.LEVEL_UNKNOWN) & ~out
        asked = rules & (decided.burden_kw > 0) & np.isin(decided.reason, ASKED) & ~out
        give_kw = np.maximum(0.0, -decided.expected_kw)
        need_kwh = needs_of(view, at_s, self._plan_settings).kwh
        kwh = np.minimum(np.maximum(0.0, decided.burden_kw - give_kw) * hours, need_kwh)
        kwh = kwh + np.minimum(give_kw * hours, decided.energy_wh / 1000)
        told = asked | unknown
        return view.row[told], np.where(unknown, np.nan, kwh)[told]

    def readiness(self, rows: Ints, now: datetime) -> list[Readiness]:
        """How cars stand: at their targets, in time for them, late, or unknown."""
        self._fleet_state.fleet.refresh(now)
        needs = needs_of(self._fleet_state.fleet.view(rows), now.timestamp(), self._plan_settings)
        unknown, short = np.isnan(needs.hours), needs.some
        return [
            Readiness.UNKNOWN if unknown[n] else Readiness.READY if not short[n] else _in_time(needs.slack_s[n])
            for n in range(len(rows))
        ]

    def out_of_event(self, event_id: str) -> Ints:
        """The rows of cars that take no part in an event; what drivers overrode since this was asked is taken up."""
        registry, fleet = self._fleet_state.registry, self._fleet_state.fleet
        while registry.overridden:
            ref, overridden = registry.overridden.popleft()
            if (row := fleet.find(ref)) is not None:
                self._fleet_state.patience.refuse(row, overridden)
        rows = (fleet.find(ref) for ref in registry.left_out(event_id))
        return np.array([row for row in rows if row is not None], dtype=np.int64)

    def _requests(self, zone: str, events: Sequence[HeldEvent], now: datetime) -> ZoneRequests:
        """What is asked now; an event that restricted load and is gone before its end is noted as a release."""
        requests, before = self._read(zone, events, now), self._before.get(zone)
        if (
            before is not None
            and before.ruling is not RulingDimension.NOTHING
            and requests.ruling is RulingDimension.NOTHING
        ):
            ruled = (before.alert, before.dispatch_kw, before.relative_kw, before.relative_share, before.simple)
            if any(ask is not None and ask.end_s > now.timestamp() for ask in ruled):
                self._released[zone] = now
                requests = self._read(zone, events, now)
        self._before[zone] = requests
        return requests

    def _begin_exports(self, zone: str, requests: ZoneRequests, ahead: ZoneRequests, now: datetime) -> None:
        """A new event's budget is whole once nothing of an earlier one is in force."""
        dispatch = requests.dispatch or ahead.dispatch
        if dispatch is not None:
            if dispatch.value < 0 and self._exports_for.get(zone) != dispatch.event_id:
                self._exports_for[zone] = dispatch.event_id
                self._fleet_state.next_event(zone, dispatch.event_id, now)
            return
        paid = ahead.export_price.at(ahead.now_s) if may_sell(ahead) and ahead.export_price is not None else None
        if paid is not None:
            self._exports_for[zone] = paid.event_id
            self._fleet_state.next_price(zone, paid.event_id, now)

    def _read(self, zone: str, events: Sequence[HeldEvent], at: datetime) -> ZoneRequests:
        lost = self._settings.is_lost(at)
        kept = self._fleet_state.limits.kept(self._fleet_state.group_of(zone), lost=lost)
        requests = read_requests(
            zone, events, now=at, seed=self._settings.seed, released_at=self._released.get(zone), kept=kept
        )
        tree = self._fleet_state.fleet.places.tree
        if not len(tree):
            return requests
        nodes = self._node_asks.read(tree, events, at, lost=lost)
        grid = shared_out(nodes.limits, self._node_shares.of(zone))
        return dataclasses.replace(requests, grid=grid, next_change_s=min(requests.next_change_s, nodes.next_change_s))

    def _next_s(self, requests: ZoneRequests, now_s: float) -> float:
        """When to look again: at the next change, and before it in time to send what it needs."""
        ahead_s = requests.next_change_s - self._settings.lead_s
        return ahead_s if ahead_s > now_s else requests.next_change_s

    def _sample(self, view: FleetView, requests: ZoneRequests, decided: ZonePlan, now_s: float) -> Sample:
        asked = requests.dispatch_kw or requests.import_cap_kw
        unread, drawn_kw = unread_kw(view, decided, now_s, self._fleet_state.old_after_s)
        return dataclasses.replace(
            self._fleet_state.sample(view, now_s),
            asked_kw=asked.value if asked is not None else None,
            planned_kw=decided.planned_kw,
            simple_level=int(requests.simple.value) if requests.simple is not None else None,
            unread=unread,
            unread_kw=drawn_kw,
        )


def _trimmed(trim: SetPointTrim, requests: ZoneRequests, view: FleetView, sample: Sample) -> SetPointTrim:
    """The integrator of a zone after what was measured now: against an absolute set-point, else against a limit."""
    share = sample.measured / max(sample.plugged, 1)
    car_kw = float(np.nanmax(view.max_charge_kw, initial=0.0))
    ask, cap = None, requests.import_cap_kw
    if cap is not None:
        ask = TrimmedAsk(cap.value, 0.0, car_kw)
    elif requests.dispatch_kw is not None and requests.ruling is RulingDimension.DISPATCH:
        ask = TrimmedAsk(requests.dispatch_kw.value, car_kw, car_kw)
    return trim.after(sample.at_s, ask, sample.power_kw / max(share, 0.1), share)


def unread_kw(view: FleetView, decided: ZonePlan, now_s: float, fresh_s: float) -> tuple[int, float]:
    """How many cars at their plugs no reading is held of, and what they are taken to draw, kW.

    A car that is full, or told to wait, is read seldom because nothing is expected of it, so silent cars do not do as
    those that are heard of. Each does as the measured cars do of which the same is expected: to draw, or to draw
    nothing; where none was measured, as its own plan expects.
    """
    at_plug, age_s = (view.plugged == Tri.YES) & (view.at_home != Tri.NO), now_s - view.power_at_s
    expected_kw, drawn_kw = np.maximum(decided.expected_kw, 0.0), np.maximum(view.power_kw, 0.0)
    unread, measured = at_plug & (age_s > LONGEST_HELD_S), at_plug & (age_s <= fresh_s)
    found_kw = 0.0
    for alike in (expected_kw > LEAST_DRAWN_KW, expected_kw <= LEAST_DRAWN_KW):
        silent, peers = unread & alike, measured & alike
        mean_kw = drawn_kw[peers].mean() if peers.any() else expected_kw[silent].mean() if silent.any() else 0.0
        found_kw += int(silent.sum()) * float(mean_kw)
    return int(unread.sum()), found_kw


def _binds(requests: ZoneRequests) -> bool:
    """Whether load is asked or limited; a tariff asks for nothing that must be seen within minutes."""
    limits = requests.import_cap_kw, requests.export_cap_kw, requests.pre_charge
    if requests.grid is not None and requests.grid.is_asked:
        return True
    return requests.ruling is not RulingDimension.NOTHING or any(one is not None for one in limits)


def _in_force(requests: ZoneRequests) -> tuple[object, ...]:
    """What governs now: when something else does than was planned for, that does not wait for the next change."""
    prices = (requests.price, requests.export_price, requests.ghg)
    money = (None if steps is None else steps.at(requests.now_s) for steps in prices)
    loads = (
        requests.dispatch_kw,
        requests.relative_kw,
        requests.relative_share,
        requests.simple,
        requests.alert,
        requests.pre_charge,
    )
    levels = (*requests.charge_states, *requests.charge_energy_kwh)
    nodes = () if requests.grid is None else requests.grid.in_force
    return requests.ruling, *loads, requests.import_cap_kw, requests.export_cap_kw, levels, *money, nodes


def _in_time(slack_s: float) -> Readiness:
    return Readiness.IN_TIME if slack_s >= 0 else Readiness.LATE


def _next_at_an_end_s(left_s: Floats, at_s: float, now_s: float) -> float:
    """When the first car's patience will be at an end, if the event asks on; infinite where none will."""
    ends_s = at_s + left_s[left_s > 0]
    return float(np.min(ends_s[ends_s > now_s], initial=math.inf))


def _at_their_plugs(view: FleetView, at_s: float) -> FleetView:
    """The cars as they would be at their own plugs, just read, and idle where they are away."""
    away = (view.plugged != Tri.YES) | (view.at_home != Tri.YES)
    fresh = dict.fromkeys(_READ_AT, np.full(len(view), at_s))
    return dataclasses.replace(
        view,
        plugged=np.full(len(view), int(Tri.YES)),
        at_home=np.full(len(view), int(Tri.YES)),
        charge_state=np.where(away, int(Charge.STOPPED), view.charge_state),
        power_kw=np.where(away, 0.0, view.power_kw),
        **fresh,
    )


def _as_chosen_now(view: FleetView, now_s: float, at_s: float) -> FleetView:
    """The view with drivers' choices of this moment still in force at `at_s`: until one ends, nothing is sent."""
    out_s, boost_s = view.opted_out_until_s, view.boost_until_s
    return dataclasses.replace(
        view,
        opted_out_until_s=np.where(out_s > now_s, np.maximum(out_s, at_s + 1.0), out_s),
        boost_until_s=np.where(boost_s > now_s, np.maximum(boost_s, at_s + 1.0), boost_s),
    )
