"""Nothing that a VTN says ends an adapter: whatever it answers, everything goes on, and a later good answer is read."""

import asyncio
import contextlib
import json
import time

import pytest
from aiohttp import web

from ven_adapters.config import AdapterSettings
from ven_adapters.contract import Capability
from ven_adapters.ven.agent import Agent, AgentPorts
from ven_adapters.ven.reporting.schedule import CHECK_EVERY_S
from ven_adapters.ven.store.database import AdapterStore
from vtn.client import MOST_BYTES, MOST_VALUES, AnswerTooLarge, Client, VtnUnreachable, VtnUnusable
from vtn.clock import RealClock
from vtn.wire.enumerations import ObjectType

AT = {"createdDateTime": "2026-07-15T20:00:00Z", "modificationDateTime": "2026-07-15T20:00:00Z"}
VEN = {"id": "v1", "objectType": "VEN", "clientID": "c", "venName": "x", **AT}
RESOURCE = {"id": "r1", "objectType": "RESOURCE", "clientID": "c", "resourceName": "bay", "venID": "v1", **AT}
PROGRAM = {"id": "p1", "objectType": "PROGRAM", "programName": "p", **AT}
SUBSCRIPTION = {"id": "s1", "objectType": "SUBSCRIPTION", "clientID": "c", "clientName": "x", **AT}
EVENT = {
    "id": "e1",
    "objectType": "EVENT",
    "programID": "p1",
    "intervals": [{"id": 0, "payloads": [{"type": "SIMPLE", "values": [1]}]}],
    **AT,
}
DEEP = json.loads("[" * 60 + "]" * 60)
NO_OBJECTS = [None, 7, "text", [], {}, [None], [[]], [{}], [{"id": 7}], {"id": None}, DEEP]
NO_JSON = [b"\xff\xfe", b"<html>", b"", b"1" * 5_000, b"[" * 100_000, b"x" * 1_000_000]
ODD_OBJECTS = [
    {"targets": 7},
    {"targets": [7, {}]},
    {"resourceName": None},
    {"attributes": "x"},
    {"attributes": [7]},
    {"intervals": [{}]},
    {"intervals": [{"id": 0, "payloads": [{"type": "PRICE", "values": ["x", None, True, {}]}]}]},
    {"intervalPeriod": {"start": "9999-12-31T23:59:59Z", "duration": "P9998Y"}},
    {"duration": "P9999Y", "intervalPeriod": {"start": "0001-01-01T00:00:00Z", "duration": "PT0S"}},
    {"programID": 7},
    {"payloadDescriptors": [7]},
    {"reportDescriptors": [{"payloadType": "USAGE", "startInterval": -(2**31), "repeat": 2**31 - 1}]},
    {"modificationDateTime": "yesterday"},
]
BROKERS = [
    {"URIS": ["mqtt://h:99999"]},
    {"URIS": ["mqtt://[::1"]},
    {"URIS": [7, None, "", "mqtt://", "mqtt://:1883", "http://h"]},
    {"URIS": 7},
    {"URIS": ["mqtt://127.0.0.1:1"], "authentication": 7},
    {"URIS": ["mqtt://127.0.0.1:1"], "authentication": {}},
    {"URIS": ["mqtt://127.0.0.1:1"], "authentication": {"method": None}},
    {"URIS": ["mqtt://127.0.0.1:1"], "authentication": {"method": "OAUTH2_BEARER_TOKEN", "username": 7}},
    {"URIS": ["mqtts://127.0.0.1:1"], "authentication": {"method": "ANONYMOUS"}},
    7,
    "mqtt",
]


class HostileVtn:
    """A VTN that answers well, but for the paths in `instead`; `asked` counts asks by method and path."""

    def __init__(self) -> None:
        self.instead: dict[tuple[str, str], object] = {}
        self.statuses: dict[tuple[str, str], int] = {}
        self.asked: dict[tuple[str, str], int] = {}
        self.events = [EVENT]
        self.url = ""

    def good(self, method, path):
        """What a decent VTN says."""
        written = method in {"POST", "PUT"}
        return {
            "/auth/server": {"tokenURL": f"{self.url}/auth/token"},
            "/auth/token": {"access_token": "t", "expires_in": 3600},
            "/vens": VEN if written else [VEN],
            "/vens/v1": VEN,
            "/resources": RESOURCE if written else [RESOURCE],
            "/resources/r1": RESOURCE,
            "/programs": [PROGRAM],
            "/events": self.events,
            "/events/e1": EVENT,
            "/reports": {"id": "x"},
            "/subscriptions": SUBSCRIPTION if written else [SUBSCRIPTION],
            "/subscriptions/s1": SUBSCRIPTION,
            "/notifiers": {"WEBHOOK": True},
        }.get(path)

    async def handle(self, request):
        """Any request."""
        key = request.method, request.path
        self.asked[key] = self.asked.get(key, 0) + 1
        told = self.instead.get(key, self.good(*key))
        if told is None and key not in self.instead:
            return web.json_response({"status": 404}, status=404)
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        return web.Response(body=body, status=self.statuses.get(key, 200), content_type="application/json")


class NoCars:
    """An automaker's backend with one car that is always there and never heard of."""

    async def capabilities(self, _ref):
        return Capability("m", 60_000, 7_000)

    async def snapshot(self, *_, **__):
        await asyncio.Event().wait()

    async def events(self):
        await asyncio.Event().wait()
        yield

    async def close(self):
        """Nothing is open."""


@pytest.fixture
async def hostile():
    made = HostileVtn()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


CAR = {
    "vehicle_ref": "car-1",
    "zone": "bay",
    "site_id": "home-1",
    "timezone": "UTC",
    "charging_consent": {"version": "1", "agreed_at": "2026-01-05T10:00:00Z"},
    "discharge_consent": None,
    "permission": None,
    "preferences": {"ready_by": {}, "target_soc_pct": 80, "reserve_soc_pct": 30},
    "discharge_budget": None,
    "opted_out": False,
}


@contextlib.asynccontextmanager
async def adapter(hostile, folder, mode, **more):
    """A running adapter of this VTN, and its task."""
    (folder / "cars.jsonl").write_text(json.dumps(CAR) + "\n")
    told = {
        "oem": "bmw",
        "client_name": "x",
        "vtn": {"url": hostile.url, "client_id": "c", "client_secret": "s"},
        "backend": {},
        "enrolments": [str(folder / "cars.jsonl")],
        "wake": {"mode": mode, "poll_s": 0.03, "first_retry_s": 0.01, "longest_retry_s": 0.03},
        "smallest_group": 1,
        "var": str(folder),
        **more,
    }
    settings = AdapterSettings.model_validate_json(json.dumps(told))
    store = AdapterStore(f"sqlite+aiosqlite:///{folder / 'x.sqlite'}")
    made = Agent(settings, RealClock(), AgentPorts(Client(hostile.url, "c", "s"), NoCars(), store))
    task = asyncio.create_task(made.run())
    try:
        yield made, task
    finally:
        made.stop()
        await asyncio.wait_for(task, 20)


async def until(holds, task, within_s=90.0):
    """Wait until something holds; the adapter may not end meanwhile."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert not task.done(), "the adapter ended"
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.005)


async def survives(hostile, made, task, key, told):
    """Say something odd until it was asked for; then be good again, and see that the adapter reads on."""
    hostile.instead[key] = told
    made.ports.vtn._token_dies_s = 0.0
    before = hostile.asked.get(key, 0)
    await until(lambda: hostile.asked.get(key, 0) > before, task)
    del hostile.instead[key]
    hostile.events = [EVENT, {**EVENT, "id": f"e-{time.monotonic_ns()}"}]
    await until(lambda: hostile.events[1]["id"] in made.vtn_objects.events, task)


POLLED = [("GET", "/vens/v1"), ("GET", "/resources"), ("GET", "/programs"), ("GET", "/events"), ("POST", "/auth/token")]


async def test_an_event_of_which_nothing_can_be_learnt_keeps_no_other_from_being_read(hostile, tmp_path):
    async with adapter(hostile, tmp_path, "timer") as (made, task):
        await until(lambda: "e1" in made.vtn_objects.events, task)
        hostile.instead["GET", "/events/e1"] = None
        hostile.events = [{**EVENT, "id": "other"}]
        await until(lambda: "other" in made.vtn_objects.events, task)
        assert "e1" in made.vtn_objects.events


@pytest.mark.parametrize("key", POLLED, ids=" ".join)
async def test_no_answer_to_a_poll_ends_an_adapter(hostile, tmp_path, key):
    async with adapter(hostile, tmp_path, "timer") as (made, task):
        await until(lambda: made.vtn_polling.registered and made.vtn_objects.polled, task)
        good = hostile.good(*key)
        odd = [[{**good[0], **change}] for change in ODD_OBJECTS] if isinstance(good, list) else []
        odd += [{**good, **change} for change in ODD_OBJECTS] if isinstance(good, dict) else []
        for told in [*NO_OBJECTS, *NO_JSON, *odd]:
            await survives(hostile, made, task, key, told)


@pytest.mark.parametrize("offered", BROKERS, ids=str)
async def test_no_broker_that_a_vtn_names_ends_an_adapter(hostile, tmp_path, offered):
    usual = {"serialization": "JSON", "authentication": {"method": "ANONYMOUS"}}
    mqtt = usual | offered if isinstance(offered, dict) else offered
    hostile.instead["GET", "/notifiers"] = {"WEBHOOK": True, "MQTT": mqtt}
    async with adapter(hostile, tmp_path, "mqtt") as (made, task):
        await until(lambda: hostile.asked.get(("GET", "/notifiers"), 0) >= 2, task)
        hostile.events = [EVENT, {**EVENT, "id": "later"}]
        await until(lambda: "later" in made.vtn_objects.events, task)


async def test_an_adapter_that_was_killed_takes_its_subscription_over_and_leaves_one(hostile, tmp_path):
    own = {**SUBSCRIPTION, "clientName": "x all"}
    of_a_shard = {**own, "id": "s3", "clientName": "x shard-1"}
    hostile.instead["GET", "/subscriptions"] = [own, {**own, "id": "s2"}, of_a_shard]
    hostile.instead["PUT", "/subscriptions/s1"] = own
    hostile.instead["DELETE", "/subscriptions/s2"] = own
    async with adapter(hostile, tmp_path, "webhook") as (_, task):
        await until(lambda: hostile.asked.get(("DELETE", "/subscriptions/s2")), task)
    assert hostile.asked.get(("PUT", "/subscriptions/s1")) == 1
    assert ("POST", "/subscriptions") not in hostile.asked
    assert ("DELETE", "/subscriptions/s3") not in hostile.asked
    assert hostile.asked.get(("DELETE", "/subscriptions/s1")) == 1  # when it went


async def test_a_vtn_that_replaces_and_deletes_no_subscription_is_listened_to_by_a_new_one(hostile, tmp_path):
    own = {**SUBSCRIPTION, "clientName": "x all"}
    hostile.instead["GET", "/subscriptions"] = [own, {**own, "id": "s2"}]
    hostile.instead["POST", "/subscriptions"] = {**own, "id": "s9"}
    for key in (("PUT", "/subscriptions/s1"), ("DELETE", "/subscriptions/s1"), ("DELETE", "/subscriptions/s2")):
        hostile.instead[key], hostile.statuses[key] = {"status": 405}, 405
    hostile.instead["DELETE", "/subscriptions/s9"] = own
    async with adapter(hostile, tmp_path, "webhook") as (_, task):
        await until(lambda: hostile.asked.get(("DELETE", "/subscriptions/s2")), task)
        assert ("DELETE", "/subscriptions/s9") not in hostile.asked  # it is listened to
    once = [("POST", "/subscriptions"), ("DELETE", "/subscriptions/s1"), ("DELETE", "/subscriptions/s9")]
    assert [hostile.asked.get(key) for key in once] == [1, 1, 1]


ODD = {**EVENT, "intervals": [{"id": 0, "payloads": [{"type": "PRICE", "values": ["x"]}]}]}
TOLD = ("POST", "/reports")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_sender_is_told_once_though_the_vtn_was_busy_and_we_are_started_anew(hostile, tmp_path, status):
    hostile.events, hostile.statuses[TOLD] = [ODD], status
    async with adapter(hostile, tmp_path, "timer") as (made, task):
        await until(lambda: hostile.asked.get(TOLD, 0) >= 2, task)
        del hostile.statuses[TOLD]
        await until(lambda: made.reporter.sent, task)
        told = hostile.asked[TOLD]
    async with adapter(hostile, tmp_path, "timer") as (made, task):
        await until(lambda: made.vtn_objects.polled and made.event_faults.reports(), task)
        await asyncio.sleep(2 * CHECK_EVERY_S)
        assert hostile.asked[TOLD] == told


async def test_a_report_whose_answer_makes_no_sense_is_not_sent_again(hostile, tmp_path):
    hostile.events, hostile.instead[TOLD] = [ODD], {}
    async with adapter(hostile, tmp_path, "timer") as (made, task):
        await until(lambda: hostile.asked.get(TOLD), task)
        await asyncio.sleep(3 * CHECK_EVERY_S)
        assert (hostile.asked[TOLD], made.reporter.sent) == (1, 1)


async def test_a_report_that_was_posted_is_remembered_though_the_vtn_went_away_before_the_next(hostile, tmp_path):
    hostile.events = [ODD, {**ODD, "id": "e2"}]
    first = asyncio.Event()
    create = Client.create

    async def once(self, kind, content):
        if kind is ObjectType.REPORT and first.is_set():
            raise VtnUnreachable("gone")
        made = await create(self, kind, content)
        if kind is ObjectType.REPORT:
            first.set()
        return made

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Client, "create", once)
        async with adapter(hostile, tmp_path, "timer") as (made, task):
            await until(first.is_set, task)
            await until(lambda: made.reporter.sent, task)
    async with adapter(hostile, tmp_path, "timer") as (made, task):
        await until(lambda: made.reporter.sent, task)
        await asyncio.sleep(2 * CHECK_EVERY_S)
        assert hostile.asked[TOLD] == 2


async def test_a_limit_outlives_a_restart_and_a_version_that_cannot_be_read(hostile, tmp_path):
    payloads = [{"type": "IMPORT_CAPACITY_LIMIT", "values": [5]}, {"type": "SIMPLE", "values": [3]}]
    limit = {**EVENT, "intervals": [{"id": 0, "payloads": payloads}, {"id": 1, "payloads": payloads[1:]}]}
    hostile.events = [limit]
    async with adapter(hostile, tmp_path, "timer") as (made, task):
        await until(lambda: "e1" in made.vtn_objects.events and made.statistics.cycles, task)
    hostile.events = [{**limit, "modificationDateTime": "2026-07-15T21:00:00Z", "intervals": "none"}]
    for _ in range(2):
        async with adapter(hostile, tmp_path, "timer") as (made, task):
            await until(lambda: made.vtn_objects.polled and "e1" in made.vtn_objects.unreadable, task)
            kept = [payload.type for one in made.vtn_objects.events["e1"].event.intervals for payload in one.payloads]
            assert kept == ["IMPORT_CAPACITY_LIMIT"]
    hostile.events, hostile.instead["GET", "/events/e1"] = [], None
    async with adapter(hostile, tmp_path, "timer") as (made, task):
        await until(lambda: made.vtn_objects.polled, task)
        assert not made.vtn_objects.events
    hostile.events = [
        {**limit, "modificationDateTime": "2026-07-15T22:00:00Z", "intervals": [{"id": 0, "payloads": []}]}
    ]
    async with adapter(hostile, tmp_path, "timer") as (made, task):
        await until(lambda: made.vtn_objects.polled, task)
        assert made.event_memory.last_limits.get("e1") is None


async def test_a_server_that_does_not_page_is_read_once(hostile):
    many = [{**PROGRAM, "id": f"p{number}"} for number in range(50)]
    hostile.instead["GET", "/programs"] = many
    async with Client(hostile.url, "c", "s") as client:
        assert await client.search(ObjectType.PROGRAM) == many
    assert hostile.asked["GET", "/programs"] == 2


async def test_a_list_that_takes_too_much_room_is_refused_before_it_is_whole(hostile, monkeypatch):
    def endless(method, path):
        fresh = [{**PROGRAM, "id": f"p{time.monotonic_ns()}-{number}", "x": "x" * 1_000} for number in range(50)]
        return fresh if path == "/programs" else HostileVtn.good(hostile, method, path)

    monkeypatch.setattr(hostile, "good", endless)
    async with Client(hostile.url, "c", "s") as client:
        with pytest.raises(VtnUnusable, match="bytes"):
            await client.search(ObjectType.PROGRAM, most_bytes=200_000)
    assert hostile.asked["GET", "/programs"] <= 4


async def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones(hostile, monkeypatch):
    many = [{**PROGRAM, "id": f"p{number}", "x": "x" * 300_000} for number in range(60)]

    async def paged(request):
        if request.path != "/programs":
            return await HostileVtn.handle(hostile, request)
        skip, limit = (int(request.query[name]) for name in ("skip", "limit"))
        return web.json_response(many[skip : skip + limit])

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", paged)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Client(f"http://127.0.0.1:{runner.addresses[0][1]}", "c", "s") as client:
            assert await client.search(ObjectType.PROGRAM) == many
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("body", [b"[" + b"0," * MOST_VALUES + b"0]", b'"' + b"x" * MOST_BYTES + b'"'])
async def test_an_answer_that_is_too_large_is_not_parsed(hostile, body):
    hostile.instead["GET", "/programs"] = body
    async with Client(hostile.url, "c", "s") as client:
        with pytest.raises(AnswerTooLarge):
            await client.search(ObjectType.PROGRAM)


async def test_of_too_many_events_those_that_begin_first_count_and_an_alarm_stands(hostile, tmp_path):
    def event(number):
        period = {"start": f"2099-01-01T{number // 60:02}:{number % 60:02}:00Z", "duration": "PT1H"}
        return {**EVENT, "id": f"e{number:03}", "intervalPeriod": period}

    hostile.events = [event(number) for number in range(49)]
    async with adapter(hostile, tmp_path, "timer", most_events=40) as (made, task):
        await until(lambda: made.event_faults.alarms, task)
        assert sorted(made.vtn_objects.events) == [f"e{number:03}" for number in range(40)]
        assert "9 events more" in made.event_faults.alarms[0]
        hostile.events = [{**EVENT, "id": "now"}, *hostile.events[20:]]
        await until(lambda: len(made.vtn_objects.events) == 30 and "e048" in made.vtn_objects.events, task)
        hostile.events = [{**EVENT, "id": "now"}, *[event(number) for number in range(48)]]
        await until(lambda: "e000" in made.vtn_objects.events, task)
        assert sorted(made.vtn_objects.events) == [*[f"e{number:03}" for number in range(39)], "now"]
