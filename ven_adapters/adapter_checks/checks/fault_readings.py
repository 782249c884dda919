"""Field faults of readings: stale, impossible, flapping, coarse, and of clocks that are wrong."""

from datetime import timedelta

from ven_adapters.adapter_checks.bench import Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.adapter_checks.checks.reads import BOUNDS, readings, usable
from ven_adapters.contract import FINAL_STATES, BackendError, ChargeState, ErrorCode, Validity
from vtn.checking.verdict import Skipped, expect

OLD = timedelta(minutes=5)
AHEAD = timedelta(minutes=10)
OLDEST_YEAR = 2000
COARSE_W = 600.0
CLOSE = 0.03
READS = 4


@check(Group.FAULTS, "field fault 7", fault="stale_telemetry")
async def a_stale_reading_tells_its_age(bench: Bench) -> None:
    """A car that sends nothing new keeps the old observed_at, or is refused; an old value is never stamped as new."""
    ref = bench.stage.refs[0]
    await bench.snapshot(ref)
    bench.stage.arm("stale_telemetry", ref)
    await bench.stage.advance(420.0)
    try:
        snapshot = await bench.snapshot(ref)
    except BackendError as error:
        stale = {ErrorCode.STALE_TELEMETRY, ErrorCode.UNREACHABLE, ErrorCode.ASLEEP}
        expect(error.code in stale, f"{error.code}, not STALE_TELEMETRY")
        return
    level = snapshot.soc_pct
    if level is None:
        return
    age = bench.clock.now() - level.observed_at
    expect(age >= OLD, f"a reading from at least seven minutes ago is told to be {age.total_seconds():.0f} s old")


@check(Group.FAULTS, "field fault 8", fault="sentinel")
async def an_impossible_value_is_no_value(bench: Bench) -> None:
    """255 % or a date in 1970 is marked SENTINEL or left out, never told as a charge level."""
    bench.stage.arm("sentinel")
    for _ in range(READS):
        for ref in bench.stage.refs:
            for name, reading in readings(await bench.snapshot(ref)):
                if reading.validity is Validity.SENTINEL:
                    continue
                low, high = BOUNDS.get(name, (None, None))
                fits = low is None or high is None or low <= reading.value <= high
                expect(fits, f"{name}: {reading.value} is told as a value")
                expect(reading.observed_at.year >= OLDEST_YEAR, f"{name}: {reading.observed_at.year} is told as a year")
        await bench.stage.advance(61.0)


@check(Group.FAULTS, "field fault 9", fault="plug_flaps")
async def a_flapping_plug_ends_nothing(bench: Bench) -> None:
    """While the plug flag flaps a directive in force is not ended, and the charge state is not made up from it."""
    directive = bench.directive(await bench.pausable(), minutes=120)
    await bench.in_force(directive)
    bench.stage.arm("plug_flaps", directive.vehicle_ref)
    state = usable((await bench.snapshot(directive.vehicle_ref)).charge_state)
    status = await bench.status(directive)
    bench.stage.disarm()
    expect(state is not ChargeState.UNPLUGGED, "charge_state UNPLUGGED is made up from the plug flag")
    expect(status.state not in FINAL_STATES, f"a plug flag that flapped once made the directive {status.state}")


@check(Group.FAULTS, "field fault 22", fault="coarse_power")
async def coarse_power_can_be_mended(bench: Bench) -> None:
    """Power in whole kilowatts is mended from current and voltage, or both stand beside it."""
    ref = bench.stage.refs[0]
    bench.stage.arm("coarse_power", ref)
    await bench.stage.advance(60.0)
    snapshot, true_w = await bench.snapshot(ref), bench.stage.truth(ref).power_w
    told_w = usable(snapshot.power_w)
    amps, volts = usable(snapshot.current_a), usable(snapshot.voltage_v)
    if told_w is None:
        raise Skipped("the car tells no power")
    exact = None if amps is None or volts is None else amps * volts * (usable(snapshot.phases) or 1)
    near = [w for w in (told_w, exact) if w is not None and abs(w - true_w) <= CLOSE * abs(true_w)]
    expect(abs(told_w - true_w) <= COARSE_W, f"{told_w:.0f} W are told, the car draws {true_w:.0f} W")
    expect(near, f"neither {told_w:.0f} W nor current and voltage come near the {true_w:.0f} W that flow")


@check(Group.FAULTS, "field fault 26", fault="clock_skew")
async def an_observation_from_the_future_is_not_used(bench: Bench) -> None:
    """A car whose clock runs hours ahead is told with a SENTINEL, or set right; never as seen in the future."""
    bench.stage.arm("clock_skew")
    await bench.stage.advance(60.0)
    for ref in bench.stage.refs:
        try:
            snapshot = await bench.snapshot(ref)
        except BackendError as error:
            expect(error.code is ErrorCode.STALE_TELEMETRY, f"{error.code}, not STALE_TELEMETRY")
            continue
        for name, reading in readings(snapshot):
            ahead = reading.observed_at - bench.clock.now()
            honest = reading.validity is Validity.SENTINEL or ahead <= AHEAD
            expect(honest, f"{name}: is told to be seen {ahead.total_seconds() / 3600:.1f} h from now")
