"""Caps, skip tokens and notices of events over HTTP, on both makes of database, with a real receiver of webhooks."""

import asyncio
import json
from datetime import timedelta

import pytest
from enrolling_parts import NOW, PERSONAL, PROGRAMS, WEBHOOK_SECRET, instant, receiver, served, settings
from enrolment_cases import CAR

from ven_adapters.enrolment_api.operations import EnrolmentOperations
from ven_adapters.enrolment_api.serve import opened
from ven_adapters.enrolment_api.webhooks.notice_store import (
    forget_notices,
    note_told,
    open_notices,
    put_notices,
    untold_notices,
)
from ven_adapters.enrolment_api.webhooks.notices import EventNotice, NoticeType, notice_id
from ven_adapters.ven.enrolment.bulk_import import import_file

PATIENCE_S = 30.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """A fresh store of each make."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url").replace("postgresql://", "postgresql+asyncpg://")
    return f"sqlite+aiosqlite:///{tmp_path}/enrolments.sqlite"


@pytest.fixture
async def app(tmp_path, url):
    async with served(settings(tmp_path, url)) as made:
        yield made


def skip(event_id, hours=1):
    return {"event_id": event_id, "until": instant(hours=hours)}


async def test_tokens_skip_events_until_none_is_left_and_an_opt_out_stays_free(app):
    await app.enrol()
    for number in range(3):
        await app.act("skip", skip(f"e-{number}"))
    await app.act("skip", skip("e-0"))  # the same event costs nothing more
    status, answer = await app.post("/v1/cars/bmw-9001/skip", skip("e-3"))
    assert status == 409
    assert answer["detail"].startswith("skip: none of the 3 skip tokens of ")
    assert [fault["path"] for fault in answer["errors"]] == ["$.event_id"]
    await app.act("opt-out", skip("e-3"))
    car = (await app.get("/v1/cars/bmw-9001"))[1]
    assert car["skips_left"] == 0
    assert [one["event_id"] for one in car["choices"]] == ["e-0", "e-1", "e-2", "e-3"]
    told = (await app.get("/v1/cars/bmw-9001/changes"))[1]["changes"]
    assert [one["type"] for one in told].count("skip") == 3


async def test_tokens_are_a_settings_number_known_after_a_restart_and_the_next_drivers_are_whole(tmp_path, url):
    given = settings(tmp_path, url).model_copy(
        update={"patience": settings(tmp_path).patience.model_copy(update={"skip_tokens": 1})}
    )
    async with served(given) as app:
        await app.enrol()
        assert (await app.get("/v1/cars/bmw-9001"))[1]["skips_left"] == 1
        await app.act("skip", skip("e-1"))
    async with served(given) as app:
        assert (await app.post("/v1/cars/bmw-9001/skip", skip("e-2")))[0] == 409
        await app.act("sale")
        await app.enrol()
        assert (await app.get("/v1/cars/bmw-9001"))[1]["skips_left"] == 1


@pytest.mark.parametrize("body", [{}, {"event_id": "e"}, skip("e", hours=-1), skip("e", hours=24 * 70), skip("")])
async def test_a_skip_names_an_event_and_when_it_is_over(app, body):
    await app.enrol()
    assert (await app.post("/v1/cars/bmw-9001/skip", body))[0] == 400


async def test_caps_come_with_the_enrolment_or_later_and_by_file(app, tmp_path, url):
    answer = await app.enrol(patience={"events_per_day": 1})
    assert answer["patience"]["events_per_day"] == 1
    answer = await app.act("patience", {"hours_per_week": 4.5, "consecutive_days": 2})
    assert answer["patience"] == {
        "events_per_day": None,
        "hours_per_week": 4.5,
        "hours_per_season": None,
        "consecutive_days": 2,
    }
    status, refused = await app.post("/v1/cars/bmw-9001/patience", {"hours_per_week": 169, "events_per_day": -1})
    assert (status, {one["path"] for one in refused["errors"]}) == (400, {"$.hours_per_week", "$.events_per_day"})
    (tmp_path / "cars.jsonl").write_text(json.dumps({**CAR, "patience": {"hours_per_season": 40}}))
    async with opened(settings(tmp_path, url)) as store:
        await import_file(store, EnrolmentOperations({}), tmp_path / "cars.jsonl", [], NOW)
        assert (await store.agreement("bmw-0001")).patience.hours_per_season == 40


def notice(ref="bmw-9001", event="e-1", *, kind=NoticeType.EVENT_AHEAD, **ends):
    start, end = NOW - timedelta(hours=1), NOW + timedelta(**(ends or {"hours": 1}))
    return EventNotice(
        type=kind,
        notice_id=notice_id(kind, ref, event),
        vehicle_ref=ref,
        event_id=event,
        kind="SIMPLE",
        start=start,
        end=end,
        text="...",
    )


async def heard_of(heard, count):
    async with asyncio.timeout(PATIENCE_S):
        while len([one for one in heard if "notice_id" in one]) < count:  # noqa: ASYNC110 - another task's list
            await asyncio.sleep(0.02)
    return [one for one in heard if "notice_id" in one]


async def test_notices_are_sent_signed_each_until_it_is_taken_and_then_no_more(tmp_path, url, caplog):
    async with receiver({"stubborn": 2}) as (hook, heard):
        given = settings(tmp_path, url, webhook_url=hook, webhook_secret=WEBHOOK_SECRET)
        async with served(given) as app, opened(given) as store:
            await app.enrol()
            notices = [notice(event="stubborn"), notice(event="e-1"), notice(event="e-2")]
            for _ in range(2):
                async with store.write(NOW) as write:
                    await put_notices(write, notices)
            told = await heard_of(heard, 3)
            assert [one["event_id"] for one in told][-1] == "stubborn"
            assert {one["notice_id"] for one in told} == {one.notice_id for one in notices}
            async with store.write(NOW) as write:
                await put_notices(write, [*notices, notice(event="e-3")])
            assert [one["event_id"] for one in await heard_of(heard, 4)][-1] == "e-3"
            assert len(heard) == 5  # with the enrolment itself
    assert "did not take 1 of" in caplog.text
    assert not [secret for secret in (*PERSONAL, "bmw-9001") if secret in caplog.text]


async def test_what_comes_too_late_to_warn_is_let_go_and_after_two_days_everything(tmp_path, url):
    async with opened(settings(tmp_path, url)) as store:
        late, near = notice(event="late", minutes=-1), notice(event="near")
        over = notice(event="late", kind=NoticeType.EVENT_OVER, minutes=-1)
        async with store.write(NOW) as write:
            await put_notices(write, [late, near, over])
        assert await forget_notices(store, NOW) == 1
        assert {one.notice_id for one in await untold_notices(store, 9)} == {near.notice_id, over.notice_id}
        await note_told(store, [near.notice_id])
        assert await forget_notices(store, NOW + timedelta(days=1)) == 0
        assert await forget_notices(store, NOW + timedelta(days=3)) == 1
        assert await untold_notices(store, 9) == []


async def test_a_restarted_engine_knows_which_events_drivers_were_not_told_the_end_of(tmp_path, url):
    async with opened(settings(tmp_path, url)) as store:
        async with store.write(NOW) as write:
            await put_notices(write, [notice(event="open"), notice(event="ended"), notice("other", "ended")])
            await put_notices(write, [notice(event="ended", kind=NoticeType.EVENT_OVER)])
        assert [(one.vehicle_ref, one.event_id) for one in await open_notices(store)] == [
            ("bmw-9001", "open"),
            ("other", "ended"),
        ]


async def test_a_driver_who_leaves_is_told_nothing_more(app, tmp_path, url):
    await app.enrol()
    async with opened(settings(tmp_path, url)) as store:
        async with store.write(NOW) as write:
            await put_notices(write, [notice(), notice("other")])
        await app.act("withdrawal")
        assert [one.vehicle_ref for one in await untold_notices(store, 9)] == ["other"]


def test_programmes_have_caps_of_their_own(tmp_path):
    given = settings(tmp_path, programs={**PROGRAMS, "evening": {"kind": "V1G", "patience": {"events_per_day": 1}}})
    assert given.enrolling.programs["evening"].patience.events_per_day == 1
