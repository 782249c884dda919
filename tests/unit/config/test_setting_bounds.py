"""Every number that can be set has bounds, and a value beyond them is refused by the setting's name."""

import math
from types import UnionType
from typing import Union, get_args, get_origin

import pydantic
import pytest

from ven_adapters.config import AdapterSettings, ExecutorSettings
from ven_adapters.contract import BackendError
from ven_adapters.oems.bmw import BmwSettings
from ven_adapters.oems.enode import EnodeSettings
from ven_adapters.oems.ford import FordSettings
from ven_adapters.oems.smartcar import SmartcarSettings
from ven_adapters.oems.tesla.settings import TeslaSettings
from ven_adapters.transport.http.settings import BackendSettings
from ven_adapters.transport.ocpp21.settings import CentralSettings
from ven_adapters.transport.settings import read_table
from vtn.bounds import ConnectionBounds
from vtn.clock import parse_clock
from vtn.config import Settings
from vtn.oadr20b.downstream.settings import DownstreamSettings
from vtn.oadr20b.upstream.settings import UpstreamSettings
from vtn.settings import Section

ODD = [0, -1, -0.5, 10**18, 1e300, -1e300, math.nan, math.inf, -math.inf]
QUEUE = {"url": "nats://127.0.0.1:1"}
ADAPTER = {
    "oem": "bmw",
    "client_name": "a",
    "vtn": {"url": "http://127.0.0.1:1", "client_id": "c", "client_secret": "s"},
    "backend": {},
    "enrolling": {"programs": {"p": {"kind": "k"}}},
    "queue": QUEUE,
}
BRIDGED = {"url": "http://127.0.0.1:1", "client_id": "c", "client_secret": "s"}
MODELS = {
    "top node": (Settings, {"auth": {"issuers": [{"issuer": "i", "jwks_url": "https://x.example/k"}]}}),
    "2.0b VTN": (DownstreamSettings, {"vtn": BRIDGED}),
    "2.0b VEN": (UpstreamSettings, {"vtn": BRIDGED, "utilities": {"p": {"url": "https://x.example", "ven_name": "v"}}}),
    "adapter": (AdapterSettings, ADAPTER),
    "executor": (ExecutorSettings, {"oem": "bmw", "backend": {}, "queue": QUEUE}),
}


def kinds_of(annotation):
    """The plain types in an annotation."""
    if get_origin(annotation) in {Union, UnionType}:
        return {kind for one in get_args(annotation) for kind in kinds_of(one)}
    if hasattr(annotation, "__metadata__"):
        return kinds_of(annotation.__origin__)
    return {annotation}


def numbers(model, at=()):
    """The path of every numeric setting, through sections, tables of sections and lists of them."""
    for name, field in model.model_fields.items():
        for kind in kinds_of(field.annotation):
            inner = [one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, Section)]
            if kind in {int, float}:
                yield (*at, name)
            for section in inner:
                step = () if section is kind else (0,) if get_origin(kind) is tuple else ("p",)
                yield from numbers(section, (*at, name, *step))


def changed(given, path, value):
    """The same settings with one more."""
    key, *rest = path
    if isinstance(given, list):
        return [changed(given[0], rest, value)]
    return {**given, key: value if not rest else changed(given.get(key, {}), rest, value)}


EVERY = [(name, path) for name, (model, _) in MODELS.items() for path in sorted(set(numbers(model)), key=str)]


def test_the_walk_finds_what_there_is():
    found = {(name, ".".join(map(str, path))) for name, path in EVERY}
    assert found >= {
        ("top node", "server.port"),
        ("top node", "auth.issuers.0.refresh_s"),
        ("top node", "bounds.connections.unproven"),
        ("adapter", "wake.poll_s"),
        ("adapter", "wake.listening.patience_s"),
        ("adapter", "enrolling.programs.p.most_cars"),
        ("adapter", "queue.call_s"),
        ("executor", "queue.at_once"),
    }
    assert len(found) > 60


@pytest.mark.parametrize(("name", "path"), EVERY, ids=lambda one: one if isinstance(one, str) else str(one[-1]))
def test_a_number_beyond_its_bounds_is_refused_by_name(name, path):
    model, given = MODELS[name]
    model.model_validate(given)  # type: ignore[attr-defined]
    accepted = []
    for value in ODD:
        try:
            model.model_validate(changed(given, path, value))  # type: ignore[attr-defined]
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            assert path[-1] in first["loc"] or path[-1] in first["msg"]
        else:
            accepted.append(value)
    assert not any(math.isinf(value) or math.isnan(value) or abs(value) > 2**63 for value in accepted)
    assert not set(accepted) & ({10**18, -1} if path[-1] != "seed" else set())


BACKEND = {"url": "http://127.0.0.1:1", "token": "t"}
VENDOR = {
    "url": "http://x",
    "token_url": "http://x",
    "client_id": "c",
    "pseudonym_secret": "s" * 32,
    "state": "no/where",
}
CAR = {"station": "CP-1", "usable_wh": 60_000, "max_charge_w": 11_000}
TABLES = {
    "automaker": (BackendSettings, BACKEND),
    "bmw": (BmwSettings, BACKEND | {"cardata": VENDOR}),
    "ford": (FordSettings, BACKEND | {"query": VENDOR}),
    "tesla": (TeslaSettings, VENDOR | {"telemetry": {"stream": "mqtts://x"}}),
    "smartcar": (SmartcarSettings, VENDOR),
    "enode": (EnodeSettings, VENDOR),
    "ocpp": (CentralSettings, {"stations": {"CP-1": {"password": "a-password-of-16+"}}, "vehicles": {"p": CAR}}),
}
NUMBERS = [(name, path) for name, (model, _) in TABLES.items() for path in sorted(set(numbers(model)), key=str)]


def test_the_walk_finds_what_there_is_in_automakers_tables():
    found = {f"{name} {'.'.join(path)}" for name, path in NUMBERS}
    expected = {"automaker calls_per_hour", "bmw cardata.answer_s", "tesla telemetry.port", "ocpp vehicles.p.evse"}
    assert found >= expected | {"smartcar webhook_port", "enode listening.idle_s", "ocpp security_profile"}


@pytest.mark.parametrize(("name", "path"), NUMBERS)
def test_a_number_in_an_automakers_table_is_refused_by_name(name, path):
    model, given = TABLES[name]
    read_table(model, given)
    for value in [*ODD, 10**400]:
        try:
            read_table(model, changed(given, path, value))
        except BackendError as error:
            assert f"settings.{'.'.join(path)}: must be" in error.detail  # noqa: PT017 - what is accepted is judged too
        else:
            assert math.isfinite(value)
            assert abs(value) < 10**18 or path[-1] == "seed"
    if "listening" not in path:
        for text in ("1", True):
            with pytest.raises(BackendError, match=f"{path[-1]}: must be a valid"):
                read_table(model, changed(given, path, text))


@pytest.mark.parametrize("key", ConnectionBounds.model_fields)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 10**18, "many"])
def test_the_bounds_of_an_automakers_port_are_bounded_themselves(key, value):
    with pytest.raises(BackendError, match=rf"settings\.listening\.{key}: "):
        read_table(BackendSettings, BACKEND | {"listening": {key: value}})
    with pytest.raises(BackendError, match=r"settings\.listening\.speed: is not a setting"):
        read_table(BackendSettings, BACKEND | {"listening": {"speed": 1}})


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ([91, 0], "0: must be less than or equal to 90"),
        ([0, -181], "1: must be greater than or equal to -180"),
        ([math.nan, 0], "0: must be a finite number"),
        ([math.inf, 0], "0: must be a finite number"),
        ([10**400, 0], "0: must be a valid number"),
        ([1], "1: is required"),
        ([1, 2, 3], "must have at most 2 items"),
        ("x", "must be a list"),
    ],
)
def test_a_home_that_is_nowhere_is_refused_by_name(place, says):
    with pytest.raises(BackendError) as caught:
        read_table(SmartcarSettings, VENDOR | {"homes": {"car-1": place}})
    assert caught.value.detail.startswith("settings.homes.car-1")
    assert says in caught.value.detail


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "1e9"])
def test_a_clock_at_no_speed_is_refused(speed):
    with pytest.raises(ValueError, match="speed must be"):
        parse_clock(f"2026-07-01T00:00:00+00:00@1000.0*{speed}")


@pytest.mark.parametrize("start", ["nan", "inf", "-1", "1e30"])
def test_a_clock_that_began_at_no_time_is_refused(start):
    with pytest.raises(ValueError, match="real start must be"):
        parse_clock(f"2026-07-01T00:00:00+00:00@{start}*2.0")


def test_the_parts_of_a_ports_bounds_fit_into_the_whole():
    with pytest.raises(pydantic.ValidationError, match=r"unproven must not be above connections \(10\)"):
        ConnectionBounds(connections=10, unproven=11)
