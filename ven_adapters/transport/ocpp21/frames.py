"""OCPP frames: plain dict payloads with the schema's own keys, checked both ways against the published schemas.

Of 2.1, 2.0.1 and 1.6J; the version that was agreed on at the handshake says which schemas and error codes hold.

The `ocpp` package brings the frames and the schemas. Its typed classes are not used, because they misname fields of
schedules (`limitL2` for `limit_L2`), and its routing hands payloads on with renamed keys. Only actions that this
program names are ever looked up: a schema is a file, and a peer must not choose file names. Knows no socket.
"""

import dataclasses
import decimal
import json
import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from ocpp.messages import Call, CallError, CallResult, get_validator

VERSION = "2.1"
OCPP_201, OCPP_16 = "2.0.1", "1.6"
# The websocket subprotocols with their versions, the best first.
SUBPROTOCOLS = {"ocpp2.1": VERSION, "ocpp2.0.1": OCPP_201, "ocpp1.6": OCPP_16}
LONGEST_ID = 36
NO_ID = "-1"  # OCPP-J: the message id of an answer to a call whose own cannot be read
CALL, RESULT, ERROR = 2, 3, 4
CALL_PARTS, RESULT_PARTS, LEAST_ERROR_PARTS = 4, 3, 3
LONGEST_WHOLE = 20

Payload = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """A CALL, CALLRESULT or CALLERROR: `name` is the action of the first and the error code of the last."""

    kind: int
    unique_id: str
    payload: Any = None
    name: str = ""


class BadFrame(Exception):
    """What is no frame that we read. `answer`: the CALLERROR that it gets, None for what is passed over; text: why."""

    def __init__(self, text: str, answer: str | None = None) -> None:
        super().__init__(text)
        self.answer = answer


class BadPayload(Exception):
    """A payload that breaks its schema; `code` is the CALLERROR code, the text names the place and the rule."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


_CODES: Mapping[str, str] = {
    "type": "TypeConstraintViolation",
    "maxLength": "PropertyConstraintViolation",
    "minimum": "PropertyConstraintViolation",
    "maximum": "PropertyConstraintViolation",
    "enum": "PropertyConstraintViolation",
    "required": "OccurrenceConstraintViolation",
}
# What OCPP 1.6J calls them (part J, table 7), spelling included.
_CODES_16: Mapping[str, str] = {
    "FormatViolation": "FormationViolation",
    "OccurrenceConstraintViolation": "OccurenceConstraintViolation",
    "RpcFrameworkError": "ProtocolError",
}
# Schemas of 1.6 that want rates of one decimal: as binary fractions most of them are none.
_TENTHS = frozenset({(CALL, "SetChargingProfile"), (RESULT, "GetCompositeSchedule")})


def check(kind: int, action: str, payload: Any, version: str = VERSION) -> None:
    """Raise BadPayload unless the payload of this action's CALL or RESULT keeps its schema."""
    if version == OCPP_16 and (kind, action) in _TENTHS:
        validator = get_validator(kind, action, version, parse_float=decimal.Decimal)
        payload = json.loads(json.dumps(payload), parse_float=decimal.Decimal)
    else:
        validator = get_validator(kind, action, version)
    error = next(validator.iter_errors(payload), None)
    if error is not None:
        raise BadPayload(
            _CODES.get(error.validator, "FormatViolation"), f"{action}{error.json_path[1:]}: {error.validator}"
        )


def parse(raw: str | bytes, version: str = VERSION) -> Frame:
    """One frame; BadFrame for what is none, for what nobody asked us to know, and for a call that cannot be read."""
    if isinstance(raw, bytes):
        raise BadFrame("a frame of bytes is passed over")
    try:
        parts = json.loads(raw, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        head = _CALL_HEAD.match(raw)
        if head is None:
            raise BadFrame("a text that is no frame is passed over") from None
        why = "not JSON as a program can keep it"
        raise _refused(json.loads(head[1] or "null"), "FormatViolation", why, version) from None
    kind = parts[0] if isinstance(parts, list) and parts else None
    if isinstance(kind, bool) or kind not in (CALL, RESULT, ERROR):
        raise BadFrame("a frame of a type that this program does not know is passed over")
    unique_id = parts[1] if len(parts) > 1 else None
    if kind == CALL:
        if not _is_id(unique_id) or len(parts) != CALL_PARTS or not isinstance(parts[2], str):
            raise _refused(unique_id, "RpcFrameworkError", "a call is [2, messageId, action, payload]", version)
        if not _is_writable(parts):
            raise _refused(unique_id, "FormatViolation", "half a surrogate pair, or nested too deeply", version)
        return Frame(CALL, unique_id, parts[3], parts[2])
    if _is_id(unique_id) and kind == RESULT and len(parts) == RESULT_PARTS and _is_writable(parts):
        return Frame(RESULT, unique_id, parts[2])
    if _is_id(unique_id) and kind == ERROR and len(parts) >= LEAST_ERROR_PARTS:
        return Frame(ERROR, unique_id, name=str(parts[2])[:50])
    raise BadFrame("an answer that is none is passed over")


# A call whose JSON is broken, too deep or too large in its numbers still says by its first words whom to answer.
_CALL_HEAD = re.compile(
    r'\s*\[\s*2(?:\.0+)?\s*,\s*("(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"(?=\s*[,\]]))?'
)


def _refused(unique_id: Any, code: str, why: str, version: str) -> BadFrame:
    text = error(unique_id if _is_id(unique_id) else NO_ID, code, why, version)
    return BadFrame("a call that is none is refused", text)


def _is_id(unique_id: Any) -> TypeGuard[str]:
    return isinstance(unique_id, str) and 0 < len(unique_id) <= LONGEST_ID


def _is_writable(parts: Any) -> bool:
    """Whether every text can be written to a file: JSON can escape half a surrogate pair, and UTF-8 cannot."""
    try:
        json.dumps(parts, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _whole(text: str) -> int | float:
    """A whole number; one of absurd length is judged as a fraction, in time that does not grow with its square."""
    return int(text) if len(text) <= LONGEST_WHOLE else _finite(text)


def _finite(text: str) -> float:
    """A number; ValueError for infinities and what is none, which JSON does not have."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def call(unique_id: str, action: str, payload: Payload, version: str = VERSION) -> str:
    """A CALL that keeps its schema, as text."""
    check(CALL, action, payload, version)
    return str(Call(unique_id, action, payload).to_json())


def result(unique_id: str, action: str, payload: Payload, version: str = VERSION) -> str:
    """A CALLRESULT that keeps its schema, as text."""
    check(RESULT, action, payload, version)
    return str(CallResult(unique_id, payload).to_json())


def error(unique_id: str, code: str, text: str, version: str = VERSION) -> str:
    """A CALLERROR, as text; its description has at most 255 characters and echoes no value of the peer's."""
    code = _CODES_16.get(code, code) if version == OCPP_16 else code
    return str(CallError(unique_id, code, text[:255], {}).to_json())
