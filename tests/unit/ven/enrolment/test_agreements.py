"""What the engine takes from an agreement at an instant: consents, papers and wishes that begin, lapse and change."""

import threading
from datetime import UTC, datetime, time

import pytest
from enrolment_cases import DAYS, HOUR, NOW, PAPERS, agreement, kept, put, week
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.contract import DriverChoice
from ven_adapters.enrolment_api.models import (
    Boost,
    Day,
    InverterListing,
    OptOut,
    Patience,
    Permissions,
    Preferences,
    Status,
)
from ven_adapters.enrolment_api.operations import EnrolmentOperations
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.ven.enrolment import source as agreements
from ven_adapters.ven.enrolment.source import AgreementSource, enrolment_of, permission_of, turns_at
from ven_adapters.ven.fleet.fleet import EventCaps


def test_an_agreement_is_what_the_engine_steers_by():
    car = enrolment_of(agreement(), NOW)
    assert (car.vehicle_ref, car.zone, car.site_id, car.timezone) == ("car", "bay", "site-1", "America/Los_Angeles")
    assert car.ready_by == (time(7, 30),) * 7
    assert (car.target_soc_pct, car.reserve_soc_pct) == (80.0, 30.0)
    assert (car.charging_consent, car.discharge_consent, car.discharge_budget) == (True, True, None)
    assert car.patience is None


def test_a_drivers_own_caps_come_with_the_agreement():
    patience = Patience(events_per_day=1, hours_per_season=30.0)
    assert enrolment_of(agreement(patience=patience), NOW).patience == EventCaps(1, None, 30.0, None)


@pytest.mark.parametrize(
    "change",
    [
        {"status": Status.WITHDRAWN},
        {"status": Status.SOLD},
        {"consents": {}},
        {"consents": {"charging": kept(agreed=False)}},
        {"consents": {"charging": kept(valid_until=NOW)}},
        {"preferences": None},
    ],
    ids=["withdrawn", "sold", "never asked", "revoked", "lapsed", "erased"],
)
def test_a_car_whose_driver_does_not_agree_is_not_ours(change):
    assert enrolment_of(agreement(**change), NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        {"discharge_program": False},
        {"consents": {"charging": kept()}},
        {"consents": {"charging": kept(), "discharge": kept(agreed=False)}},
        {"consents": {"charging": kept(), "discharge": kept(valid_until=NOW)}},
    ],
    ids=["no programme for it", "never asked", "revoked", "lapsed"],
)
def test_discharge_needs_a_consent_of_its_own_and_a_programme_that_takes_it(change):
    car = enrolment_of(agreement(**change), NOW)
    assert (car.charging_consent, car.discharge_consent) == (True, False)


def test_papers_last_together_as_long_as_the_shortest_of_them():
    permission = permission_of(Permissions(**PAPERS), NOW)
    assert (permission.interconnection_id, permission.export_limit_w) == ("IC-1", 7000)
    assert (permission.inverter_listing, permission.valid_until) == ("UL1741-SB", NOW + 5 * HOUR)


@pytest.mark.parametrize("missing", ["interconnection", "export_limit", "inverter_listing"])
@pytest.mark.parametrize("how", ["absent", "not begun"])
def test_a_paper_that_is_missing_or_has_not_begun_grants_nothing(missing, how):
    later = PAPERS[missing].model_copy(update={"valid_from": NOW + HOUR, "valid_until": None})
    permission = permission_of(Permissions(**PAPERS | {missing: None if how == "absent" else later}), NOW)
    granted = {
        "interconnection": permission is not None,
        "export_limit": permission is not None and permission.export_limit_w > 0,
        "inverter_listing": permission is not None and permission.inverter_listing is not None,
    }
    assert not granted[missing]


def test_the_wishes_of_the_day_of_the_next_departure_count():
    thursday = Day(ready_by="06:00", target_soc_pct=100.0, reserve_soc_pct=50.0)
    given_ = agreement(preferences=week(thu=thursday))
    assert enrolment_of(given_, NOW).target_soc_pct == 80.0
    departs = datetime(2026, 7, 1, 14, 30, tzinfo=UTC)
    assert turns_at(given_.model_copy(update={"permissions": Permissions()}), NOW) == departs
    after = enrolment_of(given_, departs)
    assert (after.target_soc_pct, after.reserve_soc_pct) == (100.0, 50.0)


def test_without_departures_todays_wishes_count_until_local_midnight():
    days = {day: Day(ready_by=None, target_soc_pct=70.0, reserve_soc_pct=20.0) for day in DAYS}
    days["thu"] = Day(ready_by=None, target_soc_pct=90.0, reserve_soc_pct=20.0)
    given_ = agreement(preferences=Preferences(**days), permissions=Permissions())
    midnight = datetime(2026, 7, 2, 7, tzinfo=UTC)
    assert turns_at(given_, NOW) == midnight
    assert [enrolment_of(given_, at).target_soc_pct for at in (NOW, midnight)] == [70.0, 90.0]


hours = st.integers(-20, 20).map(lambda count: NOW + count * HOUR)


@given(begins=hours, ends=hours, consent_ends=hours, asked=hours, later=st.integers(1, 40))
def test_between_turns_nothing_changes(begins, ends, consent_ends, asked, later):
    paper = {"valid_from": begins, "valid_until": ends if ends > begins else None}
    listing = InverterListing(inverter_listing="UL1741-SB", **paper)
    one = agreement(
        consents={"charging": kept(), "discharge": kept(valid_until=consent_ends)},
        permissions=Permissions(**PAPERS | {"inverter_listing": listing}),
    )
    turn = turns_at(one, asked)
    then = asked + later * HOUR
    if turn is None or then < turn:
        assert enrolment_of(one, then) == enrolment_of(one, asked)


@pytest.fixture
async def store(tmp_path):
    made = EnrolmentStore(f"sqlite+aiosqlite:///{tmp_path}/enrolments.sqlite")
    await made.open()
    yield made
    await made.close()


async def test_news_come_once_and_by_the_clock_too(store):
    listing = PAPERS["inverter_listing"].model_copy(update={"valid_from": NOW + HOUR})
    await put(store, agreement("a"), agreement("b", permissions=Permissions(**PAPERS | {"inverter_listing": listing})))
    agreements = AgreementSource((), store)
    cars, _ = await agreements.read(NOW)
    assert [car.vehicle_ref for car in cars] == ["a", "b"]
    assert (await agreements.news(NOW)).changed == ()
    (turned,) = (await agreements.news(NOW + HOUR)).changed
    assert (turned.vehicle_ref, turned.permission.inverter_listing) == ("b", "UL1741-SB")
    assert (await agreements.news(NOW + HOUR)).changed == ()
    assert {car.vehicle_ref for car in (await agreements.news(NOW + 5 * HOUR)).changed} == {"a", "b"}


async def test_a_car_that_left_is_news_and_so_is_what_drivers_chose(store):
    await put(store, agreement("a"), agreement("b"))
    agreements = AgreementSource((), store)
    await agreements.read(NOW)
    async with store.write(NOW) as write:
        await EnrolmentOperations({}).withdrawal(write, "a")
        await EnrolmentOperations({}).boost(write, "b", Boost(until=NOW + HOUR))
        await EnrolmentOperations({}).opt_out(write, "b", OptOut(event_id="e-1", until=NOW + HOUR))
    news = await agreements.news(NOW)
    assert news.gone == ("a",)
    assert [(one.vehicle_ref, one.choice, one.until) for one in news.chose] == [("b", DriverChoice.BOOST, NOW + HOUR)]
    assert [(one.vehicle_ref, one.event_id) for one in news.left_out] == [("b", "e-1")]
    again = AgreementSource((), store)
    cars, choices = await again.read(NOW)
    assert [car.vehicle_ref for car in cars] == ["b"]
    assert (choices.chose, choices.left_out) == (news.chose, news.left_out)


async def test_a_consent_that_a_backend_says_has_ended_is_told_to_the_app_of_enrolled_cars(store):
    await put(store, agreement("a"), agreement("b"))
    async with store.write(NOW) as write:
        await EnrolmentOperations({}).withdrawal(write, "b")
    agreements = AgreementSource((), store)
    await agreements.read(NOW)
    await agreements.tell_lost(["a", "b", "nobody"], NOW)
    told = [(row.vehicle_ref, row.what) for row in await store.untold(9)]
    assert told[-2:] == [("b", "withdrawn"), ("a", "consent_lost")]
    assert (await agreements.news(NOW)).changed == ()


async def test_without_a_store_there_is_no_news():
    agreements = AgreementSource(())
    assert (await agreements.read(NOW))[0] == []
    assert not agreements.followed
    assert (await agreements.news(NOW)).changed == ()


async def test_a_large_file_is_read_beside_the_loop_that_cars_are_called_from(monkeypatch):
    readers = []
    monkeypatch.setattr(agreements, "read_enrolments", lambda _: readers.append(threading.current_thread()) or [])
    assert await AgreementSource([]).read(NOW) == ([], agreements.AgreementChanges())
    assert readers != [threading.main_thread()]
