"""How a table `[backend]` is read: every fault at once and by name, and no word of what may be a secret."""

import pytest

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.oems.bmw import BmwSettings
from ven_adapters.oems.enode import EnodeSettings
from ven_adapters.oems.smartcar import SmartcarSettings
from ven_adapters.oems.tesla.settings import TeslaSettings
from ven_adapters.transport.ocpp21.settings import CentralSettings
from ven_adapters.transport.settings import LONGEST_FAULT, MOST_FAULTS, read_table
from ven_adapters.transport.vendor_settings import VendorSettings
from vtn.clock import RealClock, SimulatedClock

HUSH = "hush-hush-hush"
VENDOR = {"url": "http://x", "token_url": "http://x", "client_id": "c", "pseudonym_secret": HUSH, "state": "no/where"}
FAST = "2026-07-01T00:00:00+00:00@1.0*540.0"


def refused(model, given, **how):
    with pytest.raises(BackendError) as caught:
        read_table(model, given, **how)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert HUSH not in str(caught.value)
    return caught.value.detail


def test_every_fault_is_told_at_once():
    told = refused(TeslaSettings, {"url": "ftp://x", "seed": 0.5, "spede": 1, "consent": {"pkce": 1}})
    expected = ("url: must begin", "seed: must be a valid integer", "spede: is not a setting")
    missing = (f"{key}: is required" for key in ("token_url", "client_id", "pseudonym_secret", "state"))
    for fault in (*expected, *missing, "consent.pkce: must be a valid boolean"):
        assert f"settings.{fault}" in told


def test_faults_of_keys_that_do_not_fit_together_are_told_at_once_too():
    car = {"station": "CP-9", "usable_wh": 60_000, "max_charge_w": 11_000}
    stations = {"CP-1": {"password": HUSH}}
    told = refused(CentralSettings, {"security_profile": 3, "stations": {}, "vehicles": {"a": car, "b": car}})
    assert told.split("; ") == [
        *(f"settings.{key}: is required by security profile 3" for key in ("certificate", "private_key", "client_ca")),
        *("settings.vehicles.a.station: is not one of stations", "settings.vehicles.b.station: is not one of stations"),
        "settings.vehicles.b.evse: is taken by another car",
    ]
    assert "stations.CP-1.password: must have 16 to 64" in refused(CentralSettings, {"stations": stations})


def test_of_very_many_faults_the_first_are_told_and_each_is_short():
    told = refused(TeslaSettings, VENDOR | {f"{number}" * 400: 1 for number in range(100, 200)})
    assert told.count("settings.") == MOST_FAULTS
    assert len(told) <= MOST_FAULTS * (LONGEST_FAULT + 2)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (TeslaSettings, {"client_secret": [HUSH]}),
        (TeslaSettings, {"pseudonym_secret": {HUSH: HUSH}}),
        (TeslaSettings, {"vehicles": {HUSH: 1}}),
        (TeslaSettings, {"vehicles": HUSH}),
        (TeslaSettings, {"time_zones": {"car-1": HUSH}}),
        (TeslaSettings, {"ca": HUSH}),
        (TeslaSettings, {"telemetry": HUSH}),
        (TeslaSettings, {"telemetry": {"stream": HUSH, "password": [HUSH], "topic_base": f"{HUSH}/#", "ca": HUSH}}),
        (SmartcarSettings, {"webhook_secret": [HUSH]}),
        (SmartcarSettings, {"webhook_port": HUSH}),
        (SmartcarSettings, {"webhook_verify_until": HUSH}),
        (EnodeSettings, {"url": HUSH, "consent": {"redirect_uri": HUSH}}),
        (BmwSettings, {"token": [HUSH], "cardata": {"stream": HUSH, "stream_ca": HUSH}}),
        (CentralSettings, {"stations": {"CP-1": HUSH}}),
        (CentralSettings, {"stations": {"CP-1": {"password": [HUSH]}}}),
        (CentralSettings, {"vehicles": {"car-1": {"id_token": [HUSH]}}}),
    ],
)
def test_no_fault_tells_a_value_or_what_a_vendor_calls_a_car(model, given):
    assert refused(model, given if model in {CentralSettings, BmwSettings} else VENDOR | given)


@pytest.mark.parametrize("model", [TeslaSettings, SmartcarSettings, EnodeSettings])
def test_no_secret_no_car_and_no_home_is_shown(model):
    read = read_table(model, VENDOR | {"client_secret": HUSH, "vehicles": {HUSH: "car-1"}, "homes": {"car-1": [1, 2]}})
    assert read.names.ref(HUSH) == "car-1"
    assert not [word for word in (HUSH, "(1.0, 2.0)") if word in repr(read)]


def test_no_password_of_a_broker_is_shown():
    read = read_table(TeslaSettings, VENDOR | {"telemetry": {"stream": "mqtts://x", "password": HUSH}})
    assert read.telemetry.password == HUSH
    assert HUSH not in repr(read)


def test_a_key_that_only_other_vendors_have_is_taken_and_not_read():
    ours = {"container": "c", "webhook_id": 1, "webhook_port": "odd", "listening": {"speed": 1}, "management_url": "x"}
    assert VendorSettings.passed_over >= ours.keys()
    assert read_table(TeslaSettings, VENDOR | ours) == read_table(TeslaSettings, VENDOR)
    assert "webhook_id: must be" in refused(SmartcarSettings, VENDOR | ours)
    assert "stream: is not a setting" in refused(TeslaSettings, VENDOR | {"stream": "mqtts://x"})


@pytest.mark.parametrize("own", [None, "real"])
def test_a_table_inside_of_another_has_its_clock_unless_it_names_one(own):
    given = {"url": "http://x", "token": "t", "clock": FAST, "cardata": VENDOR | {"clock": own}}
    read = read_table(BmwSettings, given)
    assert isinstance(read.clock, SimulatedClock)
    assert isinstance(read.cardata.in_time_of(read).clock, RealClock if own else SimulatedClock)


def test_a_table_that_is_wanted_alone_is_named_with_its_keys():
    assert refused(VendorSettings, {}, inner="query").startswith("settings.query: is required")
    assert "settings.query.url: must begin" in refused(VendorSettings, {"query": {"url": "x"}}, inner="query")


def test_what_was_spent_and_is_not_known_any_more_is_a_fault_of_the_start(tmp_path):
    (tmp_path / "spent.json").write_text("{")
    assert "spent.json: is damaged" in refused(TeslaSettings, VENDOR | {"state": tmp_path})
