"""What a charging point's meter tells, in every legal arrangement: the truth, or honestly nothing."""

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from ven_adapters.contract import Certainty, Directive, DirectiveKind, DirectiveState, OnCommLoss, Rung, Setting
from ven_adapters.lifecycle.transitions import Trigger
from ven_adapters.transport.ocpp21 import frames
from ven_adapters.transport.ocpp21.profiles.profile_records import ProfileRecord, advance
from ven_adapters.transport.ocpp21.stations import charging_points
from ven_adapters.transport.ocpp21.stations.charging_points import DERIVED, SOURCE, RegisteredPoint, Station
from ven_adapters.transport.ocpp21.stations.meter_values import Circuit, MeterMemory, read, stamp

NOW = datetime(2026, 9, 1, 21, 0, tzinfo=UTC)
LINES = ("L1", "L2", "L3")
PLACE = RegisteredPoint(ref="car-1", station="CP-1", usable_wh=60_000, max_charge_w=11_000, phases=3, voltage_v=230)


def entry(*samples, at=NOW):
    return {"timestamp": stamp(at), "sampledValue": list(samples)}


def sample(value, measurand, **more):
    return {"value": value, "measurand": measurand} | more


def one(*entries, circuit=Circuit()):  # noqa: B008 - frozen
    frames.check(frames.CALL, "MeterValues", {"evseId": 1, "meterValue": list(entries)})
    (found,), _ = read(entries, circuit)
    return found


IMPORT = sample(7_000, "Power.Active.Import")
EXPORT = sample(0, "Power.Active.Export")


def test_import_and_export_in_two_entries_of_one_instant_are_one_reading():
    assert one(entry(IMPORT), entry(EXPORT)).power_w == 7_000
    assert one(entry(EXPORT), entry(IMPORT)).power_w == 7_000


def test_phases_in_three_entries_of_one_instant_are_summed():
    entries = [entry(sample(3_600, "Power.Active.Import", phase=line)) for line in LINES]
    assert one(*entries).power_w == 10_800


def test_an_export_alone_is_no_power():
    assert one(entry(EXPORT)).power_w is None
    assert one(entry(sample(7_000, "Power.Active.Export"))).power_w is None


def test_an_import_of_nothing_counts_alone_until_the_meter_is_known_to_tell_exports():
    nothing = sample(0, "Power.Active.Import")
    assert one(entry(nothing)).power_w == 0
    _, memory = read([entry(IMPORT, EXPORT)], Circuit())
    (later,), _ = read([entry(nothing, at=NOW + timedelta(seconds=1))], Circuit(), memory)
    assert later.power_w is None
    assert one(entry(nothing), circuit=Circuit(gives=True)).power_w is None


def test_a_phase_that_is_missing_is_not_nothing():
    told = [sample(0, "Power.Active.Import", phase="L1")]
    assert one(entry(*told), circuit=Circuit(phases=3)).power_w is None
    _, memory = read([entry(*(sample(3_600, "Power.Active.Import", phase=line) for line in LINES))], Circuit())
    (later,), _ = read([entry(*told, at=NOW + timedelta(seconds=1))], Circuit(), memory)
    assert later.power_w is None


def test_an_instant_that_comes_in_two_messages_is_complete_with_the_second():
    memory, seen = MeterMemory(), []
    for line in LINES:
        found, memory = read([entry(sample(3_600, "Power.Active.Import", phase=line))], Circuit(phases=3), memory)
        seen += [one.power_w for one in found]
    assert seen == [None, None, 10_800]


def test_of_two_messages_of_one_second_the_later_counts_and_never_a_mixture():
    (_,), memory = read([entry(IMPORT)], Circuit())
    (later,), after = read([entry(sample(0, "Power.Active.Import"))], Circuit(), memory)
    assert later.power_w == 0
    assert read([entry(IMPORT)], Circuit(), after, late=True)[0] == []


@pytest.mark.parametrize(
    "samples",
    [
        [IMPORT, sample(0, "Power.Active.Import", context="Trigger")],
        [sample(7_000, "Power.Active.Import", unitOfMeasure={"unit": "VA"})],
        [sample(7_000, "Power.Active.Import", unitOfMeasure={"multiplier": 40})],
        [sample(7_000, "Power.Active.Import", location="EV")],
        [sample(7_000, "Power.Active.Import", location="Upstream")],
        [sample(7_000, "Power.Active.Import", phase="N")],
        [sample(-7_000, "Power.Active.Import"), sample(5_000, "Power.Active.Export")],
    ],
    ids=["contradiction", "unit", "multiplier", "car", "upstream", "neutral", "signs"],
)
def test_what_cannot_be_understood_is_no_value(samples):
    assert one(entry(*samples)).power_w is None


def test_losses_between_two_places_are_not_added_up():
    inlet = sample(7_400, "Power.Active.Import", location="Inlet")
    assert one(entry(inlet, IMPORT, EXPORT)).power_w == 7_000
    assert one(entry(inlet)).power_w == 7_400


def test_an_export_told_as_a_negative_import_is_subtracted_once():
    both = [sample(-7_000, "Power.Active.Import"), sample(7_000, "Power.Active.Export")]
    assert one(entry(*both)).power_w == one(entry(both[0])).power_w == -7_000


# Power that follows from currents and voltages.


def electric(amps, volts, amp_phases, volt_phases):
    currents = [sample(amps, "Current.Import", **({"phase": phase} if phase else {})) for phase in amp_phases]
    return entry(*currents, *(sample(volts, "Voltage", **({"phase": phase} if phase else {})) for phase in volt_phases))


L_N, L_L = ("L1-N", "L2-N", "L3-N"), ("L1-L2", "L2-L3", "L3-L1")


@pytest.mark.parametrize(
    ("told", "circuit", "watts"),
    [
        (electric(16, 230, LINES, L_N), Circuit(3, 230), 11_040),
        (electric(16, 230, LINES, LINES), Circuit(3, 230), 11_040),
        (electric(16, 230, LINES, [""]), Circuit(3, 230), 11_040),
        (electric(16, 400, LINES, L_L), Circuit(3, 230), 11_085),
        (electric(16, 400, LINES, [""]), Circuit(3, 230), 11_085),
        (electric(32, 230, ["L1"], ["L1-N"]), Circuit(1, 230), 7_360),
        (electric(32, 240, [""], [""]), Circuit(1, 240), 7_680),
        (electric(30, 240, ["L1", "L2"], ["L1-L2"]), Circuit(1, 240), 7_200),
        (electric(30, 208, ["L1", "L2"], ["L1-L2"]), Circuit(1, 240), 6_240),
        (electric(30, 120, ["L1", "L2"], ["L1-N", "L2-N"]), Circuit(1, 240), 7_200),
        (electric(16, 400, ["L1", "L2"], ["L1-L2"]), Circuit(2, 230), 7_390),
        (electric(100, 400, [""], [""]), Circuit(1, 230), 40_000),
        (electric(0, 230, LINES, ()), Circuit(3, 230), 0),
        (electric(0, 230, [""], ()), Circuit(3, 230), 0),
        (electric(16, 230, LINES, ()), Circuit(3, 230), None),
        (electric(16, 230, [""], [""]), Circuit(3, 230), None),
        (electric(16, 230, ["L1"], L_N), Circuit(1, 230), None),
        (electric(0, 230, ["L1"], L_N), Circuit(1, 230), None),
        (electric(16, 240, ["L1", "L2"], [""]), Circuit(1, 240), None),
        (electric(16, 150, LINES, [""]), Circuit(3, 230), None),
        (electric(16, 230, LINES, L_N), Circuit(3, 230, gives=True), None),
    ],
)
def test_power_follows_from_currents_and_voltages_or_stays_unknown(told, circuit, watts):
    found = one(told, circuit=circuit)
    assert (None if found.power_w is None else round(found.power_w)) == watts
    assert found.derived is (watts is not None)


def test_a_power_factor_that_is_told_is_used():
    told = electric(16, 230, LINES, L_N)
    told["sampledValue"].append(sample(0.9, "Power.Factor"))
    assert one(told, circuit=Circuit(3, 230)).power_w == pytest.approx(0.9 * 11_040)


def test_a_power_that_is_told_is_never_derived():
    told = electric(16, 230, LINES, L_N)
    told["sampledValue"] += [IMPORT, EXPORT]
    found = one(told, circuit=Circuit(3, 230))
    assert (found.power_w, found.derived) == (7_000, False)


@pytest.mark.parametrize(
    ("told", "source", "certainty"),
    [
        ([sample(0, "Power.Active.Import", phase=f"{line}-N") for line in LINES], SOURCE, Certainty.METERED),
        ([sample(0, "Current.Import", phase=line) for line in LINES], DERIVED, Certainty.VEHICLE_OBSERVED),
    ],
    ids=["power", "current"],
)
def test_an_obeyed_pause_is_confirmed_by_phases_and_by_currents_with_less_certainty(told, source, certainty):
    end = NOW + timedelta(hours=1)
    times = {"start": NOW, "end": end, "not_after": end}
    asked = Directive("d-1", "k-1", "car-1", DirectiveKind.CURTAIL, on_comm_loss=OnCommLoss.RELEASE, **times)
    record = ProfileRecord(asked, Setting(Rung.PAUSE, 0), "tx-1", 1, NOW)
    record.move(DirectiveState.ACCEPTED, Trigger.ACK)
    at = NOW + timedelta(seconds=5)
    point = dataclasses.replace(charging_points.new_point(PLACE), transaction="tx-1")
    point = charging_points.metered(point, [entry(*told, at=at)], at)
    assert point.snapshot.power_w.source == source
    assert advance(record, point, Station(connected=True, connected_at=NOW), at)
    assert (record.state, record.certainty) == (DirectiveState.IN_FORCE, certainty)
    advance(record, point, Station(connected=True), end)
    assert record.state is DirectiveState.RELEASED


# Every legal arrangement of one physical truth.


@dataclasses.dataclass(frozen=True)
class Truth:
    """One instant: amperes and volts of each line (below zero: into the grid), and what registers and battery show."""

    amps: tuple[float, ...]
    volts: tuple[float, ...]
    imported_wh: float
    exported_wh: float
    soc_pct: float

    @property
    def lines_w(self):
        return [amps * volts for amps, volts in zip(self.amps, self.volts, strict=True)]


def numbers(low, high):
    return some.floats(low, high).map(lambda value: round(value, 1))


@some.composite
def truths(draw):
    lines = draw(some.sampled_from([1, 3]))
    sign = draw(some.sampled_from([1, 1, -1]))
    amps = tuple(sign * draw(some.just(0.0) | numbers(6, 32)) for _ in range(lines))
    return Truth(
        amps,
        tuple(draw(numbers(225, 235)) for _ in range(lines)),
        draw(numbers(0, 9e6)),
        draw(numbers(0, 9e6)),
        draw(numbers(0, 100)),
    )


def phase_names(draw, lines):
    return [draw(some.sampled_from([line, f"{line}-N"])) for line in LINES[:lines]]


def quantity(draw, truth, measurand, parts):
    """One measurand of additive quantities: as a total, as phases, or as both."""
    lines, how = len(truth.amps), draw(some.sampled_from(["total", "phases", "both"]))
    out = [] if how == "phases" else [(measurand, None, sum(parts))]
    names = phase_names(draw, lines)
    return out if how == "total" else out + [(measurand, *pair) for pair in zip(names, parts, strict=True)]


@some.composite
def arrangements(draw):
    """A truth with the meter values of it, cut into messages."""
    truth, told = draw(truths()), []
    lines = len(truth.amps)
    exports = draw(some.booleans()) or any(amps < 0 for amps in truth.amps)
    if draw(some.booleans()):
        told += quantity(draw, truth, "Power.Active.Import", [max(0.0, one) for one in truth.lines_w])
        told += (
            quantity(draw, truth, "Power.Active.Export", [max(0.0, -one) for one in truth.lines_w]) if exports else []
        )
    if draw(some.booleans()):
        names = phase_names(draw, lines)
        told += [("Current.Import", *pair) for pair in zip(names, [max(0.0, a) for a in truth.amps], strict=True)]
        if exports:
            told += [("Current.Export", *pair) for pair in zip(names, [max(0.0, -a) for a in truth.amps], strict=True)]
    if draw(some.booleans()):
        told += [("Voltage", *pair) for pair in zip(phase_names(draw, lines), truth.volts, strict=True)]
    shares = [truth.imported_wh / lines] * lines
    told += quantity(draw, truth, "Energy.Active.Import.Register", shares) if draw(some.booleans()) else []
    told += [("Energy.Active.Export.Register", None, truth.exported_wh)] if draw(some.booleans()) else []
    told += [("SoC", None, truth.soc_pct)] if draw(some.booleans()) else []
    assume(told)
    place = draw(some.sampled_from([None, "Outlet", "Inlet", "Body", "Cable"]))
    context = draw(some.sampled_from([None, "Sample.Periodic", "Trigger", "Transaction.Begin", "Other"]))
    samples = [rendered(draw, *one, place, context) for one in draw(some.permutations(told))]  # type: ignore[call-arg]
    entries, left = [], samples
    while left:
        size = draw(some.integers(1, len(left)))
        entries, left = [*entries, entry(*left[:size])], left[size:]
    cuts = sorted(draw(some.lists(some.integers(0, len(entries)), max_size=3)))
    bounds = [0, *cuts, len(entries)]
    return truth, [entries[a:b] for a, b in itertools.pairwise(bounds) if a < b]


UNITS = {
    "Power": ("W", 1.0, "kW"),
    "Energy": ("Wh", 1.0, "kWh"),
    "Current": ("A",),
    "Voltage": ("V",),
    "SoC": ("Percent",),
}


def rendered(draw, measurand, phase, value, place, context):
    base, *kilo = UNITS[measurand.split(".")[0]]
    unit = draw(some.sampled_from([None, base, *([kilo[-1]] if kilo else [])]))
    shift = draw(some.sampled_from([0, 0, -3, 3]))
    scaled = value / (1_000 if unit and unit.startswith("k") else 1) / 10**shift
    measure = ({"unit": unit} if unit else {}) | ({"multiplier": shift} if shift else {})
    at = "EV" if measurand == "SoC" else place
    more = {"unitOfMeasure": measure or None, "phase": phase, "location": at, "context": context}
    name = {} if measurand == "Energy.Active.Import.Register" and draw(some.booleans()) else {"measurand": measurand}
    return {"value": scaled} | name | {key: one for key, one in more.items() if one is not None}


@given(arrangements())
def test_whatever_the_arrangement_a_reading_is_the_truth_or_absent(arranged):
    truth, messages = arranged
    circuit, memory = Circuit(len(truth.amps), 230, gives=any(amps < 0 for amps in truth.amps)), MeterMemory()
    told = {
        "power_w": sum(truth.lines_w),
        "imported_wh": truth.imported_wh,
        "exported_wh": truth.exported_wh,
        "soc_pct": truth.soc_pct,
    }
    for message in messages:
        frames.check(frames.CALL, "MeterValues", {"evseId": 1, "meterValue": message})
        found, memory = read(message, circuit, memory)
        for name, value in told.items():
            assert all(getattr(one, name) in (None, pytest.approx(value, rel=1e-3, abs=0.5)) for one in found), name


@given(arrangements())
def test_a_whole_instant_in_one_message_is_read_wherever_power_is_told(arranged):
    truth, messages = arranged
    entries = [one for message in messages for one in message]
    measurands = {one.get("measurand") for entry in entries for one in entry["sampledValue"]}
    (found,), _ = read(entries, Circuit(len(truth.amps), 230))
    wanted = {"Power.Active.Import"} <= measurands or {"Current.Import", "Voltage"} <= measurands
    assert (found.power_w is not None) or not wanted
    assert found.derived is (found.power_w is not None and "Power.Active.Import" not in measurands)
