"""One client that asks an OpenADR server whatever its document allows, and much that it does not (schemathesis).

A process of its own, because schemathesis' hooks are global: it reads one job (JSON) from standard input, writes how
many requests it has made to standard error, and its result to standard output. It knows nothing of what is inside.
"""

import collections
import dataclasses
import itertools
import json
import random
import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import schemathesis
from schemathesis import config, engine
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import TestPhase

REFERENCES = ("programID", "eventID", "reportID", "subscriptionID", "venID", "resourceID")
UNIQUE = {"/programs": ("programName",), "/vens": ("venName", "clientID"), "/resources": ("resourceName",)}
SCHEMAS = "#/components/schemas/"
REMEMBERED = 200
REAL_PATH, REAL_REFERENCE, FRESH_NAME = 0.7, 0.85, 0.7
NOT_ASKED = {
    "ensure_resource_availability": "the other client works on the same objects and deletes some",
}


@dataclasses.dataclass(frozen=True)
class Job:
    """What to ask. `urls` are base URLs of one server; `ids` are objects that stand throughout; `callback` echoes.

    `share` is how much of the walk along all boundaries is to be walked. `known` lists failures that are no fault of
    the server: {"check", "operation", "says", "reason"}, the first three regular expressions; `refusals` lists rules of
    400 problems that no schema can express, likewise.
    """

    urls: list[str]
    document: dict[str, Any]
    token: str
    requests: int
    seed: int
    ids: dict[str, list[str]]
    callback: str
    share: float = 1.0
    known: list[dict[str, str]] = dataclasses.field(default_factory=list)
    refusals: list[dict[str, str]] = dataclasses.field(default_factory=list)


class Objects:
    """The objects that this party knows of, so that it asks for some that exist."""

    def __init__(self, job: Job) -> None:
        self._chance = random.Random(job.seed)
        self._share = job.share
        self._begun: set[str] = set()
        self._lasting = job.ids
        self._callback = job.callback
        self._made: dict[str, list[str]] = collections.defaultdict(list)

    def wanted(self, case: Any) -> bool:
        """Whether to ask this: of each operation's boundaries the first, and as many as are to be walked."""
        if self._share == 1 or case.meta.phase.name is not TestPhase.COVERAGE:
            return True
        first = case.operation.label not in self._begun
        self._begun.add(case.operation.label)
        return first or self._chance.random() < self._share

    def steer(self, case: Any) -> None:
        """Point a valid request at real objects, and every callback at this machine."""
        body = case.body if isinstance(case.body, dict) else {}
        entries = body.get("objectOperations")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and str(entry.get("callbackUrl", "")).lower().startswith(("http:", "https:")):
                entry["callbackUrl"] = self._callback
        if case.meta is not None and case.meta.generation.mode is GenerationMode.NEGATIVE:
            return
        for name in set(case.path_parameters or ()).intersection(REFERENCES):
            if self._chance.random() < REAL_PATH:
                case.path_parameters[name] = self._one(name, to_delete=case.method == "DELETE")
        for name in set(body).intersection(REFERENCES):
            if isinstance(body[name], str) and self._chance.random() < REAL_REFERENCE:
                body[name] = self._one(name)
        for name in set(body).intersection(UNIQUE.get(case.path, ())):
            if isinstance(body[name], str) and self._chance.random() < FRESH_NAME:
                body[name] = f"{body[name][:90]}-{self._chance.getrandbits(64):016x}"

    def _one(self, name: str, *, to_delete: bool = False) -> str:
        made = self._made[name]
        choice = made if made and to_delete else [*made, *self._lasting.get(name, ())]
        return self._chance.choice(choice or ["none"])

    def learn(self, case: Any, response: Any) -> None:
        """Remember what was created and forget what was deleted."""
        collection = case.path.split("/")[1]
        name = {"subscriptions": "subscriptionID", "resources": "resourceID"}.get(collection, f"{collection[:-1]}ID")
        if response.status_code == 201:
            made = self._made[name]
            made.append(json.loads(response.content)["id"])
            del made[:-REMEMBERED]
        elif response.status_code == 200 and case.method == "DELETE" and name in (case.path_parameters or {}):
            gone = case.path_parameters[name]
            self._made[name] = [one for one in self._made[name] if one != gone]


class Result:
    """Counts, and one example of each failure."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.requests = 0
        self.by_operation: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.failures: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.excused: collections.Counter[str] = collections.Counter()

    def take(self, recorder: Any) -> None:
        """Count what one scenario has done."""
        for case_id, interaction in recorder.interactions.items():
            self.requests += 1
            status = interaction.response.status_code if interaction.response else "none"
            self.by_operation[recorder.cases[case_id].value.operation.label][str(status)] += 1
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    self._failed(recorder, case_id, check)

    def _failed(self, recorder: Any, case_id: str, check: Any) -> None:
        case = recorder.cases[case_id].value
        answered = recorder.interactions.get(case_id)
        said = answered.response.content.decode(errors="replace") if answered and answered.response else ""
        self.add(case.operation.label, check.name, str(check.failure_info.failure), case.as_curl_command(), said)

    def add(self, operation: str, check: str, message: str, curl: str = "", said: str = "") -> None:
        """Note a failure, unless it is one that is known to be none."""
        reason = self._excuse(operation, check, f"{message}\n{curl}\n{said}", said)
        if reason:
            self.excused[reason] += 1
            return
        one = self.failures.setdefault(
            (operation, check, message.partition("\n")[0]),
            {
                "operation": operation,
                "check": check,
                "message": message[:2000],
                "curl": curl[:2000],
                "answer": said[:1000],
            },
        )
        one["count"] = one.get("count", 0) + 1

    def _excuse(self, operation: str, check: str, message: str, said: str) -> str | None:
        for known in self._job.known:
            meant = re.fullmatch(known["check"], check) and re.fullmatch(known["operation"], operation)
            if meant and re.search(known["says"], message, re.MULTILINE):
                return known["reason"]
        return self._unwritten(said) if check == "positive_data_acceptance" else None

    def _unwritten(self, said: str) -> str | None:
        """The reason, when every fault of a refused request is of a rule that no schema can express."""
        try:
            rules = [fault["rule"] for fault in json.loads(said)["errors"]]
        except (ValueError, LookupError, TypeError):
            return None
        found = [
            next((one["reason"] for one in self._job.refusals if re.search(one["says"], rule)), None) for rule in rules
        ]
        return found[0] if found and all(found) else None

    def report(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "requests": self.requests,
            "by_operation": {name: dict(sorted(counts.items())) for name, counts in sorted(self.by_operation.items())},
            "failures": list(self.failures.values()),
            "excused": dict(self.excused),
        }


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with request bodies that hold nothing but what it names: those are made ten times as fast.

    What is returned keeps its schemas, for it may hold what was sent before.
    """
    schemas = document["components"]["schemas"]
    asked = {f"Asked{name}": _shut(schema) for name, schema in schemas.items()}
    paths = {
        path: {
            method: {**one, "requestBody": _shut(one["requestBody"])}
            if isinstance(one, dict) and "requestBody" in one
            else one
            for method, one in item.items()
        }
        for path, item in document["paths"].items()
    }
    return {**document, "paths": paths, "components": {**document["components"], "schemas": {**schemas, **asked}}}


def _shut(node: Any) -> Any:
    if isinstance(node, list):
        return [_shut(child) for child in node]
    if isinstance(node, str) and node.startswith(SCHEMAS):
        return f"{SCHEMAS}Asked{node.removeprefix(SCHEMAS)}"
    if not isinstance(node, dict):
        return node
    rest = {key: child if key in {"example", "examples"} else _shut(child) for key, child in node.items()}
    return {**rest, "additionalProperties": False} if "properties" in rest and "allOf" not in rest else rest


@dataclasses.dataclass(frozen=True)
class Turn:
    """One run of the engine: at a URL, along all boundaries or not, with so many random examples an operation."""

    url: str
    seed: int
    boundaries: bool
    examples: int


def turns(job: Job) -> Iterable[Turn]:
    """Once along all boundaries at each URL, then ever other data."""
    for place, url in enumerate(job.urls):
        yield Turn(url, job.seed + place, boundaries=True, examples=2)
    for place in itertools.count(len(job.urls)):
        yield Turn(job.urls[place % len(job.urls)], job.seed + place, boundaries=False, examples=30)


def configured(job: Job, turn: Turn) -> Any:
    """The schema, ready to be run."""
    document = job.document if turn.boundaries else closed(job.document)
    schema = schemathesis.openapi.from_dict(document, config=config.SchemathesisConfig(seed=turn.seed))
    project = schema.config
    project.base_url = turn.url
    project.headers = {"Authorization": f"Bearer {job.token}"}
    project.continue_on_failure = True
    project.generation.max_examples = turn.examples
    project.generation.no_shrink = True
    project.generation.database = "none"
    project.phases.coverage.enabled = turn.boundaries
    project.phases.examples.enabled = turn.boundaries and job.share == 1
    project.phases.fuzzing.enabled = job.share == 1
    project.phases.stateful.enabled = job.share == 1
    project.checks.update(excluded_check_names=list(NOT_ASKED))
    return schema


def run(job: Job) -> Result:
    """Ask until there were enough requests; a part of the walk is walked to its end."""
    result, objects = Result(job), Objects(job)
    schemathesis.hook("filter_case")(lambda context, case: objects.wanted(case))  # noqa: ARG005 - their names
    schemathesis.hook("before_call")(lambda context, case, kwargs: objects.steer(case))  # noqa: ARG005
    schemathesis.hook("after_call")(lambda context, case, response: objects.learn(case, response))  # noqa: ARG005
    told_at = time.monotonic()
    for turn in turns(job):
        stream = engine.from_schema(configured(job, turn)).execute()
        for event in stream:
            if (recorder := getattr(event, "recorder", None)) is not None:
                result.take(recorder)
            elif isinstance(event, (engine.events.NonFatalError, engine.events.FatalError)):
                result.add(
                    getattr(event, "label", "the run"), type(event).__name__, str(getattr(event, "value", event))
                )
            if time.monotonic() - told_at > 1:
                told_at = time.monotonic()
                sys.stderr.write(f"{result.requests}\n")
                sys.stderr.flush()
            if result.requests >= job.requests and job.share == 1:
                stream.stop()
                return result
        if result.requests >= job.requests or job.share < 1:
            return result
    raise AssertionError("turns never end")


def main() -> None:
    """Do the job on standard input."""
    job = Job(**json.load(sys.stdin))
    print_to, sys.stdout = sys.stdout, sys.stderr
    report: Mapping[str, Any] = run(job).report()
    json.dump(report, print_to)


if __name__ == "__main__":
    main()
