"""The settings of a central system, as the `[backend]` table gives them, read strictly.

`host`, `port`, `security_profile` (1, 2 or 3), `certificate`, `private_key`, `client_ca` (files), `offline_limit_s`,
`heartbeat_s`, `answer_s`, `ping_s`, `frame_bytes`, `clock`; `listening`, the bounds of connections; `state`, the
private folder where directives survive a restart; `stations.ID.password`; and per car `vehicles.REF` with `station`,
`evse`, `usable_wh`, `max_charge_w`, `max_discharge_w`, `min_discharge_w`, `phases`, `voltage_v`, `model`, `id_token`. A
wrong one is named, its value never is.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ven_adapters.transport.http.listener import STATIONS_PORT, bounds_of
from ven_adapters.transport.http.settings import clock_of, typed, wrong
from ven_adapters.transport.ocpp21.listener import (
    BASIC_IN_CLEAR,
    CLIENT_CERTIFICATE,
    StationListenerSettings,
    tls_of,
)
from ven_adapters.transport.ocpp21.stations.charging_points import RegisteredPoint
from vtn.clock import Clock
from vtn.errors import CannotStart
from vtn.settings import is_loopback

SHORTEST_PASSWORD, LONGEST_PASSWORD = 16, 64  # OCPP 2.1, BasicAuthPassword
_IDENTITY = re.compile(r"[A-Za-z0-9*\-_=:+|@.]{1,48}")  # OCPP 2.1, identifierString

_KINDS: Mapping[str, tuple[type, ...]] = {
    "host": (str,),
    "port": (int,),
    "security_profile": (int,),
    "certificate": (str,),
    "private_key": (str,),
    "client_ca": (str,),
    "offline_limit_s": (int,),
    "heartbeat_s": (int,),
    "answer_s": (int, float),
    "ping_s": (int, float),
    "listening": (dict,),
    "frame_bytes": (int,),
    "state": (str, Path),
    "stations": (dict,),
    "vehicles": (dict,),
}
_PLACE: Mapping[str, tuple[type, ...]] = {
    "station": (str,),
    "model": (str,),
    "id_token": (str,),
    **dict.fromkeys(
        ("evse", "usable_wh", "max_charge_w", "max_discharge_w", "min_discharge_w", "phases", "voltage_v"), (int,)
    ),
}
_NEEDED = ("station", "usable_wh", "max_charge_w")


@dataclasses.dataclass(frozen=True, slots=True)
class CentralSettings:
    """All of it. `offline_limit_s` is how long a station out of touch may go on with what it was told."""

    listener: StationListenerSettings
    places: tuple[RegisteredPoint, ...]
    clock: Clock
    offline_limit_s: int = 300
    heartbeat_s: int = 300
    answer_s: float = 20.0
    state: Path | None = None


def central_settings(settings: Mapping[str, Any]) -> CentralSettings:
    """The settings of one central system; BackendError INVALID_REQUEST names the key that is wrong."""
    given = {key: value for key, value in settings.items() if value is not None}
    clock = clock_of(given.pop("clock", None))
    typed(given, _KINDS)
    listener = _listener_settings(given)
    times: dict[str, Any] = {key: given[key] for key in ("offline_limit_s", "heartbeat_s", "answer_s") if key in given}
    state = Path(given["state"]) if "state" in given else None
    return CentralSettings(listener, _places(given, listener), clock, state=state, **times)


def _listener_settings(given: Mapping[str, Any]) -> StationListenerSettings:
    profile = given.get("security_profile", BASIC_IN_CLEAR)
    host = given.get("host", "127.0.0.1")
    if profile == BASIC_IN_CLEAR and not is_loopback(host):
        raise wrong("security_profile", "1 sends passwords in the clear and is for loopback addresses only")
    needed = ("certificate", "private_key", "client_ca")[: {1: 0, 2: 2, 3: 3}[profile]]
    files: dict[str, Any] = {key: Path(given[key]) for key in needed if key in given}
    if len(files) < len(needed):
        raise wrong(next(key for key in needed if key not in files), f"is required by security profile {profile}")
    more: dict[str, Any] = {key: given[key] for key in ("frame_bytes", "ping_s") if key in given}
    more |= {"bounds": bounds_of(given)}
    listener = StationListenerSettings(
        host, given.get("port", STATIONS_PORT), profile, _passwords(given, profile), **files, **more
    )
    try:
        tls_of(listener)
    except CannotStart as error:
        raise wrong(" or ".join(needed), str(error)) from None
    return listener


def _passwords(given: Mapping[str, Any], profile: int) -> dict[str, str | None]:
    out: dict[str, str | None] = {}
    for station, row in given.get("stations", {}).items():
        where = f"stations.{station}"
        if not isinstance(row, dict) or not _IDENTITY.fullmatch(station):
            raise wrong(where, "must be a table under an identity of 1 to 48 characters a-z A-Z 0-9 *-_=:+|@.")
        typed(row, {"password": (str,)}, f"{where}.")
        out[station] = row.get("password")
        if profile != CLIENT_CERTIFICATE and not SHORTEST_PASSWORD <= len(out[station] or "") <= LONGEST_PASSWORD:
            raise wrong(f"{where}.password", f"must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return out


def _places(given: Mapping[str, Any], listener: StationListenerSettings) -> tuple[RegisteredPoint, ...]:
    places: dict[tuple[str, int], RegisteredPoint] = {}
    for ref, row in given.get("vehicles", {}).items():
        where = f"vehicles.{ref}."
        if not isinstance(row, dict):
            raise wrong(f"vehicles.{ref}", "must be a table")
        typed(row, _PLACE, where)
        missing = [key for key in _NEEDED if key not in row]
        if missing:
            raise wrong(where + missing[0], "is required")
        place = RegisteredPoint(ref, **row)
        if place.station not in listener.passwords:
            raise wrong(f"{where}station", "is not one of stations")
        if places.setdefault((place.station, place.evse), place) is not place:
            raise wrong(f"{where}evse", "is taken by another car")
    return tuple(places.values())
