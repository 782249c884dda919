"""OCPP 2.1 frames: plain dict payloads with the schema's own keys, checked both ways against the published schemas.

The `ocpp` package brings the frames and the schemas. Its typed classes are not used, because they misname fields of
schedules (`limitL2` for `limit_L2`), and its routing hands payloads on with renamed keys. Only actions that this
program names are ever looked up: a schema is a file, and a peer must not choose file names. Knows no socket.
"""

from collections.abc import Mapping
from typing import Any

from ocpp.exceptions import OCPPError
from ocpp.messages import Call, CallError, CallResult, get_validator, unpack

VERSION = "2.1"
SUBPROTOCOL = "ocpp2.1"
LONGEST_ID = 36
CALL, RESULT = 2, 3

Payload = dict[str, Any]


class BadFrame(Exception):
    """A frame that cannot even be answered."""


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


def check(kind: int, action: str, payload: Any) -> None:
    """Raise BadPayload unless the payload of this action's CALL or RESULT keeps its schema."""
    error = next(get_validator(kind, action, VERSION).iter_errors(payload), None)
    if error is not None:
        raise BadPayload(
            _CODES.get(error.validator, "FormatViolation"), f"{action}{error.json_path[1:]}: {error.validator}"
        )


def parse(raw: str | bytes) -> Call | CallResult | CallError:
    """One frame; BadFrame when it is no frame that could be answered."""
    if isinstance(raw, bytes):
        raise BadFrame("a frame is text")
    try:
        frame = unpack(raw)
    except (OCPPError, TypeError, ValueError, RecursionError):
        raise BadFrame("not a CALL, CALLRESULT or CALLERROR") from None
    if not isinstance(frame.unique_id, str) or not 0 < len(frame.unique_id) <= LONGEST_ID:
        raise BadFrame("messageId: must be a text of 1 to 36 characters")
    if isinstance(frame, Call) and not isinstance(frame.action, str):
        raise BadFrame("action: must be a text")
    return frame


def call(unique_id: str, action: str, payload: Payload) -> str:
    """A CALL that keeps its schema, as text."""
    check(CALL, action, payload)
    return str(Call(unique_id, action, payload).to_json())


def result(unique_id: str, action: str, payload: Payload) -> str:
    """A CALLRESULT that keeps its schema, as text."""
    check(RESULT, action, payload)
    return str(CallResult(unique_id, payload).to_json())


def error(unique_id: str, code: str, text: str) -> str:
    """A CALLERROR, as text; its description has at most 255 characters and echoes no value of the peer's."""
    return str(CallError(unique_id, code, text[:255], {}).to_json())
