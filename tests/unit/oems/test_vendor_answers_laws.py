"""No number comes out of a vendor's answer that is not in it: whatever members of a full answer are missing or null."""

import dataclasses
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import recording

from ven_adapters.contract import (
    BackendError,
    Capability,
    ChargeState,
    CurrentControl,
    Directive,
    DirectiveKind,
    ErrorCode,
    Known,
    Reading,
    Rung,
    Snapshot,
)
from ven_adapters.oems import bmw_cardata, enode_shapes, ford_query, smartcar_shapes
from ven_adapters.oems.tesla import shapes as tesla_shapes
from ven_adapters.transport.http.codec import load
from ven_adapters.transport.readings import vocabulary
from ven_adapters.transport.readings.second_source import newest
from ven_adapters.transport.readings.vendor_readings import age_s, pick

NOW = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)
AT = NOW - timedelta(minutes=2)
STAMP, MILLIS = AT.isoformat(), round(AT.timestamp() * 1000)
HOME = (0.0, 0.0)
NO_CLAIM = (Known.UNKNOWN, ChargeState.UNKNOWN)
MISSING = object()
BMW = "vehicle.drivetrain.electricEngine.charging"
HEADER = "vehicle.drivetrain.batteryManagement.header"
SHOWN = "vehicle.powertrain.electric.battery.stateOfCharge.displayed"


def tesla_answer():
    raw = recording("tesla", "vehicle_data")["body"]["response"]
    for part in ("charge_state", "drive_state", "vehicle_config"):
        raw[part]["timestamp"] = MILLIS
    return raw


def smartcar_answer():
    raw = recording("smartcar", "signals")["body"]
    signals = {one["attributes"]["code"]: {"body": one["attributes"]["body"], "at": STAMP} for one in raw["data"]}
    signals["charge-amperagerequested"] = {"body": {"unit": "amperes", "value": 32}, "at": STAMP}
    return signals


def smartcar_seen(signals):
    def listed(code, one):
        attributes = {"code": code, "body": one.get("body")}
        return {"attributes": attributes, "meta": {"oemUpdatedAt": one.get("at")}}

    found = [listed(code, one) for code, one in signals.items() if one is not None]
    return smartcar_shapes.snapshot_of_signals("s", smartcar_shapes.signals_of({"data": found}), NOW)


def enode_answer():
    raw = recording("enode", "vehicle")["body"]
    raw["lastSeen"] = raw["chargeState"]["lastUpdated"] = raw["location"]["lastUpdated"] = STAMP
    return raw


def bmw_answer():
    raw = recording("bmw", "telematic_data")["body"]["telematicData"]
    for name, value, unit in (("acAmpere", "15", "A"), ("acVoltage", "231", "V"), ("phaseNumber", "3-PHASES", None)):
        raw[f"{BMW}.{name}"] = {"value": value, "unit": unit, "timestamp": STAMP}
    raw[SHOWN] = {"value": 60, "unit": "%", "timestamp": STAMP}
    raw["vehicle.powertrain.electric.battery.charging.acLimit.selected"] = {"value": 16, "timestamp": STAMP}
    return raw | {name: one | {"timestamp": STAMP} for name, one in raw.items()}


def ford_answer():
    raw = recording("ford", "telemetry")["body"]["metrics"]
    return {name: one | {"updateTime": STAMP} for name, one in raw.items()}


def backend_answer():
    told = {
        "soc_pct": 50.0, "plugged": "yes", "at_site": "yes", "charge_state": "CHARGING", "power_w": 7000.0,
        "current_a": 30.0, "voltage_v": 238.0, "phases": 1, "limit_soc_pct": 80.0, "limit_current_a": 32.0,
        "energy_added_wh": 1.0, "energy_exported_wh": 0.0, "time_to_complete_s": 60.0, "reachability": "ONLINE",
        "der_alarm": "no",
    }  # fmt: skip
    return {"vehicle_ref": "v"} | {name: {"value": value, "observed_at": STAMP} for name, value in told.items()}


def tesla_why():
    of, place = "charge_state.", "drive_state."
    at, amps, volts = of + "timestamp", of + "charger_actual_current", of + "charger_voltage"
    told = of + "charger_power"
    phases = [{of + "charger_phases", at}, {amps, volts, told, at}]
    plain = {
        "soc_pct": "battery_level",
        "plugged": "charging_state",
        "charge_state": "charging_state",
        "current_a": "charger_actual_current",
        "voltage_v": "charger_voltage",
        "limit_soc_pct": "charge_limit_soc",
        "limit_current_a": "charge_current_request",
        "energy_added_wh": "charge_energy_added",
        "time_to_complete_s": "minutes_to_full_charge",
    }
    return {name: [{of + member, at}] for name, member in plain.items()} | {
        "power_w": [{told, at}, *({amps, volts, *one} for one in phases)],
        "phases": phases,
        "at_site": [{place + "latitude", place + "longitude", place + "timestamp"}],
        "reachability": [{at}],
    }


def smartcar_why():
    def signal(code, member="value"):
        return {f"{code}.body.{member}", f"{code}.at"}

    numbers = {name: [signal(code)] for name, (code, _) in smartcar_shapes.NUMBERS.items()}
    return numbers | {
        "limit_soc_pct": [signal("charge-chargelimits", "activeLimit")],
        "plugged": [signal("charge-ischargingcableconnected")],
        "at_site": [signal("location-isathome")],
        "charge_state": [signal("charge-ischarging")],
        "reachability": [signal("connectivitystatus-isasleep"), signal("connectivitystatus-isonline")],
    }


def enode_why():
    of = "chargeState."
    plain = {
        "soc_pct": "batteryLevel",
        "plugged": "isPluggedIn",
        "charge_state": "powerDeliveryState",
        "limit_soc_pct": "chargeLimit",
        "limit_current_a": "maxCurrent",
        "time_to_complete_s": "chargeTimeRemaining",
    }
    at, rate = of + "lastUpdated", of + "chargeRate"
    return {name: [{of + member, at}] for name, member in plain.items()} | {
        "power_w": [{rate, of + "powerDeliveryState", at}, {rate, of + "isCharging", at}],
        "at_site": [{"location.latitude", "location.longitude", "location.lastUpdated"}],
        "reachability": [{"isReachable", "lastSeen"}, {"isReachable", at}],
    }


def bmw_why():
    def told(descriptor):
        return {f"{descriptor}\0value", f"{descriptor}\0timestamp"}

    numbers = {name: [told(one) for one in descriptors] for name, (descriptors, _) in bmw_cardata.NUMBERS.items()}
    figures = [bmw_cardata.NUMBERS[name][0][0] for name in ("current_a", "voltage_v", "power_w")]
    return numbers | {
        "phases": [told(bmw_cardata.PHASES), set().union(*map(told, figures))],
        "charge_state": [told(bmw_cardata.STATUS)],
        "plugged": [told(bmw_cardata.PLUG)],
    }


def ford_why():
    names = {
        "soc_pct": "xevBatteryStateOfCharge",
        "time_to_complete_s": "xevBatteryTimeToFullCharge",
        "plugged": "xevPlugChargerStatus",
        "charge_state": "xevPlugChargerStatus",
    }
    return {name: [{f"{metric}.value", f"{metric}.updateTime"}] for name, metric in names.items()}


def backend_why():
    names = [field.name for field in dataclasses.fields(Snapshot) if field.name != "vehicle_ref"]
    return {name: [{f"{name}.value", f"{name}.observed_at"}] for name in names}


@dataclasses.dataclass(frozen=True)
class Shape:
    """A full answer, how it is read, what each reading may rest on, and what separates the members of a path."""

    answer: dict
    read: object
    why: dict
    joint: str = "."


SHAPES = {
    "tesla": Shape(
        tesla_answer(),
        lambda raw: tesla_shapes.snapshot_of_vehicle_data(
            "t", raw | {"charge_state": pick(raw, "charge_state")}, HOME, NOW
        ),
        tesla_why(),
    ),
    "smartcar": Shape(smartcar_answer(), smartcar_seen, smartcar_why()),
    "enode": Shape(enode_answer(), lambda raw: enode_shapes.snapshot_of_vehicle("e", raw, HOME, NOW), enode_why()),
    "cardata": Shape(bmw_answer(), lambda raw: bmw_cardata.snapshot_of_telematic_data("b", raw, NOW), bmw_why(), "\0"),
    "ford_query": Shape(ford_answer(), lambda raw: ford_query.snapshot_of_metrics("f", raw, NOW), ford_why()),
    "vehicle_backend": Shape(backend_answer(), lambda raw: load(Snapshot, raw, received_at=NOW), backend_why()),
}


def leaves(raw, path=()):
    """Every member of an answer that is no object, by its path."""
    if not isinstance(raw, dict):
        return [path]
    return [leaf for name, inside in raw.items() for leaf in leaves(inside, (*path, name))]


def changed(raw, changes):
    """The answer with some members taken out or replaced."""
    made = orjson.loads(orjson.dumps(raw))
    for path, value in changes.items():
        *outer, last = path
        place = made
        for name in outer:
            place = place[name]
        if value is MISSING:
            del place[last]
        else:
            place[last] = value
    return made


def readings(snapshot):
    return {
        field.name: reading
        for field in dataclasses.fields(Snapshot)
        if isinstance(reading := getattr(snapshot, field.name), Reading) and reading.value not in NO_CLAIM
    }


def understood(shape, raw):
    """The readings of an answer; none of one that is refused as not of the documented shape."""
    try:
        return readings(shape.read(raw))
    except BackendError as error:
        if error.code not in (ErrorCode.BACKEND_TRANSIENT, ErrorCode.INVALID_REQUEST):
            raise
        return {}


@pytest.mark.parametrize("name", SHAPES)
def test_a_full_answer_gives_every_reading_that_the_vendor_has(name):
    assert set(understood(SHAPES[name], SHAPES[name].answer)) == set(SHAPES[name].why)


@pytest.mark.parametrize("name", SHAPES)
@given(data=st.data())
def test_every_reading_rests_on_members_that_are_there(name, data):
    shape = SHAPES[name]
    paths = leaves(shape.answer)
    gone = data.draw(st.dictionaries(st.sampled_from(paths), st.sampled_from([MISSING, None]), max_size=len(paths)))
    there = {shape.joint.join(path) for path in paths if path not in gone}
    for reading in understood(shape, changed(shape.answer, gone)):
        assert any(rests_on <= there for rests_on in shape.why[reading]), (reading, gone)


@pytest.mark.parametrize("name", SHAPES)
@given(data=st.data())
def test_a_member_alone_gives_no_reading_that_rests_on_more(name, data):
    shape = SHAPES[name]
    paths = leaves(shape.answer)
    kept = data.draw(st.sets(st.sampled_from(paths), max_size=3))
    gone = dict.fromkeys([path for path in paths if path not in kept], None)
    there = {shape.joint.join(path) for path in kept}
    for reading in understood(shape, changed(shape.answer, gone)):
        assert any(rests_on <= there for rests_on in shape.why[reading]), (reading, kept)


anything = st.one_of(st.booleans(), st.text(max_size=8), st.integers(-(10**6), 10**18), st.just([]), st.just({}))


@pytest.mark.parametrize("name", SHAPES)
@given(data=st.data())
def test_a_member_of_another_kind_is_refused_in_the_documented_way_or_passed_over(name, data):
    shape = SHAPES[name]
    odd = data.draw(st.dictionaries(st.sampled_from(leaves(shape.answer)), anything, min_size=1, max_size=4))
    understood(shape, changed(shape.answer, odd))


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "vehicle_backend"])
def test_an_answer_in_which_nothing_is_understood_is_counted_and_said_once(name, caplog):
    shape, before = SHAPES[name], vocabulary.counts.copy()
    vocabulary.counts.clear()
    try:
        nothing = changed(shape.answer, dict.fromkeys(leaves(shape.answer), None))
        for _ in range(2):
            assert understood(shape, nothing) == {}
        assert vocabulary.counts[(name, vocabulary.NOTHING)] == 2
        assert caplog.text.count(vocabulary.NOTHING) == 1
    finally:
        vocabulary.counts.update(before)


# --- a Tesla's figures ------------------------------------------------------------------------------------------------


def tesla(**charge):
    raw = {"charging_state": "Charging", "battery_level": 55, "timestamp": MILLIS, **charge}
    return tesla_shapes.snapshot_of_vehicle_data("t", {"charge_state": raw}, None, NOW)


@pytest.mark.parametrize(
    ("charge", "power_w"),
    [
        ({}, None),
        ({"charger_actual_current": 16, "charger_power": None, "charger_voltage": None, "charger_phases": None}, None),
        ({"charger_voltage": 230}, None),
        ({"charger_actual_current": 16, "charger_voltage": 230}, None),
        ({"charger_actual_current": 0}, 0.0),
        ({"charger_actual_current": 0, "charger_power": 120}, 120_000.0),
        ({"charger_power": 0}, 0.0),
        ({"charger_actual_current": 16, "charger_power": 4}, 4_000.0),
        ({"charger_actual_current": 16, "charger_voltage": 230, "charger_phases": 1}, 3_680.0),
        ({"charger_actual_current": 16, "charger_voltage": 230, "charger_phases": 2}, 11_040.0),
        ({"charger_actual_current": 16, "charger_voltage": 230, "charger_phases": 2, "charger_power": 11}, 11_040.0),
        ({"charger_actual_current": 16, "charger_voltage": 230, "charger_phases": 2, "charger_power": 7}, 7_360.0),
        ({"charger_actual_current": 16, "charger_voltage": 230, "charger_phases": 1, "charger_power": 11}, 11_040.0),
        ({"charger_actual_current": 16, "charger_voltage": 230, "charger_phases": 3, "charger_power": 4}, 3_680.0),
        ({"charger_actual_current": 5, "charger_voltage": 230, "charger_phases": 2, "charger_power": 3}, 3_450.0),
        ({"charger_actual_current": 16, "charger_voltage": 230, "charger_phases": None, "charger_power": 11}, 11_040.0),
        ({"charger_actual_current": 32, "charger_voltage": 240, "charger_phases": 1, "charger_power": 8}, 7_680.0),
    ],
)
def test_a_teslas_power_is_what_its_figures_show_and_missing_is_not_zero(charge, power_w):
    seen = tesla(**charge).power_w
    assert (None if seen is None else seen.value) == power_w


@given(data=st.data())
def test_a_cap_draws_no_more_than_asked_whatever_a_tesla_does_not_tell(data):
    """The car draws on three phases of 230 V, whatever it says of them."""
    raw = tesla_answer()
    raw["vehicle_config"]["eu_vehicle"] = True
    raw["charge_state"] |= {"charger_actual_current": 16, "charger_voltage": 230, "charger_power": 11}
    raw["charge_state"] |= {"charger_phases": data.draw(st.sampled_from([2, 3]))}
    raw["charge_state"] |= {"charge_current_request": 16, "charge_current_request_max": 16}
    members = [path for path in leaves(raw) if path[0] in ("charge_state", "vehicle_config")]
    gone = data.draw(st.dictionaries(st.sampled_from(members), st.sampled_from([MISSING, None])))
    raw, asked_w = changed(raw, gone), data.draw(st.integers(1_000, 11_000))
    capability, snapshot = tesla_shapes.capability_of(raw), tesla_shapes.snapshot_of_vehicle_data("t", raw, None, NOW)
    cap = Directive("d", "k", "t", DirectiveKind.CAP, NOW, NOW + timedelta(hours=1), NOW, power_w=asked_w)
    setting = tesla_shapes.achieve(cap, capability, snapshot)
    drawn_w = 0 if setting.rung is Rung.PAUSE else 3 * 230 * (setting.current_a or 16)
    assert drawn_w <= asked_w
    if setting.rung is Rung.CURRENT:
        assert setting.power_w >= drawn_w


def test_a_cap_of_any_car_uses_the_phases_that_its_readings_show():
    """A backend that tells one phase of a car that is seen to draw on three."""
    at = {"observed_at": STAMP}
    figures = {"current_a": 16.0, "voltage_v": 230.0, "power_w": 11_000.0}
    raw = {"vehicle_ref": "v", **{name: {"value": value, **at} for name, value in figures.items()}}
    seen = load(Snapshot, raw, received_at=NOW)
    capability = Capability("m", 60_000, 11_040, phases=1, voltage_v=230, current=CurrentControl(5, 32))
    cap = Directive("d", "k", "v", DirectiveKind.CAP, NOW, NOW + timedelta(hours=1), NOW, power_w=4_000)
    for achieve in (tesla_shapes.achieve, enode_shapes.achieve):
        assert achieve(cap, capability, seen).current_a == 5
        assert achieve(cap, capability, Snapshot("v")).current_a == 17


@pytest.mark.parametrize(
    ("most_a", "volts", "phases", "most_w"),
    [
        (32, 240, 1, 7_680),
        (16, 230, 3, 11_040),
        (16, 230, None, 11_040),
        (32, 240, None, 11_040),
        (80, 240, None, 19_200),
    ],
)
def test_phases_that_are_not_told_are_not_one(most_a, volts, phases, most_w):
    told = {"amperagemax": most_a, "voltage": volts, "chargerphases": phases, "amperage": None, "wattage": None}
    signals = {code: (one["body"], AT) for code, one in smartcar_answer().items()}
    signals |= {f"charge-{name}": ({"value": value}, AT) for name, value in told.items()}
    assert smartcar_shapes.capability_of(signals).max_charge_w == most_w


# --- words and units --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["Calibrating", "NotCharging", "charging", "", "FULL", "x" * 500])
def test_a_word_that_nobody_documented_is_no_state(word):
    assert tesla(charging_state=word).charge_state.value is ChargeState.UNKNOWN
    signals = changed(smartcar_answer(), {("charge-detailedchargingstatus", "body", "value"): f"NOT_{word}FULL"})
    signals = changed(signals, {("charge-ischarging", "body", "value"): False})
    assert smartcar_seen(signals).charge_state.value is ChargeState.STOPPED


def test_a_full_smartcar_is_complete_and_one_off_its_plug_is_unplugged():
    full = {("charge-detailedchargingstatus", "body", "value"): "FULLY_CHARGED"}
    idle = {("charge-ischarging", "body", "value"): False}
    assert smartcar_seen(changed(smartcar_answer(), full | idle)).charge_state.value is ChargeState.COMPLETE
    out = idle | {("charge-ischargingcableconnected", "body", "value"): False}
    assert smartcar_seen(changed(smartcar_answer(), out)).charge_state.value is ChargeState.UNPLUGGED


@pytest.mark.parametrize(
    ("unit", "power_w"),
    [("watts", 7100.0), ("kilowatts", 7.1e6), ("kW", 7.1e6), ("kilo_watts", 7.1e6), (None, 7100.0), ("BTU/h", None)],
)
def test_a_number_in_a_unit_that_nobody_documented_is_no_reading(unit, power_w):
    seen = smartcar_seen(changed(smartcar_answer(), {("charge-wattage", "body", "unit"): unit})).power_w
    assert (None if seen is None else seen.value) == power_w


def test_a_power_that_bmw_tells_in_kilowatts_is_not_taken_for_watts():
    descriptor = bmw_cardata.NUMBERS["power_w"][0][0]
    told = changed(bmw_answer(), {(descriptor, "unit"): "kW", (descriptor, "value"): "10.4"})
    assert bmw_cardata.snapshot_of_telematic_data("b", told, NOW).power_w.value == pytest.approx(10_400.0)


def test_nothing_of_a_vendors_that_could_be_a_place_or_a_name_is_logged(caplog):
    vocabulary.word("test", "field", {}, "37.774929, -122.419416")
    vocabulary.word("test", "field", {}, {"holder": "Ada Quill"})
    assert "37.77" not in caplog.text
    assert "Ada" not in caplog.text


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_of_two_descriptors_the_one_from_the_future_does_not_win():
    ahead = (NOW + timedelta(days=400)).isoformat()
    told = changed(bmw_answer(), {(HEADER, "timestamp"): ahead, (SHOWN, "value"): 42})
    assert bmw_cardata.snapshot_of_telematic_data("b", told, NOW).soc_pct.value == 42.0


@given(st.integers(-30, 9), st.integers(1, 9))
def test_a_clock_that_ran_ahead_mutes_nothing_that_is_told_when_it_is_right(ahead_min, minute):
    """The first reading is stamped minutes ahead of our clock, as far as that is believed at all."""

    def told(level, observed_min, received_min):
        observed_at, received_at = (NOW + timedelta(minutes=one) for one in (observed_min, received_min))
        raw = {"vehicle_ref": "v", "soc_pct": {"value": level, "observed_at": observed_at.isoformat()}}
        return load(Snapshot, raw, received_at=received_at)

    assert newest(told(10, ahead_min, 0), told(11, minute, minute)).soc_pct.value == 11
    assert age_s(load(Snapshot, charging(ahead_min), received_at=NOW), NOW + timedelta(minutes=1)) >= 60


def charging(ahead_min):
    observed_at = (NOW + timedelta(minutes=ahead_min)).isoformat()
    return {"vehicle_ref": "v", "charge_state": {"value": "CHARGING", "observed_at": observed_at}}


def test_a_reading_from_years_ahead_is_read_again_like_any_other():
    held = load(Snapshot, charging(2_000_000), received_at=NOW)
    assert age_s(held, NOW + timedelta(minutes=5)) == 300
