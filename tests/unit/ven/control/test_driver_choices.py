"""Who may join, and what can be set for the enrolment API: pure judgements."""

from datetime import timedelta

import numpy as np
import pydantic
import pytest
from agent_cases import enrolment, fleet_state, snapshot
from directive_cases import T0
from enrolling_parts import PROGRAMS, settings
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.config import ProgramRules
from ven_adapters.contract import DriverChoice, DriverChose
from ven_adapters.enrolment_api.eligibility import discharges, joining, remaining, verdicts
from ven_adapters.enrolment_api.endpoints import RequestPace
from ven_adapters.enrolment_api.models import Question
from ven_adapters.enrolment_api.problems import Refused
from ven_adapters.ven.control import driver_choices as choices
from ven_adapters.ven.control.driver_choices import Effect
from ven_adapters.ven.store.database import StoredState

RULES = {name: ProgramRules(**given_) for name, given_ in PROGRAMS.items()}
words = st.sampled_from(["i4 M50", "iX1", "330e", "CA", "TX", "NV", "pge", "sce", "E-TOU", "A-1"])
questions = st.builds(Question, model=words, region=words, utility=words, tariff=words)


@given(questions, st.lists(st.sampled_from([*RULES, "nowhere"]), min_size=1, max_size=4))
def test_joining_is_free_of_faults_exactly_when_every_programme_is_known_eligible_and_alone_of_its_kind(car, wanted):
    eligible = {one.program for one in verdicts(RULES, car) if one.eligible}
    kinds = [RULES[name].kind for name in wanted if name in RULES]
    good = set(wanted) <= eligible and len(set(kinds)) == len(kinds)
    assert (list(joining(RULES, wanted, car)) == []) is good


@given(questions, st.lists(st.sampled_from([*RULES, "nowhere"]), unique=True, max_size=4))
def test_a_car_stays_in_exactly_those_of_its_programmes_that_it_could_join_together(car, joined):
    kept, why = remaining(RULES, joined, car)
    assert list(joining(RULES, kept, car)) == []
    assert (set(kept) == set(joined)) is (not why)
    assert all(name in why for name in set(joined) - set(kept))


def test_whom_an_operator_vouched_for_leaves_only_what_is_gone_or_doubled():
    assert remaining(RULES, ["evening", "give-back"], None)[0] == ("evening", "give-back")
    kept, why = remaining(RULES, ["evening", "nowhere", "morning"], None)
    assert kept == ("evening",)
    assert "nowhere: is no programme any more" in why
    assert "morning: another programme of kind V1G stays" in why


def test_a_caller_who_asks_too_often_waits_and_slows_nobody_else():
    pace = RequestPace(2.0)
    for _ in range(20):
        pace.pay("ios", T0)
    with pytest.raises(Refused) as caught:
        pace.pay("ios", T0)
    assert (caught.value.status, caught.value.retry_after_s) == (429, pytest.approx(0.5, abs=1e-5))
    pace.pay("android", T0)
    pace.pay("ios", T0 + timedelta(seconds=0.5))


def test_only_a_programme_that_says_so_takes_discharge():
    assert discharges(RULES, ["evening", "give-back"])
    assert not discharges(RULES, ["evening", "nowhere"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"host": "0.0.0.0"}, "needs a certificate"),  # noqa: S104 - what is to be refused
        ({"certificate": "c.pem"}, "given together"),
        ({"webhook_url": "http://127.0.0.1/hook"}, "webhook_secret: is required"),
        ({"app_secret": "short"}, "at least 16"),
        ({"programs": {"p": {"kind": "V1G", "modls": ["i4"]}}}, "modls"),
    ],
)
def test_settings_that_would_be_unsafe_or_misread_are_refused(tmp_path, change, says):
    with pytest.raises(pydantic.ValidationError, match=says):
        settings(tmp_path, **change)


def test_secrets_of_the_enrolment_api_are_not_shown(tmp_path):
    given_ = settings(tmp_path, "postgresql+asyncpg://u:hidden@db/e", webhook_secret="w" * 20)
    shown = repr(given_)
    assert not [secret for secret in (given_.enrolling.app_secret, "hidden", "w" * 20) if secret in shown]


def test_an_adapter_without_files_and_without_a_store_is_refused(tmp_path):
    with pytest.raises(pydantic.ValidationError, match="enrolments: name a file"):
        type(settings(tmp_path)).model_validate(settings(tmp_path).model_dump() | {"enrolling": None})


def test_a_change_of_one_agreement_leaves_the_other_cars_and_what_is_known_of_them():
    cars = fleet_state()
    cars.enrol([enrolment(), enrolment("other")], T0)
    cars.observe([snapshot(T0)], T0)
    assert cars.amend([enrolment("new"), enrolment(target_soc_pct=95.0)], ["other", "never"], T0) == ("other",)
    assert sorted(cars.enrolled()) == ["car", "new"]
    row = np.array([cars.fleet.row("car")])
    assert (cars.fleet.read("soc_pct", row)[0], cars.fleet.read("target_pct", row)[0]) == (50.0, 95.0)
    assert cars.meter._cars["power_w"][row[0]] == 7000.0
    counted = cars.meter._cars["zone"][[cars.fleet.row(ref) for ref in ("car", "new", "other")]] >= 0
    assert counted.tolist() == [True, True, False]


def test_a_car_in_a_zone_that_is_new_is_ours_at_once_and_its_zone_is_grouped_with_the_next_reading_of_all():
    cars = fleet_state()
    assert cars.amend([enrolment("new", zone="elsewhere")], [], T0) == ()
    assert cars.enrolled() == ["car", "new"]
    assert cars.groups == {"bay": "bay"}
    cars.enrol([enrolment(), enrolment("new", zone="elsewhere")], T0)
    assert cars.groups == {"bay": "bay", "elsewhere": "elsewhere"}


def test_leaving_one_event_out_stirs_the_car_and_an_unknown_car_stirs_nothing():
    cars = fleet_state()
    assert cars.leave_out("car", "e-1", T0, T0) == Effect(plan=True)
    assert cars.leave_out("nobody", "e-1", T0, T0) == Effect()


def test_an_event_that_was_left_out_before_the_car_was_ours_is_left_out_by_it(monkeypatch):
    monkeypatch.setattr(choices, "MOST_EARLY", 1)
    cars = fleet_state()
    until = T0 + timedelta(hours=1)
    for ref in ("new", "one too many"):
        assert cars.leave_out(ref, "e-1", until, T0) == Effect()
    cars.amend([enrolment("new"), enrolment("one too many")], [], T0)
    assert [block.event_id for block in cars.registry.car("new").blocks] == ["e-1"]
    assert cars.registry.car("one too many").blocks == ()


# --- a consent that ended, and one that was given again ---------------------------------------------------------------

HOUR = timedelta(hours=1)


def agreed(charging_h, discharge_h=None):
    """A car whose driver agreed so many hours after T0."""
    discharge = {} if discharge_h is None else {"discharge_consented_s": (T0 + discharge_h * HOUR).timestamp()}
    return enrolment(
        charging_consent=True,
        discharge_consent=discharge_h is not None,
        consented_s=(T0 + charging_h * HOUR).timestamp(),
        **discharge,
    )


def consents(cars):
    row = np.array([cars.fleet.row("car")])
    return bool(cars.fleet.read("charging_consent", row)[0]), bool(cars.fleet.read("discharge_consent", row)[0])


def withdrawn(cars, at_h, heard_h=None):
    heard_at = T0 + (at_h if heard_h is None else heard_h) * HOUR
    return cars.take(DriverChose("car", DriverChoice.CONSENT_WITHDRAWN, T0 + at_h * HOUR), heard_at)


def test_a_withdrawal_ends_every_consent_and_gives_the_car_back():
    cars = fleet_state()
    cars.enrol([agreed(-2, -2)], T0)
    assert withdrawn(cars, 0) == Effect(plan=True, release=("car",))
    assert list(cars.choices.withdrawn) == ["car"]
    assert consents(cars) == (False, False)


def test_a_consent_that_is_given_again_counts_and_an_older_one_still_does_not():
    cars = fleet_state()
    cars.enrol([agreed(-2, -2)], T0)
    withdrawn(cars, 0)
    cars.amend([agreed(1, -2)], [], T0 + HOUR)
    assert consents(cars) == (True, False)
    cars.amend([agreed(1, 2)], [], T0 + 2 * HOUR)
    assert consents(cars) == (True, True)


def test_a_withdrawal_that_comes_late_does_not_end_what_was_agreed_after_it():
    cars = fleet_state()
    cars.enrol([agreed(1, 1)], T0 + HOUR)
    assert withdrawn(cars, 0, heard_h=2) == Effect()
    assert consents(cars) == (True, True)


def test_a_consent_dated_in_the_future_is_not_taken_to_follow_a_withdrawal():
    cars = fleet_state()
    cars.enrol([agreed(1, 1)], T0)
    assert withdrawn(cars, 0) == Effect(plan=True, release=("car",))
    cars.amend([agreed(1, 1)], [], T0 + HOUR / 2)
    assert consents(cars) == (False, False)
    cars.amend([agreed(1, 1)], [], T0 + HOUR)
    assert consents(cars) == (True, True)


def test_a_withdrawal_dated_in_the_future_does_not_end_what_is_agreed_after_it_came():
    cars = fleet_state()
    cars.enrol([agreed(-2, -2)], T0)
    withdrawn(cars, 24, heard_h=0)
    cars.amend([agreed(1, 1)], [], T0 + HOUR)
    assert consents(cars) == (True, True)


def test_a_withdrawal_is_remembered_over_a_restart_and_so_is_what_was_agreed_after_it():
    before = fleet_state()
    before.enrol([agreed(-2, -2)], T0)
    withdrawn(before, 0)
    choices = tuple(row for row in before.drain() if type(row).__name__ == "ChoiceRow")
    for given_, holds in ((agreed(-2, -2), (False, False)), (agreed(1, 1), (True, True))):
        after = fleet_state()
        after.enrol([given_], T0 + HOUR)
        after.restore(StoredState(choices=choices), T0 + HOUR)
        assert consents(after) == holds
