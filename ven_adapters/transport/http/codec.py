"""The vehicle contract's dataclasses as JSON and back: the wire form of the reference HTTP contract.

Field names on the wire are the dataclasses' own, so the dataclasses are the table: each gets one reader, compiled once
from its annotations, and orjson writes them as they stand. A reader takes unknown keys in silence (a backend may know
more than we do) and answers a bad value with INVALID_REQUEST and the path of the field. It knows nothing of HTTP.
"""

import dataclasses
import enum
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from ven_adapters.contract import (
    BackendError,
    BackendEvent,
    Capability,
    CurrentControl,
    Directive,
    DirectiveKind,
    DirectivesChanged,
    DriverChose,
    ErrorCode,
    LimitSocControl,
    OnCommLoss,
    Reading,
    Setting,
    Snapshot,
    SnapshotsSeen,
    Validity,
    VehicleRef,
)
from ven_adapters.lifecycle.evidence import is_believable
from ven_adapters.transport.http.signatures import CHALLENGE_RULE, is_challenge

T = TypeVar("T")
Decode = Callable[[Any, datetime], Any]

PERCENT_LIMIT = 100.0
LONGEST_REMEMBERED = 40  # characters of an instant; a cloud may write more digits than anybody needs
LARGEST_BELIEVABLE_W, LARGEST_BELIEVABLE_A, LARGEST_BELIEVABLE_V = 1_000_000.0, 5_000.0, 2_000.0
MOST_CHOICES = 128

EVENT_TYPES: Mapping[str, type[BackendEvent]] = {
    "snapshots_seen": SnapshotsSeen,
    "directives_changed": DirectivesChanged,
    "driver_chose": DriverChose,
}
_TYPE_NAMES = {of: name for name, of in EVENT_TYPES.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """The body of `PUT .../directives/{id}`: what is asked, and what the car shall be told for it."""

    directive: Directive
    setting: Setting


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One page of `GET /v1/vehicles`."""

    vehicles: tuple[VehicleRef, ...]
    next_page_token: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Subscriber:
    """The body of `POST /v1/subscribers`: where to push, and the secret that signs."""

    url: str
    secret: str


@dataclasses.dataclass(frozen=True, slots=True)
class EventDelivery:
    """One webhook body: a batch of events, or a challenge to be answered."""

    event_id: str
    events: tuple[BackendEvent, ...] = ()
    challenge: str | None = None


class _Bad(Exception):
    """A value that breaks a rule; the path grows from the inside out."""

    def __init__(self, rule: str, path: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.path = path

    def under(self, name: str) -> "_Bad":
        joint = "" if not self.path or self.path.startswith("[") else "."
        return _Bad(self.rule, f"{name}{joint}{self.path}")


def dumps(value: Any) -> bytes:
    """Any dataclass of the contract, or plain JSON values, as bytes; instants as RFC 3339 with Z."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def dump_delivery(delivery: EventDelivery) -> bytes:
    """A webhook body as the receiver's `load_delivery` reads it."""
    if delivery.challenge is not None:
        return dumps({"event_id": delivery.event_id, "type": "backend.challenge", "challenge": delivery.challenge})
    events = [{"type": _TYPE_NAMES[type(event)], **_shallow(event)} for event in delivery.events]
    return dumps({"event_id": delivery.event_id, "type": "backend.events", "events": events})


def loads(body: bytes) -> Any:
    """JSON from bytes; INVALID_REQUEST when it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BackendError(ErrorCode.INVALID_REQUEST, "body: is not JSON") from None


def load(of: type[T], raw: Any, *, received_at: datetime) -> T:
    """A contract dataclass from JSON values; readings that carry no `received_at` get this one.

    Raises BackendError INVALID_REQUEST with the field's path and the rule it breaks.
    """
    try:
        return typing.cast("T", _decoder(of)(raw, received_at))
    except _Bad as bad:
        raise BackendError(ErrorCode.INVALID_REQUEST, f"{bad.path or 'body'}: {bad.rule}") from None


def load_delivery(body: bytes, *, received_at: datetime) -> EventDelivery:
    """A webhook body; INVALID_REQUEST when it is malformed."""
    raw = loads(body)
    try:
        return _delivery(raw, received_at)
    except _Bad as bad:
        raise BackendError(ErrorCode.INVALID_REQUEST, f"{bad.path or 'body'}: {bad.rule}") from None


def _shallow(event: BackendEvent) -> dict[str, Any]:
    return {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}


def _delivery(raw: Any, heard: datetime) -> EventDelivery:
    if not isinstance(raw, dict):
        raise _Bad("must be an object")
    event_id = _member(raw, "event_id", _text, heard)
    if raw.get("type") == "backend.challenge":
        return EventDelivery(event_id, challenge=_member(raw, "challenge", _challenge, heard))
    return EventDelivery(event_id, events=_member(raw, "events", _many(_event), heard))


def _event(raw: Any, heard: datetime) -> BackendEvent:
    of = EVENT_TYPES.get(str(raw.get("type"))) if isinstance(raw, dict) else None
    if of is None:
        raise _Bad(f"must be one of {', '.join(EVENT_TYPES)}", "type")
    return typing.cast("BackendEvent", _decoder(of)(raw, heard))


def _member(raw: Mapping[str, Any], name: str, decode: Decode, heard: datetime) -> Any:
    if name not in raw:
        raise _Bad("is required", name)
    try:
        return decode(raw[name], heard)
    except _Bad as bad:
        raise bad.under(name) from None


def _text(raw: Any, _: datetime) -> str:
    if type(raw) is not str or not raw:
        raise _Bad("must be a text that is not empty")
    return raw


def _challenge(raw: Any, _: datetime) -> str:
    if not is_challenge(raw):
        raise _Bad(CHALLENGE_RULE)
    return str(raw)


def _whole(raw: Any, _: datetime) -> int:
    if type(raw) is not int:
        raise _Bad("must be a whole number")
    return raw


def _number(raw: Any, _: datetime) -> float:
    if type(raw) is not float and type(raw) is not int:
        raise _Bad("must be a number")
    if not math.isfinite(raw):
        raise _Bad("must be a number that is finite")
    return float(raw)


def _truth(raw: Any, _: datetime) -> bool:
    if type(raw) is not bool:
        raise _Bad("must be true or false")
    return raw


@functools.lru_cache(maxsize=4096)
def _parsed(raw: str) -> datetime:
    instant = datetime.fromisoformat(raw)
    if instant.tzinfo is None:
        raise ValueError
    return instant.astimezone(UTC)


def _instant(raw: Any, _: datetime) -> datetime:
    try:
        return _parsed(raw) if len(raw) <= LONGEST_REMEMBERED else _parsed.__wrapped__(raw)
    except (TypeError, ValueError, OverflowError):
        raise _Bad("must be an RFC 3339 date-time with an offset") from None


_READERS: dict[Any, Decode] = {str: _text, int: _whole, float: _number, bool: _truth, datetime: _instant}


def _choice(of: type[enum.Enum]) -> Decode:
    members = {member.value: member for member in of}

    def read(raw: Any, _: datetime) -> Any:
        try:
            return members[raw]
        except (KeyError, TypeError):
            raise _Bad(f"must be one of {', '.join(str(value) for value in members)}") from None

    return read


def _many(decode: Decode) -> Decode:
    def read(raw: Any, heard: datetime) -> tuple[Any, ...]:
        if type(raw) is not list:
            raise _Bad("must be an array")
        out = []
        for place, item in enumerate(raw):
            try:
                out.append(decode(item, heard))
            except _Bad as bad:
                raise bad.under(f"[{place}]") from None
        return tuple(out)

    return read


def _record(of: type[Any]) -> Decode:
    hints = typing.get_type_hints(of)
    rules, beside = _RULES.get(of, ()), _BESIDE.get(of, {})
    fields = [
        (field.name, _member_decoder(of, field.name, hints[field.name]), field.default is dataclasses.MISSING)
        for field in dataclasses.fields(of)
    ]

    def read(raw: Any, heard: datetime) -> Any:
        if type(raw) is not dict:
            raise _Bad("must be an object")
        values = {}
        for name, decode, required in fields:
            item = raw.get(name)
            if item is not None:
                try:
                    values[name] = decode(item, heard)
                except _Bad as bad:
                    raise bad.under(name) from None
            elif required:
                raise _Bad("is required", name)
            elif raw.get(beside.get(name)) is not None:
                raise _Bad(f"is required beside {beside[name]}", name)
        made = of(**values)
        for name, rule, keeps in rules:
            if not keeps(made):
                raise _Bad(rule, name)
        return made

    return read


def _member_decoder(of: type[Any], name: str, hint: Any) -> Decode:
    inner = _inside_optional(hint)
    if typing.get_origin(inner) is Reading:
        return _reading(_decoder(typing.get_args(inner)[0]), _SENTINELS.get(name) if of is Snapshot else None)
    return _decoder(inner)


def _inside_optional(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(arm for arm in typing.get_args(hint) if arm is not type(None))
    return hint


def _decoder(hint: Any) -> Decode:
    if hint not in _READERS:
        _READERS[hint] = _compile(hint)
    return _READERS[hint]


def _compile(hint: Any) -> Decode:
    if typing.get_origin(hint) is tuple:
        return _many(_decoder(typing.get_args(hint)[0]))
    if issubclass(hint, enum.Enum):
        return _choice(hint)
    return _record(hint)


_VALIDITY = _choice(Validity)


def _reading(decode: Decode, is_sentinel: Callable[[Any], bool] | None) -> Decode:
    def read(raw: Any, heard: datetime) -> Reading[Any]:
        if type(raw) is not dict:
            raise _Bad("must be an object")
        value = _member(raw, "value", decode, heard)
        observed_at = _member(raw, "observed_at", _instant, heard)
        received = heard if raw.get("received_at") is None else _member(raw, "received_at", _instant, heard)
        validity = raw.get("validity")
        return Reading(
            value,
            observed_at,
            min(received, heard),
            "backend" if raw.get("source") is None else _member(raw, "source", _text, heard),
            Validity.SENTINEL
            if not is_believable(observed_at, heard) or (is_sentinel is not None and is_sentinel(value))
            else _claimed(observed_at, validity),
        )

    return read


def _claimed(observed_at: datetime, claimed: Any) -> Validity:
    if claimed is None or claimed == "OK":
        return Validity.OK
    return typing.cast("Validity", _VALIDITY(claimed, observed_at))


def _not_percent(value: float) -> bool:
    return not 0.0 <= value <= PERCENT_LIMIT


def _negative(value: float) -> bool:
    return value < 0


def _unbelievable_power(value: float) -> bool:
    return abs(value) > LARGEST_BELIEVABLE_W


def _no_current(value: float) -> bool:
    return not 0.0 <= value <= LARGEST_BELIEVABLE_A


def _no_voltage(value: float) -> bool:
    return not 0.0 <= value <= LARGEST_BELIEVABLE_V


def _no_phases(value: int) -> bool:
    return value not in {1, 2, 3}


# What some backends send instead of "I do not know": evcc and kia_uvo have met 255 % and -1, and 65,535 is another.
_SENTINELS: Mapping[str, Callable[[Any], bool]] = {
    "soc_pct": _not_percent,
    "limit_soc_pct": _not_percent,
    "power_w": _unbelievable_power,
    "current_a": _no_current,
    "voltage_v": _no_voltage,
    "phases": _no_phases,
    "limit_current_a": _no_current,
    "energy_added_wh": _negative,
    "energy_exported_wh": _negative,
    "time_to_complete_s": _negative,
}


def _percent_or_none(value: float | None) -> bool:
    return value is None or not _not_percent(value)


# What has a usual value, but none that may be assumed where a power is reckoned by it.
_BESIDE: Mapping[type[Any], Mapping[str, str]] = {Capability: {"phases": "current", "voltage_v": "current"}}
_POWERED = (DirectiveKind.CAP, DirectiveKind.SETPOINT)

_RULES: Mapping[type[Any], tuple[tuple[str, str, Callable[[Any], bool]], ...]] = {
    Directive: (
        ("end", "must be after start", lambda d: d.end > d.start),
        ("power_w", "is required for CAP and SETPOINT", lambda d: d.kind not in _POWERED or d.power_w is not None),
        ("power_w", "must not be negative for CAP", lambda d: d.kind is not DirectiveKind.CAP or d.power_w >= 0),
        (
            "on_comm_loss",
            "must be STOP when power_w is below zero",
            lambda d: (d.power_w or 0) >= 0 or d.on_comm_loss is OnCommLoss.STOP,
        ),
        ("reserve_soc_pct", "must be 0..100", lambda d: _percent_or_none(d.reserve_soc_pct)),
        ("target_soc_pct", "must be 0..100", lambda d: _percent_or_none(d.target_soc_pct)),
        ("max_energy_wh", "must not be negative", lambda d: (d.max_energy_wh or 0) >= 0),
    ),
    Setting: (("limit_soc_pct", "must be 0..100", lambda s: _percent_or_none(s.limit_soc_pct)),),
    CurrentControl: (
        ("step_a", "must be above 0", lambda c: c.step_a > 0),
        ("choices_a", f"must have at most {MOST_CHOICES} entries", lambda c: len(c.choices_a) <= MOST_CHOICES),
    ),
    LimitSocControl: (
        ("step_pct", "must be above 0", lambda c: c.step_pct > 0 or c.choices_pct),
        ("choices_pct", f"must have at most {MOST_CHOICES} entries", lambda c: len(c.choices_pct) <= MOST_CHOICES),
    ),
    Capability: (
        ("usable_wh", "must be above 0", lambda c: c.usable_wh > 0),
        ("phases", "must be above 0", lambda c: c.phases > 0),
        ("voltage_v", "must be above 0", lambda c: c.voltage_v > 0),
    ),
}
