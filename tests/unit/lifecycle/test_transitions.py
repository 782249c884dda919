"""Which state of a directive may follow which, by what, and that the page of the documentation says the same."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import pytest
from directive_cases import at, directive

from ven_adapters.contract import FINAL_STATES, DirectiveState, Rung, Setting
from ven_adapters.lifecycle import transitions
from ven_adapters.lifecycle.transitions import MEANINGS, TRANSITIONS, IllegalTransition, Trigger, is_legal, state_at_end
from ven_adapters.transport.ocpp21.profiles.profile_records import ProfileRecord
from ven_adapters.transport.windows.journal import Journal
from ven_adapters.transport.windows.window_store import WindowStore
from ven_adapters.transport.windows.windows import KeptWindow
from ven_adapters.ven.directives import lifecycle
from ven_adapters.ven.directives.lifecycle import DirectiveRecord

S = DirectiveState
ROOT = Path(__file__).parents[3]
LIFE = {
    S.REQUESTED: {S.ACCEPTED, S.REJECTED, S.FAILED, S.EXPIRED, S.OVERRIDDEN, S.SUPERSEDED, S.CANCELLED},
    S.ACCEPTED: {
        *(S.IN_FORCE, S.INTERRUPTED, S.RELEASED, S.OVERRIDDEN, S.FAILED, S.EXPIRED, S.SUPERSEDED, S.CANCELLED),
    },
    S.IN_FORCE: {
        *(S.ACCEPTED, S.INTERRUPTED, S.RELEASED, S.OVERRIDDEN, S.FAILED, S.EXPIRED, S.SUPERSEDED, S.CANCELLED),
    },
    S.INTERRUPTED: {
        *(S.ACCEPTED, S.IN_FORCE, S.RELEASED, S.OVERRIDDEN, S.FAILED, S.EXPIRED, S.SUPERSEDED, S.CANCELLED),
    },
}


def engine(before, after, trigger):
    return lifecycle.move(DirectiveRecord(directive(), state=before), after, trigger, at(1)).state


def windows(before, after, trigger):
    book = WindowStore(Journal(None, KeptWindow))
    window = book.keep(KeptWindow(directive(), Setting(Rung.PAUSE, 0), state=before))
    return book.move(window, after, trigger).state


def ocpp(before, after, trigger):
    record = ProfileRecord(directive(), Setting(Rung.POWER, 0), "tx", 1, at(0), state=before)
    record.move(after, trigger)
    return record.state


def outcome(user, before, after, trigger):
    try:
        return user(before, after, trigger)
    except IllegalTransition:
        return IllegalTransition


def test_the_life_cycle_knows_these_steps_and_no_other():
    assert {(before, after) for before, afters in LIFE.items() for after in afters} == set(TRANSITIONS)


def test_final_states_have_no_way_out():
    assert {before for before, _ in TRANSITIONS}.isdisjoint(FINAL_STATES)


def test_nothing_is_in_force_by_a_word_of_ours_or_by_time():
    proving = {Trigger.TELEMETRY, Trigger.STATUS, Trigger.REFUSAL}
    assert all(triggers <= proving for (_, after), triggers in TRANSITIONS.items() if after is S.IN_FORCE)


@pytest.mark.parametrize("before", [state for state in S if state not in FINAL_STATES])
def test_engine_windows_and_ocpp_go_by_one_table(before):
    for after, trigger in ((after, trigger) for after in S if after is not before for trigger in Trigger):
        expected = after if is_legal(before, after, trigger) else IllegalTransition
        assert [outcome(user, before, after, trigger) for user in (engine, windows, ocpp)] == [expected] * 3


@pytest.mark.parametrize("final", sorted(FINAL_STATES))
def test_what_has_ended_stays_as_it_ended(final):
    assert windows(final, S.IN_FORCE, Trigger.TELEMETRY) is final
    for user in (engine, ocpp):
        assert outcome(user, final, S.IN_FORCE, Trigger.TELEMETRY) is IllegalTransition


def test_a_window_that_ended_during_a_call_is_not_written_over_by_its_answer():
    book = WindowStore(Journal(None, KeptWindow))
    window = book.keep(KeptWindow(directive(), Setting(Rung.PAUSE, 0)))
    book.move(window, S.OVERRIDDEN, Trigger.DRIVER)
    assert book.keep(dataclasses.replace(window, told=True)).state is S.OVERRIDDEN


ENDS = [
    (S.REQUESTED, False, False, S.EXPIRED),
    (S.ACCEPTED, False, False, S.EXPIRED),
    (S.INTERRUPTED, False, False, S.FAILED),
    (S.ACCEPTED, True, False, S.RELEASED),
    (S.IN_FORCE, True, False, S.RELEASED),
    (S.INTERRUPTED, True, False, S.RELEASED),
    (S.IN_FORCE, True, True, S.FAILED),
]


@pytest.mark.parametrize(("state", "was_in_force", "contradicted", "ends"), ENDS)
def test_the_end_finds_a_directive_by_whether_it_was_in_force(state, was_in_force, contradicted, ends):
    assert state_at_end(state, was_in_force=was_in_force, contradicted=contradicted) is ends
    assert is_legal(state, ends, Trigger.TIME)


def test_every_cause_is_explained_used_and_applied_somewhere():
    used = frozenset().union(*TRANSITIONS.values())
    applied = {
        name
        for path in (ROOT / "ven_adapters").rglob("*.py")
        if path.parent.name != transitions.__name__.split(".")[1]
        for name in re.findall(r"\bTrigger\.([A-Z_]+)", path.read_text(encoding="utf-8"))
    }
    assert set(MEANINGS) == used == set(Trigger) == {Trigger[name] for name in applied}


def test_the_page_of_the_life_cycle_is_what_the_table_says():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    said = tables.DIRECTIVES.read_text()
    assert said == tables.directives(), f"docs/directives.md is out of date: run `{tables.COMMAND}`"
