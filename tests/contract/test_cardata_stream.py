"""BMW CarData's stream against a real MQTT broker over TLS that asks who may connect: tokens end and lines break."""

import asyncio
import contextlib
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest
from aiohttp import web
from authority import Authority
from external_broker import ExternalBroker, asking
from public_rigs import usual
from recorded import EVENING, ReadOnlyCloud, hurried, recording

from ven_adapters.contract import BackendError, ErrorCode, SnapshotsSeen, Validity
from ven_adapters.oems.bmw_cardata import CarData, CarDataSettings
from ven_adapters.transport.grants.grants import Folder, store
from ven_adapters.transport.grants.oauth import Grant
from ven_adapters.transport.readings import mqtt_readings
from ven_adapters.transport.readings.mqtt_readings import Pauses
from ven_adapters.transport.readings.second_source import WithSource
from ven_adapters.transport.settings import read_table
from vtn.tls import trusting

GCID, VIN = "synthetic-gcid", "SYNTHETICVIN00004"
SOC = "vehicle.drivetrain.batteryManagement.header"
PUBLISHER = "the-cars"
PATIENCE_S = 90.0
QUICK = Pauses(first_s=0.05, longest_s=0.2, look_s=0.05)


class Guard:
    """Who may connect to the broker: a user with an id token that is good now."""

    def __init__(self) -> None:
        self.good = {PUBLISHER}
        self.asked = []

    async def user(self, request):
        told = await request.json()
        self.asked.append((told["username"], told["password"]))
        ok = told["username"] in {GCID, "other-gcid", PUBLISHER} and told["password"] in self.good
        return web.json_response({"ok": ok, "Ok": ok, "error": ""}, status=200 if ok else 401)

    def passwords(self):
        return {password for user, password in self.asked if user == GCID}

    async def showed(self, many):
        """Until so many id tokens were shown."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.passwords()) < many:  # noqa: ASYNC110 - the line's own pace
                await asyncio.sleep(0.02)

    async def acl(self, _request):
        return web.json_response({"ok": True, "Ok": True, "error": ""})


@pytest.fixture
async def guard():
    made = Guard()
    app = web.Application()
    app.router.add_post("/mqtt/mosquitto/user", made.user)
    app.router.add_post("/mqtt/mosquitto/acl", made.acl)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]  # type: ignore[attr-defined]
    yield made
    await runner.cleanup()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def broker(tmp_path, guard, authority):
    pair = authority.issue("broker", server=True)
    with ExternalBroker(tmp_path / "broker", asking(guard.port), tls=(pair.pem, pair.key_file)) as made:
        made.ca = str(authority.file)  # type: ignore[attr-defined]
        yield made


def granted(state, name="owner-1", *, number=0, lives_s=3600.0, gcid=GCID):
    until = datetime.now(UTC) + timedelta(seconds=lives_s)
    store(
        Folder(state / "grants").file(name),
        Grant(f"access_token-{number}", until, f"refresh_token-{number}", f"id_token-{number}", None, gcid),
    )


class Rig:
    def __init__(self, source, cloud, broker, clock) -> None:
        self.source, self.cloud, self.broker, self.clock = source, cloud, broker, clock
        self.seen = asyncio.Queue()

    async def publish(self, *values, vin=VIN, gcid=GCID, raw=None):
        """Cars send: each value is a state of charge and its age in hours.

        The line stays up until all has come: this broker forgets what it has not passed on of whoever leaves.
        """
        awaited = self.seen.qsize() + len(values)
        tls = trusting(Path(self.broker.ca))
        async with aiomqtt.Client(
            "127.0.0.1", self.broker.port, username=PUBLISHER, password=PUBLISHER, tls_context=tls
        ) as client:
            for value, age_h in values or ((None, 0),):
                at = (self.clock.now() - timedelta(hours=age_h)).isoformat()
                body = recording("bmw", "stream_message")["body"] | {"vin": vin, "timestamp": at}
                body["data"][SOC] |= {"value": value, "timestamp": at}
                await client.publish(f"{gcid}/{vin}", json.dumps(body) if raw is None else raw, qos=1)
            async with asyncio.timeout(PATIENCE_S):
                while self.seen.qsize() < awaited:  # noqa: ASYNC110 - the broker's own pace
                    await asyncio.sleep(0.01)

    async def listen(self):
        async for event in self.source.pushes():
            assert isinstance(event, SnapshotsSeen)
            await self.seen.put(event.snapshots[0])

    async def next(self):
        async with asyncio.timeout(PATIENCE_S):
            return await self.seen.get()

    async def up(self, name="owner-1", *, standing=True):
        async with asyncio.timeout(PATIENCE_S):
            while (name in self.source.stream.up) is not standing:  # noqa: ASYNC110 - the line's own pace
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def rigged(tmp_path, broker):
    clock = hurried(1.0)
    state = tmp_path / "state"
    async with ReadOnlyCloud("bmw", clock).open() as cloud:
        cloud.good |= {"access_token-0"}
        cloud.tokens = itertools.count(1)
        settings = usual(cloud, clock, state) | {"vehicles": {VIN: "car-1"}, "container": "c-1"}
        settings |= {"stream": broker.url, "stream_ca": broker.ca}
        source = CarData(read_table(CarDataSettings, settings), QUICK)
        rig = Rig(source, cloud, broker, clock)
        listening = asyncio.create_task(rig.listen())
        try:
            yield rig
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
            await source.close()


@pytest.fixture
async def rig(tmp_path, broker):
    granted(tmp_path / "state")
    async with rigged(tmp_path, broker) as made:
        yield made


async def test_what_cars_send_comes_as_readings_and_rest_is_not_asked(rig, guard):
    guard.good.add("id_token-0")
    await rig.up()
    await rig.publish(("61", 0))
    snapshot = await rig.next()
    assert (snapshot.vehicle_ref, snapshot.soc_pct.value, snapshot.soc_pct.source) == ("car-1", 61, "cardata")
    assert await rig.source.read("car-1") == snapshot
    assert rig.cloud.requests == []
    assert (GCID, "id_token-0") in guard.asked


async def test_old_values_and_sentinels_are_marked_and_a_late_message_changes_nothing(rig, guard):
    guard.good.add("id_token-0")
    await rig.up()
    await rig.publish(("61", 1), ("58", 2), ("255", 0), ("57", 30))
    came = {one.soc_pct.value: one.soc_pct.validity for one in [await rig.next() for _ in range(4)]}
    assert came == {61: Validity.OK, 58: Validity.OK, 255: Validity.SENTINEL, 57: Validity.STALE}
    assert (await rig.source.read("car-1")).soc_pct.value == 61


async def test_no_log_says_whose_car_it_is(rig, guard, caplog):
    caplog.set_level("DEBUG")
    guard.good.add("id_token-1")
    await rig.up()
    await rig.publish(("61", 0))
    await rig.publish(raw="{")
    await rig.publish(("62", 0))
    await rig.next()
    assert not [secret for secret in (GCID, VIN, "id_token-", "refresh_token-") if secret in ours(caplog)]


def ours(caplog):
    """What was logged, but for the cars' own client in this test."""
    return "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("ven_adapters", "mqtt"))
    )


@pytest.mark.parametrize("raw", ["", "[]", "{", '{"vin": "x"}', '{"vin": "x", "data": 3}', "x" * 300_000])
async def test_what_is_not_of_the_documented_shape_is_passed_over(rig, guard, raw):
    guard.good.add("id_token-0")
    await rig.up()
    await rig.publish(raw=raw)
    await rig.publish(("61", 0))
    assert (await rig.next()).soc_pct.value == 61


async def test_a_token_that_the_broker_refuses_is_renewed(rig, guard):
    guard.good.add("id_token-1")
    await rig.up()
    await rig.publish(("61", 0))
    assert (await rig.next()).soc_pct.value == 61
    assert rig.cloud.refreshes[:1] == ["refresh_token-0"]
    passwords = [password for user, password in guard.asked if user == GCID]
    assert passwords[0] == "id_token-0"
    assert passwords[-1].startswith("id_token-")


@pytest.mark.parametrize(("ends_in_s", "left_s"), [(3_600.0, 3_570.0), (30.5, 1.0), (-5.0, 1.0), (None, None)])
def test_a_line_stands_until_half_a_minute_before_its_token_ends(ends_in_s, left_s):
    ends_at = None if ends_in_s is None else EVENING + timedelta(seconds=ends_in_s)
    login = mqtt_readings.StreamLogin("user", "password", (), ends_at=ends_at)
    assert mqtt_readings._left_s(login, EVENING) == left_s


async def test_a_line_is_put_up_again_with_the_next_token_before_its_own_ends(tmp_path, broker, guard, monkeypatch):
    lefts_s = itertools.chain([0.5, 0.5, 0.5], itertools.repeat(3_600.0))
    monkeypatch.setattr(mqtt_readings, "_left_s", lambda _login, _now: next(lefts_s))
    guard.good |= {f"id_token-{number}" for number in range(50)}
    granted(tmp_path / "state")
    async with rigged(tmp_path, broker) as rig:
        await guard.showed(4)
        await rig.up()
        await rig.publish(("61", 0))
        assert (await rig.next()).soc_pct.value == 61
    assert len(rig.cloud.refreshes) == len(set(rig.cloud.refreshes))


async def test_a_broker_that_comes_back_finds_us_again(rig, guard, broker):
    guard.good.add("id_token-0")
    await rig.up()
    broker.stop()
    await rig.up(standing=False)
    broker.start()
    await rig.up()
    await rig.publish(("62", 0))
    assert (await rig.next()).soc_pct.value == 62


async def test_an_account_that_is_linked_while_we_run_gets_its_line_and_one_that_is_gone_loses_it(rig, guard, tmp_path):
    guard.good |= {"id_token-0", "id_token-7"}
    await rig.up()
    granted(tmp_path / "state", "owner-2", number=7, gcid="other-gcid")
    await rig.up("owner-2")
    await rig.publish(("63", 0), gcid="other-gcid")
    assert (await rig.next()).soc_pct.value == 63
    await Folder(tmp_path / "state" / "grants").forget("owner-2")
    await rig.up("owner-2", standing=False)
    assert "owner-1" in rig.source.stream.up


async def test_one_account_has_one_line_over_all_processes(rig, guard, tmp_path, broker):
    guard.good.add("id_token-0")
    await rig.up()
    async with rigged(tmp_path, broker) as other:
        await rig.publish(("61", 0))
        await rig.next()
        assert other.source.stream.up == set()


async def test_a_gap_in_the_stream_is_filled_by_one_call(rig, guard, monkeypatch):
    monkeypatch.setattr("ven_adapters.oems.bmw_cardata.GAP_S", 0.0)
    guard.good.add("id_token-0")
    await rig.up()
    await rig.publish(("61", 0))
    await rig.next()
    for _ in range(3):
        assert (await rig.source.read("car-1")).power_w.value == 10_400
    assert [path.rsplit("/", 1)[1] for _, path in rig.cloud.requests] == ["mappings", "telematicData"]


async def test_readings_of_the_stream_come_beside_what_the_backend_pushes(rig, guard):
    class Backend:
        async def events(self):
            yield SnapshotsSeen(())
            raise BackendError(ErrorCode.INVALID_REQUEST, "webhook_secret: is required to receive events")

    guard.good.add("id_token-0")
    await rig.up()
    events = WithSource(Backend(), rig.source).events()
    assert (await anext(events)) == SnapshotsSeen(())
    await events.aclose()  # type: ignore[attr-defined]


async def test_a_backend_that_fails_is_told_to_whoever_reads():
    class Backend:
        async def events(self):
            raise BackendError(ErrorCode.BACKEND_TRANSIENT, "x")
            yield

    class Quiet:
        async def pushes(self):
            await asyncio.Event().wait()
            yield

    with pytest.raises(BackendError) as caught:
        await anext(WithSource(Backend(), Quiet()).events())
    assert caught.value.code is ErrorCode.BACKEND_TRANSIENT


@pytest.mark.parametrize("url", ["http://x:1", "mqtt://far.example:1883", "mqtts://"])
def test_an_address_that_would_show_tokens_is_refused(url):
    with pytest.raises(BackendError, match=r"settings\.stream: must be mqtts://") as caught:
        read_table(CarDataSettings, {"stream": url})
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_pauses_grow_and_end():
    pauses = [Pauses().after(failures, 0.999) for failures in range(1, 40)]
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 900.0
    assert Pauses().after(1, 0.0) == 1.0
