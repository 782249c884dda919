"""At the port of the central system: other versions are told why, and handshakes that are not done cut off nobody."""

import asyncio
import base64
import contextlib
import json
import logging

import pytest
import websockets
from ocpp_rig import PASSWORD, central
from websockets.asyncio.server import Server, ServerConnection
from websockets.server import ServerProtocol

WITHIN_S = 20.0
SMALL = {"unproven": 8, "unproven_of_one_address": 4, "patience_s": 2.0}
KEY = "0123456789abcdef0123456789abcdef01234567"  # synthetic
BOOT_2 = '[2,"b","BootNotification",{"reason":"PowerUp","chargingStation":{"model":"T","vendorName":"T"}}]'
BOOT_16 = '[2,"b","BootNotification",{"chargePointVendor":"T","chargePointModel":"T"}]'
BOOTS = {"ocpp2.1": BOOT_2, "ocpp2.0.1": BOOT_2, "ocpp1.6": BOOT_16}
STATIONS = {f"CP-{number}": {"password": PASSWORD} for number in range(1, 6)}


def credentials(station, password=PASSWORD):
    return {"Authorization": "Basic " + base64.b64encode(f"{station}:{password}".encode()).decode()}


def connect(rig, station="CP-1", offered=("ocpp2.1",), password=PASSWORD):
    return websockets.connect(
        f"{rig.url}/{station}", subprotocols=offered or None, additional_headers=credentials(station, password)
    )


@pytest.mark.parametrize(
    ("offered", "named"),
    [
        (["ocpp1.5"], "ocpp1.5"),
        (["ocpp2.0", "ocpp1.2"], "ocpp2.0, ocpp1.2"),
        ([], "none"),
        ([f"ocpp9.{number}" for number in range(200)], "ocpp9.0, ocpp9.1"),
    ],
    ids=["1.5", "2.0 and 1.2", "nothing", "very many"],
)
async def test_a_station_of_another_version_is_told_what_is_spoken_and_what_it_offers(offered, named, caplog):
    """OCPP-J: the handshake is completed without a subprotocol, and the connection closed at once."""
    caplog.set_level(logging.WARNING)
    spoken = "ocpp2.1, ocpp2.0.1, ocpp1.6"
    async with central() as rig:
        for _ in range(3):
            async with asyncio.timeout(WITHIN_S), connect(rig, offered=offered) as socket:
                assert socket.subprotocol is None
                assert "Sec-WebSocket-Protocol" not in socket.response.headers
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await socket.recv()
            assert closed.value.rcvd.code == 1002
            assert closed.value.rcvd.reason.startswith(f"refused: we speak {spoken}; you offer {named}")
        assert rig.backend._profiles.central._listener.unsupported["CP-1"].startswith(named)
    said = [record.getMessage() for record in caplog.records if "CP-1" in record.getMessage()]
    assert len(said) == 1
    assert f"it offers {named}" in said[0]
    assert f"we speak {spoken}" in said[0]


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (["ocpp1.6"], "ocpp1.6"),
        (["ocpp1.6", "ocpp2.0.1"], "ocpp2.0.1"),
        (["ocpp1.6", "ocpp2.0.1", "ocpp2.1"], "ocpp2.1"),
        (["ocpp2.0", "ocpp1.6"], "ocpp1.6"),
    ],
)
async def test_the_best_version_that_both_speak_is_taken_whatever_the_order(offered, taken):
    async with central() as rig, connect(rig, offered=offered) as socket:
        assert socket.subprotocol == taken
        await socket.send(BOOTS[taken])
        assert json.loads(await socket.recv())[:2] == [3, "b"]


@pytest.mark.parametrize(("offered", "code"), [("ocpp1.6", "FormationViolation"), ("ocpp2.0.1", "FormatViolation")])
async def test_what_breaks_a_rule_gets_the_error_code_of_its_version(offered, code):
    async with central() as rig, connect(rig, offered=[offered]) as socket:
        for text in ('[2,"b","Heartbeat",{"a":1}]', '[2,"b","Heartbeat",'):
            await socket.send(text)
            assert json.loads(await socket.recv())[:3] == [4, "b", code]


@pytest.mark.parametrize(("password", "welcome"), [(bytes.fromhex(KEY), True), (KEY.encode(), True), (b"\xff", False)])
async def test_a_key_of_40_hexadecimal_digits_may_come_as_its_20_bytes(password, welcome):
    async with central(stations={"CP-1": {"password": KEY}}) as rig:
        pair = base64.b64encode(b"CP-1:" + password).decode()
        connection = websockets.connect(
            f"{rig.url}/CP-1", subprotocols=["ocpp1.6"], additional_headers={"Authorization": f"Basic {pair}"}
        )
        if welcome:
            async with connection as socket:
                assert socket.subprotocol == "ocpp1.6"
        else:
            with pytest.raises(websockets.InvalidStatus):
                await connection


async def test_ours_is_taken_whatever_else_is_offered_and_the_refusal_forgotten(caplog):
    async with central() as rig:
        async with connect(rig, offered=["ocpp1.5"]) as socket:
            with contextlib.suppress(websockets.ConnectionClosed):
                await socket.recv()
        async with connect(rig, offered=["ocpp1.6", "ocpp2.1"]) as socket:
            assert socket.subprotocol == "ocpp2.1"
            assert not rig.backend._profiles.central._listener.unsupported


async def test_a_stranger_learns_nothing_of_versions_and_is_not_named_in_the_log(caplog):
    async with central() as rig:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(rig, "CP-99", ["ocpp1.5"])
        assert refused.value.response.status_code == 401
        assert not rig.backend._profiles.central._listener.unsupported
    assert "CP-99" not in caplog.text


@pytest.mark.parametrize("how", ["silent", "half a head", "refused"])
async def test_handshakes_that_are_not_done_cut_off_no_station_and_keep_none_out(how):
    async with central(stations=STATIONS, listening=SMALL) as rig, contextlib.AsyncExitStack() as stack:
        true = [await stack.enter_async_context(connect(rig, name)) for name in list(STATIONS)[:4]]
        port = await rig.backend.port()
        for number in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            if how == "half a head":
                writer.write(b"GET /CP-5 HTTP/1.1\r\nHost: x\r\n")
            if how == "refused" and number < 5:
                with contextlib.suppress(websockets.InvalidStatus):
                    await connect(rig, "CP-5", password="wrong-wrong-wrong")
        async with asyncio.timeout(WITHIN_S):
            assert (await stack.enter_async_context(connect(rig, "CP-5"))).subprotocol == "ocpp2.1"
            for socket in true:
                await (await socket.ping())


def test_what_is_used_of_the_websocket_library_is_where_it_was():
    assert websockets.__version__.startswith("15.")
    assert {"wrap", "close", "wait_closed", "start_connection_handler"} <= vars(Server).keys()
    assert {"connection_made", "handshake"} <= vars(ServerConnection).keys()
    assert callable(ServerProtocol.select_subprotocol)
