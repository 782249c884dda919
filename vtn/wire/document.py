"""JSON bytes to Python values and back, digit for digit.

A payload value of 0.170 or 1e3 comes back as it was sent, because values mean something to the two parties only
(GEN-19, GEN-30). Numbers whose Python spelling differs from the text that was sent remember that text. NaN and
Infinity are not JSON and are refused.
"""

import contextlib
import json
import math
import sys
from typing import Any, NoReturn, Self

import orjson

MAX_DEPTH = 64
CONTAINERS = (dict, list)
INT64_DIGITS = 18
NODE_BYTES, MEMBER_BYTES = 64, 100
FOOTPRINT = 10  # bytes of memory for a byte of text, as objects of the standard have it


class Digits(float):
    """A float that remembers how it was written."""

    __slots__ = ("literal",)
    literal: str

    def __new__(cls, literal: str) -> Self:
        """Read the number and keep its text."""
        number = super().__new__(cls, literal)
        number.literal = literal
        return number


class WideInt(int):
    """An integer beyond 64 bits, or written as -0, that remembers how it was written."""

    literal: str

    def __new__(cls, literal: str) -> Self:
        """Read the number and keep its text."""
        number = super().__new__(cls, literal)
        number.literal = literal
        return number


def _float(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise ValueError(f"the number {literal[:40]} is too large")
    return number if repr(number) == literal else Digits(literal)


def _int(literal: str) -> int:
    return int(literal) if len(literal) <= INT64_DIGITS and literal != "-0" else WideInt(literal)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=_refuse_constant)


def parse(body: bytes) -> Any:
    """Read one JSON text (UTF-8), at most 64 levels deep; ValueError says what is wrong and where.

    A text that `render` would write the same way holds no number to be careful about, and is read three times as fast.
    """
    value = _read(body)
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and depth_exceeds(value):
        raise ValueError("the text is nested too deeply")
    if b"\\u" in body:
        _refuse_half_pairs(value)
    return value


def glance(body: bytes) -> Any:
    """Read a text of our own whose numbers do not matter: several times as fast where they are oddly spelled."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return parse(body)


def heft(value: Any, enough: int = 65_536) -> int:
    """About how many bytes a value has as text, counted up to `enough` and no further."""
    return footprint(value, enough * FOOTPRINT) // FOOTPRINT


def footprint(value: Any, enough: int = sys.maxsize) -> int:
    """About how many bytes of memory a parsed value takes, which can be thirty times its text; up to `enough`."""
    total, waiting = 0, [value]
    while waiting and total <= enough:
        node = waiting.pop()
        total += NODE_BYTES
        if type(node) is dict:
            total += len(node) * MEMBER_BYTES
            waiting += node.values()
        elif type(node) is list:
            waiting += node
        elif type(node) is str:
            total += len(node)
    return total


def _refuse_half_pairs(value: Any) -> None:
    """Python reads an escaped half of a surrogate pair; UTF-8 cannot carry it, so it could never be written again."""
    try:
        render(value)
    except TypeError:
        raise ValueError("the text holds half of a surrogate pair") from None


def _read(body: bytes) -> Any:
    with contextlib.suppress(orjson.JSONDecodeError, orjson.JSONEncodeError):
        value = orjson.loads(body)
        if orjson.dumps(value) == body:
            return value
    return _parse_with_care(body)


def _parse_with_care(body: bytes) -> Any:
    try:
        return _decoder.decode(body.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except UnicodeDecodeError:
        raise ValueError("the text is not UTF-8") from None
    except RecursionError:
        raise ValueError("the text is nested too deeply") from None


def depth_exceeds(value: Any, limit: int = MAX_DEPTH) -> bool:
    """True when lists and objects are nested deeper than `limit`; never recurses."""
    layer = [value] if type(value) in CONTAINERS else []
    for _ in range(limit):
        layer = [
            child
            for node in layer
            for child in (node.values() if type(node) is dict else node)
            if type(child) in CONTAINERS
        ]
        if not layer:
            return False
    return True


def _as_written(value: Any) -> Any:
    if isinstance(value, (Digits, WideInt)):
        return orjson.Fragment(value.literal)
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def render(value: Any) -> bytes:
    """Write JSON (UTF-8, compact), numbers as they were written; our own integers must fit 64 bits."""
    return orjson.dumps(value, default=_as_written, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
