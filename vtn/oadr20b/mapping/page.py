"""`docs/openadr20b-mapping.md`, printed from the tables that the bridges translate with; written by `make docs`."""

from collections.abc import Iterator, Mapping

from vtn.oadr20b.mapping import targets
from vtn.oadr20b.mapping.report_types import QUALITIES, READING_TYPES, REPORT_TYPES, UNITS
from vtn.oadr20b.mapping.signals import (
    ALERT_LEVELS,
    CARRIED,
    KEEPS_LAST,
    LIMITS,
    NEUTRAL,
    REFUSED,
    SIGNALS,
    UNTOLD,
    SignalRule,
)

_HEAD = """# OpenADR 2.0b in words of OpenADR 3.1, and back

Printed by `make docs` from the tables that the bridges translate with (`vtn/oadr20b/mapping/`); a test holds them
equal, and each row is checked both ways against the schema of 3.1 and that of 2.0b. Names that begin with `X_20B_` are
private
to these bridges: 3.1 has no word for what they carry, and who does not know them passes over them.

"Up" is what a utility's 2.0b VTN says to us, "down" what we say to a VEN that speaks 2.0b.
"""
_EVENTS = """## Events

| 2.0b | 3.1 | Rule |
|---|---|---|
| marketContext | program | one program per utility and context, made at first sight, never deleted by a bridge; \
its target `20b:<utility>:ven` is granted at enrolment |
| eventID | event | one event of 3.1 per eiEvent; its `eventName` says `20b <utility> <eventID>` |
| modificationNumber | | up: a higher one replaces the same event; down: counted per VEN and event, one more whenever \
what that VEN is told changes |
| priority 0, 1, 2 ... | null, 0, 1 ... | none stays none, the highest stays the highest |
| eventStatus | | up: only `cancelled` counts; down: of the clock, `near` while it ramps up |
| cancelled, or missing from the list | deleted | down: deleted, out of sight, or an empty window is `cancelled` until \
it is acknowledged or its old end has passed |
| startafter T | start + T/2, randomizeStart T/2 | the same instants: 2.0b draws from [0, T], 3.1 from [-R, R] |
| duration PT0S | P9999Y | without end, both ways |
| testEvent | program `...:TEST` | answered, and seen by nobody |
| oadrResponseRequired | | up: answered unless `never`; down: the program's `X_20B_RESPONSE_REQUIRED`, else `always` |
| intervals of several signals | intervals | cut at all boundaries; each piece has its own start and duration |
| gaps | | down: filled with what asks for nothing; a set-point has no such value, there the event is cut in two |
| loops | | down: written out for seven days, anew each day |
| several values in a payload | | down: intervals of equal length |
"""
_OPTS = """## Opts

3.1 has no object for opts; they are reports on the event.

| 2.0b | 3.1 |
|---|---|
| oadrCreatedEvent | `X_20B_OPT`, and OPERATING_STATE `RUNNING_OPTED_OUT` for optOut; the newest counts |
| oadrCreateOpt with an event | the same, for each resourceID that it names |
| oadrCreateOpt with a schedule | LOAD_SHED_DELTA_AVAILABLE 0 over these times, on the standing event |
| oadrCancelOpt | the report says it no more |

Up, a resource whose newest OPERATING_STATE on the event says that it opted out is opted out of it; from the share
`opt_out_above` on, the whole event is.
"""
_REPORTS = """## Reports

A report of 3.1 names an event, and telemetry of 2.0b knows none. Each utility, and all 2.0b VENs together, have a
standing event that asks for reports and for nothing else.

"""


def page() -> str:
    """The text of the page."""
    return "\n".join((_HEAD, _EVENTS, *_signals(), *_targets(), _OPTS, _REPORTS + "\n".join(_reports())))


def _signals() -> Iterator[str]:
    yield "## Signals\n"
    yield "| signalName | signalType | Payload type | Units | Back as the same | Note |\n|---|---|---|---|---|---|"
    for rule in SIGNALS:
        units = rule.units or (f"{rule.unit.value}" if rule.unit else "")
        cells = (rule.name, rule.kind, f"`{rule.payload}`", units, _back(rule), rule.note)
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield from _two("Payload type, down", "Told as", LIMITS)
    alerts = ", ".join(f"{name} {level}" for name, level in ALERT_LEVELS.items())
    yield f"Alerts are a SIMPLE level ({alerts}, others 1, or the program's `X_20B_SIMPLE_LEVEL`) with a vtnComment."
    yield "Events that ask for load bear a SIMPLE signal beside theirs; those of prices alone do not.\n"
    yield from _two("Not told to 2.0b VENs, logged and counted", "Why", UNTOLD)
    yield from _two("Refused with 460 and optOut, up", "Why", REFUSED)
    neutral = {name: f"{value:g}" for name, value in NEUTRAL.items()}
    neutral |= dict.fromkeys(sorted(KEEPS_LAST), "the last value")
    yield from _two("In a gap, a signal of the type", "says", neutral)
    yield from _two("Private name", "Carries", CARRIED)


def _back(rule: SignalRule) -> str:
    return "yes" if rule.back or "PERCENT" in rule.note else "no"


def _targets() -> Iterator[str]:
    yield "## Targets\n"
    kinds = {name: f"`20b:<utility>:{short}:<value>`" for name, short in targets.KINDS.items()}
    kinds = {"venID alone": "`20b:<utility>:ven`", **kinds, "none": "everybody of the program"}
    yield from _two("eiTarget, up", "Target", kinds)
    yield f"Refused with 462 and optOut: {', '.join(targets.REFUSED)}. An event for another venID is, too."
    yield "Down, a VEN sees an event when one of its grants is among the targets, and is told itself and those of its"
    yield "own resources that are meant.\n"


def _reports() -> Iterator[str]:
    yield "| reportType | Payload type | Back as the same | Note |\n|---|---|---|---|"
    for rule in REPORT_TYPES:
        yield f"| {rule.report_type} | `{rule.payload}` | {'yes' if rule.back else 'no'} | {rule.note} |"
    yield "\nAny other reportType is a private payload type of its name.\n"
    yield from _two("readingType", "3.1", {name: told or "none" for name, told in READING_TYPES.items()})
    yield from _two("oadrDataQuality begins with", "DATA_QUALITY", dict(QUALITIES))
    units = {name: f"{told}, 10^{powers} of it" if powers else told for name, (told, powers) in UNITS.items()}
    yield from _two("itemUnits", "Units", units)


def _two(first: str, second: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield f"| {first} | {second} |\n|---|---|"
    for name, words in rows.items():
        yield f"| {name} | {words} |"
    yield ""
