"""An automaker's settings, as its section of the adapter's settings file gives them, read strictly.

Keys: `url` (required); `token`, or `token_url` + `client_id` + `client_secret` (+ `scope`); `webhook_secret`,
`webhook_host`, `webhook_port`, `webhook_url`; `clock` (a Clock, or its printed form); `seed`; `connect_s`, `answer_s`;
`connections` at once, `calls_burst` and `calls_per_hour`: what we allow ourselves of the backend; `listening`, the
bounds of connections to us.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, cast

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.http.backend import BackendSettings, Webhook
from ven_adapters.transport.http.listener import bounds_of
from ven_adapters.transport.http.session import BackendCredentials, SessionLimits
from vtn.bounds import ConnectionBounds
from vtn.clock import Clock, RealClock, parse_clock

_KINDS: Mapping[str, tuple[type, ...]] = {
    "url": (str,),
    "token": (str,),
    "token_url": (str,),
    "client_id": (str,),
    "client_secret": (str,),
    "scope": (str,),
    "webhook_secret": (str,),
    "webhook_host": (str,),
    "webhook_port": (int,),
    "webhook_url": (str,),
    "webhook_quiet_s": (int, float),
    "seed": (int,),
    "connect_s": (int, float),
    "answer_s": (int, float),
    "connections": (int,),
    "calls_burst": (int,),
    "calls_per_hour": (int, float),
    "listening": (dict,),
}


@dataclasses.dataclass(frozen=True, slots=True)
class SettingRange:
    """What a number may be: above `least`, or, when that is `included`, from it on; and `most` at most."""

    least: float
    most: float
    included: bool = False

    def __contains__(self, value: float) -> bool:
        reached = value >= self.least if self.included else value > self.least
        return math.isfinite(value) and reached and value <= self.most

    def __str__(self) -> str:
        return f"{'at least' if self.included else 'above'} {self.least:g} and at most {self.most:g}"


_PORT, _SEED = SettingRange(0, 65_535, included=True), SettingRange(-(2**63), 2**63 - 1, included=True)
_MINUTES, _DAYS = SettingRange(0, 3600), SettingRange(0, 7 * 86_400)
_CALLS, _POWER = SettingRange(0, 1_000_000_000), SettingRange(0, 10_000_000)
RANGES: Mapping[str, SettingRange] = {
    "port": _PORT,
    "webhook_port": _PORT,
    "security_profile": SettingRange(1, 3, included=True),
    "seed": _SEED,
    "webhook_quiet_s": _DAYS,
    "connect_s": _MINUTES,
    "answer_s": _MINUTES,
    "ping_s": _MINUTES,
    "heartbeat_s": _DAYS,
    "offline_limit_s": _DAYS,
    "connections": SettingRange(0, 100_000),
    "calls_burst": _CALLS,
    "calls_per_hour": _CALLS,
    "frame_bytes": SettingRange(1023, 16_777_216),
    "monthly_usd": SettingRange(0, 10_000_000, included=True),
    "evse": SettingRange(0, 10_000),
    "usable_wh": _POWER,
    "max_charge_w": _POWER,
    "max_discharge_w": SettingRange(0, 10_000_000, included=True),
    "min_discharge_w": SettingRange(0, 10_000_000, included=True),
    "phases": SettingRange(0, 3),
    "voltage_v": SettingRange(0, 2_000),
}
_CLIENT = ("token_url", "client_id", "client_secret")


def backend_settings(settings: Mapping[str, Any]) -> BackendSettings:
    """The settings of one backend; BackendError INVALID_REQUEST names the key that is wrong, never its value."""
    given = {key: value for key, value in settings.items() if value is not None}
    clock = clock_of(given.pop("clock", None))
    typed(given, _KINDS)
    if not str(given.get("url", "")).startswith(("http://", "https://")):
        raise wrong("url", "must begin with http:// or https://")
    usual = SessionLimits()
    return BackendSettings(
        url=given["url"],
        credentials=_credentials(given),
        webhook=_webhook(given, bounds_of(given)),
        clock=clock,
        seed=given.get("seed", 0),
        limits=SessionLimits(
            connect_s=given.get("connect_s", 5.0),
            answer_s=given.get("answer_s", 20.0),
            connections=given.get("connections", usual.connections),
            app_burst=given.get("calls_burst", usual.app_burst),
            app_per_hour=given.get("calls_per_hour", usual.app_per_hour),
        ),
    )


def table(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A table inside the settings; INVALID_REQUEST when it is not there."""
    found = settings.get(name)
    if not isinstance(found, Mapping):
        raise wrong(name, "is required: the table that says how owners' cars are read")
    return found


def _credentials(given: Mapping[str, Any]) -> BackendCredentials:
    if "token" in given:
        return BackendCredentials(token=given["token"])
    missing = [key for key in _CLIENT if key not in given]
    if missing:
        raise wrong(missing[0], "is required when there is no token")
    return BackendCredentials(
        token_url=given["token_url"],
        client_id=given["client_id"],
        client_secret=given["client_secret"],
        scope=given.get("scope"),
    )


def _webhook(given: Mapping[str, Any], bounds: ConnectionBounds) -> Webhook | None:
    if "webhook_secret" not in given:
        return None
    return Webhook(
        secret=given["webhook_secret"],
        host=given.get("webhook_host", "127.0.0.1"),
        port=given.get("webhook_port", 0),
        url=given.get("webhook_url"),
        quiet_s=given.get("webhook_quiet_s", 60.0),
        bounds=bounds,
    )


def clock_of(given: Any) -> Clock:
    """A Clock, or its printed form; real time when there is none."""
    if given is None:
        return RealClock()
    if hasattr(given, "now"):
        return cast("Clock", given)
    try:
        return parse_clock(str(given))
    except ValueError as error:
        raise wrong("clock", str(error)) from None


def typed(given: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], under: str = "") -> None:
    """Refuse a key that is not among `kinds`, and a value of another kind or beyond the setting's range.

    `under`: the table, with its dot. Every number has a range.
    """
    known = kinds if under else (*kinds, "clock")
    for key, value in given.items():
        if key not in kinds:
            raise wrong(f"{under}{key}", f"is not a setting; known are {', '.join(sorted(known))}")
        if not isinstance(value, kinds[key]) or (isinstance(value, bool) and bool not in kinds[key]):
            raise wrong(f"{under}{key}", f"must be {' or '.join(kind.__name__ for kind in kinds[key])}")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value not in RANGES[key]:
            raise wrong(f"{under}{key}", f"must be {RANGES[key]}")


def wrong(key: str, rule: str) -> BackendError:
    """What to raise for a setting: its name and the rule, never its value."""
    return BackendError(ErrorCode.INVALID_REQUEST, f"settings.{key}: {rule}")
