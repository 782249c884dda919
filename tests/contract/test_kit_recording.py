"""`ven-adapters record`: what a backend really answers becomes fixtures in which nothing planted is left."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ven_adapters import registry
from ven_adapters.adapter_checks.recording import RecordedAnswer, Take, _listening, name_of, record_answers
from ven_adapters.adapter_checks.redaction import Redactor
from ven_adapters.adapter_checks.runner import AdapterPlan, CannotCheck
from ven_adapters.adapter_checks.stages import stage_of

READS = {"vehicles", "vehicles_capabilities", "vehicles_snapshot"}
COMMANDS = {"vehicles_directives_put", "vehicles_directives", "vehicles_directives_delete"}


def plan(name):
    return AdapterPlan(name, registry.factory(name), stage_of(name))


@pytest.mark.parametrize("name", ["nissan", "honda"])
async def test_reads_and_a_harmless_pair_of_commands_are_recorded(name, tmp_path):
    done = await record_answers(Take(plan(name), tmp_path / "out", commands=True))
    assert done.problems == ()
    assert {path.stem for path in done.written} == READS | COMMANDS
    for path in done.written:
        assert set(json.loads(path.read_bytes())) == {"status", "headers", "body"}
    snapshot = json.loads((tmp_path / "out" / "vehicles_snapshot.json").read_bytes())["body"]
    assert snapshot["charge_state"]["value"] == "CHARGING"
    assert snapshot["soc_pct"]["value"] == 55.0


async def test_nothing_that_names_a_car_a_place_or_a_secret_is_written(tmp_path):
    async with stage_of("ford")(7) as stage:
        planted = (*stage.secrets, *stage.refs)
    done = await record_answers(Take(plan("ford"), tmp_path, commands=True))
    text = b"".join(path.read_bytes() for path in done.written).decode()
    assert [word for word in planted if word in text] == []
    assert "SYNTHETICVIN" in text


@pytest.mark.parametrize("name", ["tesla", "smartcar", "enode"])
async def test_a_public_clouds_answers_are_recorded_without_what_it_knows_of_its_owners(name, tmp_path):
    async with stage_of(name)(7) as stage:
        planted = (*stage.secrets, *stage.refs)
    done = await record_answers(Take(plan(name), tmp_path, commands=True))
    assert done.problems == ()
    assert len(done.written) >= 2
    text = b"".join(path.read_bytes() for path in done.written).decode()
    assert [word for word in planted if word in text] == []


async def test_without_commands_nothing_is_commanded(tmp_path):
    done = await record_answers(Take(plan("ford"), tmp_path))
    assert {path.stem for path in done.written} == READS


async def test_an_answer_that_comes_in_pieces_is_handed_on_whole():
    async def slow(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        for piece in (b'{"data": ', b'"whole"}'):
            await answer.write(piece)
            await asyncio.sleep(0.05)
        return answer

    backend = web.Application()
    backend.router.add_get("/", slow)
    async with TestServer(backend) as server, aiohttp.ClientSession() as http:
        heard = []
        async with _listening(str(server.make_url("/")), heard) as url, http.get(url) as came:
            assert await came.json(content_type=None) == {"data": "whole"}
    assert json.loads(heard[0].body) == {"data": "whole"}


async def test_what_speaks_no_http_cannot_be_recorded(tmp_path):
    without = AdapterPlan("ocpp", registry.factory("ocpp"), settings={"port": 0})
    with pytest.raises(CannotCheck, match="no url"):
        await record_answers(Take(without, tmp_path))


@pytest.mark.parametrize(
    ("heard", "name"),
    [
        (("GET", "/v1/vehicles", 200), "vehicles"),
        (("GET", "/v1/vehicles/anna/snapshot", 409), "vehicles_snapshot_409"),
        (("POST", "/api/1/vehicles/5YJ/command/charge_stop", 200), "vehicles_command_charge_stop_post"),
        (("GET", "/", 404), "404"),
    ],
)
def test_a_fixture_is_named_after_the_path_and_never_after_a_car(heard, name):
    method, path, status = heard
    assert name_of(RecordedAnswer(method, path, status, {}, b""), ["anna"]) == name


def test_a_fixture_is_not_named_after_an_owner_either():
    redactor = Redactor()
    redactor.value({"vehicles": [{"userId": "johndoe"}]})
    heard = RecordedAnswer("GET", "/v1/users/johndoe/vehicles", 200, {}, b"")
    assert name_of(heard, [], redactor.hides) == "users_vehicles"
