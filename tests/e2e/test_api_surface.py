"""What every answer has beside its body: the request's id, its coding, its tag; and what is answered at the root."""

import asyncio
import contextlib
import gzip
import json
import re
import sqlite3
import uuid

import aiohttp
import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from vtn_process import V311, Party, fresh

PATHS = ("/programs", "/auth/server", "/notifiers", "/programs/none", "/no/such/thing")


@pytest.fixture
async def raw():
    """A session that leaves codings alone."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
async def long_list(bl):
    """A list of more than the least that is compressed."""
    program = await bl.made("/programs", {"programName": fresh("p")})
    for number in range(8):
        await bl.made("/events", {"programID": program["id"], "eventName": f"{number} " + "x" * 400})
    return f"/events?programID={program['id']}"


def root(party, vtn):
    return party.at(vtn.root)


async def test_every_answer_has_an_id_of_its_own(vtn, bl, nobody):
    answers = [await party.get(path) for party in (bl, nobody) for path in PATHS]
    answers += [await root(nobody, vtn).get(path) for path in ("/health", "/metrics", "/openapi.json", "/docs", "/")]
    answers.append(await bl.post("/programs", {"programName": fresh("p")}))
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert all(str(uuid.UUID(one)) == one for one in ids)
    assert len(set(ids)) == len(answers)


async def test_a_token_answer_has_one_too(vtn, nobody):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = f"grant_type=client_credentials&client_id=c1&client_secret={vtn.secrets['c1']}".encode()
    answer = (await nobody.send("POST", "/auth/token", raw=form, headers=headers)).shows(200)
    assert uuid.UUID(answer.headers["X-Request-Id"])


async def test_a_problem_names_the_same_id_err_04(bl, nobody):
    for answer in (await bl.get("/programs/none"), await nobody.get("/programs"), await bl.post("/programs", {})):
        assert answer.json["instance"] == f"urn:uuid:{answer.headers['X-Request-Id']}"


async def test_the_callers_own_id_never_becomes_ours(bl):
    answer = await bl.send("GET", "/programs", headers={"X-Request-Id": "mine"})
    assert answer.headers["X-Request-Id"] != "mine"


async def test_what_is_no_http_is_answered_with_a_problem_and_an_id(vtn, bl):
    for rubbish in (
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(*vtn.root.removeprefix("http://").split(":"))
        writer.write(rubbish)
        async with asyncio.timeout(60):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        said = re.search(rb"X-Request-Id: (\S+)", head)
        assert json.loads(body)["instance"] == f"urn:uuid:{said[1].decode()}"
    (await bl.get("/programs")).shows(200)


async def test_a_line_in_the_log_names_its_request_and_the_callers_own_id(launch, http):
    with launch() as server:
        bl, c1 = (Party(http, server.url, server.token(name)) for name in ("bl", "c1"))
        program = await bl.made("/programs", {"programName": fresh("p")})
        event = await bl.made("/events", {"programID": program["id"]})
        body = {"eventID": event["id"], "clientName": "x", "resources": []}
        report = await c1.made("/reports", body)
        with contextlib.closing(sqlite3.connect(server.var / "vtn.db")) as database:
            database.execute("UPDATE reports SET body = 'spoiled'")
            database.commit()
        headers = {"X-Request-Id": "their.id-1"}
        answer = (await c1.send("PUT", f"/reports/{report['id']}", body=body, headers=headers)).shows(500)
        assert f"[{answer.headers['X-Request-Id']} their.id-1] failed on PUT" in server.log


@pytest.mark.parametrize("expectation", ["100-continue", "the-impossible"])
async def test_an_expectation_is_met_or_passed_over(bl, expectation):
    body = {"programName": fresh("p")}
    headers = {"Expect": expectation, "Content-Type": "application/json"}
    (await bl.send("POST", "/programs", raw=json.dumps(body).encode(), headers=headers)).shows(201)


async def test_the_fast_way_and_the_plain_way_out_say_the_same(vtn, bl, http):
    headers = {"Authorization": f"Bearer {bl.token}", "Connection": "close"}
    async with http.get(f"{vtn.url}/programs?limit=1", headers=headers) as closing:
        open_answer = await bl.get("/programs", ("limit", "1"))
        assert set(closing.headers) - {"Connection"} == set(open_answer.headers)
        assert await closing.read() == open_answer.content


# --- codings --------------------------------------------------------------------------------------------------------


async def ask(raw, vtn, bl, path, **headers):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    authorised = {"Authorization": f"Bearer {bl.token}", "Accept-Encoding": "", **given}
    async with raw.get(vtn.url + path, headers=authorised) as answer:
        return answer.status, answer.headers.copy(), await answer.read()


async def test_a_long_list_is_compressed_for_who_asks_gen_31(raw, vtn, bl, long_list):
    _, plain_said, plain = await ask(raw, vtn, bl, long_list)
    _, said, packed = await ask(raw, vtn, bl, long_list, Accept_Encoding="gzip")
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 4
    assert said["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain_said
    assert said["Vary"] == plain_said["Vary"] == "Accept-Encoding"
    assert said["ETag"] != plain_said["ETag"]


@pytest.mark.parametrize("refusal", ["identity", "gzip;q=0", "br", "gzip;q=0, *"])
async def test_who_does_not_take_gzip_is_not_given_it(raw, vtn, bl, long_list, refusal):
    _, said, body = await ask(raw, vtn, bl, long_list, Accept_Encoding=refusal)
    assert "Content-Encoding" not in said
    assert json.loads(body)


@pytest.mark.parametrize("had", ["", "gzip"])
@pytest.mark.parametrize("asked", ["", "gzip"])
async def test_either_form_is_unchanged_as_long_as_the_list_is(raw, vtn, bl, long_list, had, asked):
    _, said, _ = await ask(raw, vtn, bl, long_list, Accept_Encoding=had)
    status, again, body = await ask(raw, vtn, bl, long_list, Accept_Encoding=asked, If_None_Match=said["ETag"])
    assert (status, body) == (304, b"")
    assert again["ETag"] == said["ETag"]
    assert again["Vary"] == "Accept-Encoding"
    await bl.made("/events", {"programID": long_list.partition("=")[2]})
    status, again, _ = await ask(raw, vtn, bl, long_list, Accept_Encoding=asked, If_None_Match=said["ETag"])
    assert status == 200
    assert again["ETag"] != said["ETag"]


async def test_one_long_object_is_compressed_too_and_a_short_one_is_not(raw, vtn, bl):
    for name, coded in (("x" * 100, False), ("x" * 2000, True)):
        made = await bl.made("/programs", {"programName": fresh("p"), "extension": name})
        _, said, body = await ask(raw, vtn, bl, f"/programs/{made['id']}", Accept_Encoding="gzip")
        assert ("Content-Encoding" in said) is coded
        assert json.loads(gzip.decompress(body) if coded else body) == made


async def test_compression_is_a_setting(launch, raw):
    with launch({"server.gzip_from_bytes": "0"}) as server, launch({"server.gzip_from_bytes": "1"}) as eager:
        for vtn, coded in ((server, False), (eager, True)):
            bl = Party(raw, vtn.url, vtn.token("bl"))
            _, said, _ = await ask(raw, vtn, bl, "/programs", Accept_Encoding="gzip")
            assert ("Content-Encoding" in said) is coded
            async with raw.get(f"{vtn.root}/docs", headers={"Accept-Encoding": "gzip"}) as page:
                assert ("Content-Encoding" in page.headers) is coded


async def test_a_compressed_body_is_read(bl):
    body = {"programName": fresh("p"), "extension": "x" * 5000}
    headers = {"Content-Encoding": "gzip"}
    made = await bl.send("POST", "/programs", raw=gzip.compress(json.dumps(body).encode()), headers=headers)
    assert made.shows(201).json["extension"] == body["extension"]
    read = (await bl.get(f"/programs/{made.json['id']}")).shows(200)
    assert read.json["extension"] == body["extension"]


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip"])
async def test_a_body_in_another_coding_or_that_is_not_what_it_says_is_refused(bl, coding):
    answer = await bl.send("POST", "/programs", raw=b'{"programName":"x"}', headers={"Content-Encoding": coding})
    assert answer.shows(400).paths()


# --- at the root ----------------------------------------------------------------------------------------------------


async def test_the_document_is_read_without_a_token_at_every_base(vtn, nobody):
    whole = (await root(nobody, vtn).get("/openapi.json")).shows(200).json
    assert whole["openapi"].startswith("3.1")
    assert {"/health", "/docs", "/programs"} <= whole["paths"].keys()
    for base in (vtn.url, vtn.root + V311):
        one = (await nobody.at(base).get("/openapi.json")).shows(200).json
        assert [server["url"] for server in one["servers"]] == [base]
        assert "/health" not in one["paths"]


async def test_health_is_of_its_schema_and_every_part_is_up(vtn, nobody):
    document = (await root(nobody, vtn).get("/openapi.json")).json
    answer = (await root(nobody, vtn).get("/health")).shows(200)
    schema = {"$ref": "#/components/schemas/Health", "components": document["components"]}
    assert not list(OAS31Validator(schema, format_checker=oas31_format_checker).iter_errors(answer.json))
    assert answer.json["status"] == "up"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_metrics_count_what_was_asked(vtn, bl, nobody):
    async def count():
        text = (await root(nobody, vtn).get("/metrics")).shows(200).content.decode()
        found = re.search(
            r'^evtn_requests_total\{class="4xx",operation="searchProgramByProgramId"\} (\S+)$', text, re.MULTILINE
        )
        return float(found[1]) if found else 0.0

    before = await count()
    (await bl.get("/programs/none")).shows(404)
    assert await count() == before + 1


async def test_metrics_are_not_for_those_behind_a_proxy(vtn, nobody):
    answer = await root(nobody, vtn).send("GET", "/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
    assert answer.shows(404).json["detail"] == "nothing answers GET here"


async def test_metrics_can_be_shut_off_or_opened(launch, http):
    for setting, status in (("off", 404), ("everyone", 200)):
        with launch({"server.metrics": setting}) as server:
            answer = await Party(http, server.root, None).send(
                "GET", "/metrics", headers={"X-Forwarded-For": "1.2.3.4"}
            )
            answer.shows(status)


async def test_the_page_is_html_that_may_load_nothing(vtn, nobody):
    answer = (await root(nobody, vtn).get("/docs")).shows(200)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert b"createEvent" in answer.content
