"""Write the tables of this folder from the code that they are about: `make docs`."""

import ast
import collections
import importlib
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pydantic

from ven_adapters.config import AdapterSettings, EnrollingSettings, ExecutorSettings
from ven_adapters.contract import FINAL_STATES, DirectiveState
from ven_adapters.lifecycle.transitions import MEANINGS, TRANSITIONS, Trigger
from ven_adapters.oems.bmw_cardata import CarDataSettings
from ven_adapters.oems.enode import EnodeSettings
from ven_adapters.oems.ford_query import FordQuerySettings
from ven_adapters.oems.smartcar import SmartcarSettings
from ven_adapters.oems.tesla.settings import TeslaSettings
from ven_adapters.transport.http.settings import BackendSettings
from ven_adapters.transport.ocpp21.settings import CentralSettings
from ven_adapters.ven.openadr import units_page
from vtn.bounds import Bounds
from vtn.clock import RealClock, print_clock
from vtn.config import Auth, Server, Settings, Webhooks
from vtn.oadr20b.downstream.settings import DownstreamSettings
from vtn.oadr20b.mapping import page as mapping_page
from vtn.oadr20b.upstream.settings import UpstreamSettings

HERE = Path(__file__).parent
BOUNDS, SETTINGS, UNITS, DIRECTIVES = (HERE / f"{name}.md" for name in ("bounds", "settings", "units", "directives"))
MAPPING = HERE / "openadr20b-mapping.md"
EXAMPLES = HERE.parent / "config"
COMMAND = "make docs"
HEAD = f"""# Bounds

Everything that comes from outside is bounded before work is done on it. These tables are made from the code by
`{COMMAND}`.

A request body goes through four gates, each cheaper than the next: its bytes, compressed or not (`max_body_bytes`), how
many JSON values it holds, counted before it is parsed (`values`), how long each of its lists and texts is, looked at
before it is validated, and its faults, which end the search when there are as many as are told (`faults`). From
`heavy_bytes` on, all of it happens in a thread, one body at a time and one for each client, so that others are served
meanwhile. A refused write is charged to its client (`refusals_per_minute`); who has used that up is answered 429 with
`Retry-After` before its body is read.

A cache that is full forgets its oldest entries, so a client that asks in very many ways makes the server slower for
itself and not larger.
"""
ELSEWHERE = (
    ("server.", Server, ("max_body_bytes",)),
    ("auth.", Auth, ("tokens_per_minute", "tokens_per_minute_and_address")),
    ("webhooks.", Webhooks, ("timeout_s", "give_up_s", "attempts", "longest_retry_s", "broken_after")),
)
FIXED = (
    ("vtn.wire.document", "MAX_DEPTH", "levels of lists and objects in a JSON text"),
    ("vtn.endpoints.paging", "MAX_LIMIT", "objects of one page"),
    ("vtn.endpoints.paging", "LONGEST_NAME", "characters of a name or target in a query"),
    ("vtn.endpoints.oauth", "LONGEST_FORM", "bytes of a token request"),
    ("vtn.endpoints.oauth", "MOST_FIELDS", "fields of a token request"),
    ("vtn.endpoints.oauth", "LONGEST_FIELD", "characters of one of them"),
    ("vtn.endpoints.oauth", "CONCURRENT_CHECKS", "secrets that are checked at a time"),
    ("vtn.endpoints.oauth", "LONGEST_QUEUE", "token requests that wait for that; more are answered 429"),
    ("vtn.endpoints.broker_hooks", "LONGEST_QUESTION", "bytes of a question of an external broker"),
    ("vtn.limits", "MOST_NAMES", "clients or addresses whose pace is remembered"),
    ("vtn.auth.tokens", "MAX_TOKEN_CHARS", "characters of an access token"),
    ("vtn.auth.issuers", "MOST_BYTES", "bytes of an external issuer's keys"),
    ("vtn.auth.keyset", "MOST_KEYS", "keys of one external issuer"),
    ("vtn.rules.compat30.targets", "MOST_TYPES", "types of one 3.0.1 target"),
    ("vtn.rules.compat30.unrolling", "MOST_INTERVALS", "intervals that a loop is written out to on 3.0.1"),
    ("vtn.rules.compat30.unrolling", "MOST_VALUES", "payloads that packed values are written out to on 3.0.1"),
    ("vtn.service.compat30_vens", "MOST_MEMBERS", "resources that one 3.0.1 write of a ven may change"),
    ("vtn.service.subscriptions", "MOST_FAILED_CHALLENGES", "failed callbacks after which a write calls no more"),
    ("vtn.notifiers.webhooks.callbacks", "LONGEST_ECHO_BYTES", "bytes of a callback's answer to a challenge"),
    ("vtn.storage.writer", "LARGEST_BATCH", "writes of one commit"),
    ("vtn.client", "REMEMBERED_BYTES", "bytes of pages that an adapter remembers of its VTN"),
    ("vtn.client", "MOST_BYTES", "bytes of an answer of the VTN; a page that is larger is asked for in smaller ones"),
    ("vtn.client", "MOST_VALUES", "commas, colons and opening brackets of it, counted before it is parsed"),
    (
        "ven_adapters.ven.openadr.vtn_objects",
        "MOST_LISTED",
        "programs or active events of the VTN; of more, none is read anew",
    ),
    ("ven_adapters.ven.openadr.vtn_objects", "MOST_LISTED_BYTES", "bytes of memory that they may take together"),
    ("vtn.oadr20b.codec.reading", "MOST_DEPTH", "levels of elements in a message of OpenADR 2.0b"),
    ("vtn.oadr20b.codec.reading", "MOST_ELEMENTS", "elements in it"),
    ("vtn.oadr20b.mapping.events_up", "MOST_INTERVALS", "intervals of a utility's event; of more it is refused, 454"),
    ("vtn.oadr20b.mapping.events_down", "MOST_INTERVALS", "intervals of an event that a 2.0b VEN is told"),
    ("vtn.oadr20b.downstream.opts", "MOST_OPTS", "opts of one 2.0b VEN that stand at once"),
    ("vtn.oadr20b.downstream.reports", "MOST_DESCRIPTIONS", "data points that one 2.0b VEN may offer"),
    ("ven_adapters.transport.http.session", "MAX_ANSWER_BYTES", "bytes of an automaker's answer"),
    ("ven_adapters.transport.http.webhooks", "MAX_BODY_BYTES", "bytes of an automaker's webhook"),
    ("ven_adapters.transport.readings.mqtt_readings", "MAX_BODY_BYTES", "bytes of a message of an automaker's stream"),
    ("ven_adapters.oems.tesla.telemetry", "MAX_FIELD_BYTES", "bytes of one value that a Tesla streams"),
    ("ven_adapters.oems.tesla.telemetry", "CAR_BURST", "values that one Tesla streams at once"),
    ("ven_adapters.oems.tesla.telemetry", "CAR_PER_S", "values that it streams per second ever after"),
    (
        "ven_adapters.transport.http.webhook_queue",
        "REMEMBERED",
        "pushes that are remembered, so that none is taken twice",
    ),
    ("ven_adapters.enrolment_api.endpoints", "MAX_BODY_BYTES", "bytes of an enrolment request"),
    ("ven_adapters.enrolment_api.endpoints", "MOST_CARS", "cars of one enrolment request"),
    ("ven_adapters.enrolment_api.problems", "MOST_FAULTS", "faults told of one enrolment request"),
    ("ven_adapters.ven.control.event_notices", "MOST_PENDING", "notices to drivers that wait for the enrolment store"),
    ("ven_adapters.enrolment_api.webhooks.notice_sender", "AT_ONCE", "notices to drivers that are sent at once"),
    ("ven_adapters.ven.queue.messages", "LARGEST_BYTES", "bytes of a message between planner and executors"),
    ("ven_adapters.transport.ocpp21.connection", "REMEMBERED_CALLS", "calls of a charging point that are remembered"),
    ("ven_adapters.transport.ocpp21.frames", "LONGEST_ID", "characters of a message's id"),
)
ADAPTER = (("", AdapterSettings, ("most_events",)), ("enrolling.", EnrollingSettings, ("requests_per_s",)))
FILES = (
    ("`vtn serve`", Settings, "EVTN_", "", ("vtn",)),
    ("`vtn 20b serve`", DownstreamSettings, "OADR20B_VTN_", "", ("20b",)),
    ("`vtn 20b upstream`", UpstreamSettings, "OADR20B_VEN_", "", ("20b-upstream",)),
    ("`ven-adapters run`", AdapterSettings, "VEN_ADAPTER_", "", ("ven-adapter", "enrolment")),
    ("`ven-adapters execute`", ExecutorSettings, "VEN_EXECUTOR_", "", ("ven-executor", "ven-adapter")),
)
# The tables of automakers' files, in an adapter's settings file or an executor's.
BACKENDS = (
    ("`[backend]` of bmw, ford, honda and nissan", BackendSettings, "backend.", ("ven-adapter",)),
    ("`[backend.cardata]` of bmw", CarDataSettings, "backend.cardata.", ("bmw-cardata",)),
    ("`[backend.query]` of ford", FordQuerySettings, "backend.query.", ("ford-query",)),
    ("`[backend]` of tesla", TeslaSettings, "backend.", ("tesla",)),
    ("`[backend]` of smartcar", SmartcarSettings, "backend.", ("smartcar",)),
    ("`[backend]` of enode", EnodeSettings, "backend.", ("enode",)),
    ("`[backend]` of ocpp", CentralSettings, "backend.", ("ocpp",)),
)
SETTINGS_HEAD = f"""# Settings

Every setting of every settings file, made from the classes that read them by `{COMMAND}`; the words are those of the
example files in `config/`. A file is TOML; a key that is not known, and a value beyond its bounds, refuse to start and
name the line. A variable `PREFIX_SECTION__KEY` outranks the file. The table `[backend]` is that of the automaker's file
(`oem`), which names every key that is wrong at once, and stands in an adapter's settings or in an executor's.
"""
DIRECTIVES_HEAD = f"""# The life of a directive

Made by `{COMMAND}` from `ven_adapters/lifecycle/transitions.py`, the one table by which the engine
(`ven/directives/`), the windows kept over automakers' clouds (`transport/windows/`) and the charging profiles of OCPP
(`transport/ocpp21/profiles/`) move their directives. A step that it does not have raises `IllegalTransition`. What a
reading proves stands in `ven_adapters/lifecycle/evidence.py`.
"""
DIRECTIVES_TAIL = """
## What puts a directive in force

- **telemetry**: a reading of the car that is newer than send and start and shows the effect. Certainty
  VEHICLE_OBSERVED, or METERED when a meter at the charging point took the reading.
- **status**: the backend says IN_FORCE with certainty METERED and an `observed_at` newer than send and start.
  METERED.
- **refusal**: ALREADY_IN_STATE, or LIMIT_REACHED for anything but a discharge: the car is said to be so already.
  Certainty BACKEND_REPORTED, and no more.

A status that says IN_FORCE with less than METERED raises the certainty to BACKEND_REPORTED and leaves the state as it
is. Only OCPP says METERED; what a cloud says by HTTP is cut to BACKEND_REPORTED on arrival
(`transport/http/backend.py`).

## Which records a car's directive goes through

The engine keeps one of every directive (`DirectiveRecord`). A second one is kept below it, in the process that calls
the car, where the other side knows commands or charging profiles and no directives:

| Interface | Brands | Engine, `DirectiveRecord` | Window, `KeptWindow` | OCPP, `ProfileRecord` |
|---|---|---|---|---|
| reference HTTP contract | BMW, Ford, Honda, Nissan | yes | no: the automaker's backend keeps the window | no |
| a vendor's single commands | Tesla, Smartcar, Enode | yes | yes | no |
| OCPP 2.1 | charging points | yes | no | yes |

The engine asks the lower record by `status`, and by that rule a window's IN_FORCE is a report: the engine's own record
is in force once the same reading has reached the engine.

## Sent, and not in force

`ven-adapters explain REF --at INSTANT` shows the steps, the error and the certainty of the directive. Then, by state:

- **REQUESTED**: the error of the last call, and when it is tried again (`retry_at`). After a lost answer it is in
  doubt (`in_doubt`) until the backend answers `status`. What never left expires at `not_after`.
- **ACCEPTED, and nothing newer was read**: a reading counts when its `observed_at` is later than send and start, no
  more than 60 s ahead of our clock and no more than 55 minutes older than its receipt, and when it is valid. An old
  stamp, a cached answer and a clock that is ahead prove nothing.
- **ACCEPTED, and something newer was read**: whether it shows the effect of the rung that was chosen (the Ack's
  setting, not the directive's power): the power within 250 W or 8 %, whichever is more; for a CAP also anything
  below, for a CHARGE anything above 250 W. Where no power is told the charging state counts. What shows the contrary
  sets `contradicted_at`; 15 minutes after the send it is told again, twice at most, and then the directive has FAILED.
- **ACCEPTED, and a reading said that the cable is out**: while that is not sure the state stays, and nothing counts
  until a newer reading shows the car plugged in.
- **INTERRUPTED**: the cable; nothing counts until a newer reading shows the car plugged in. With OCPP also the
  connection to the station.
- **IN_FORCE in the window, not in the engine**: whether the engine has read the car since; a window's word is a
  report.
"""


def bounds() -> str:
    """The text of `bounds.md`."""
    return "\n".join((HEAD, "## Settings of the VTN\n", *_settings(), *_adapter(), *_fixed()))


def _settings() -> Iterator[str]:
    yield from _heads("Setting")
    for name, field in Bounds.model_fields.items():
        section = field.get_default(call_default_factory=True)
        yield from _rows(f"bounds.{name}.", type(section), tuple(type(section).model_fields))
    for table, section, names in ELSEWHERE:
        yield from _rows(table, section, names)
    yield ""


def _adapter() -> Iterator[str]:
    yield "## Settings of an adapter\n"
    yield from _heads("Setting")
    for table, section, names in ADAPTER:
        yield from _rows(table, section, names)
    yield ""


def settings() -> str:
    """The text of `settings.md`."""
    backends = [(title, model, "VEN_ADAPTER_", under, examples) for title, model, under, examples in BACKENDS]
    return "\n".join((SETTINGS_HEAD, *(line for one in (*FILES, *backends) for line in _table(*one))))


def _table(
    title: str, model: type[pydantic.BaseModel], prefix: str, under: str, examples: tuple[str, ...]
) -> Iterator[str]:
    yield f"## {title}\n"
    named = ", ".join(f"`config/{one}.example.toml`" for one in examples)
    yield f"Variables begin with `{prefix}`; examples: {named}.\n"
    yield "| Setting | Default | What it is |\n|---|---|---|"
    said = {key: words for one in reversed(examples) for key, words in _said(EXAMPLES / f"{one}.example.toml")}
    for key, field, described in _keys(model, under):
        words = said.get(key) or _words(described)
        yield f"| `{key}` | {_default(field)} | {words.replace('|', '/')} |"
    yield ""


def directives() -> str:
    """The text of `directives.md`: the diagram, the steps with their triggers, and where each trigger is applied."""
    ordered = [
        (before, after) for before in DirectiveState for after in DirectiveState if (before, after) in TRANSITIONS
    ]
    lines = [DIRECTIVES_HEAD, "```mermaid", "stateDiagram-v2", "    direction LR", "    [*] --> REQUESTED"]
    lines += [f"    {before} --> {after}: {_triggers(before, after)}" for before, after in ordered]
    lines += [*(f"    {state} --> [*]" for state in DirectiveState if state in FINAL_STATES), "```", ""]
    lines += ["## Steps", "", "| From | To | By |", "|---|---|---|"]
    lines += [f"| {before} | {after} | {_triggers(before, after)} |" for before, after in ordered]
    lines += ["", "## Triggers", "", "| Trigger | What happened | Applied in `ven_adapters/` by |", "|---|---|---|"]
    places = _places()
    lines += [f"| {trigger} | {MEANINGS[trigger]} | {'; '.join(places[trigger])} |" for trigger in Trigger]
    return "\n".join((*lines, DIRECTIVES_TAIL))


def _triggers(before: DirectiveState, after: DirectiveState) -> str:
    return ", ".join(trigger for trigger in Trigger if trigger in TRANSITIONS[before, after])


def _places() -> dict[Trigger, list[str]]:
    """For every trigger, the functions that name it, as they stand in the code."""
    root, found = HERE.parent / "ven_adapters", collections.defaultdict[Trigger, dict[str, list[str]]](dict)
    for path in sorted(root.rglob("*.py")):
        if path.parent.name == "lifecycle":
            continue
        text = path.read_text(encoding="utf-8")
        if "Trigger." not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            named = ast.walk(node) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ()
            for one in named:
                if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "Trigger":
                    functions = found[Trigger[one.attr]].setdefault(str(path.relative_to(root)), [])
                    functions += [f"`{node.name}`"] if f"`{node.name}`" not in functions else []
    return {trigger: [f"{file}: {', '.join(names)}" for file, names in found[trigger].items()] for trigger in Trigger}


def _keys(model: type[pydantic.BaseModel], under: str) -> Iterator[tuple[str, typing.Any, str]]:
    """Every key of a settings class and of the tables inside it, with its field, and what it or its base says."""
    for name, field in model.model_fields.items():
        inner = [one for one in (field.annotation, *typing.get_args(field.annotation)) if _is_table(one)]
        if inner:
            dots = "*." if typing.get_origin(field.annotation) is dict else ""
            yield from _keys(inner[0], f"{under}{name}.{dots}")
        else:
            fields = [getattr(base, "model_fields", {}).get(name) for base in model.__mro__]
            yield f"{under}{name}", field, next((one.description for one in fields if one and one.description), "")


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def _said(path: Path) -> Iterator[tuple[str, str]]:
    """The keys of an example file, each with the words beside it."""
    section = ""
    for line in path.read_text().splitlines():
        if header := re.match(r"#? ?\[+([^\]]+)\]+", line):
            section = (
                re.sub(
                    r"^(utilities|zones|enrolling\.programs|backend\.stations|backend\.vehicles)\.[^.]+",
                    r"\1.*",
                    header[1],
                )
                + "."
            )
        elif pair := re.match(r"#? ?(\w+) = .*?\s# (.+)$", line):
            yield f"{section}{pair[1]}", pair[2]


def _default(field: typing.Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}, ""):
        return "none"
    shown = print_clock(value) if isinstance(value, RealClock) else value
    return f"`{_number(shown) if isinstance(shown, float) else shown}`"


def _heads(first: str) -> tuple[str, str]:
    return f"| {first} | Default | Bounds |", "|---|---|---|"


def _rows(table: str, section: type[pydantic.BaseModel], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        field = section.model_fields[name]
        if not field.description:
            raise SystemExit(f"{table}{name}: has no description")
        yield f"| `{table}{name}` | {_number(field.default)} | {_words(field.description)} |"


def _words(description: str) -> str:
    """A description as a part of a table: no capital at its beginning, no stop at its end."""
    first, rest = description[:1], description[1:].rstrip(".")
    return f"{first.lower() if rest[:1].islower() or rest[:1] == ' ' else first}{rest}"


def _fixed() -> Iterator[str]:
    yield "## Not to be set\n"
    yield from _heads("Name")
    for module, name, words in FIXED:
        yield f"| `{module}.{name}` | {_number(getattr(importlib.import_module(module), name))} | {words} |"
    yield ""


def _number(value: object) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return f"{int(value) if whole else value:,}" if isinstance(value, (int, float)) else str(value)


if __name__ == "__main__":
    for page, text in (
        (BOUNDS, bounds()),
        (SETTINGS, settings()),
        (UNITS, units_page.page()),
        (DIRECTIVES, directives()),
        (MAPPING, mapping_page.page()),
    ):
        page.write_text(text)
        sys.stdout.write(f"{page} is written\n")
