"""The enrolment API on every database it may stand on: who may join, what was agreed, what is erased, what is told."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from enrolling_parts import (
    ACCOUNT,
    APP_SECRET,
    DAY,
    DAYS,
    HOLDER,
    KEY,
    PERSONAL,
    PROGRAMS,
    VIN,
    WEBHOOK_SECRET,
    App,
    car,
    consent,
    home,
    instant,
    papers,
    served,
    settings,
    vin,
)
from openapi_schema_validator import OAS31Validator

from ven_adapters.enrolment_api.reevaluation import Reevaluated
from ven_adapters.enrolment_api.serve import judged, opened, operations_of
from ven_adapters.enrolment_api.store import SCHEMA, EnrolmentStore
from ven_adapters.transport.http import signatures
from ven_adapters.ven.enrolment.source import AgreementSource
from vtn.clock import RealClock

PATIENCE_S = 90.0


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, copied, tmp_path):
    """A fresh database of each make."""
    with copied(SCHEMA, request.param, tmp_path / "folder" / "enrolments.sqlite") as url:
        yield url.replace("postgresql://", "postgresql+asyncpg://").replace("sqlite://", "sqlite+aiosqlite://")


@pytest.fixture
def given(tmp_path, url):
    return settings(tmp_path, url)


@pytest.fixture
async def app(given):
    async with served(given) as made:
        yield made


def rules(answer):
    return {fault["path"]: fault["rule"] for fault in answer["errors"]}


async def test_an_enrolment_comes_back_without_a_word_on_whose_car_it_is(app):
    made = await app.enrol()
    status, view = await app.get("/v1/cars/bmw-9001")
    assert (status, view["agreement"]) == (200, made)
    assert (made["status"], made["programs"], made["zone"]) == ("ENROLLED", ["evening", "give-back"], "bay")
    assert made["discharge_program"]
    assert made["permissions"]["export_limit"]["export_limit_w"] == 7000
    said = json.dumps([made, view, (await app.get("/v1/cars"))[1], (await app.get("/v1/cars/bmw-9001/consents"))[1]])
    assert not [secret for secret in PERSONAL if secret in said]


async def test_what_is_on_file_outlives_a_restart(given):
    async with served(given) as app:
        made = await app.enrol()
    async with served(given) as app:
        assert (await app.get("/v1/cars/bmw-9001"))[1]["agreement"] == made
    async with opened(given) as store:
        person = await store.personal("bmw-9001")
    assert (person.vin, person.account_id) == (VIN, ACCOUNT)
    assert HOLDER in person.document


async def test_every_fault_of_a_body_is_named_at_once_with_its_path_and_no_value(app):
    wrong = car(vin="short", model=7, programs=[], surprise=1)
    wrong["preferences"]["tue"]["target_soc_pct"] = 120
    wrong["home"]["timezone"] = "Mars/Olympus"
    wrong["permissions"]["interconnection"]["valid_until"] = instant(days=-20)
    status, answer = await app.post("/v1/cars", wrong)
    assert status == 400
    assert rules(answer).keys() == {
        "$.vin",
        "$.model",
        "$.programs",
        "$.surprise",
        "$.preferences.tue.target_soc_pct",
        "$.home.timezone",
        "$.permissions.interconnection",
    }
    assert "short" not in json.dumps(answer)


async def test_a_vin_is_no_pseudonym(app):
    status, answer = await app.post("/v1/cars", car(VIN))
    assert (status, rules(answer)) == (400, {"$.vehicle_ref": "must be a pseudonym, never a VIN"})


@pytest.mark.parametrize("ref", [VIN.lower(), f"bmw-{VIN}", f"bmw-{VIN.lower()}"])
async def test_a_vin_is_no_pseudonym_however_it_is_written(app, ref):
    assert (await app.post("/v1/cars", car(ref)))[0] == 400


@pytest.mark.parametrize("place", ["model", "zone"])
async def test_a_vin_stands_in_no_field_that_leaves_the_store(app, place):
    given = car(model=f"i4 {VIN}") if place == "model" else car(home=home(zone=VIN))
    status, answer = await app.post("/v1/cars", given)
    assert (status, VIN in json.dumps(answer)) == (400, False)


async def test_eligibility_is_judged_by_model_region_account_and_programme(app):
    question = {"model": "330e", "region": "NV", "utility": "sce", "tariff": "A-1"}
    status, answer = await app.post("/v1/eligibility", question)
    assert status == 200
    told = {one["program"]: one["reasons"] for one in answer["verdicts"]}
    assert [reason.split(":")[0] for reason in told["evening"]] == ["model", "region", "utility"]
    assert told["morning"] == []
    assert [reason.split(":")[0] for reason in told["give-back"]] == ["tariff"]
    _, one = await app.post("/v1/eligibility", {**question, "program": "morning"})
    assert [verdict["eligible"] for verdict in one["verdicts"]] == [True]


async def test_a_car_that_is_not_eligible_is_refused_with_every_reason(app):
    status, answer = await app.post("/v1/cars", car(model="330e", programs=["evening", "nowhere"]))
    assert status == 400
    assert rules(answer).keys() == {"$.programs[0]", "$.programs[1]", "$.consents"}


async def test_a_car_is_in_one_programme_of_a_kind(app):
    status, answer = await app.post("/v1/cars", car(programs=["evening", "morning"], consents=[consent()]))
    assert status == 400
    assert rules(answer)["$.programs[1]"].startswith("one programme of a kind")
    await app.enrol(programs=["evening"], consents=[consent()])
    moved = await app.act("programs", {"programs": ["morning"]})
    assert moved["programs"] == ["morning"]
    status, _ = await app.post("/v1/cars/bmw-9001/programs", {"programs": ["morning", "evening"]})
    assert status == 400


async def test_a_car_is_enrolled_once_by_ref_and_by_vin(app):
    await app.enrol()
    assert (await app.post("/v1/cars", car()))[0] == 409
    status, answer = await app.post("/v1/cars", car("bmw-9002"))
    assert (status, [*rules(answer)]) == (409, ["$.vin"])


async def test_programmes_and_accounts_have_room_for_so_many_cars(app):
    def other(number, account):
        given = {"account_id": account, "utility": "pge", "tariff": "E-1"}
        return car(f"bmw-{number}", vin=vin(number), account=given)

    for number, account in ((1, "A"), (2, "A")):
        assert (await app.post("/v1/cars", other(number, account)))[0] == 201
    assert "account" in (await app.post("/v1/cars", other(3, "A")))[1]["detail"]
    assert (await app.post("/v1/cars", other(3, "B")))[0] == 201
    assert "full" in (await app.post("/v1/cars", other(4, "C")))[1]["detail"]


async def test_a_programme_that_is_joined_later_must_have_room_too(app):
    def other(number, account, programs):
        given = {"account_id": account, "utility": "pge", "tariff": "E-1"}
        return car(f"bmw-{number}", vin=vin(number), account=given, programs=programs, consents=[consent()])

    for number, account in ((1, "A"), (2, "A"), (3, "B")):
        await app.post("/v1/cars", other(number, account, ["evening", "give-back"]))
    await app.post("/v1/cars", other(4, "C", ["evening"]))
    status, answer = await app.post("/v1/cars/bmw-4/programs", {"programs": ["evening", "give-back"]})
    assert (status, [*rules(answer)]) == (409, ["$.programs[1]"])
    assert (await app.post("/v1/cars/bmw-1/programs", {"programs": ["give-back"]}))[0] == 200


# --- rules that change ------------------------------------------------------------------------------------------------

TEXAS = {"kind": "V1G", "regions": ["TX"]}


def ruled(tmp_path, url, **programs):
    return settings(tmp_path, url, programs={**PROGRAMS, **programs})


async def test_rules_that_change_are_applied_to_cars_already_enrolled_and_it_is_said_what_happened(tmp_path, url):
    async with served(ruled(tmp_path, url)) as app:
        await app.enrol()
        await app.enrol("bmw-9002", vin=vin(2), programs=["evening"], consents=[consent()])
    async with served(ruled(tmp_path, url, evening=TEXAS)) as app:
        one, two = [(await app.get(f"/v1/cars/{ref}"))[1]["agreement"] for ref in ("bmw-9001", "bmw-9002")]
        assert (one["status"], one["programs"]) == ("ENROLLED", ["give-back"])
        assert (two["status"], two["programs"]) == ("SUSPENDED", [])
        said = (await app.get("/v1/cars/bmw-9002/changes"))[1]["changes"]
        assert [change["type"] for change in said] == ["enrolled", "suspended"]
        assert said[-1]["detail"] == "evening: region: must match one of TX"


async def test_a_rule_that_is_mended_brings_back_whom_it_had_excluded(tmp_path, url):
    async with served(ruled(tmp_path, url)) as app:
        before = await app.enrol()
    async with served(ruled(tmp_path, url, evening=TEXAS, **{"give-back": {**TEXAS, "kind": "V2G"}})) as app:
        assert (await app.get("/v1/cars/bmw-9001"))[1]["agreement"]["status"] == "SUSPENDED"
    async with served(ruled(tmp_path, url)) as app:
        after = (await app.get("/v1/cars/bmw-9001"))[1]["agreement"]
        said = (await app.get("/v1/cars/bmw-9001/changes"))[1]["changes"]
    assert after == before
    assert [one["type"] for one in said] == ["enrolled", "suspended", "resumed"]
    assert "evening: is allowed again" in said[-1]["detail"]


async def test_a_rule_that_is_mended_does_not_undo_what_a_driver_chose_meanwhile(tmp_path, url):
    async with served(ruled(tmp_path, url)) as app:
        await app.enrol(programs=["evening"], consents=[consent()])
    async with served(ruled(tmp_path, url, evening=TEXAS)) as app:
        await app.act("programs", {"programs": ["morning"]})
    async with served(ruled(tmp_path, url)) as app:
        assert (await app.get("/v1/cars/bmw-9001"))[1]["agreement"]["programs"] == ["morning"]


async def test_settings_without_programmes_judge_nobody(tmp_path, url):
    async with served(ruled(tmp_path, url)) as app:
        await app.enrol()
    async with served(settings(tmp_path, url, programs={})) as app:
        assert (await app.get("/v1/cars/bmw-9001"))[1]["agreement"]["status"] == "ENROLLED"


async def test_a_suspended_car_is_left_alone_until_its_driver_joins_another_programme(tmp_path, url):
    async with served(ruled(tmp_path, url)) as app:
        await app.enrol(programs=["evening"], consents=[consent()])
    given = ruled(tmp_path, url, evening=TEXAS)
    async with served(given) as app, opened(given) as store:
        agreements = AgreementSource((), store)
        assert (await agreements.read(datetime.now(UTC)))[0] == []
        assert (await app.act("programs", {"programs": ["morning"]}))["status"] == "ENROLLED"
        assert [one.vehicle_ref for one in (await agreements.news(datetime.now(UTC))).changed] == ["bmw-9001"]
        await app.act("withdrawal")


async def test_the_same_rules_judge_nobody_twice(tmp_path, url):
    given = ruled(tmp_path, url)
    async with served(given) as app:
        await app.enrol()
    async with opened(given) as store:
        assert await judged(store, operations_of(given), RealClock()) is None
    other = ruled(tmp_path, url, evening=TEXAS)
    async with opened(other) as store:
        assert await judged(store, operations_of(other), RealClock()) == Reevaluated(1, 0)
        assert await judged(store, operations_of(other), RealClock()) is None


async def test_the_history_of_consents_says_what_was_agreed_and_when_and_is_only_added_to(app):
    await app.enrol()
    newer = consent(version="2026-02", at=instant(hours=-1), terms="I agree to more.")
    await app.act("consents", newer)
    late = await app.act("consents", consent(version="2025-12", at=instant(days=-40), agreed=False))
    assert late["consents"]["charging"]["version"] == "2026-02"
    _, answer = await app.get("/v1/cars/bmw-9001/consents")
    told = [(one["scope"], one["version"], one["agreed"]) for one in answer["consents"]]
    assert told == [
        ("charging", "2026-01", True),
        ("discharge", "2026-01", True),
        ("charging", "2026-02", True),
        ("charging", "2025-12", False),
    ]
    assert answer["consents"][2]["terms"] == "I agree to more."
    assert answer["consents"][2]["at"].startswith(newer["at"][:19])


async def test_a_text_that_many_were_shown_is_kept_once(app):
    same = [consent(terms="Yes."), consent("discharge", terms="Yes.")]
    await app.enrol(consents=same)
    _, answer = await app.get("/v1/cars/bmw-9001/consents")
    assert [one["terms"] for one in answer["consents"]] == ["Yes.", "Yes."]
    assert len({one["terms_sha256"] for one in answer["consents"]}) == 1


async def test_a_consent_from_the_future_is_refused(app):
    await app.enrol()
    status, answer = await app.post("/v1/cars/bmw-9001/consents", consent(at=instant(hours=1)))
    assert (status, rules(answer)) == (400, {"$.at": "must not lie in the future"})


async def test_a_discharge_consent_that_is_revoked_leaves_charging_as_it_was(app):
    await app.enrol()
    after = await app.act("consents", consent("discharge", agreed=False, at=instant(minutes=-1)))
    assert {scope: one["agreed"] for scope, one in after["consents"].items()} == {"charging": True, "discharge": False}


async def test_a_discharge_consent_needs_a_programme_that_takes_discharge(app):
    status, answer = await app.post("/v1/cars", car(programs=["evening"]))
    assert (status, rules(answer)) == (400, {"$.consents": "none of these programmes takes discharge"})


async def test_preferences_are_kept_for_every_weekday(app):
    await app.enrol()
    week = dict.fromkeys(DAYS, DAY) | {"sat": {"ready_by": None, "target_soc_pct": 60.0, "reserve_soc_pct": 20.0}}
    assert (await app.act("preferences", week))["preferences"] == week
    status, answer = await app.post("/v1/cars/bmw-9001/preferences", week | {"sun": {**DAY, "reserve_soc_pct": 90}})
    assert (status, [*rules(answer)]) == (400, ["$.sun"])


async def test_a_move_makes_another_site_and_the_old_homes_papers_lapse(app, given):
    before = await app.enrol()
    place = {"latitude": 30.267153, "longitude": -97.743061, "address": None}
    after = await app.act("home", home(zone="austin", region="TX", timezone="America/Chicago", place=place))
    assert after["site_id"] != before["site_id"]
    assert after["permissions"] == {"interconnection": None, "export_limit": None, "inverter_listing": None}
    assert (after["zone"], after["consents"]) == ("austin", before["consents"])
    async with opened(given) as store:
        assert str(place["latitude"]) in (await store.personal("bmw-9001")).document
    status, _ = await app.post("/v1/cars/bmw-9001/home", home(region="NV"))
    assert status == 400


@pytest.mark.parametrize(("path", "ends"), [("sale", "SOLD"), ("withdrawal", "WITHDRAWN")])
async def test_the_end_erases_the_person_and_keeps_the_evidence_under_the_pseudonym(app, given, path, ends):
    await app.enrol()
    await app.act("boost", {"until": instant(hours=3)})
    gone = await app.act(path)
    assert (gone["status"], gone["preferences"], gone["consents"]) == (ends, None, {})
    async with opened(given) as store:
        assert await store.personal("bmw-9001") is None
    _, view = await app.get("/v1/cars/bmw-9001")
    assert view["choices"] == []
    _, history = await app.get("/v1/cars/bmw-9001/consents")
    assert [one["version"] for one in history["consents"]] == ["2026-01", "2026-01"]
    assert (await app.post("/v1/cars/bmw-9001/boost", {"until": instant(hours=3)}))[0] == 404
    again = await app.enrol()
    assert again["status"] == "ENROLLED"


async def test_what_was_erased_has_left_the_files(tmp_path):
    folder = tmp_path / "folder"
    given = settings(tmp_path, f"sqlite+aiosqlite:///{folder}/enrolments.sqlite")
    async with served(given) as app:
        await app.post("/v1/cars", car(), Idempotency_Key="k")
        assert any(VIN.encode() in path.read_bytes() for path in folder.iterdir())
        await app.act("withdrawal")
        for path in folder.iterdir():
            left = [secret for secret in PERSONAL if secret.encode() in path.read_bytes()]
            assert left == [], path.name


async def test_processes_that_open_a_new_store_at_the_same_moment_share_it(url):
    stores = [EnrolmentStore(url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    for store in stores:
        assert await store.page("", 1) == []
        await store.close()


async def test_the_store_is_its_owners_alone(tmp_path):
    given = settings(tmp_path)
    async with served(given):
        assert (tmp_path / "bmw" / "enrolments.sqlite").stat().st_mode & 0o077 == 0


async def test_choices_hold_until_they_are_over(app):
    await app.enrol()
    await app.act("opt-out", {})
    await app.act("opt-out", {"event_id": "e-1", "until": instant(hours=2)})
    await app.act("boost", {"until": instant(hours=1)})

    async def told():
        _, view = await app.get("/v1/cars/bmw-9001")
        return [(one["choice"], one["event_id"]) for one in view["choices"]]

    assert await told() == [("OPT_OUT", None), ("OPT_OUT", "e-1"), ("BOOST", None)]
    await app.act("opt-in")
    assert await told() == [("OPT_OUT", "e-1"), ("BOOST", None), ("OPT_IN", None)]
    assert (await app.post("/v1/cars/bmw-9001/opt-out", {"event_id": "e-2"}))[0] == 400
    assert (await app.post("/v1/cars/bmw-9001/boost", {"until": instant(hours=-1)}))[0] == 400


async def test_choices_are_bounded_in_time_and_number_and_those_that_are_over_are_let_go(app, monkeypatch):
    monkeypatch.setattr("ven_adapters.enrolment_api.operations.MOST_CHOICES", 2)
    await app.enrol()
    status, answer = await app.post("/v1/cars/bmw-9001/boost", {"until": instant(days=90)})
    assert (status, rules(answer)) == (400, {"$.until": "must lie within 62 days"})
    soon = {"event_id": "e-0", "until": (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()}
    await app.act("opt-out", soon)
    await app.act("opt-out", {"event_id": "e-1", "until": instant(hours=1)})
    third = {"event_id": "e-2", "until": instant(hours=1)}
    statuses = []
    async with asyncio.timeout(PATIENCE_S):
        while not statuses or statuses[-1] != 200:
            statuses.append((await app.post("/v1/cars/bmw-9001/opt-out", third))[0])
    assert set(statuses) <= {200, 409}
    assert (await app.post("/v1/cars/bmw-9001/opt-out", {**third, "event_id": "e-3"}))[0] == 409


async def test_the_same_key_and_request_is_one_enrolment_and_another_request_is_a_conflict(app):
    first = await app.post("/v1/cars", car(), Idempotency_Key="k-1")
    assert await app.post("/v1/cars", car(), Idempotency_Key="k-1") == first
    assert (await app.post("/v1/cars", car(model="iX1"), Idempotency_Key="k-1"))[0] == 409
    assert (await app.post("/v1/cars", car(), Idempotency_Key="k-2"))[0] == 409


async def test_many_at_once_with_one_key_are_one(app):
    answers = await asyncio.gather(*(app.post("/v1/cars", car(), Idempotency_Key="k-1") for _ in range(8)))
    assert [status for status, _ in answers] == [201] * 8
    assert len((await app.get("/v1/cars"))[1]["cars"]) == 1


async def test_a_late_retry_does_not_bring_back_who_left(app):
    await app.post("/v1/cars", car(), Idempotency_Key="k-1")
    await app.act("withdrawal")
    assert (await app.post("/v1/cars", car(), Idempotency_Key="k-1"))[0] == 410
    assert (await app.get("/v1/cars/bmw-9001"))[1]["agreement"]["status"] == "WITHDRAWN"


@pytest.mark.parametrize("key", ["", "another"])
async def test_without_the_apps_key_nothing_is_said(app, key):
    stranger = App(app._http, app.url, key)
    for method, path in (("GET", "/v1/cars"), ("POST", "/v1/cars"), ("GET", "/v1/nothing")):
        assert (await stranger.send(method, path))[0] == 401


async def test_keys_are_stored_as_digests_and_can_be_taken_away(app, given):
    async with opened(given) as store:
        assert await store.key_name("the-apps-bearer-key") == "app"
        async with store.write(given.shared_clock().now()) as write:
            await write.put_key("app", None)
    assert (await app.get("/v1/cars"))[0] == 401


async def test_input_is_bounded(app):
    assert (await app.send("POST", "/v1/cars", raw=b" " * 70_000))[0] == 413
    assert (await app.send("POST", "/v1/cars", raw=b"{"))[0] == 400
    assert (await app.get("/v1/cars?limit=9999"))[0] == 400
    assert (await app.post("/v1/cars/x/sale", Idempotency_Key="k" * 200))[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/v1/cars/%00", {}, None, 400),
        ("GET", "/v1/cars?after=%00", {}, None, 400),
        ("GET", "/v1/cars?after=%FF", {}, None, 200),
        ("GET", "/v1/cars/bmw-9001/why?at=0001-01-01T00:00:00%2B14:00", {}, None, 400),
        ("POST", "/v1/cars/bmw-9001/boost", {}, {"until": "0001-01-01T00:00:00+14:00"}, 400),
        ("POST", "/v1/cars/bmw-9001/consents", {}, consent(terms="a\0b"), 400),
        ("POST", "/v1/cars/bmw-9001/opt-out", {}, {"event_id": "\0", "until": instant(hours=1)}, 400),
        ("POST", "/v1/cars/%00/boost", {}, {"until": instant(hours=1)}, 400),
        ("POST", "/v1/webhooks", {"X-Timestamp": "9" * 5_000, "X-Signature": "v1=0"}, {}, 401),
    ],
    ids=["ref", "page", "page-bytes", "why", "instant", "terms", "event", "act", "stamp"],
)
async def test_what_nobody_sends_in_earnest_is_refused_like_anything_else(app, method, path, headers, body, status):
    await app.enrol()
    found, answer = await app.send(method, path, body, **headers)
    assert (found, answer.get("status", 200)) == (status, status)


@pytest.mark.parametrize(
    ("path", "header", "status"),
    [
        ("cars", b"Authorization: Bearer ", 401),
        ("cars/bmw-9001/opt-in", f"Authorization: Bearer {KEY}\r\nIdempotency-Key: ".encode(), 400),
        ("webhooks", b"X-Timestamp: %d\r\nX-Signature: " % time.time(), 401),
    ],
    ids=["key", "idempotency", "signature"],
)
async def test_a_header_that_is_no_text_is_refused_like_any_other(app, path, header, status):
    where = urlsplit(app.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    line = f"POST /v1/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
    writer.write(line.encode() + header + b"\xff\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    assert answer.split()[1] == str(status).encode()


async def test_cars_come_in_pages(app):
    for number in range(3):
        await app.enrol(f"bmw-{number}", vin=vin(number), programs=["morning"], consents=[consent()])
    _, first = await app.get("/v1/cars?limit=2")
    _, rest = await app.get(f"/v1/cars?limit=2&after={first['next']}")
    assert [one["vehicle_ref"] for one in (*first["cars"], *rest["cars"])] == ["bmw-0", "bmw-1", "bmw-2"]
    assert rest["next"] is None


def signed(body, secret=APP_SECRET, at_s=None):
    at_s = int(time.time()) if at_s is None else at_s
    return {"X_Timestamp": str(at_s), "X_Signature": signatures.sign(secret, at_s, body), "Authorization": ""}


def told(event_id, kind, **data):
    return json.dumps({"event_id": event_id, "type": kind, "vehicle_ref": "bmw-9001", "data": data}).encode()


async def test_a_signed_webhook_acts_once(app):
    await app.enrol()
    body = told("e-1", "opt_out")
    assert (await app.send("POST", "/v1/webhooks", raw=body, **signed(body)))[0] == 200
    await app.act("opt-in")
    assert (await app.send("POST", "/v1/webhooks", raw=body, **signed(body)))[0] == 200
    choices = (await app.get("/v1/cars/bmw-9001"))[1]["choices"]
    assert [one["choice"] for one in choices] == ["OPT_IN"]


async def tell(app, event_id, kind, *, ago_s=0, at=None, **data):
    """A decision signed so many seconds ago, and delivered now; `at`: when its body says that it was made."""
    raw = json.loads(told(event_id, kind, **data)) | ({} if at is None else {"at": at})
    body = json.dumps(raw).encode()
    return await app.send("POST", "/v1/webhooks", raw=body, **signed(body, at_s=int(time.time()) - ago_s))


async def chosen(app):
    return [one["choice"] for one in (await app.get("/v1/cars/bmw-9001"))[1]["choices"]]


class Shifted:
    """Our clock, which can be put forward."""

    def __init__(self, shift) -> None:
        self.shift = shift

    def now(self):
        return datetime.now(UTC) + self.shift

    def sleep_for(self, seconds):
        return asyncio.sleep(seconds)


@pytest.fixture
async def settled(given):
    """The API, in which a car was enrolled ten minutes ago."""
    clock = Shifted(-timedelta(minutes=10))
    async with served(given, clock) as made:
        await made.enrol()
        clock.shift = timedelta()
        made.clock = clock
        yield made


async def test_a_signed_decision_that_comes_late_does_not_undo_a_newer_one_and_is_noted(settled):
    assert (await tell(settled, "e-1", "opt_out"))[0] == 200
    assert (await tell(settled, "e-2", "opt_in", ago_s=120))[0] == 200
    assert await chosen(settled) == ["OPT_OUT"]
    _, journal = await settled.get("/v1/cars/bmw-9001/changes")
    assert [(one["type"], one["detail"]) for one in journal["changes"]][-2:] == [
        ("opt_out", ""),
        ("overtaken", "opt_in"),
    ]
    assert (await tell(settled, "e-3", "opt_in"))[0] == 200
    assert await chosen(settled) == ["OPT_IN"]


async def test_a_decision_signed_late_is_ordered_by_the_instant_in_its_body(settled):
    await settled.act("opt-out", {})
    assert (await tell(settled, "e-1", "opt_in", at=(datetime.now(UTC) - timedelta(minutes=5)).isoformat()))[0] == 200
    assert await chosen(settled) == ["OPT_OUT"]


async def test_no_instant_that_a_sender_names_keeps_out_what_is_decided_later(settled):
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (await tell(settled, "e-1", "opt_in", ago_s=-120, at=ahead))[0] == 200
    await settled.act("opt-out", {})
    assert await chosen(settled) == ["OPT_OUT"]
    assert (await tell(settled, "e-2", "opt_in"))[0] == 200
    assert await chosen(settled) == ["OPT_IN"]


async def test_an_opt_out_that_is_over_still_overtakes_what_was_decided_before_it(settled):
    before = datetime.now(UTC) - timedelta(minutes=1)
    await settled.act("opt-out", {"until": instant(hours=1)})
    settled.clock.shift = timedelta(hours=2)
    assert (await tell(settled, "e-1", "opt_out", at=before.isoformat()))[0] == 200
    assert await chosen(settled) == []


async def test_late_wishes_papers_and_boosts_leave_the_newer_ones_in_place(settled):
    until = {"until": instant(hours=3)}
    await settled.act("boost", until)
    assert (await tell(settled, "e-1", "boost", ago_s=120, until=instant(hours=1)))[0] == 200
    await settled.act("preferences", dict.fromkeys(DAYS, DAY | {"target_soc_pct": 90.0}))
    assert (await tell(settled, "e-2", "preferences", ago_s=120, **dict.fromkeys(DAYS, DAY)))[0] == 200
    await settled.act("programs", {"programs": ["give-back"]})
    assert (await tell(settled, "e-3", "programs", ago_s=120, programs=["evening"]))[0] == 200
    _, found = await settled.get("/v1/cars/bmw-9001")
    assert datetime.fromisoformat(found["choices"][0]["until"]) == datetime.fromisoformat(until["until"])
    assert found["agreement"]["preferences"]["mon"]["target_soc_pct"] == 90.0
    assert found["agreement"]["programs"] == ["give-back"]


async def at_home(app):
    agreement = (await app.get("/v1/cars/bmw-9001"))[1]["agreement"]
    return agreement["zone"], agreement["permissions"]["interconnection"] is not None


async def test_papers_of_before_a_move_do_not_count_at_the_new_home_however_late_they_are_told(settled):
    await settled.act("home", home(zone="valley"))
    assert (await tell(settled, "e-1", "permissions", ago_s=120, permissions=papers()))[0] == 200
    assert await at_home(settled) == ("valley", False)


async def test_a_move_that_is_told_late_leaves_the_papers_that_were_handed_in_after_it(settled):
    await settled.act("permissions", {"permissions": papers()})
    assert (await tell(settled, "e-1", "home", ago_s=120, **home(zone="valley")))[0] == 200
    assert await at_home(settled) == ("valley", True)


async def test_what_was_decided_before_an_enrolment_does_not_bind_the_next_driver(app):
    await app.enrol()
    await app.act("sale")
    await app.enrol()
    for number, kind in enumerate(("opt_out", "withdrawal", "sale")):
        assert (await tell(app, f"e-{number}", kind, ago_s=60))[0] == 200
    _, found = await app.get("/v1/cars/bmw-9001")
    assert (found["agreement"]["status"], [one["choice"] for one in found["choices"]]) == ("ENROLLED", ["OPT_IN"])
    assert (await tell(app, "e-9", "opt_out"))[0] == 200
    assert await chosen(app) == ["OPT_OUT"]


async def test_a_webhook_that_is_forged_or_old_is_refused_before_it_is_read(app):
    await app.enrol()
    body = told("e-1", "withdrawal")
    for headers in (signed(body, "another"), signed(body, at_s=int(time.time()) - 600), {"Authorization": ""}):
        assert (await app.send("POST", "/v1/webhooks", raw=body, **headers))[0] == 401
    assert (await app.get("/v1/cars/bmw-9001"))[1]["agreement"]["status"] == "ENROLLED"


async def test_a_webhooks_data_is_judged_like_a_request(app):
    await app.enrol()
    body = told("e-1", "boost", until="noon")
    status, answer = await app.send("POST", "/v1/webhooks", raw=body, **signed(body))
    assert (status, [*rules(answer)]) == (400, ["$.until"])


async def test_the_app_is_told_every_change_in_order_signed_and_again_until_it_takes_it(tmp_path, url):
    heard, refuse = [], [True]

    async def take(request):
        body, now_s = await request.read(), time.time()
        stamp, signature = request.headers["X-Timestamp"], request.headers["X-Signature"]
        assert signatures.verify(WEBHOOK_SECRET, stamp, signature, body, now_s=now_s) is None
        if refuse:
            refuse.pop()
            return web.Response(status=503)
        heard.append(json.loads(body))
        return web.Response()

    receiver = web.Application()
    receiver.router.add_post("/hook", take)
    runner = web.AppRunner(receiver, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    async with served(settings(tmp_path, url, webhook_url=hook, webhook_secret=WEBHOOK_SECRET)) as app:
        await app.enrol()
        await app.act("boost", {"until": instant(hours=1)})
        await app.act("withdrawal")
        async with asyncio.timeout(PATIENCE_S):
            while len(heard) < 3:  # noqa: ASYNC110 - another task's list
                await asyncio.sleep(0.02)
    await runner.cleanup()
    assert [one["type"] for one in heard] == ["enrolled", "boost", "withdrawn"]
    assert [one["number"] for one in heard] == sorted(one["number"] for one in heard)
    assert not [secret for secret in PERSONAL if secret in json.dumps(heard)]


async def test_a_webhook_that_is_played_again_with_another_stamp_or_body_acts_once(app):
    await app.enrol()
    body = told("e-7", "boost", until=instant(hours=1))
    assert (await app.send("POST", "/v1/webhooks", raw=body, **signed(body)))[0] == 200
    assert (await app.send("POST", "/v1/webhooks", raw=body, **signed(body, at_s=int(time.time()) + 60)))[0] == 200
    other = told("e-7", "withdrawal")
    assert (await app.send("POST", "/v1/webhooks", raw=other, **signed(other)))[0] == 409
    said = (await app.get("/v1/cars/bmw-9001/changes"))[1]["changes"]
    assert [one["type"] for one in said] == ["enrolled", "boost"]


async def test_what_happened_to_a_car_comes_in_pages_and_for_enrolled_cars_only(app):
    await app.enrol()
    await app.act("opt-out", {"event_id": "e-1", "until": instant(hours=1)})
    status, first = await app.get("/v1/cars/bmw-9001/changes?limit=1")
    assert (status, [one["type"] for one in first["changes"]]) == (200, ["enrolled"])
    rest = (await app.get(f"/v1/cars/bmw-9001/changes?after={first['next']}"))[1]
    assert [(one["type"], one["detail"]) for one in rest["changes"]] == [("opt_out", "e-1")]
    assert rest["next"] is None
    assert (await app.get("/v1/cars/nobody/changes"))[0] == 404
    assert (await app.get("/v1/cars/bmw-9001/changes?after=-1"))[0] == 400


async def test_the_next_driver_of_a_car_reads_nothing_of_the_one_before(app):
    await app.enrol()
    await app.act("opt-out", {})
    await app.act("sale")
    await app.enrol()
    said = (await app.get("/v1/cars/bmw-9001/changes"))[1]["changes"]
    assert [one["type"] for one in said] == ["enrolled", "opt_in"]


async def test_a_driver_is_told_why_his_car_did_what_it_did_and_not_anothers_story(tmp_path, url):
    asked = []

    async def explain(ref, at):
        asked.append((ref, at))
        return None if len(asked) > 1 else "No event asked anything."

    async with served(settings(tmp_path, url), explain=explain) as app:
        await app.enrol()
        now = datetime.now(UTC)
        status, answer = await app.get(f"/v1/cars/bmw-9001/why?at={now.isoformat().replace('+', '%2B')}")
        assert (status, answer["why"]) == (200, "No event asked anything.")
        assert asked == [("bmw-9001", now)]
        assert (await app.get("/v1/cars/bmw-9001/why"))[0] == 404
        for at in (instant(days=-1), instant(days=1), "noon", "2026-07-01T12:00:00"):
            assert (await app.get(f"/v1/cars/bmw-9001/why?at={at.replace('+', '%2B')}"))[0] == 400
        assert (await app.get("/v1/cars/nobody/why"))[0] == 404
    assert len(asked) == 2


async def test_an_app_that_asks_too_often_is_told_when_to_come_back(tmp_path, url):
    async with served(settings(tmp_path, url, requests_per_s=0.1)) as app:
        assert (await app.get("/v1/cars"))[0] == 200
        async with app._http.get(f"{app.url}/v1/cars", headers=app.headers) as answer:
            assert (answer.status, int(answer.headers["Retry-After"]) in range(1, 11)) == (429, True)


async def test_no_log_says_whose_car_it_is(app, caplog):
    caplog.set_level("DEBUG")
    await app.enrol()
    await app.post("/v1/cars", car())
    await app.post("/v1/cars", car("bmw-9002", model=7))
    await app.act("withdrawal")
    assert not [secret for secret in PERSONAL if secret in caplog.text]


async def test_the_openapi_document_is_public_and_its_schemas_judge_what_the_api_takes_and_says(app):
    status, document = await App(app._http, app.url, "").get("/openapi.json")
    assert status == 200
    assert document["openapi"] == "3.1.0"
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)

    def judge(name, value):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        return [error.message for error in OAS31Validator(schema).iter_errors(value)]

    made = await app.enrol()
    assert judge("Enrol", car()) == []
    assert judge("Agreement", made) == []
    assert judge("Enrol", {**car(), "vin": "short"})


async def test_a_store_that_was_never_opened_by_the_engine_is_followed_by_number(given):
    async with served(given) as app:
        await app.enrol()
        store = EnrolmentStore(given.enrolment_store())
        now = given.shared_clock().now()
        first = await store.since(0, now, lambda one: one.vehicle_ref)
        assert (first.agreements, first.chosen) == (("bmw-9001",), ())
        await app.act("permissions", {"permissions": papers()})
        await app.act("boost", {"until": instant(hours=1)})
        second = await store.since(first.seq, now, lambda one: one.vehicle_ref)
        assert second.agreements == ("bmw-9001",)
        assert [one.choice.choice for one in second.chosen] == ["BOOST"]
        assert (await store.since(second.seq, now, lambda one: one)).agreements == ()
        await store.close()
