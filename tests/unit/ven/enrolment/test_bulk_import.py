"""Enrolment files taken into the store, and the command line that does it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from enrolling_parts import PROGRAMS, consent, settings
from enrolling_parts import car as given_car
from typer.testing import CliRunner

from ven_adapters.__main__ import app
from ven_adapters.enrolment_api.models import Consent, Enrol
from ven_adapters.enrolment_api.operations import EnrolmentOperations
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.simulator.cars.enrolment import enrolments
from ven_adapters.simulator.cars.fleets import plan_fleet
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.ven.enrolment.bulk_import import import_file
from ven_adapters.ven.enrolment.files import Unreadable, read_enrolments
from ven_adapters.ven.enrolment.source import AgreementChanges, AgreementSource
from vtn.errors import ConfigError

NOW = datetime(2026, 7, 15, 22, tzinfo=UTC)
CARS = 40
RULES = settings("x").enrolling.programs


@pytest.fixture
def file(tmp_path):
    """A fleet with every kind of gap in its papers."""
    fleet = plan_fleet(SimulatorSettings("nissan", CARS, 7, NOW, token="t"))
    path = tmp_path / "cars.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in enrolments(fleet)))
    return path


@pytest.fixture
async def store(tmp_path):
    made = EnrolmentStore(f"sqlite+aiosqlite:///{tmp_path}/enrolments.sqlite")
    await made.open()
    yield made
    await made.close()


def discharge_papers(car):
    """What decides whether a car may be discharged at NOW."""
    permission = car.permission
    lasts = permission is not None and permission.valid_until > NOW
    named = (permission.interconnection_id, permission.export_limit_w, permission.inverter_listing) if lasts else None
    return car.discharge_consent, car.discharge_budget, named


async def test_a_file_in_the_store_steers_cars_as_the_file_itself_does(store, file):
    assert (await import_file(store, EnrolmentOperations({}), file, [], NOW)).taken == CARS
    stored, news = await AgreementSource((), store).read(NOW)
    read = {car.vehicle_ref: car for car in read_enrolments([file])}
    assert {car.vehicle_ref for car in stored} == read.keys()
    for car in stored:
        same = read[car.vehicle_ref]
        assert (car.zone, car.site_id, car.ready_by) == (same.zone, same.site_id, same.ready_by)
        assert (car.target_soc_pct, car.reserve_soc_pct) == (same.target_soc_pct, same.reserve_soc_pct)
        assert discharge_papers(car) == discharge_papers(same)
    assert {one.vehicle_ref for one in news.chose} == {car.vehicle_ref for car in read.values() if car.opted_out}


async def test_the_same_file_again_changes_no_history(store, file):
    await import_file(store, EnrolmentOperations({}), file, [], NOW)
    ref = read_enrolments([file])[0].vehicle_ref
    before = await store.history(ref)
    await import_file(store, EnrolmentOperations({}), file, [], NOW)
    assert await store.history(ref) == before


async def test_programs_that_a_line_names_are_refused_rather_than_lost(store, file):
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("\n".join(json.dumps(line | {"programs": ["CA-EV2A"]}) for line in lines[:1]))
    with pytest.raises(Unreadable, match="programs: an import takes them from --program"):
        await import_file(store, EnrolmentOperations({}), file, [], NOW)


async def test_a_driver_who_left_is_not_enrolled_again_by_an_older_file(store, file):
    await import_file(store, EnrolmentOperations({}), file, [], NOW)
    ref = read_enrolments([file])[0].vehicle_ref
    async with store.write(NOW) as write:
        await EnrolmentOperations({}).withdrawal(write, ref)
    done = await import_file(store, EnrolmentOperations({}), file, [], NOW)
    assert (done.taken, done.left) == (CARS - 1, 1)
    cars, _ = await AgreementSource([file], store).read(NOW)
    assert ref not in {car.vehicle_ref for car in cars}


async def test_an_older_file_does_not_give_back_a_consent_that_the_driver_withdrew(store, file):
    await import_file(store, EnrolmentOperations({}), file, [], NOW)
    ref = next(car.vehicle_ref for car in read_enrolments([file]) if car.discharge_consent and car.charging_consent)
    async with store.write(NOW) as write:
        said = {**consent("discharge", at=NOW.isoformat()), "agreed": False}
        await EnrolmentOperations({}).consent(write, ref, Consent.model_validate_json(json.dumps(said)))
    await import_file(store, EnrolmentOperations({}), file, [], NOW)
    cars, _ = await AgreementSource((), store).read(NOW)
    assert not next(car for car in cars if car.vehicle_ref == ref).discharge_consent
    assert (await store.history(ref))[-1].agreed is False


async def test_an_earlier_drivers_consent_does_not_come_back_with_the_next_drivers(store, file):
    await import_file(store, EnrolmentOperations({}), file, [], NOW)
    ref = next(car.vehicle_ref for car in read_enrolments([file]) if car.discharge_consent and car.charging_consent)
    async with store.write(NOW) as write:
        await EnrolmentOperations({}).sale(write, ref)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        if line["vehicle_ref"] == ref:
            line["charging_consent"]["agreed_at"] = (NOW + timedelta(minutes=1)).isoformat()
    file.write_text("\n".join(map(json.dumps, lines)))
    await import_file(store, EnrolmentOperations({}), file, [], NOW + timedelta(hours=1))
    cars, _ = await AgreementSource((), store).read(NOW + timedelta(hours=1))
    (car,) = [car for car in cars if car.vehicle_ref == ref]
    assert (car.charging_consent, car.discharge_consent) == (True, False)


@pytest.mark.parametrize(
    ("programs", "says"),
    [
        ([], "name the programmes"),
        (["nowhere"], "'nowhere' is not a programme"),
        (["evening", "morning"], "one programme of a kind"),
    ],
)
async def test_programmes_are_named_and_known_and_one_of_a_kind(store, file, programs, says):
    with pytest.raises(Unreadable, match=says):
        await import_file(store, EnrolmentOperations(RULES), file, programs, NOW)
    assert await store.page("", 10) == []


async def test_a_car_in_no_programme_that_takes_discharge_is_not_discharged(store, file):
    await import_file(store, EnrolmentOperations(RULES), file, ["evening"], NOW)
    cars, _ = await AgreementSource((), store).read(NOW)
    assert not any(car.discharge_consent for car in cars)


async def test_a_file_does_not_bring_a_car_into_a_programme_that_the_app_has_shown_it_must_not_join(store, file):
    ref = read_enrolments([file])[0].vehicle_ref
    async with store.write(NOW) as write:
        body = {**given_car(ref, programs=["morning"], consents=[consent(at=NOW.isoformat())]), "model": "330e"}
        await EnrolmentOperations(RULES).enrol(write, Enrol.model_validate_json(json.dumps(body)))
    await import_file(store, EnrolmentOperations(RULES), file, ["evening"], NOW)
    known, stranger = await store.agreement(ref), await store.agreement(read_enrolments([file])[1].vehicle_ref)
    assert (known.programs, known.model) == (("morning",), "330e")
    assert (stranger.programs, stranger.model) == (("evening",), "unknown")


async def test_a_file_with_a_fault_takes_nothing_in(store, file):
    file.write_text(file.read_text() + "\n{}")
    with pytest.raises(Unreadable, match=f":{CARS + 1}: zone"):
        await import_file(store, EnrolmentOperations({}), file, [], NOW)
    assert await store.page("", 10) == []


def config(tmp_path):
    lines = [
        'oem = "bmw"\nclient_name = "a"\n',
        f'var = "{tmp_path}"\n',
        '[vtn]\nurl = "http://127.0.0.1:1"\nclient_id = "c"\nclient_secret = "s"\n[backend]\n[enrolling]\n',
        *(f'[enrolling.programs.{name}]\nkind = "{rules["kind"]}"\n' for name, rules in PROGRAMS.items()),
    ]
    path = tmp_path / "adapter.toml"
    path.write_text("".join(lines))
    return str(path)


@pytest.mark.parametrize("command", ["serve", "import", "judge", "list", "erase", "key"])
def test_every_command_shows_an_example(command):
    assert f"Example: ven-adapters enrol {command}" in CliRunner().invoke(app, ["enrol", command, "--help"]).output


def test_a_car_that_is_not_there_is_one_sentence(tmp_path):
    done = CliRunner().invoke(app, ["enrol", "erase", "bmw-1", "--config", config(tmp_path)])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == "vehicle_ref: no car is enrolled as 'bmw-1'"


def test_the_command_line_takes_in_lists_erases_and_hands_out_keys(tmp_path, file):
    where = config(tmp_path)

    def said(*words):
        done = CliRunner().invoke(app, ["enrol", *words, "--config", where])
        assert done.exit_code == 0, done.output
        return done.output

    ref = read_enrolments([file])[0].vehicle_ref
    assert f"{CARS} cars taken in" in said("import", str(file), "--program", "evening")
    assert f"{ref}\tENROLLED\t" in said("list")
    assert "0 cars left a programme" in said("judge")
    assert "judged by last" in said("judge")
    assert f"{ref} is erased" in said("erase", ref)
    assert f"{ref}\tWITHDRAWN\t" in said("list")
    key = said("key", "ios").strip()
    assert len(key) == 43
    assert key.encode() not in (tmp_path / "bmw" / "enrolments.sqlite").read_bytes()
    assert "no key any more" in said("key", "ios", "--revoke")


async def test_a_consent_dated_in_the_future_is_refused_and_nothing_is_taken_in(store, file):
    first = json.loads(file.read_text().splitlines()[0])
    late = {"version": "1", "agreed_at": (NOW + timedelta(hours=1)).isoformat()}
    file.write_text(json.dumps(first | {"charging_consent": late}) + "\n")
    with pytest.raises(Unreadable, match=f"{first['vehicle_ref']}: charging_consent.agreed_at: must not lie in the"):
        await import_file(store, EnrolmentOperations({}), file, [], NOW)
    assert await AgreementSource((), store).read(NOW) == ([], AgreementChanges())
