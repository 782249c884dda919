"""Turn real answers into fixtures: what is known to be harmless is kept, everything else is replaced. Pure.

The rule is an allow-list. A number is kept under a key that names a measurement; a word under a key that names a state,
and only when it looks like one; instants, truth values and nulls are kept. Every other text or number becomes a made-up
one, always the same for the same, so that references still fit together. Under a key that speaks of a place or a
person nothing is kept at all, unless the author names that very key. In the end the whole is searched once more for
everything that was replaced.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from ven_adapters.transport.http.problems import VIN, discreet

_MEASURED = """soc pct percent level power watts w kw wh kwh energy current amps a voltage volts v phases limit capacity
usable max min step least most range minutes seconds s ms latency floor typical p99 added exported remaining target
reserve charge charging charger battery count total page status priority revision year version size temperature retry
after api day"""
_STATED = """state status validity kind type unit rung code plugged plug charge charging reachability result reason
source site model models make object mode phase connection connected via error capability certainty can"""
_PRIVATE = """vin location latitude longitude lat lon lng gps position heading home address street city zip
postal postcode coordinates place geofence owner driver user account person customer email mail phone name names first
last nickname display username token secret password authorization session cookie signature licence license plate
serial imei iccid odometer"""
# Keys of measurements: the value is kept when it is a number. A key matches by any of its words.
MEASURED = frozenset(_MEASURED.split())
# Keys of states: the value is kept when it is one short word.
STATED = frozenset(_STATED.split())
# Keys under which nothing is kept, whatever it looks like.
PRIVATE = frozenset(_PRIVATE.split())
# Keys of things that point at something else.
POINTING = frozenset({"id", "ids", "ref", "refs", "key", "uuid"})
# Keys that hold a value for the key above them.
TRANSPARENT = frozenset({"value", "values", "body", "data", "attributes"})
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)")
WORD = re.compile(r"[A-Za-z][A-Za-z_:-]{0,59}")
PLAIN = re.compile(r"[A-Za-z_]+")
NUMBER_WORD = re.compile(r"-?\d{1,6}(\.\d{1,2})?")
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,80}")
UUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
MADE_UP = re.compile(r"SYNTHETICVIN\d{5}|example\.invalid|synthetic-\d")
SHORTEST_SOUGHT = 4
DECIMALS = 2
LARGEST_KEPT = 10_000_000
KEPT_HEADERS = ("Retry-After",)


class Redactor:
    """One recording's made-up values: the same for the same, over all of its answers."""

    def __init__(self, keep: frozenset[str] = frozenset()) -> None:
        self._keep = frozenset(word.lower() for word in keep)
        self._names: dict[str, str] = {}
        self._sought: set[str] = set()
        self.replaced: set[str] = set()

    def pseudonym(self, text: str, *, private: bool = True) -> str:
        """The made-up text that stands for this one, of the same form where the form means something.

        A `private` one, and one that is more than a word, is sought in everything else that is kept.
        """
        if text not in self._names:
            self._names[text] = _made_up(text, len(self._names) + 1)
        if len(text) >= SHORTEST_SOUGHT and (private or not PLAIN.fullmatch(text)):
            self._sought.add(text)
        return self._names[text]

    def hides(self, text: str) -> bool:
        """Whether this text was replaced because it names or points at somebody or something."""
        return text in self._sought

    def value(self, raw: Any, path: tuple[str, ...] = ()) -> Any:
        """A JSON value with everything that is not known to be harmless replaced."""
        if isinstance(raw, dict):
            return {self._key(key): self.value(held, (*path, key)) for key, held in raw.items()}
        if isinstance(raw, list):
            return [self.value(item, path) for item in raw]
        if raw is None or isinstance(raw, bool) or self._kept(raw, path):
            return round(raw, DECIMALS) if isinstance(raw, float) else raw
        self.replaced.add(_naming(path) or "a bare value")
        if isinstance(raw, str):
            return self.pseudonym(raw, private=_private(path)) if raw else raw
        return 1 if isinstance(raw, int) else 0.5

    def headers(self, raw: Mapping[str, str]) -> dict[str, str]:
        """The headers that say how to behave, and no other."""
        return {name: raw[name] for name in KEPT_HEADERS if name in raw and raw[name].isdigit()}

    def swept(self, value: Any) -> Any:
        """A redacted value in which nothing that was replaced anywhere is left, not even inside something else."""
        if isinstance(value, dict):
            return {self.swept(key): self.swept(held) for key, held in value.items()}
        if isinstance(value, list):
            return [self.swept(item) for item in value]
        if not isinstance(value, str) or INSTANT.fullmatch(value) or value in self._names.values():
            return value
        for real in sorted(self._sought, key=len, reverse=True):
            value = value.replace(real, self._names[real])
        return value if MADE_UP.search(value) else discreet(value)

    def _key(self, key: str) -> str:
        """A key, unless it is itself somebody's name or number."""
        plain = IDENTIFIER.fullmatch(key) and not VIN.search(key) and not UUID.search(key)
        return key if plain else self.pseudonym(key)

    def _kept(self, raw: Any, path: tuple[str, ...]) -> bool:
        naming = _naming(path)
        if isinstance(raw, str) and INSTANT.fullmatch(raw):
            return True
        if naming.lower() in self._keep:
            return VIN.search(str(raw)) is None
        if _private(path):
            return False
        words = _words(naming)
        if isinstance(raw, str):
            stated = bool(STATED & words) and WORD.fullmatch(raw) is not None
            return stated or (bool(MEASURED & words) and NUMBER_WORD.fullmatch(raw) is not None)
        return bool(MEASURED & words) and abs(raw) < LARGEST_KEPT


def answer(redactor: Redactor, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """One recorded answer in the form of the fixtures: status, headers, body (None when it is no JSON)."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        raw = None
    return {"status": status, "headers": redactor.headers(headers), "body": redactor.value(raw)}


def printed(redactor: Redactor, recorded: dict[str, Any]) -> bytes:
    """The bytes of a fixture's file."""
    return orjson.dumps(redactor.swept(recorded), option=orjson.OPT_INDENT_2) + b"\n"


def _private(path: tuple[str, ...]) -> bool:
    """Whether a value tells of a place or a person, or points at something."""
    return any(PRIVATE & _words(key) for key in path) or bool(POINTING & _words(_naming(path)))


def _naming(path: tuple[str, ...]) -> str:
    """The key that says what a value is: the nearest that is more than a container's."""
    return next((key for key in reversed(path) if key.lower() not in TRANSPARENT), "")


def _words(key: str) -> frozenset[str]:
    """The words of a key: snake_case, camelCase, kebab-case and dotted."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", key)
    return frozenset(re.split(r"[^a-z0-9]+", spaced.lower())) - {""}


def _made_up(text: str, number: int) -> str:
    if VIN.fullmatch(text):
        return f"SYNTHETICVIN{number:05d}"
    if UUID.fullmatch(text):
        return f"00000000-0000-4000-8000-{number:012d}"
    if "@" in text:
        return f"person-{number}@example.invalid"
    if text.startswith(("http://", "https://")):
        return f"https://example.invalid/{number}"
    return f"synthetic-{number}"
