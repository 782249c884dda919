"""Bad input: the status of the requirements, a problem that names the field, and nothing stored (ERR-01..15)."""

import asyncio
import contextlib
import json
import re
import sqlite3

import aiohttp
import pytest
from vtn_process import Party, fresh

COLLECTIONS = ("programs", "events", "reports", "subscriptions", "vens", "resources")
NOT_JSON = {
    "cut short": b"{",
    "empty": b"",
    "not an object": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "two values": b"{}{}",
    "not UTF-8": b'{"programName":"\xff"}',
    "NaN": b'{"programName":NaN}',
    "Infinity": b'{"programName":"x","attributes":[{"type":"x","values":[1e999]}]}',
    "single quotes": b"{'programName':'x'}",
    "a trailing comma": b'{"programName":"x",}',
    "nested too deeply": b'{"programName":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "unpaired surrogate": b'{"programName":"\\ud800"}',
}


@pytest.fixture
def writers(bl, c1):
    return {name: c1 if name == "reports" else bl for name in COLLECTIONS}


@pytest.mark.parametrize("what", NOT_JSON)
async def test_what_is_no_json_object_is_refused_gen_21(writers, what):
    for collection, writer in writers.items():
        answer = (await writer.send("POST", f"/{collection}", raw=NOT_JSON[what])).shows(400)
        assert answer.paths()
        (await writer.send("PUT", f"/{collection}/no-such-id", raw=NOT_JSON[what])).shows(400)


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "text/json"]
)
async def test_another_media_type_is_refused_gen_02(writers, media_type):
    for collection, writer in writers.items():
        answer = await writer.send(
            "POST", f"/{collection}", raw=b'{"programName":"x"}', headers={"Content-Type": media_type}
        )
        assert answer.shows(400).paths() == ["header.Content-Type"]


async def test_json_with_a_charset_is_json(bl):
    body = json.dumps({"programName": fresh("p")}).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    (await bl.send("POST", "/programs", raw=body, headers=headers)).shows(201)


async def test_an_oversized_body_is_refused_before_it_is_read(bl, program):
    body = {"programName": program["programName"], "filler": "x" * 1_100_000}
    for answer in (await bl.post("/programs", body), await bl.put(f"/programs/{program['id']}", body)):
        assert "1048576" in answer.shows(413).json["detail"]
    assert (await bl.get(f"/programs/{program['id']}")).json == program


async def test_an_oversized_body_of_unknown_length_is_refused_too(vtn, bl, http):
    async def endless():
        for _ in range(20):
            yield b"x" * 100_000

    headers = {"Authorization": f"Bearer {bl.token}", "Content-Type": "application/json"}
    async with http.post(f"{vtn.url}/programs", data=endless(), headers=headers) as answer:
        assert answer.status == 413


async def test_the_bound_on_bodies_is_a_setting(launch, http):
    with launch({"server.max_body_bytes": "2000"}) as server:
        bl = Party(http, server.url, server.token("bl"))
        (await bl.post("/programs", {"programName": "small"})).shows(201)
        (await bl.post("/programs", {"programName": "large", "x": "x" * 2000})).shows(413)
        assert [one["programName"] for one in (await bl.get("/programs")).json] == ["small"]
        form = b"grant_type=client_credentials&client_id=" + b"x" * 3000
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await bl.send("POST", "/auth/token", raw=form, headers=headers)).status in {400, 413}


async def test_errors_are_problem_documents_in_json_err_01_to_04(bl, nobody):
    for answer, status in (
        (await nobody.get("/programs"), 401),
        (await bl.get("/programs/no-such-id"), 404),
        (await bl.get("/programs", ("limit", "51")), 400),
        (await bl.post("/reports", {}), 403),
        (await bl.post("/events", {"programID": "nope"}), 409),
        (await bl.get("/no/such/thing"), 404),
        (await bl.send("PATCH", "/programs"), 405),
        (await bl.at(bl.url.rpartition("/openadr3")[0]).get("/"), 404),
        (await bl.at(bl.url.rpartition("/")[0]).get("/9.9.9/programs"), 404),
    ):
        problem = answer.shows(status).json
        assert answer.headers["Content-Type"].startswith("application/json")
        assert problem["type"] == "about:blank"
        assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", problem["instance"])
        assert problem["detail"]


async def test_refusals_come_in_the_promised_order_err_14(bl, c1, nobody):
    bad = b"{"
    (await nobody.send("PUT", "/programs/no-such-id", raw=bad)).shows(401)
    (await c1.send("PUT", "/programs/no-such-id", raw=bad)).shows(403)
    (await bl.send("PUT", "/programs/no-such-id", raw=bad)).shows(400)
    (await bl.put("/programs/no-such-id", {"programName": "x"})).shows(404)


async def test_a_refused_write_notifies_nobody_err_15(bl, c1, program, receiver):
    entry = {"objects": ["EVENT"], "operations": ["CREATE", "UPDATE", "DELETE"], "callbackUrl": receiver.url}
    body = {"clientName": "x", "programID": program["id"], "objectOperations": [entry]}
    await bl.made("/subscriptions", body)
    (await bl.post("/events", {"programID": program["id"], "priority": -1})).shows(400)
    (await bl.post("/events", {"programID": "nope"})).shows(409)
    (await c1.post("/events", {"programID": program["id"]})).shows(403)
    made = await bl.made("/events", {"programID": program["id"]})
    async with asyncio.timeout(60):
        assert (await receiver.seen.get())["object"]["id"] == made["id"]
    assert receiver.seen.empty()


async def test_hostile_paths_and_headers_do_not_break_the_server(vtn, bl):
    for path in ("/programs/..%2f..%2fetc", "/programs/%00", "/programs/a%0d%0ab", "//programs", "/programs/"):
        assert 400 <= (await bl.send("GET", path)).status < 500
    reader, writer = await asyncio.open_connection(*vtn.root.removeprefix("http://").split(":"))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nBroken\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    (await bl.get("/programs")).shows(200)


async def test_names_in_many_scripts_survive(bl):
    name = fresh("Ladesäule 充电 🚗 'quoted' \"double\" \\ \u2028")[:128]
    made = await bl.made("/programs", {"programName": name})
    assert (await bl.get(f"/programs/{made['id']}")).json["programName"] == name


async def test_no_token_and_no_secret_reaches_the_log(vtn, bl, c1):
    (await bl.get("/programs")).shows(200)
    (await c1.send("POST", "/programs", raw=b"{")).shows(403)
    for secret in (*vtn.secrets.values(), bl.token, c1.token):
        assert secret not in vtn.log


async def test_slow_clients_do_not_hold_up_others(vtn, bl):
    host, port = vtn.root.removeprefix("http://").split(":")
    hangers = [await asyncio.open_connection(host, port) for _ in range(50)]
    for _, writer in hangers:
        writer.write(b"POST /openadr3/3.1.0/programs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    async with asyncio.timeout(60):
        (await bl.get("/programs")).shows(200)
    for _, writer in hangers:
        writer.close()
        await writer.wait_closed()


async def test_a_failure_of_the_server_is_a_500_that_says_nothing_but_its_own_id_err_12(launch, http):
    """A stored report is spoiled behind the server's back; the log has the whole story under the same id."""
    with launch() as server:
        bl, c1 = (Party(http, server.url, server.token(name)) for name in ("bl", "c1"))
        program = await bl.made("/programs", {"programName": fresh("p")})
        event = await bl.made("/events", {"programID": program["id"]})
        body = {"eventID": event["id"], "clientName": "x", "resources": []}
        report = await c1.made("/reports", body)
        with contextlib.closing(sqlite3.connect(server.var / "vtn.db")) as database:
            database.execute("UPDATE reports SET body = 'spoiled'")
            database.commit()
        problem = (await c1.put(f"/reports/{report['id']}", body)).shows(500).json
        assert problem["detail"] == "the server failed"
        assert problem["instance"] in server.log
        assert "Traceback" in server.log
        (await bl.get("/programs")).shows(200)


async def test_gzip_is_optional_and_the_answer_is_the_same_gen_31(vtn, bl):
    plain = await bl.send("GET", "/programs", headers={"Accept-Encoding": "identity"})
    async with aiohttp.ClientSession() as session:
        asked = {"Authorization": f"Bearer {bl.token}", "Accept-Encoding": "gzip"}
        async with session.get(f"{vtn.url}/programs", headers=asked) as answer:
            assert await answer.json() == plain.json


@pytest.mark.parametrize("extension", [[1], "text", 7])
async def test_no_extension_of_one_client_stops_the_server_for_all(c3, bl, extension):
    ven = (
        (
            await c3.post(
                "/vens", {"objectType": "VEN_VEN_REQUEST", "venName": fresh("ven"), "reportDescriptors": extension}
            )
        )
        .shows(201)
        .json
    )
    assert ven["reportDescriptors"] == extension
    (await bl.get("/programs?limit=1")).shows(200)
    (await c3.delete(f"/vens/{ven['id']}")).shows(200)


async def test_a_duration_of_thousands_of_digits_hides_no_active_event_from_anybody(bl, c1):
    program = (await bl.post("/programs", {"programName": fresh("p")})).shows(201).json["id"]
    endless = {"start": "2030-01-01T00:00:00Z", "duration": f"P{'9' * 5000}D"}
    event = (await bl.post("/events", {"programID": program, "intervalPeriod": endless})).shows(201).json["id"]
    found = (await c1.get("/events", ("programID", program), ("active", "true"))).shows(200)
    assert found.ids == [event]


async def test_a_form_in_an_unknown_character_set_is_refused(vtn, http):
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=nope"}
    async with http.post(f"{vtn.url}/auth/token", data=b"grant_type=client_credentials", headers=headers) as answer:
        assert answer.status == 400
