"""Each fault alone, as the interface shows it: status, body, delay, a wrong or missing field. Over real HTTP."""

import asyncio
import contextlib
from datetime import datetime, timedelta

import aiohttp
import orjson
import pytest
from fault_rig import PAUSE, playing

from ven_adapters.contract import DirectiveKind, OnCommLoss, Rung, Setting
from ven_adapters.simulator.faults.table import BY_NAME, FAULTS, FIELD_RATES, parse_faults
from vtn.errors import ConfigError

LOW_CURRENT = Setting(Rung.CURRENT, 1_440, current_a=6)
FULL = Setting(Rung.RESUME, 9_600)
SETTLED = 30


def at(text):
    return datetime.fromisoformat(text)


async def first_charging(cloud):
    return cloud.cars()[0]


async def in_force(cloud, car, setting=PAUSE, kind=DirectiveKind.CURTAIL, **more):
    """A directive that the backend says is in force."""
    directive, status, body = await cloud.put(car, setting, kind, **more)
    assert status == 202, body
    for _ in range(90):
        await cloud.passes(1)
        if await cloud.state(car, directive) == "IN_FORCE":
            return directive
    raise AssertionError(await cloud.state(car, directive))


def test_the_table_has_every_number_of_the_survey():
    assert {fault.number for fault in FAULTS} == set(range(1, 27))
    assert len(BY_NAME) == len(FAULTS)


@pytest.mark.parametrize(
    ("words", "rates"),
    [
        (["asleep"], {"asleep": FIELD_RATES["asleep"]}),
        (["asleep=0.5", "sentinel=1"], {"asleep": 0.5, "sentinel": 1.0}),
        (["all"], dict(FIELD_RATES)),
        (["all=0", "delayed=1"], dict.fromkeys(FIELD_RATES, 0.0) | {"delayed": 1.0}),
    ],
)
def test_faults_are_named_with_their_rates(words, rates):
    assert parse_faults(words) == rates


@pytest.mark.parametrize("word", ["sleepy", "asleep=2", "asleep=x", "asleep=-1"])
def test_an_unknown_fault_or_rate_is_refused_by_name(word):
    with pytest.raises(ConfigError, match=r"asleep|sleepy"):
        parse_faults([word])


async def test_the_same_seed_gives_the_same_faults_and_another_seed_others():
    async def who(seed):
        async with playing("ford", {"clock_skew": 0.5, "stale_telemetry": 0.5}, seed=seed) as cloud:
            return cloud.cloud.fault_state.lag_s.tolist()

    assert await who(1) == await who(1) != await who(2)


async def test_1_a_sleeping_car_answers_asleep_with_its_last_reading():
    async with playing("ford", {"asleep": 1.0}) as cloud:
        car = next(car for car in cloud.cars(charging=False) if cloud.cloud.asleep[car])
        status, body, _ = await cloud.get(car, "snapshot", max_age_s="0")
        assert (status, orjson.loads(body)["code"]) == (409, "ASLEEP")
        assert orjson.loads(body)["snapshot"]["plugged"]["value"] == "yes"


async def test_2_a_silent_start_is_told_in_force_and_moves_nothing():
    async with playing("ford", {"silent_start": 1.0}) as cloud:
        car = await first_charging(cloud)
        await in_force(cloud, car)
        assert cloud.power_w(car) == 0.0
        await in_force(cloud, car, FULL, DirectiveKind.CHARGE)
        assert cloud.power_w(car) == 0.0


async def test_3_a_deeply_sleeping_car_is_unreachable_until_somebody_touches_the_cable():
    async with playing("ford", {"deep_sleep": 1.0}) as cloud:
        sleeping = [car for car in cloud.cars(charging=False) if cloud.cloud.fault_state.unheard[car]]
        _, status, body = await cloud.put(sleeping[0], FULL, DirectiveKind.RELEASE)
        problem = orjson.loads(body)
        assert (status, problem["code"], problem["may_have_happened"]) == (409, "UNREACHABLE", True)
        cloud.cloud.plug_changed(sleeping[0])
        assert (await cloud.put(sleeping[0], FULL, DirectiveKind.RELEASE))[1] == 202


async def test_4_a_rate_limit_names_the_time_to_wait():
    async with playing("bmw", {"rate_limited": 1.0}) as cloud:
        car = await first_charging(cloud)
        _, status, body = await cloud.put(car)
        assert status == 429
        assert 15 <= orjson.loads(body)["retry_after_s"] <= 45


async def test_5_a_car_that_is_read_too_often_off_its_plug_goes_flat():
    async with playing("ford", {"polling_drain": 1.0}) as cloud:
        car = next(car for car in range(120) if not cloud.cloud.world.plugged[car])
        codes = [(await cloud.get(car, "snapshot", max_age_s="0"))[0] for _ in range(14)]
        assert codes[0] == 200
        assert codes[-1] == 409


async def test_6_the_answer_to_a_write_is_lost_whether_or_not_it_was_done():
    # One minute of simulated time takes a minute, so that every draw falls into the same one: none is left to luck.
    async with playing("ford", {"lost_answer": 1.0}, speed=1.0) as cloud:
        seen = set()
        for car in cloud.cars(pausable=True)[:24]:
            status, body = None, b""
            with contextlib.suppress(aiohttp.ClientError):
                _, status, body = await cloud.put(car)
            known = (await cloud.get(car, f"directives/d-{cloud.number}"))[0] == 200
            assert status in {None, 500}
            assert body == b""
            seen.add((status, known))
        assert seen == {(None, True), (500, True), (500, False)}


async def test_7_stale_telemetry_says_how_old_it_is():
    async with playing("ford", {"stale_telemetry": 1.0}) as cloud:
        car = max(cloud.cars(), key=lambda car: cloud.cloud.fault_state.lag_s[car])
        before = await cloud.snapshot(car)
        await cloud.passes(SETTLED)
        after = await cloud.snapshot(car, max_age_s="0")
        assert after["soc_pct"]["observed_at"] == before["soc_pct"]["observed_at"]


async def test_8_a_level_may_be_a_sentinel_or_missing():
    async with playing("ford", {"sentinel": 1.0}) as cloud:
        levels = [(await cloud.snapshot(car)).get("soc_pct") for car in range(60)]
        assert any(level is None for level in levels)
        assert any(level and level["value"] == 255 for level in levels)
        assert any(level and at(level["observed_at"]).year == 1970 for level in levels)


async def test_9_the_plug_flag_flaps_while_the_state_stays():
    async with playing("ford", {"plug_flaps": 1.0}) as cloud:
        snapshot = await cloud.snapshot(await first_charging(cloud))
        assert (snapshot["plugged"]["value"], snapshot["charge_state"]["value"]) == ("no", "CHARGING")


async def test_10_a_pulled_cable_interrupts_the_directive():
    async with playing("ford", {"unplugged": 1.0}) as cloud:
        car = await first_charging(cloud)
        directive = await in_force(cloud, car, minutes=150)
        await cloud.passes(50)
        assert await cloud.state(car, directive) in {"INTERRUPTED", "IN_FORCE"}
        assert cloud.truth["faults"]["unplugged"]["cars"] == 1


async def test_11_a_limit_without_effect_leaves_the_car_at_its_least_current():
    async with playing("ford", {"no_effect": 1.0}) as cloud:
        car = await first_charging(cloud)
        await in_force(cloud, car)
        assert cloud.power_w(car) == cloud.cloud.world.packs.min_charge_w[car] > 0


async def test_12_a_low_current_needs_two_sends_and_is_forgotten_with_the_cable():
    async with playing("ford", {"amps_need_two_sends": 1.0}) as cloud:
        car = next(car for car in cloud.cars() if cloud.cloud.fleet.voltage_v[car] == 240)
        status, body, _ = await cloud.get(car, "capabilities")
        assert (status, orjson.loads(body)["current"]["resets_on_replug"]) == (200, True)
        full_w = cloud.power_w(car)
        await in_force(cloud, car, LOW_CURRENT, DirectiveKind.CAP, power_w=1_500)
        assert cloud.power_w(car) == pytest.approx(full_w, rel=0.1)
        await in_force(cloud, car, LOW_CURRENT, DirectiveKind.CAP, power_w=1_500)
        assert cloud.power_w(car) == 1_440
        cloud.cloud.plug_changed(car)
        await cloud.passes(2)
        assert cloud.power_w(car) > 3_000


async def test_13_a_car_that_cannot_resume_says_so_and_stays_stopped():
    async with playing("ford", {"cannot_resume": 1.0}) as cloud:
        told = {}
        for car in cloud.cars():
            told[car] = orjson.loads((await cloud.get(car, "capabilities"))[1])
        assert not any(one["can_resume_after_stop"] for one in told.values())
        assert {one["can_stop"] for one in told.values()} == {True, False}
        car = next(car for car, one in told.items() if one["can_stop"])
        await in_force(cloud, car, minutes=20)
        await cloud.passes(40)
        assert cloud.power_w(car) == 0.0


async def test_14_a_car_that_is_stopped_too_often_blocks_until_plugged_in_again():
    async with playing("ford", {"blocks_after_stops": 1.0}) as cloud:
        car, world = await first_charging(cloud), cloud.cloud.world
        fault_state = cloud.cloud.fault_state
        assert not any(fault_state.blocks(car, stops=True) for _ in range(10))
        await in_force(cloud, car, minutes=15)
        await cloud.passes(25)
        assert cloud.power_w(car) == 0.0
        cloud.cloud.plug_changed(car)
        await cloud.passes(2)
        assert world.power_w[car] > 0.0


async def test_15_another_applications_schedule_refuses_for_three_hours():
    async with playing("ford", {"schedule_clobbered": 1.0}) as cloud:
        answers = [await cloud.put(car) for car in cloud.cars()]
        conflicts = [orjson.loads(body) for _, status, body in answers if status == 409]
        assert {problem["code"] for problem in conflicts} == {"SCHEDULE_CONFLICT"}
        assert any(status == 202 for _, status, _ in answers)


async def test_16_a_car_charges_again_by_itself_and_is_told_in_force():
    async with playing("ford", {"restarts_itself": 1.0}) as cloud:
        car = await first_charging(cloud)
        directive = await in_force(cloud, car, minutes=90)
        await cloud.passes(25)
        assert cloud.power_w(car) > 0.0
        assert await cloud.state(car, directive) == "IN_FORCE"


async def test_17_a_car_elsewhere_is_refused_and_says_no_or_nothing():
    async with playing("ford", {"wrong_location": 1.0}) as cloud:
        told = {(await cloud.snapshot(car))["at_site"]["value"] for car in cloud.cars()}
        assert told == {"no", "unknown"}
        _, status, body = await cloud.put(await first_charging(cloud))
        assert (status, orjson.loads(body)["code"]) == (422, "NOT_AT_SITE")


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [("token_revoked", 401, "application/problem+json"), ("path_gone", 410, "text/html")],
)
async def test_18_and_19_a_car_is_lost_for_good_from_some_instant_on(name, status, kind):
    async with playing("ford", {name: 1.0}) as cloud:
        answers = [await cloud.get(car, "snapshot") for car in range(60)]
        lost = [headers["Content-Type"] for code, _, headers in answers if code == status]
        assert len(lost) < len(answers)
        assert all(content.startswith(kind) for content in lost)
        assert lost


async def test_20_a_delayed_command_is_obeyed_minutes_later():
    async with playing("ford", {"delayed": 1.0}) as cloud:
        car = await first_charging(cloud)
        directive, status, _ = await cloud.put(car)
        assert status == 202
        await cloud.passes(4)
        assert await cloud.state(car, directive) == "ACCEPTED"
        await cloud.passes(14)
        assert await cloud.state(car, directive) == "IN_FORCE"


async def test_21_a_current_flows_on_three_phases():
    async with playing("ford", {"three_phase": 1.0}) as cloud:
        car = next(car for car in cloud.cars() if cloud.cloud.world.power_w[car] > 6_000)
        await in_force(cloud, car, LOW_CURRENT, DirectiveKind.CAP, power_w=1_500)
        assert cloud.power_w(car) == 3 * 1_440
        snapshot = await cloud.snapshot(car, max_age_s="0")
        assert snapshot["phases"]["value"] == 3
        assert snapshot["current_a"]["value"] == pytest.approx(6.0, abs=0.1)


async def test_22_power_comes_in_whole_kilowatts_beside_an_exact_current():
    async with playing("ford", {"coarse_power": 1.0}) as cloud:
        car = next(car for car in cloud.cars() if cloud.cloud.world.power_w[car] % 1_000)
        snapshot = await cloud.snapshot(car)
        assert snapshot["power_w"]["value"] % 1_000 == 0
        exact_w = snapshot["current_a"]["value"] * snapshot["voltage_v"]["value"]
        assert exact_w == pytest.approx(cloud.cloud.world.power_w[car], rel=0.05)


@pytest.mark.parametrize("name", ["override", "opt_out"])
async def test_23_a_driver_takes_over_and_further_directives_are_refused(name):
    async with playing("ford", {name: 1.0}) as cloud:
        car = await first_charging(cloud)
        directive = await in_force(cloud, car, minutes=120)
        await cloud.passes(50)
        assert await cloud.state(car, directive) == "OVERRIDDEN"
        _, status, body = await cloud.put(car)
        assert (status, orjson.loads(body)["code"]) == (422, "USER_OVERRIDE")


async def test_24_a_backend_takes_a_discharge_that_it_should_refuse():
    async with playing("nissan", {"unguarded_discharge": 1.0}, cars=400) as cloud:
        fleet = cloud.cloud.fleet
        bait = next(car for car in cloud.cars(charging=False) if fleet.max_discharge_w[car] and fleet.papers[car])
        give = Setting(Rung.POWER, -2_000)
        asked = {"power_w": -2_000, "on_comm_loss": OnCommLoss.STOP}
        await in_force(cloud, bait, give, DirectiveKind.SETPOINT, minutes=30, **asked)
        await cloud.passes(2)
        assert cloud.truth["unauthorised_discharges"] == 1


async def test_25_the_state_says_stopped_while_power_flows():
    async with playing("ford", {"meter_disagrees": 1.0}) as cloud:
        car = await first_charging(cloud)
        await in_force(cloud, car)
        snapshot = await cloud.snapshot(car, max_age_s="0")
        assert snapshot["charge_state"]["value"] == "PAUSED_BY_DIRECTIVE"
        assert snapshot["power_w"]["value"] > 1_000


async def test_26_instants_are_off_by_a_time_zone_or_run_ahead():
    async with playing("ford", {"clock_skew": 1.0}) as cloud:
        now = cloud.clock.now()
        seen = [at((await cloud.snapshot(car))["soc_pct"]["observed_at"]) for car in range(60)]
        off = {round((one - now) / timedelta(hours=1)) for one in seen}
        assert off == {-7, 0, 7}


async def test_every_fault_at_once_still_answers_in_the_contracts_words():
    async with playing("ford", dict(FIELD_RATES) | {"lost_answer": 0.0, "path_gone": 0.0}) as cloud:
        answers = await asyncio.gather(*(cloud.put(car) for car in range(120)))
        bodies = [orjson.loads(body) for _, _, body in answers]
        assert all("code" in body or "state" in body for body in bodies)
