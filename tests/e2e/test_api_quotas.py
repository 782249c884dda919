"""Bounds on what a client keeps, as clients meet them: a problem that names the bound, and room after a deletion."""

import asyncio
import json

import pytest
from vtn_process import Party, fresh

FEW = {
    "bounds.client.reports": "3",
    "bounds.client.subscriptions": "2",
    "bounds.client.entries_in_one": "2",
    "bounds.client.targets_in_one": "3",
    "bounds.client.resources": "2",
}


@pytest.fixture(scope="module")
def vtn(launch):
    with launch(FEW) as server:
        yield server


async def an_event(bl):
    program = await bl.made("/programs", {"programName": fresh()})
    interval = {"id": 0, "payloads": [{"type": "PRICE", "values": [1]}]}
    return await bl.made("/events", {"programID": program["id"], "intervals": [interval]})


def report_on(event):
    return {"eventID": event["id"], "clientName": "c1", "resources": []}


async def test_a_report_too_many_is_a_problem_that_names_the_bound_and_what_can_be_done(vtn, bl, c1, c2):
    event = await an_event(bl)
    first, *_ = [await c1.made("/reports", report_on(event)) for _ in range(3)]
    tries = await asyncio.gather(*(c1.post("/reports", report_on(event)) for _ in range(10)))
    for answer in tries:
        detail = answer.shows(403).json["detail"]
        assert "keeps 3 reports, and may keep 3 (bounds.client.reports)" in detail
        assert "delete reports that are no longer needed" in detail
    assert len((await c1.get("/reports")).shows(200).json) == 3
    await c2.made("/reports", report_on(event))
    (await c1.delete(f"/reports/{first['id']}")).shows(200)
    await c1.made("/reports", report_on(event))
    (await c1.post("/reports", report_on(event))).shows(403)
    done = vtn.cli("archive", "--client", "c1")
    (archived,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert archived["report"] == first
    assert archived["archived"] > first["createdDateTime"]
    assert vtn.cli("archive", "--client", "c2").stdout == ""
    assert vtn.cli("archive", "--event", event["id"]).stdout == done.stdout
    assert vtn.cli("archive", "--event", "another").stdout == ""


async def test_entries_and_targets_of_one_subscription_are_bounded_and_told_together(bl):
    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": "https://example.com/x"}
    body = {"clientName": "bl", "objectOperations": [entry] * 3, "targets": ["a", "b", "c", "d"]}
    answer = (await bl.post("/subscriptions", body)).shows(400)
    assert answer.paths() == ["$.objectOperations", "$.targets"]
    assert "has 3 items; one subscription may have 2" in answer.content.decode()


async def test_the_bound_holds_on_every_face_of_the_api(vtn, http, c1, template):
    old = Party(http, vtn.url.replace("3.1.0", "3.0.1"), c1.token)
    ven = {"venName": fresh("ven"), "resources": [{"resourceName": fresh("r")} for _ in range(3)]}
    answer = (await old.post("/vens", ven)).shows(403)
    assert "bounds.client.resources" in answer.json["detail"]
    assert (await c1.get("/vens")).json == [], "nothing of what was refused is there"
    await old.made("/vens", {**ven, "resources": ven["resources"][:2]})
