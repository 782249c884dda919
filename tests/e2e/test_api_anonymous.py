"""A VTN with public data may be read without a token: untargeted programs and events, and nothing else (AUTH-26)."""

import pytest
from vtn_process import V311, Party, fresh


@pytest.fixture(scope="module")
def vtn(launch):
    with launch({"auth.anonymous_read": "true"}) as server:
        yield server


@pytest.fixture
async def tariff(bl):
    """A public program with a public and a targeted event; and a targeted program with an event that is not."""
    public = await bl.made("/programs", {"programName": fresh("public")})
    hidden = await bl.made("/programs", {"programName": fresh("hidden"), "targets": ["group-1"]})
    interval = {"intervals": [{"id": 0, "payloads": [{"type": "PRICE", "values": [0.170]}]}]}
    return {
        "public": public,
        "hidden": hidden,
        "price": await bl.made("/events", {"programID": public["id"], **interval}),
        "offer": await bl.made("/events", {"programID": public["id"], "targets": ["group-1"], **interval}),
        "inner": await bl.made("/events", {"programID": hidden["id"], **interval}),
    }


async def test_nobody_reads_what_has_no_targets(vtn, nobody, tariff):
    for there in (nobody, nobody.at(vtn.root + V311)):
        assert (await there.get(f"/programs/{tariff['public']['id']}")).shows(200).json == tariff["public"]
        assert (await there.get(f"/events/{tariff['price']['id']}")).shows(200).json == tariff["price"]


async def test_nobody_sees_what_has_targets(nobody, tariff):
    for path in (
        f"/programs/{tariff['hidden']['id']}",
        *(f"/events/{tariff[one]['id']}" for one in ("offer", "inner")),
    ):
        (await nobody.get(path)).shows(404)


async def test_lists_hold_the_untargeted_only(nobody, tariff):
    programs, events = [(await nobody.get(path)).shows(200).ids for path in ("/programs", "/events")]
    assert tariff["public"]["id"] in programs
    assert tariff["hidden"]["id"] not in programs
    assert tariff["price"]["id"] in events
    assert not {tariff["offer"]["id"], tariff["inner"]["id"]} & set(events)


async def test_asking_for_targets_gives_nobody_nothing(nobody, tariff):
    for path in ("/programs", "/events"):
        assert (await nobody.get(path, ("targets", "group-1"))).shows(200).json == []


async def test_polling_without_change_costs_a_304(nobody, tariff):
    etag = (await nobody.get("/events")).headers["ETag"]
    assert (await nobody.send("GET", "/events", headers={"If-None-Match": etag})).status == 304


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", path) for path in ("/programs", "/events", "/reports", "/vens", "/resources", "/subscriptions")),
        *((method, path) for method in ("PUT", "DELETE") for path in ("/programs/x", "/events/x", "/reports/x")),
        *(("GET", path) for path in ("/reports", "/vens", "/resources", "/subscriptions", "/vens/x", "/reports/x")),
        *(("GET", f"/notifiers{path}") for path in ("", "/mqtt/topics/programs", "/mqtt/topics/events")),
    ],
)
async def test_everything_else_still_needs_a_token(nobody, method, path):
    (await nobody.send(method, path, raw=b"{}" if method in {"POST", "PUT"} else None)).shows(401)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer garbage", "Basic Ym9iOmJvYg=="])
async def test_a_bad_token_is_worse_than_none(nobody, header):
    for path in ("/programs", "/events", "/programs/x"):
        (await nobody.send("GET", path, headers={"Authorization": header})).shows(401)


async def test_a_narrowed_token_is_not_widened_by_what_is_public(vtn, nobody):
    (await nobody.bearing(vtn.token("c1", scope="write_reports")).get("/programs")).shows(403)


async def test_without_the_setting_nobody_reads_anything(launch, http):
    with launch() as server:
        for path in ("/programs", "/events", "/programs/x"):
            (await Party(http, server.url, None).get(path)).shows(401)
