"""The base of every wire object, and the scalar types of the OpenADR 3.1 schema.

Strict: a JSON number is never read as text nor text as a number. Unknown properties are kept, because the standard
allows private extensions (Definition, Model Extension). Three kinds of optional property exist and are kept apart:
nullable (`T | None = None`), omittable but never null (`Omittable[T] = None`), and required.
"""

import re
from datetime import datetime
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic_core import PydanticCustomError

T = TypeVar("T")

NULL_REFUSED = "null_refused"
SPELLS_NOW = "spells now"
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

DURATION = re.compile(
    r"(-?)P(?=\d|T\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)([DW]))?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII
)
DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_CHAR = r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@-])"
_AUTHORITY = rf"//(?:\[[0-9A-Fa-f:.]+\](?::\d*)?|{_CHAR}*)(?=[/?#]|$)"
URI = re.compile(
    rf"[A-Za-z][A-Za-z0-9+.-]*:(?=.)(?:{_AUTHORITY})?(?:/|{_CHAR})*(?:\?(?:[/?]|{_CHAR})*)?(?:#(?:[/?]|{_CHAR})*)?",
    re.ASCII,
)

NOW = "0001-01-01T00:00:00Z"
NOW_LITERALS = frozenset({"0001-01-01", "0001-01-01T00:00:00", NOW})


class WireModel(pydantic.BaseModel):
    """A frozen message part that is read by its JSON names and keeps what it does not know."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow", strict=True, serialize_by_alias=True)


def _refuse_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError(NULL_REFUSED, "may be left out but may not be null")
    return value


def _pattern(pattern: re.Pattern[str], rule: str) -> pydantic.AfterValidator:
    def check(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise PydanticCustomError("format", "{rule}", {"rule": rule})
        return text

    return pydantic.AfterValidator(check)


def _date_time(text: str) -> str:
    if DATE_TIME.fullmatch(text) is None:
        raise PydanticCustomError("format", "must be an RFC 3339 date-time such as 2026-07-15T16:00:00Z")
    try:
        datetime.fromisoformat(text[:10])
    except ValueError:
        raise PydanticCustomError("format", "names a day that does not exist") from None
    return text


def _start(text: str, info: pydantic.ValidationInfo) -> str:
    if text not in NOW_LITERALS:
        return _date_time(text)
    if info.context is not None:
        info.context[SPELLS_NOW] = True
    return NOW


def _length(shortest: int, longest: int) -> Any:
    return pydantic.Field(min_length=shortest, max_length=longest)


Omittable = Annotated[T | None, pydantic.BeforeValidator(_refuse_null)]
Many = Annotated[tuple[T, ...], pydantic.Strict(strict=False)]

Name = Annotated[str, _length(1, 128)]
ObjectId = Annotated[str, _length(1, 128), pydantic.Field(pattern=r"\A[a-zA-Z0-9_-]*\z")]
Uri = Annotated[str, _length(2, 8000), _pattern(URI, "must be an absolute URI such as https://example.org/path")]
Duration = Annotated[str, _pattern(DURATION, "must be an ISO 8601 duration such as PT1H or P1D")]
DateTime = Annotated[str, pydantic.AfterValidator(_date_time)]
Start = Annotated[str, pydantic.AfterValidator(_start)]
Int32 = Annotated[int, pydantic.Field(ge=INT32_MIN, le=INT32_MAX)]


class Metadata(WireModel):
    """What the VTN adds to every object it stores (schema objectMetadata)."""

    id: ObjectId
    created_date_time: DateTime = pydantic.Field(alias="createdDateTime")
    modification_date_time: DateTime = pydantic.Field(alias="modificationDateTime")
