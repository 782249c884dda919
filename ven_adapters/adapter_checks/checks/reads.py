"""Reads: cars, capabilities and snapshots, their units and their instants."""

import dataclasses
import functools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ven_adapters.adapter_checks.bench import Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.contract import (
    Capability,
    ChargeState,
    ChecksSetup,
    ErrorCode,
    Known,
    Reading,
    Snapshot,
    Validity,
)
from vtn.checking.verdict import Skipped, expect

MOST_READ = 5
SOON = timedelta(seconds=2)
PERCENT = (0.0, 100.0)
SOC_SLACK_PCT = 2.0
POWER_SLACK_W = 600.0

# What a reading may hold at most, and at least, in the contract's units.
BOUNDS = {
    "soc_pct": PERCENT,
    "limit_soc_pct": PERCENT,
    "power_w": (-400_000.0, 400_000.0),
    "current_a": (0.0, 1_000.0),
    "voltage_v": (0.0, 1_000.0),
    "phases": (1, 3),
    "limit_current_a": (0.0, 1_000.0),
    "energy_added_wh": (0.0, 1e9),
    "energy_exported_wh": (0.0, 1e9),
    "time_to_complete_s": (0.0, 14 * 86_400.0),
}


def readings(snapshot: Snapshot) -> Iterator[tuple[str, Reading[Any]]]:
    """Every reading of a snapshot by its name."""
    for field in dataclasses.fields(snapshot):
        value = getattr(snapshot, field.name)
        if isinstance(value, Reading):
            yield field.name, value


def usable(reading: Reading[Any] | None) -> Any:
    """The value of a reading that may be used, or None."""
    return reading.value if reading is not None and reading.validity is not Validity.SENTINEL else None


@check(Group.READS, "VehicleBackend.vehicles", staged=False)
async def every_car_is_listed_once(bench: Bench) -> None:
    """vehicles() lists every enrolled car once, by a name that is no VIN."""
    refs = await bench.refs()
    expect(len(refs) == len(set(refs)), "a car is listed twice")
    expect(all(isinstance(ref, str) and ref for ref in refs), "a car has no name")


@check(Group.READS, "VehicleBackend.vehicles")
async def no_car_is_missing(bench: Bench) -> None:
    """vehicles() lists the cars that are enrolled, and no other."""
    refs = sorted(await bench.refs())
    expect(refs == sorted(bench.stage.refs), f"{len(refs)} cars are listed, {len(bench.stage.refs)} are enrolled")


@check(Group.READS, "ChecksSetup.setup_faults", staged=False)
async def no_set_up_is_told_to_be_missing(bench: Bench) -> None:
    """The adapter tells of nothing that is missing at the automaker's before cars can be commanded and read."""
    if isinstance(bench.adapter, ChecksSetup):
        await bench.refs()
        found = await bench.call(bench.adapter.setup_faults())
        told = "; ".join(f"{one.vehicle_ref or 'every car'} {one.sentence}" for one in found[:MOST_READ])
        expect(not found, f"{len(found)} things are missing: {told}")


@check(Group.READS, "Capability", staged=False)
async def a_capability_record_makes_sense(bench: Bench) -> None:
    """capabilities() answers in watts, watt-hours, amperes and percent that a car can have."""
    for ref in (await bench.refs())[:MOST_READ]:
        wrong = _nonsense(await bench.capability(ref))
        expect(not wrong, f"the capability of a car: {wrong}")


def _nonsense(told: Capability) -> str:
    rules = {
        "usable_wh: 5,000 to 400,000 Wh": 5_000 <= told.usable_wh <= 400_000,  # noqa: PLR2004 - a car's battery
        "max_charge_w: 500 to 400,000 W": 500 <= told.max_charge_w <= 400_000,  # noqa: PLR2004 - a socket to a station
        "phases: 1 to 3": told.phases in {1, 2, 3},
        "voltage_v: 100 to 1,000 V": 100 <= told.voltage_v <= 1_000,  # noqa: PLR2004 - phase to neutral, or DC
        "latency_typical_s: not above latency_p99_s": 0 <= told.latency_typical_s <= told.latency_p99_s,
        "telemetry_floor_s: not negative": told.telemetry_floor_s >= 0,
        "current: 0 < min_a <= max_a, choices between them": _currents(told),
        "limit_soc: 0 <= min_pct < max_pct <= 100, a step": _targets(told),
        "discharge: 0 <= min_discharge_w <= max_discharge_w": _discharges(told),
    }
    return "; ".join(rule for rule, holds in rules.items() if not holds)


def _currents(told: Capability) -> bool:
    given = told.current
    if given is None:
        return True
    inside = all(given.min_a <= choice <= given.max_a for choice in given.choices_a)
    return 0 < given.min_a <= given.max_a and given.step_a > 0 and inside


def _targets(told: Capability) -> bool:
    given = told.limit_soc
    return given is None or (0 <= given.min_pct < given.max_pct <= PERCENT[1] and given.step_pct > 0)


def _discharges(told: Capability) -> bool:
    given = told.discharge
    return given is None or (0 <= given.min_discharge_w <= given.max_discharge_w and given.max_discharge_w > 0)


@check(Group.READS, "Snapshot", staged=False)
async def every_reading_tells_when_the_car_saw_it(bench: Bench) -> None:
    """Each value of a snapshot has observed_at <= received_at <= now, both in UTC."""
    for ref in (await bench.refs())[:MOST_READ]:
        snapshot = await bench.snapshot(ref, None)
        expect(snapshot.vehicle_ref == ref, "the snapshot is another car's")
        for name, reading in readings(snapshot):
            for instant in (reading.observed_at, reading.received_at):
                expect(instant.utcoffset() == timedelta(0), f"{name}: an instant is not in UTC")
            expect(reading.observed_at <= reading.received_at, f"{name}: was received before it was observed")
            expect(reading.received_at <= bench.clock.now() + SOON, f"{name}: was received in the future")


@check(Group.READS, "Snapshot", staged=False)
async def units_are_the_contracts(bench: Bench) -> None:
    """Percent lie in 0..100, powers in watts, energies in watt-hours; what does not fit is a SENTINEL."""
    told = 0
    for ref in (await bench.refs())[:MOST_READ]:
        for name, reading in readings(await bench.snapshot(ref, None)):
            told += 1
            if name in BOUNDS and reading.validity is not Validity.SENTINEL:
                low, high = BOUNDS[name]
                expect(low <= reading.value <= high, f"{name}: {reading.value} is outside {low:g}..{high:g}")
    expect(told, "no snapshot has a single reading")


@check(Group.READS, "Snapshot")
async def readings_agree_with_the_car(bench: Bench) -> None:
    """A snapshot tells the level, the plug, the state and the power that the car has, + into the car."""
    for ref in bench.stage.refs:
        snapshot, truth = await bench.snapshot(ref), bench.stage.truth(ref)
        level, power_w = usable(snapshot.soc_pct), usable(snapshot.power_w)
        expect(level is not None, "soc_pct: is not told of a car that is awake")
        expect(abs(level - truth.soc_pct) <= SOC_SLACK_PCT, f"soc_pct: {level}, the car has {truth.soc_pct:.1f}")
        expect(usable(snapshot.plugged) is Known.YES, "plugged: is not yes for a car that is plugged in")
        expect(usable(snapshot.charge_state) is ChargeState.CHARGING, "charge_state: is not CHARGING")
        if power_w is not None:
            off = abs(power_w - truth.power_w)
            expect(off <= POWER_SLACK_W, f"power_w: {power_w:g}, the car draws {truth.power_w:.0f}")


@check(Group.READS, "VehicleBackend.snapshot")
async def a_reading_that_is_too_old_is_taken_anew(bench: Bench) -> None:
    """snapshot(max_age_s=0) of a car that is awake is newer than the reading before."""
    ref = bench.stage.refs[0]
    before = await bench.snapshot(ref)
    await bench.stage.advance(300.0)
    after = await bench.snapshot(ref)
    old, new = newest(before), newest(after)
    expect(new is not None and old is not None and new > old, "the reading was not taken anew")


def newest(snapshot: Snapshot) -> Any:
    """The newest observation in a snapshot, or None."""
    return max((reading.observed_at for _, reading in readings(snapshot)), default=None)


@check(Group.READS, "Snapshot")
async def energy_counters_follow_the_car(bench: Bench) -> None:
    """energy_added_wh grows by what the car took in."""
    ref = bench.stage.refs[0]
    before, true_before = usable((await bench.snapshot(ref)).energy_added_wh), bench.stage.truth(ref).charged_wh
    if before is None:
        raise Skipped("the car tells no energy_added_wh")
    await bench.stage.advance(1_200.0)
    after, true_after = usable((await bench.snapshot(ref)).energy_added_wh), bench.stage.truth(ref).charged_wh
    told_wh, true_wh = after - before, true_after - true_before
    slack_wh = 0.25 * true_wh + 50.0
    expect(abs(told_wh - true_wh) <= slack_wh, f"energy_added_wh grew by {told_wh:.0f}, the car took {true_wh:.0f} Wh")


@check(Group.READS, "ErrorCode.INVALID_REQUEST", staged=False)
async def an_unknown_car_is_an_invalid_request(bench: Bench) -> None:
    """capabilities(), snapshot() and status() of a car that is not enrolled are INVALID_REQUEST and not retryable."""
    for what, ask in (
        ("capabilities", bench.adapter.capabilities),
        ("snapshot", bench.adapter.snapshot),
        ("status", functools.partial(bench.adapter.status, directive_id="kit-none")),
    ):
        error = await bench.refused(ask("nobody-0000"), f"{what} of an unknown car")
        expect(error.code is ErrorCode.INVALID_REQUEST, f"{what}: {error.code}, not INVALID_REQUEST")


@check(Group.READS, "ErrorCode.INVALID_REQUEST", staged=False)
async def an_unknown_directive_is_an_invalid_request(bench: Bench) -> None:
    """status() and cancel() of a directive that was never submitted are INVALID_REQUEST."""
    ref = (await bench.refs())[0]
    for what, ask in (("status", bench.adapter.status), ("cancel", bench.adapter.cancel)):
        error = await bench.refused(ask(ref, "kit-none"), f"{what} of an unknown directive")
        expect(error.code is ErrorCode.INVALID_REQUEST, f"{what}: {error.code}, not INVALID_REQUEST")
