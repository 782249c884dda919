"""Who may join, and what can be set for the enrolment API: pure judgements."""

import numpy as np
import pydantic
import pytest
from enrolling_parts import PROGRAMS, settings
from hypothesis import given
from hypothesis import strategies as st
from test_agent_guarantees import T0, enrolment, garage, snapshot

from ven_adapters.config import ProgramRules
from ven_adapters.enrolling.eligibility import discharges, joining, verdicts
from ven_adapters.enrolling.models import Question
from ven_adapters.ven.garage import Stir

RULES = {name: ProgramRules(**given_) for name, given_ in PROGRAMS.items()}
words = st.sampled_from(["i4 M50", "iX1", "330e", "CA", "TX", "NV", "pge", "sce", "E-TOU", "A-1"])
questions = st.builds(Question, model=words, region=words, utility=words, tariff=words)


@given(questions, st.lists(st.sampled_from([*RULES, "nowhere"]), min_size=1, max_size=4))
def test_joining_is_free_of_faults_exactly_when_every_programme_is_known_eligible_and_alone_of_its_kind(car, wanted):
    eligible = {one.program for one in verdicts(RULES, car) if one.eligible}
    kinds = [RULES[name].kind for name in wanted if name in RULES]
    good = set(wanted) <= eligible and len(set(kinds)) == len(kinds)
    assert (list(joining(RULES, wanted, car)) == []) is good


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
    cars = garage()
    cars.enrol([enrolment(), enrolment("other")], T0)
    cars.observe([snapshot(T0)], T0)
    assert cars.amend([enrolment("new"), enrolment(target_soc_pct=95.0)], ["other", "never"], T0) == ("other",)
    assert sorted(cars.enrolled()) == ["car", "new"]
    row = np.array([cars.fleet.row("car")])
    assert (cars.fleet.read("soc_pct", row)[0], cars.fleet.read("target_pct", row)[0]) == (50.0, 95.0)
    assert cars.meter._cars["power_w"][row[0]] == 7000.0
    counted = cars.meter._cars["zone"][[cars.fleet.row(ref) for ref in ("car", "new", "other")]] >= 0
    assert counted.tolist() == [True, True, False]


def test_a_zone_that_is_new_makes_all_groups_anew():
    cars = garage()
    assert cars.amend([enrolment("new", zone="elsewhere")], [], T0) is None
    assert cars.enrolled() == ["car"]


def test_leaving_one_event_out_stirs_the_car_and_an_unknown_car_stirs_nothing():
    cars = garage()
    assert cars.leave_out("car", "e-1", T0) == Stir(plan=True)
    assert cars.leave_out("nobody", "e-1", T0) == Stir()
