"""Charging profiles as a station keeps them: which one holds now, and what it asks of the car. Pure.

The highest stack level that is valid now wins; nothing holds outside `validFrom` and `validTo`, outside the schedule's
duration, or after `maxOfflineDuration` without a link (OCPP 2.1, K01 and Q). Keys are those of the `ocpp` library.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

Profile = Mapping[str, Any]

CHARGING_ONLY, SETPOINT, IDLE = "ChargingOnly", "CentralSetpoint", "Idle"


def of_16(told: Mapping[str, Any]) -> dict[str, Any]:
    """A profile of OCPP 1.6J in the words of 2.1; its numbers are plain ones."""
    profile: dict[str, Any] = orjson.loads(orjson.dumps(told, default=float))
    number, schedule = profile.pop("charging_profile_id"), profile["charging_schedule"]
    return profile | {"id": number, "charging_schedule": [schedule]}


def standing(profiles: Mapping[int, Profile], now: datetime, offline_s: float) -> dict[int, Profile]:
    """The profiles that are not over: neither past `validTo` nor void by an absence of so many seconds."""
    return {number: one for number, one in profiles.items() if not _over(one, now, offline_s)}


def _over(profile: Profile, now: datetime, offline_s: float) -> bool:
    lost = bool(profile.get("invalid_after_offline_duration")) and offline_s > profile["max_offline_duration"]
    return lost or ("valid_to" in profile and now >= _at(profile["valid_to"]))


def asked_w(profiles: Iterable[Profile], now: datetime) -> float:
    """The signed power that holds now: at most so much into the car, below zero out of it; inf: nothing is asked."""
    for profile in sorted(profiles, key=lambda one: -one["stack_level"]):
        period = _period(profile, now)
        if period is not None:
            return _asked_by(period)
    return math.inf


def _period(profile: Profile, now: datetime) -> Mapping[str, Any] | None:
    schedule = profile["charging_schedule"][0]
    begins = _at(schedule["start_schedule"])
    into_s = (now - begins).total_seconds()
    if into_s < 0 or into_s >= schedule.get("duration", math.inf) or now < _at(profile.get("valid_from", begins)):
        return None
    periods = [one for one in schedule["charging_schedule_period"] if one["start_period"] <= into_s]
    return periods[-1] if periods else None


def _asked_by(period: Mapping[str, Any]) -> float:
    mode = period.get("operation_mode", CHARGING_ONLY)
    if mode == IDLE:
        return 0.0
    if mode == SETPOINT and period["setpoint"] < 0:
        return float(max(period["setpoint"], period.get("discharge_limit", -math.inf)))
    asked = period["setpoint"] if mode == SETPOINT else period.get("limit", math.inf)
    return float(min(asked, period.get("limit", math.inf)))


def _at(told: str | datetime) -> datetime:
    return told if isinstance(told, datetime) else datetime.fromisoformat(told)
