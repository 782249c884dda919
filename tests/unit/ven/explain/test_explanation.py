"""One paragraph that says why a car did what it did, from nothing but what was written down at the time."""

import pytest
from directive_cases import at, desire, paused, reading, seen

from ven_adapters.contract import (
    Ack,
    BackendError,
    Certainty,
    ChargeState,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    DriverChoice,
    ErrorCode,
    Known,
    Rung,
    Snapshot,
)
from ven_adapters.ven.directives import history, lifecycle
from ven_adapters.ven.directives.car_directives import CarDirectives
from ven_adapters.ven.directives.reconcile import reconcile
from ven_adapters.ven.directives.registry import DirectiveRegistry
from ven_adapters.ven.explain import code_texts
from ven_adapters.ven.explain.explanation import Unexplained, explanation, plain, zone_of
from ven_adapters.ven.explain.narrative import paragraph
from ven_adapters.ven.planning.discharge_permits import WORDS, MissingPermit
from ven_adapters.ven.planning.guardrails import Reason
from ven_adapters.ven.store.database import (
    CarFacts,
    DirectiveRow,
    EnrolmentRow,
    HistoryRow,
    ZoneRow,
    document,
    print_at,
)

S = DirectiveState
ASKED = {
    "ruling": "SIMPLE",
    "asked_kw": 120.0,
    "planned_kw": 118.5,
    "asks": [
        {
            "what": "simple",
            "value": 3.0,
            "type": "SIMPLE",
            "program": "program",
            "event": "event",
            "interval": 0,
            "priority": 1,
            "start": print_at(at(0)),
            "end": print_at(at(3600)),
            "currency": None,
        }
    ],
}


class Life:
    """A registry whose rows are kept as a store would, and the steps that a dispatcher would take."""

    def __init__(self) -> None:
        self.registry, self.extra, self.rows = DirectiveRegistry(), [], []

    def submit(self, at_s, error=None, **wanted):
        given = {"why": "SIMPLE_LEVEL", "level_pct": 52.0, "target_soc_pct": 80.0, "ready_by": at(36_000)} | wanted
        before = Snapshot("car", limit_soc_pct=reading(80.0, -9), charge_state=reading(ChargeState.CHARGING, -9))
        step = reconcile(desire(**given), self.registry.car("car"), before, at(at_s))
        self.registry.put("car", step.car, step.ended)
        self.registry.taken_up("car", step.target, at(at_s))
        name = step.target.directive.directive_id
        answer = Ack(name, S.ACCEPTED, paused(), "act-7")
        self.registry.outcome(
            "car",
            name,
            lambda held: (
                lifecycle.apply_ack(held, answer, at(at_s + 1))
                if error is None
                else lifecycle.apply_refusal(held, error, at(at_s + 1), 0.5)
            ),
            at(at_s + 1),
        )
        return name

    def observe(self, snapshot, at_s):
        self.registry.observe(snapshot, at(at_s))
        self.registry.seen_after(snapshot, at(at_s))

    def happened(self, what, at_s, **facts):
        self.extra.append(history.of_car("car", what, at(at_s), facts))

    def facts(self):
        self.rows += [*self.extra, *self.registry.drain()]
        self.extra = []
        history = [row.values for row in self.rows if row.model is HistoryRow]
        newest = {row.values["directive_id"]: row.values for row in self.rows if row.model is DirectiveRow}
        enrolled = EnrolmentRow(vehicle_ref="car", zone="bay", document="{}", at=print_at(at(0)))
        numbered = [HistoryRow(**values, seq=number) for number, values in enumerate(history)]
        ordered = tuple(sorted(numbered, key=lambda row: row.at))
        return CarFacts(ordered, tuple(DirectiveRow(**values) for values in newest.values()), enrolled)

    def explained(self, at_s, requests=ASKED):
        zones = (
            [] if requests is None else [ZoneRow(seq=1, zone="bay", at=print_at(at(0)), document=document(requests))]
        )
        return explanation("car", self.facts(), zones, at(at_s))

    def said(self, at_s, requests=ASKED):
        return paragraph(self.explained(at_s, requests))


@pytest.fixture
def life():
    return Life()


def test_a_directive_that_was_followed_is_told_from_the_event_to_the_proof(life):
    name = life.submit(5)
    life.observe(seen(60, power_w=0.0), 61)
    life.registry.age(at(3600))
    life.observe(
        Snapshot("car", limit_soc_pct=reading(80.0, 3660), charge_state=reading(ChargeState.CHARGING, 3660)), 3661
    )
    told = life.said(900)
    for words_ in (
        "At 2026-07-15 23:15:00Z car car was in zone bay",
        "event event of programme program (interval 0, priority 1) asked SIMPLE 3 until 2026-07-16 00:00:00Z",
        "the plan aimed at 120.0 kW for the zone and expected 118.5 kW",
        f"Directive {name}, for event event (interval 0), told it to pause",
        "because the zone's SIMPLE level asked for it (SIMPLE_LEVEL); battery at 52 %, target 80 %",
        "It was written down and sent at 2026-07-15 23:00:05Z (call 1).",
        "Its backend took it at 2026-07-15 23:00:06Z as act-7, to be kept by stopping the charge.",
        "in force from 2026-07-15 23:01:01Z, shown by power_w=0, observed at 2026-07-15 23:01:00Z (source: backend)",
        "So at that instant it stood as IN_FORCE, certainty VEHICLE_OBSERVED",
        "Later: At 2026-07-16 00:00:00Z it ended in time and the car was released (RELEASED).",
    ):
        assert words_ in told
    assert "\n" not in told
    afterwards = life.said(3700)
    assert (
        "the car was seen given back to its driver's settings (limit_soc_pct 80.0, charge_state CHARGING)" in afterwards
    )
    assert "nothing was asked of the car, which did as its driver had set it" in afterwards


def test_settings_that_were_not_given_back_are_said_aloud(life):
    life.submit(5)
    life.observe(seen(60, power_w=0.0), 61)
    life.registry.age(at(3600))
    life.observe(
        Snapshot("car", limit_soc_pct=reading(50.0, 3660), charge_state=reading(ChargeState.STOPPED, 3660)), 3661
    )
    assert "seen NOT to be set as its driver had it: limit_soc_pct 50 instead of 80" in life.said(3700)


def test_what_is_not_known_yet_at_the_instant_is_not_said_of_it(life):
    life.submit(5)
    life.observe(seen(60, power_w=0.0), 61)
    told = life.said(30)
    assert "stood as ACCEPTED, certainty ACCEPTED" in told
    assert "in force" not in told


def test_doubts_retries_and_wakes_are_told(life):
    name = life.submit(0, BackendError(ErrorCode.ASLEEP, "x", retry_after_s=30.0))
    life.registry.woken("car", name, at(1))
    told = life.said(10)
    assert "By 2026-07-15 23:00:01Z it had not been taken, because the car was asleep (ASLEEP)" in told
    assert "the sleeping car was called, once" in told
    life.submit(400, BackendError(ErrorCode.OUTCOME_UNKNOWN, "x"))
    told = life.said(500)
    assert "(call 2)" in told
    assert "the answer was lost" in told
    assert "what became of it was to be read before anything else" in told


def test_an_override_and_a_drivers_choice_are_told(life):
    name = life.submit(0)
    status = DirectiveStatus(name, "car", S.OVERRIDDEN, Certainty.BACKEND_REPORTED, at(300), ErrorCode.USER_OVERRIDE)
    life.registry.told(status, at(301))
    life.happened(history.CHOICE, 302, choice="BOOST", until=print_at(at(4000)))
    told = life.said(600)
    assert "it was overridden by the driver, who is left alone for it, because the driver took over" in told
    assert "The driver had asked to charge now at 2026-07-15 23:05:02Z until 2026-07-16 00:06:40Z." in told


def test_a_choice_that_is_over_or_undone_is_not_in_force(life):
    life.happened(history.CHOICE, 0, choice="OPT_OUT", until=None)
    life.happened(history.CHOICE, 10, choice="OPT_IN", until=None)
    life.happened(history.CHOICE, 20, choice="BOOST", until=print_at(at(60)))
    life.happened(history.LEFT_OUT, 30, event="event", until=print_at(at(3600)))
    told = life.said(100)
    assert "opted" not in told
    assert "charge now" not in told
    assert "The driver took no part in event event until" in told


def test_why_nothing_was_asked_is_told(life):
    life.happened(history.LEFT_ALONE, 5, zone="bay", reason="AWAY", refusal="INTERCONNECTION")
    told = life.said(600)
    assert "the car was left alone, because it was not known to be plugged in at its own site (AWAY)" in told
    assert "no discharge was asked for want of an interconnection agreement (INTERCONNECTION)" in told
    assert "of which no event asked anything" in life.said(600, None)


def test_a_call_that_was_held_back_is_told(life):
    step = reconcile(desire(why="SIMPLE_LEVEL"), CarDirectives(), None, at(5))
    life.registry.put("car", step.car)
    life.registry.taken_up("car", step.target, at(5))
    life.registry.unsent("car", step.target, at(6))
    assert "At 2026-07-15 23:00:06Z it was held back unsent" in life.said(60)


def test_an_unknown_car_and_an_instant_before_everything_are_refused_in_a_sentence(life):
    with pytest.raises(Unexplained, match="nothing is stored of 'WBA0'"):
        zone_of("WBA0", CarFacts((), (), None), at(0))
    life.submit(50)
    with pytest.raises(Unexplained, match="from before 2026-07-15T23:00:50"):
        life.explained(10)


def test_a_program_reads_the_facts_behind_the_words(life):
    name = life.submit(5)
    life.observe(seen(60, power_w=0.0), 61)
    found = plain(life.explained(900))
    assert found["directive"]["directive"].directive_id == name
    assert [step["state"] for step in found["directive"]["steps"]] == [S.REQUESTED, S.ACCEPTED, S.IN_FORCE]
    assert found["directive"]["steps"][2]["facts"]["evidence"] == "power_w=0"
    assert found["asked"]["asks"][0]["event"] == "event"


@pytest.mark.parametrize(
    ("codes", "table"),
    [
        (Reason, code_texts.BECAUSE),
        (DirectiveKind, code_texts.DOES),
        (Rung, code_texts.BY),
        (Certainty, code_texts.SURE),
        (DriverChoice, code_texts.CHOSE),
        (ErrorCode, code_texts.FAILED),
        (lifecycle.FINAL_STATES, code_texts.ENDED),
        ([one for one in MissingPermit if one], WORDS),
    ],
)
def test_every_code_has_words(codes, table):
    assert set(codes) == set(table)


def test_what_was_held_back_is_not_told_as_sent(life):
    step = reconcile(desire(why="SIMPLE_LEVEL"), life.registry.car("car"), Snapshot("car"), at(5))
    life.registry.put("car", step.car, step.ended)
    life.registry.taken_up("car", step.target, at(5))
    life.registry.unsent("car", step.target, at(6))
    told = life.said(60)
    assert "it was held back unsent" in told
    assert "written down and sent" not in told


def test_a_car_that_was_last_seen_doing_something_else_is_told_so_where_its_directive_stands(life):
    life.submit(5)
    life.observe(seen(60, power_w=0.0), 61)
    life.observe(seen(90, power_w=7000.0), 91)
    assert "it stood as IN_FORCE, although the car was last seen doing something else" in life.said(1000)
    life.observe(seen(1200, power_w=0.0), 1201)
    assert "it stood as IN_FORCE, certainty" in life.said(1300)


def test_a_cable_that_seemed_to_be_out_is_told_where_a_directive_waits_for_its_effect(life):
    life.submit(5)
    life.observe(Snapshot("car", plugged=reading(Known.NO, 60)), 61)
    told = life.said(100)
    assert "At 2026-07-15 23:01:00Z its cable was said to be out, which was not sure." in told
    assert "it stood as ACCEPTED, although its cable was said to be out" in told


def test_what_moved_no_car_is_told_with_its_reason(life):
    life.submit(5)
    limit = {"event_id": "e2", "interval_id": 0, "program_id": "p", "payload_type": "IMPORT_CAPACITY_LIMIT"}
    why = "units: 'kWh' measures an energy, not a power"
    other = limit | {"event_id": "e3", "payload_type": "PRICE", "why": "program 'B' (p2) is none of those"}
    asked = ASKED | {"not_understood": [limit | {"why": why}], "not_for_these_cars": [other]}
    told = life.said(900, asked)
    assert f"What event e2 asked as IMPORT_CAPACITY_LIMIT was not understood: {why}." in told
    assert "What event e3 asked as PRICE was not for these cars: program 'B' (p2) is none of those." in told
    assert "of which no event asked anything that was acted on." in life.said(900, asked | {"asks": []})


def test_what_was_missing_at_the_automakers_is_said_until_it_is_there(life):
    life.happened(history.SET_UP, 10, missing=["takes no command until our key is in it: its owner adds it"])
    life.happened(history.SET_UP, 7_000, missing=[])
    said = life.said(60)
    assert "At 2026-07-15 23:00:10Z it was found that it takes no command until our key is in it" in said
    assert plain(life.explained(60))["set_up"]["facts"]["missing"]
    assert "it was found" not in life.said(7_200)


def test_what_the_zone_could_do_and_what_bound_it_is_said(life):
    binds = [{"obstacle": "DEPARTURE", "cars": 12, "kw": 80.0}, {"obstacle": "LIMIT", "cars": 0, "kw": 5.0}]
    able = {"least_kw": 80.0, "most_kw": 200.0, "shortfall_kw": 70.0, "event": "event", "binds": binds}
    life.submit(10)
    said = life.said(60, ASKED | {"able": able})
    assert "The zone could draw 80.0 kW at the least and 200.0 kW at the most." in said
    assert "Of what event event asked 70.0 kW were short: 12 cars must charge now" in said
    assert "(DEPARTURE, 80.0 kW); a limit in force (LIMIT, 5.0 kW)" in said
    assert "short" not in life.said(60, ASKED | {"able": able | {"shortfall_kw": 0.0}})
