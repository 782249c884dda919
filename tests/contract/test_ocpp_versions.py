"""Stations of OCPP 2.1, 2.0.1 and 1.6J as processes of their own: what each version can do is the same for the car."""

import asyncio
import contextlib

import pytest
from ocpp_rig import CAR, PATIENCE_S, central, place, plugged_in, station

from ven_adapters.contract import (
    BackendError,
    Certainty,
    ChargeState,
    DirectiveKind,
    DirectiveState,
    ErrorCode,
    Known,
    Rung,
)

S = DirectiveState
VERSIONS = ("2.1", "2.0.1", "1.6")
NO_NUMBER = (
    '[2,"x","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-07-02T09:00:00Z",'
    '"sampledValue":[{"value":"x","measurand":"Power.Active.Import"}]}]}]'
)
OLDER = ("2.0.1", "1.6")
LONG_S = 36_000  # longer than a restart takes on the hurried clock


@pytest.fixture(params=VERSIONS)
async def rig(request):
    async with plugged_in(version=request.param) as made:
        made.version = request.param
        yield made


@pytest.fixture
async def rig16():
    async with plugged_in(version="1.6") as made:
        yield made


@contextlib.asynccontextmanager
async def lives(state, port, version):
    """A function that begins another life of the same central system, beside a station that never ends."""
    more = {"offline_limit_s": LONG_S, "port": port} | ({} if state is None else {"state": str(state)})
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(contextlib.AsyncExitStack())
        rig = await first.enter_async_context(central(**more))
        rig.peer = await stack.enter_async_context(station(rig.url, rig.clock, version=version))
        await rig.peer.heard("online")
        await rig.measures(lambda power_w: power_w > 0)

        async def again():
            await first.aclose()
            newer = await stack.enter_async_context(central(rig.clock, **more))
            newer.peer, newer.number = rig.peer, 100
            await newer.peer.heard("online")
            return newer

        yield rig, again


async def refused(call):
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


async def profiles_left(rig, most):
    async with asyncio.timeout(PATIENCE_S):
        while len(held := (await rig.peer.state())["profiles"]) > most:
            continue
    return held


async def test_meter_values_become_a_snapshot_with_the_stations_own_instants(rig):
    snapshot = await rig.measures(lambda power_w: power_w == 11_000)
    assert snapshot.power_w.source == "meter"
    assert snapshot.plugged.value is Known.YES
    assert snapshot.charge_state.value is ChargeState.CHARGING
    assert snapshot.power_w.observed_at <= snapshot.power_w.received_at
    assert (await rig.backend.snapshot(CAR, max_age_s=0)).energy_added_wh.value >= 0


async def test_a_capability_names_what_the_version_has(rig):
    capability = await rig.backend.capabilities(CAR)
    assert (capability.can_set_power, capability.can_stop, capability.max_charge_w) == (True, True, 11_000)
    assert (capability.discharge is not None) == (rig.version == "2.1")
    if rig.version != "2.1":
        assert (await refused(rig.submit(rig.discharge()))).code is ErrorCode.NOT_SUPPORTED
        assert (await rig.peer.state())["sets"] == []


async def test_a_cap_is_proven_by_the_meter_and_ends_with_its_window(rig):
    directive = rig.directive(power_w=1_400, minutes=10)
    ack = await rig.submit(directive)
    assert (ack.state, ack.setting.rung, ack.setting.power_w) == (S.ACCEPTED, Rung.POWER, 1_400)
    status = await rig.reaches(directive, S.IN_FORCE)
    assert (status.certainty, status.observed_at > directive.start) == (Certainty.METERED, True)
    (profile,) = (await rig.peer.state())["profiles"]
    schedule = profile["charging_schedule"][0]
    assert profile["valid_to"].startswith(directive.end.isoformat()[:19])
    assert 560 <= schedule["duration"] <= 600
    assert schedule["charging_schedule_period"][0]["limit"] == 1_400
    await rig.reaches(directive, S.RELEASED)
    await rig.measures(lambda power_w: power_w == 11_000, since=directive.end)


async def test_a_pause_is_a_limit_of_nothing_shows_as_ours_and_can_be_taken_back(rig):
    directive = rig.directive(DirectiveKind.CURTAIL)
    await rig.submit(directive)
    await rig.reaches(directive, S.IN_FORCE)
    await rig.until(
        lambda one: (
            getattr(one, "charge_state", None) is not None and one.charge_state.value is ChargeState.PAUSED_BY_DIRECTIVE
        )
    )
    since = rig.clock.now()
    assert (await rig.backend.cancel(CAR, directive.directive_id)).state is S.CANCELLED
    await rig.measures(lambda power_w: power_w == 11_000, since=since)
    assert (await rig.peer.state())["profiles"] == []


async def test_a_newer_directive_stands_above_the_older_and_a_release_takes_all_away(rig):
    older, newer = rig.directive(power_w=6_000), rig.directive(power_w=3_000)
    for directive in (older, newer):
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
    await rig.reaches(older, S.SUPERSEDED)
    assert [one["stack_level"] for one in await profiles_left(rig, 1)] == [2]
    await rig.submit(rig.directive(DirectiveKind.RELEASE))
    assert await profiles_left(rig, 0) == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_central_system_that_is_gone_leaves_no_pause_behind(version):
    async with plugged_in(version=version) as rig:
        directive = rig.directive(DirectiveKind.CURTAIL, minutes=6)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        assert await rig.peer.heard("power_w") in (0, 11_000)
        while rig.peer.said[-1].get("power_w") != 0:
            await rig.peer.heard("power_w")
        await rig.backend.close()
        assert await rig.peer.heard("power_w") == 11_000
        assert await profiles_left(rig, 0) == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_station_of_amperes_alone_is_capped_in_them(version):
    async with plugged_in(version=version, rate_unit="A", taken_units=["A"]) as rig:
        directive = rig.directive(power_w=5_000)
        ack = await rig.submit(directive)
        assert (ack.setting.rung, ack.setting.current_a, ack.setting.power_w) == (Rung.CURRENT, 7, 4_830)
        await rig.reaches(directive, S.IN_FORCE)
        await rig.measures(lambda power_w: power_w == 4_830)
        (profile,) = (await rig.peer.state())["profiles"]
        period = profile["charging_schedule"][0]["charging_schedule_period"][0]
        assert (profile["charging_schedule"][0]["charging_rate_unit"], period["limit"]) == ("A", 7.0)
        assert period["number_phases"] == 3


@pytest.mark.parametrize("version", OLDER)
async def test_a_directive_in_force_is_in_force_in_the_next_life_and_was_sent_once(tmp_path, unused_tcp_port, version):
    async with lives(tmp_path, unused_tcp_port, version) as (rig, again):
        directive = rig.directive(power_w=2_000, minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        newer = await again()
        assert (await newer.reaches(directive, S.IN_FORCE)).certainty is Certainty.METERED
        assert (await newer.submit(directive)).state is S.IN_FORCE
        assert len((await newer.peer.state())["sets"]) == 1
        assert (await newer.backend.cancel(CAR, directive.directive_id)).state is S.CANCELLED
        assert (await newer.peer.state())["profiles"] == []


@pytest.mark.parametrize("version", OLDER)
async def test_a_life_that_remembers_nothing_finds_the_transaction_and_rules_alone(unused_tcp_port, version):
    async with lives(None, unused_tcp_port, version) as (rig, again):
        for power_w in (3_000, 2_000, 1_500):
            await rig.submit(rig.directive(power_w=power_w, minutes=120))
        newer = await again()
        await newer.measures(lambda power_w: power_w > 0)
        directive = newer.directive(power_w=6_000)
        await newer.submit(directive)
        await newer.reaches(directive, S.IN_FORCE)
        await newer.measures(lambda power_w: power_w == 6_000)
        await profiles_left(newer, 1)


@pytest.mark.parametrize("version", OLDER)
async def test_an_answer_that_does_not_come_is_read_before_a_retry(version):
    async with plugged_in(version=version) as rig:
        await rig.submit(rig.directive(power_w=5_000, minutes=30))
        directive = rig.directive(power_w=3_000)
        await rig.peer.do("mute", action="SetChargingProfile")
        await rig.peer.state()
        assert (await refused(rig.submit(directive))).code is ErrorCode.OUTCOME_UNKNOWN
        assert (await rig.submit(directive)).state in (S.ACCEPTED, S.IN_FORCE)
        assert len((await rig.peer.state())["sets"]) == 2
        lost = rig.directive(power_w=2_000)
        await rig.peer.do("deaf", action="SetChargingProfile")
        await rig.peer.state()
        assert (await refused(rig.submit(lost))).code is ErrorCode.OUTCOME_UNKNOWN
        assert (await refused(rig.backend.status(CAR, lost.directive_id))).code is ErrorCode.INVALID_REQUEST


async def test_what_a_station_of_16_cannot_say_is_sent_again_under_its_number():
    async with plugged_in(version="1.6", composes=False) as rig:
        directive = rig.directive(power_w=3_000)
        await rig.peer.do("mute", action="SetChargingProfile")
        await rig.peer.state()
        assert (await refused(rig.submit(directive))).code is ErrorCode.OUTCOME_UNKNOWN
        assert (await rig.backend.status(CAR, directive.directive_id)).state is S.REQUESTED
        assert (await rig.submit(directive)).state is S.ACCEPTED
        await rig.reaches(directive, S.IN_FORCE)
        state = await rig.peer.state()
        assert (len(state["sets"]), len(state["profiles"])) == (2, 1)


@pytest.mark.parametrize("version", OLDER)
async def test_what_the_station_let_go_of_while_it_was_away_has_failed(version):
    async with plugged_in({"offline_limit_s": LONG_S}, version=version) as rig:
        directive = rig.directive(power_w=2_000, minutes=120)
        await rig.submit(directive)
        await rig.reaches(directive, S.IN_FORCE)
        await rig.peer.do("cut")
        await rig.reaches(directive, S.INTERRUPTED)
        await rig.peer.do("lose")
        await rig.peer.do("mend")
        assert (await rig.reaches(directive, S.FAILED)).error is ErrorCode.UNREACHABLE


async def another_transaction(rig, known):
    """Unplug and plug again; the number that the new transaction got."""
    await rig.peer.do("unplug")
    await rig.peer.do("plug")
    async with asyncio.timeout(PATIENCE_S):
        while (number := (await rig.peer.state())["transaction"]) in (None, *known):
            continue
    return number


async def test_transactions_of_16_are_numbered_by_us_and_no_number_comes_twice(tmp_path, unused_tcp_port):
    async with lives(tmp_path, unused_tcp_port, "1.6") as (rig, again):
        numbers = [(await rig.peer.state())["transaction"]]
        numbers.append(await another_transaction(rig, numbers))
        newer = await again()
        numbers.append(await another_transaction(newer, numbers))
        assert numbers == sorted(set(numbers))
        assert max(numbers) < 2**31
        await newer.measures(lambda power_w: power_w == 11_000, since=newer.clock.now())
        await newer.submit(newer.directive(power_w=2_000))
        (profile,) = (await newer.peer.state())["profiles"]
        assert profile["transaction_id"] == numbers[-1]


async def test_a_cable_that_is_pulled_at_a_station_of_16_ends_the_directive_with_its_transaction(rig16):
    directive = rig16.directive(power_w=2_000)
    await rig16.submit(directive)
    await rig16.reaches(directive, S.IN_FORCE)
    await rig16.peer.do("unplug")
    status = await rig16.reaches(directive, S.INTERRUPTED)
    assert status.error is ErrorCode.NOT_PLUGGED
    snapshot = await rig16.backend.snapshot(CAR)
    assert (snapshot.plugged.value, snapshot.charge_state.value) == (Known.NO, ChargeState.UNPLUGGED)
    assert (await refused(rig16.submit(rig16.directive(power_w=1_000)))).code is ErrorCode.NOT_PLUGGED


async def test_a_station_of_16_is_made_to_measure_power_each_minute():
    async with plugged_in(version="1.6", meter_s=900) as rig:
        assert (await rig.peer.state())["changed"] == {
            "MeterValueSampleInterval": "60",
            "MeterValuesSampledData": "Energy.Active.Import.Register,Power.Active.Import",
        }


@pytest.mark.parametrize(("word", "code"), [("Rejected", "REJECTED_BY_VEHICLE"), ("NotSupported", "NOT_SUPPORTED")])
async def test_a_refusal_of_16_is_told_in_the_contracts_words(rig16, word, code):
    await rig16.peer.do("refuse", reason=word)
    await rig16.peer.state()
    assert (await refused(rig16.submit(rig16.directive(power_w=3_000)))).code is ErrorCode[code]


async def test_anothers_token_is_anothers_car_at_a_station_of_16():
    vehicles = {CAR: place(id_token="TAG-9")}
    async with central(vehicles=vehicles) as rig, station(rig.url, rig.clock, version="1.6") as peer:
        await peer.heard("online")
        await rig.until(lambda one: getattr(one, "reachability", None) is not None)
        while rig.backend._profiles.at(CAR)[1].v2x is None:
            await rig.backend._profiles.news(CAR)
        assert (await refused(rig.submit(rig.directive(power_w=3_000)))).code is ErrorCode.NOT_PLUGGED


@pytest.mark.parametrize(
    "text",
    [
        '[2,"x","TransactionEvent",{}]',
        '[2,"x","Heartbeat",{"extra":1}]',
        '[2,"x","StatusNotification",{"timestamp":"noon","status":"Available","errorCode":"NoError","connectorId":1}]',
        '[2,"x","StartTransaction",{"timestamp":"noon","idTag":"T","meterStart":0,"connectorId":1}]',
        '[2,"x","StartTransaction",{"timestamp":"2026-07-02T04:00:00Z","idTag":"T","meterStart":1.5,"connectorId":1}]',
        '[2,"x","StopTransaction",{"timestamp":"2026-07-02T04:00:00Z","meterStop":0,"transactionId":-1}]',
        NO_NUMBER,
        '[2,"x","DataTransfer",{"vendorId":"v"}]',
        '[3,"unasked",{}]',
        "[" * 5_000,
        "not json",
    ],
    ids=[
        "2.1",
        "extra",
        "time",
        "start-time",
        "fraction",
        "unknown-stop",
        "no-number",
        "data",
        "unasked",
        "deep",
        "no",
    ],
)
async def test_what_breaks_a_rule_of_16_changes_nothing_and_the_line_stays(rig16, text):
    await rig16.peer.do("raw", text=text)
    snapshot = await fresh(rig16)
    assert (snapshot.plugged.value, snapshot.power_w.value) == (Known.YES, 11_000)
    assert not [one for one in rig16.peer.said if "offline" in one]


async def fresh(rig):
    """A reading made now; a station may be too late with it in fast time, and is asked again."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(BackendError):
                return await rig.backend.snapshot(CAR, max_age_s=0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("given", [{"password": "another-password-"}, {"password": None}, {"id": "CP-2"}])
async def test_a_station_that_is_not_ours_stays_out(version, given):
    async with central() as rig, station(rig.url, rig.clock, version=version, **given) as peer:
        assert await peer.heard("refused") == 401
