"""Which programs' events count for whose cars, and that no later program takes an earlier one's place unnoticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timeline_cases import DAY, event, stamp

from ven_adapters.demo import scenario
from ven_adapters.ven.openadr.programs import ListedProgram, ProgramNames, ProgramSelection
from vtn.wire.event import Event


def program(number, name="", targets=()):
    return ListedProgram(f"p{number}", name, frozenset(targets), f"2026-07-0{number}T00:00:00Z")


def requests(program_id, *kinds):
    payloads = [{"type": kind, "values": [1]} for kind in kinds]
    one = event([(None, payloads)], period={"start": stamp(DAY), "duration": "PT4H"})
    return one.model_copy(update={"id": f"e-{program_id}", "program_id": program_id})


def selection(programs, *events, first=None):
    made = ProgramSelection()
    made.restore(first or {})
    made.take(programs, events)
    return made


OURS, OTHERS = program(1, "CA-EV2A", ["tariff-a"]), program(2, "OTHER", ["tariff-b"])


@pytest.mark.parametrize("name", ["p1", "CA-EV2A", "tariff-a"])
def test_a_program_is_named_by_its_id_its_name_or_a_target(name):
    made = selection([OURS, OTHERS])
    assert made.unused({name}, requests("p1", "PRICE")) == {}
    assert made.unused({name}, requests("p2", "PRICE")).keys() == {"PRICE"}
    assert (made.takes_part({name}, "p1"), made.takes_part({name}, "p2")) == (True, False)


def test_what_is_not_used_says_which_programs_the_cars_are_in():
    why = selection([OURS, OTHERS]).unused({"CA-EV2A"}, requests("p2", "PRICE"))["PRICE"]
    assert why == "program 'OTHER' (p2) is none of those that these cars are enrolled in (CA-EV2A)"


def test_an_alert_counts_from_every_program_that_may_be_seen():
    made = selection([OURS, OTHERS])
    assert made.unused({"CA-EV2A"}, requests("p2", "ALERT_GRID_EMERGENCY", "PRICE")).keys() == {"PRICE"}


def test_every_program_counts_where_settings_say_so():
    made = selection([program(1), program(2)], requests("p1", "PRICE"), requests("p2", "PRICE"))
    assert made.unused({"*"}, requests("p2", "PRICE")) == {}
    assert made.unmet({"*"}) == []


def test_without_names_the_one_untargeted_program_of_a_type_counts():
    made = selection([program(1), program(2)], requests("p1", "PRICE"), requests("p2", "GHG"))
    assert made.unused((), requests("p1", "PRICE")) == made.unused((), requests("p2", "GHG")) == {}
    assert made.takes_part((), "p1")
    assert made.takes_part((), "p2")


def test_a_second_untargeted_tariff_is_told_and_not_used():
    made = selection([program(1, "A"), program(2, "B")], requests("p1", "PRICE"), requests("p2", "PRICE", "GHG"))
    assert made.unused((), requests("p1", "PRICE")) == {}
    unused = made.unused((), requests("p2", "PRICE", "GHG"))
    assert unused == {"PRICE": "program 'A' (p1) asks PRICE too and was first; no setting says that 'B' (p2) is ours"}
    only_price = selection([program(1), program(2)], requests("p1", "PRICE"), requests("p2", "PRICE"))
    assert not only_price.takes_part((), "p2")


def test_a_program_that_is_targeted_at_us_counts_beside_an_untargeted_one():
    made = selection([program(1), OTHERS], requests("p1", "PRICE"), requests("p2", "PRICE"))
    assert made.unused((), requests("p1", "PRICE")) == made.unused((), requests("p2", "PRICE")) == {}


def test_whoever_was_first_stays_first_though_an_older_program_asks_later():
    made = ProgramSelection()
    both = [program(1), program(2)]
    assert made.take(both, [requests("p2", "PRICE")]) == {"PRICE": "p2"}
    assert made.take(both, [requests("p1", "PRICE")]) == {}
    assert made.unused((), requests("p1", "PRICE")).keys() == {"PRICE"}
    assert made.unused((), requests("p2", "PRICE")) == {}


def test_the_first_is_remembered_over_a_restart_and_let_go_when_its_program_is_gone():
    both = [program(1), program(2)]
    made = selection(both, requests("p1", "PRICE"), first={"PRICE": "p2"})
    assert made.unused((), requests("p1", "PRICE")).keys() == {"PRICE"}
    assert made.take([program(1)], [requests("p1", "PRICE")]) == {"PRICE": "p1"}
    assert made.unused((), requests("p1", "PRICE")) == {}


def test_a_near_miss_of_a_type_is_of_the_same_type():
    made = selection(
        [program(1), program(2)], requests("p1", "CAPACITY_LIMIT"), requests("p2", "import_capacity_limit")
    )
    assert made.unused((), requests("p2", "import_capacity_limit")).keys() == {"import_capacity_limit"}


def test_names_that_no_program_has_are_known():
    assert selection([OURS]).unmet({"CA-EV2A", "tariff-a", "elsewhere"}) == ["elsewhere"]


def test_a_program_in_another_shape_names_nothing():
    raw = {"id": "p9", "programName": None, "targets": [{"type": "GROUP", "values": ["a"]}, "b"]}
    assert ListedProgram.of(raw) == ListedProgram("p9", "", frozenset({"b"}))


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["PRICE", "GHG"])), min_size=1, max_size=12))
def test_the_first_program_of_a_type_never_changes_while_it_exists(told):
    made, programs, firsts = ProgramSelection(), [program(n) for n in range(1, 6)], {}
    for number, kind in told:
        made.take(programs, [requests(f"p{number}", kind)])
        firsts.setdefault(kind, f"p{number}")
        assert made.first == firsts
        used = [one for one in range(1, 6) if not made.unused((), requests(f"p{one}", kind))]
        assert used == [int(firsts[kind][1:])]


def test_a_cars_enrolment_says_more_than_its_zone_and_that_more_than_the_adapter():
    names = ProgramNames(
        frozenset({"all"}), {"bay": frozenset({"bay-tariff"}), "la": frozenset()}, {"evening": {"x", "y"}}
    )
    assert names.of_car("bay", ()) == {"bay-tariff"}
    assert names.of_car("la", ()) == names.of_zone("la") == {"all"}
    assert names.of_car("bay", ("evening", "own")) == {"x", "y", "own"}
    assert ProgramNames().of_car("bay", ()) == frozenset()


def test_everything_that_the_demonstrations_utility_publishes_reaches_cars_that_name_no_program():
    nomination = scenario.Nomination("bmw", "bay", 10, 0.5, 7.0)
    made = [
        scenario.tariff_event("p1"),
        scenario.market_event("p2"),
        scenario.evening_event("p3", nomination, (1.0,) * scenario.EVENING_HOURS),
        scenario.alert_event("p1"),
    ]
    stamps = {"createdDateTime": stamp(DAY), "modificationDateTime": stamp(DAY)}
    events = [Event.model_validate({"id": f"e{n}", **stamps, **one}) for n, one in enumerate(made)]
    programs = [
        program(1, scenario.TARIFF_PROGRAM),
        program(2, scenario.MARKET_PROGRAM),
        program(3, scenario.EVENING_PROGRAM, [scenario.EVENING_TARGET]),
    ]
    chosen = selection(programs, *events)
    assert [chosen.unused((), one) for one in events] == [{}] * 4
    assert all(chosen.takes_part((), one.program_id) for one in events)
