"""Honest VTNs that are not ours: each uses a freedom that the standard leaves, and nothing that a SHALL forbids.

A check that accuses one of them of breaking a SHALL is wrong. Each variant cites the freedom that it uses.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import pytest
from front import FrontAnswer, FrontRequest, ServerVariant, every_part, problem
from ours import CLIENTS

from vtn.notifiers.webhooks.callbacks import Callbacks

HONEST: dict[str, type[ServerVariant]] = {}
DURATION = re.compile(
    r"(-?)P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)([DW]))?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII
)
KNOWN = {"targets", "skip", "limit", "programID", "eventID", "clientName", "active", "objects", "venName", "venID"}
KNOWN |= {"resourceName"}
REQUIRED_LISTS = {"resources", "objectOperations", "objects", "operations", "intervals", "payloads", "values"}
REQUEST_DEFAULTS: Mapping[str, Any] = {
    "aggregate": False,
    "startInterval": -1,
    "numIntervals": -1,
    "historical": True,
    "frequency": -1,
    "repeat": 1,
    "reportIntervals": "INTERVALS",
}
PERIOD_DEFAULTS = {"duration": "PT0S", "randomizeStart": "PT0S"}
NULLABLE: Mapping[str, tuple[str, ...]] = {
    "PROGRAM": ("programDescriptions", "payloadDescriptors", "attributes", "targets"),
    "EVENT": ("eventName", "priority", "targets", "reportDescriptors", "payloadDescriptors"),
    "REPORT": ("reportName", "payloadDescriptors"),
    "SUBSCRIPTION": ("targets",),
    "VEN": ("targets", "attributes"),
    "RESOURCE": ("targets", "attributes"),
    "EVENT_PAYLOAD_DESCRIPTOR": ("units", "currency"),
    "REPORT_PAYLOAD_DESCRIPTOR": ("units", "readingType", "accuracy", "confidence"),
}


def honest(variant: type[ServerVariant]) -> type[ServerVariant]:
    """Register an honest VTN by the name of its class."""
    HONEST[variant.__name__] = variant
    return variant


@honest
class RefusesEmptyLists(ServerVariant):
    """An empty list in a body means nothing, and is answered 400.

    The schema has no `minItems`, so an empty list is valid; no sentence says that a VTN must take whatever is valid.
    """

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Refuse a write with an empty list anywhere."""
        empty: list[str] = []
        every_part(asked.body, lambda part: empty.extend(name for name, value in part.items() if value == []))
        return problem(400, f"{empty[0]} is empty") if asked.is_write and asked.role and empty else None


@honest
class WantsAStart(ServerVariant):
    """A period without a start, and an event with an interval of no known time, are answered 400.

    A start is optional in the schema; the User Guide has each interval of an event timed, by itself or by the event.
    """

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Refuse a write with an untimed period, or with an untimed interval of an event."""
        body = asked.body
        writer = "ven" if asked.collection == "reports" else "bl"
        if not (asked.is_write and isinstance(body, dict) and asked.role == writer):
            return None
        untimed: list[Any] = []

        def look(part: dict[str, Any]) -> None:
            period = part.get("intervalPeriod")
            if isinstance(period, dict) and "start" not in period:
                untimed.append(period)

        every_part(body, look)
        intervals = body.get("intervals") if asked.collection == "events" and "intervalPeriod" not in body else []
        known = intervals if isinstance(intervals, list) else []
        untimed += [one for one in known if isinstance(one, dict) and "intervalPeriod" not in one]
        return problem(400, "a start is missing") if untimed else None


@honest
class WithoutMqtt(ServerVariant):
    """There is no broker, and the topic endpoints say that they are not implemented.

    MQTT is optional (Definition, Notifications via Additional Protocols); what its endpoints answer then is not said.
    """

    settings: ClassVar = {"mqtt": {"mode": "off"}}

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Answer 501 at topic endpoints, to everybody."""
        return problem(501) if asked.path.startswith("/notifiers/mqtt") else None


@honest
class ShowsTargetedObjectsToThoseWhoAskOnly(ServerVariant):
    """A VEN that names no targets is shown no targeted program or event, by list or by id.

    Definition, Object Privacy: reads of targeted objects carry matching targets; a read by id cannot carry any.
    """

    settings: ClassVar = {"protocol": {"strict_target_query": True}}

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Hide a targeted program or event from a VEN that reads it by id."""
        by_id = asked.method == "GET" and asked.collection in {"programs", "events"} and not asked.is_list
        if by_id and asked.role == "ven" and told.status == 200 and told.body.get("targets"):
            hidden = problem(404)
            told.status, told.body = hidden.status, hidden.body


@honest
class OmitsAbsentMembers(ServerVariant):
    """Members that are null, empty or have their default are left out (Definition, Required and optional)."""

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Leave out what says nothing."""
        if asked.collection and told.is_object:
            every_part(told.body, self._lessen)

    def _lessen(self, part: dict[str, Any]) -> None:
        defaults = {**REQUEST_DEFAULTS, **PERIOD_DEFAULTS}
        for name, value in list(part.items()):
            default = name in defaults and type(value) is type(defaults[name]) and value == defaults[name]
            if value is None or default or (value == [] and name not in REQUIRED_LISTS):
                del part[name]


@honest
class ShowsDefaults(ServerVariant):
    """Members that were left out are shown with their default (Definition, Required and optional properties)."""

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Add what was left out."""
        if asked.collection and told.is_object:
            every_part(told.body, self._fill)

    def _fill(self, part: dict[str, Any]) -> None:
        for name in NULLABLE.get(str(part.get("objectType")), ()):
            part.setdefault(name, None)
        for request in part.get("reportDescriptors") or ():
            for name, value in REQUEST_DEFAULTS.items():
                request.setdefault(name, value)


@honest
class SpellsOutDurations(ServerVariant):
    """PT1H comes back as P0Y0M0DT1H0M0S, a week as seven days, and Z as +00:00: other spellings of the same value."""

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Spell all durations and times otherwise."""
        if asked.collection and told.is_object:
            every_part(told.body, self._spell)

    def _spell(self, part: dict[str, Any]) -> None:
        for name in ("duration", "randomizeStart"):
            if isinstance(part.get(name), str) and (match := DURATION.fullmatch(part[name])):
                sign, years, months, amount, unit, hours, minutes, seconds = match.groups()
                days = int(amount or 0) * (7 if unit == "W" else 1)
                date = f"{years or 0}Y{months or 0}M{days}D"
                part[name] = f"{sign}P{date}T{hours or 0}H{minutes or 0}M{seconds or 0}S"
        for name in ("start", "createdDateTime", "modificationDateTime"):
            if isinstance(part.get(name), str):
                part[name] = re.sub("Z$", "+00:00", part[name])


@honest
class NotifiesInNoOrder(ServerVariant):
    """Notifications are sent each on its own, creations later than what follows them: no clause asks for an order."""

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Take every notification at once, and send it when its time has come."""
        post = Callbacks.post
        sending: set[asyncio.Task[Any]] = set()

        async def later(delay_s: float, *call: Any) -> None:
            await asyncio.sleep(delay_s)  # the delay is what this variant is about
            await post(*call)

        async def unordered(*call: Any) -> None:
            task = asyncio.create_task(later(0.3 if b'"CREATE"' in call[2] else 0.0, *call))
            sending.add(task)
            task.add_done_callback(sending.discard)

        patch.setattr(Callbacks, "post", unordered)


@honest
class RefusesTokensInOAuthsWords(ServerVariant):
    """The token endpoint answers errors as RFC 6749 has it: 400 with `error`, and no problem document.

    The schema refers to the problem, and defines the authError that it does not refer to.
    """

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Say it in OAuth's words."""
        if asked.path == "/auth/token" and asked.method == "POST" and told.status in {400, 401}:
            error = told.body.get("error", "invalid_request")
            told.status, told.body = 400, {"error": error, "error_description": "refused"}


@honest
class RefusesTokensWithProblems(ServerVariant):
    """The token endpoint answers errors with problem documents, as the schema has it, and without OAuth's `error`."""

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Say it in a problem document."""
        if asked.path == "/auth/token" and told.status in {400, 401}:
            told.body = problem(told.status).body


@honest
class HasNoBasePath(ServerVariant):
    """The API is served at the root: no base path is mandated (`servers` of the schema is a mock)."""

    base = ""


@honest
class ForbidsWhereOthersHide(ServerVariant):
    """What is another client's is answered 403, and the wrong shape of a ven 400: the schema lists both statuses."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Refuse Business Logic's shape from a VEN as a bad request."""
        shape = asked.body.get("objectType") if isinstance(asked.body, dict) else None
        return problem(400) if asked.role == "ven" and str(shape).startswith("BL_") else None

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Forbid what exists and is hidden."""
        if told.is_object and isinstance(told.body, dict) and asked.collection:
            place = asked.path if asked.method != "POST" else f"{asked.path}/{told.body.get('id')}"
            self.known.add(place)
            if asked.method == "DELETE":
                self.known.discard(place)
        if asked.role == "ven" and told.status == 404 and asked.path in self.known:
            told.status, told.body = 403, problem(403).body


@honest
class RefusesUnknownParameters(ServerVariant):
    """A query parameter that the schema does not name for any list is answered 400: no text says what becomes of it."""

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Refuse it, from whoever may read."""
        names = {name for name, _ in parse_qsl(asked.query, keep_blank_values=True)}
        return problem(400) if asked.role and asked.method == "GET" and names - KNOWN else None


@honest
class LimitsTheRate(ServerVariant):
    """Every hundredth request is put off with 429 and Retry-After (Definition, API Gateway)."""

    def __init__(self) -> None:
        self.asked = 0
        self.free_from_s = 0.0

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Put one off, and let the next ones through for a while."""
        self.asked += 1
        if not asked.role or self.asked % 100 or time.monotonic() < self.free_from_s:
            return None
        self.free_from_s = time.monotonic() + 2.0
        told = problem(429)
        told.headers["Retry-After"] = "0"
        return told


@honest
class KnowsItsClients(ServerVariant):
    """Vens are made for clients only that have credentials: the standard leaves enrolment to the operator."""

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Refuse a ven for an unknown client."""
        body = asked.body if asked.collection == "vens" and asked.is_write and asked.role == "bl" else None
        unknown = isinstance(body, dict) and str(body.get("clientID", "bl")) not in CLIENTS
        return problem(400, "there is no such client") if unknown else None


@honest
class RestrictsDeletes(ServerVariant):
    """A program or ven on which something hangs is not deleted (409): what becomes of children is not said."""

    settings: ClassVar = {"protocol": {"on_delete": "restrict"}}


@honest
class KeepsProgramTopicsToBusinessLogic(ServerVariant):
    """The topics of programs are told to Business Logic only: their scope in the schema is `read_all`, which is its."""

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Refuse them to VENs."""
        theirs = asked.path.startswith("/notifiers/mqtt/topics/programs")
        return problem(403) if theirs and asked.role == "ven" else None


@honest
class RefusesTimesThatRunBackwards(ServerVariant):
    """A negative duration is answered 400: the pattern has a minus, and nothing in the standard uses one."""

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Refuse it anywhere in an object."""
        negative: list[str] = []
        every_part(
            asked.body,
            lambda part: negative.extend(
                name for name in ("duration", "randomizeStart") if str(part.get(name)).startswith("-")
            ),
        )
        return problem(400) if asked.is_write and asked.role and negative else None


@honest
class RefusesPlainCallbacks(ServerVariant):
    """Callbacks of http are refused, also on this machine (Definition, Webhooks): a receiver needs a certificate."""

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Refuse a subscription with one."""
        plain: list[str] = []
        every_part(asked.body, lambda part: plain.extend(re.findall("^http:", str(part.get("callbackUrl")))))
        return problem(400) if asked.is_write and asked.role and plain else None


@honest
class LetsBusinessLogicDeleteReports(ServerVariant):
    """Business Logic deletes reports: a user story of the guide wants it, against the scope in the schema."""

    def __init__(self) -> None:
        self.writers: dict[str, str] = {}

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Delete with the token of the VEN that wrote the report."""
        writer = self.writers.get(asked.path)
        if asked.method == "DELETE" and asked.role == "bl" and writer:
            asked.headers["Authorization"] = writer
        return None

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Remember who wrote a report."""
        if asked.method == "POST" and asked.collection == "reports" and told.is_object:
            self.writers[f"/reports/{told.body['id']}"] = asked.headers["Authorization"]


@honest
class FillsInTheClient(ServerVariant):
    """A resource of Business Logic without a clientID gets that of its ven, from which it follows."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Add what follows from the ven."""
        body = asked.body
        if asked.collection == "resources" and isinstance(body, dict) and "clientID" not in body:
            owner = self.owners.get(str(body.get("venID")))
            if body.get("objectType") == "BL_RESOURCE_REQUEST" and owner:
                body["clientID"] = owner
        return None

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Remember whose the vens are."""
        if asked.collection == "vens" and told.is_object and isinstance(told.body, dict):
            self.owners[told.body["id"]] = told.body["clientID"]


ALL_AT_ONCE: tuple[tuple[type[ServerVariant], ...], ...] = (
    (
        RefusesEmptyLists,
        WantsAStart,
        WithoutMqtt,
        OmitsAbsentMembers,
        SpellsOutDurations,
        RefusesTokensInOAuthsWords,
        HasNoBasePath,
        ForbidsWhereOthersHide,
        RestrictsDeletes,
        RefusesTimesThatRunBackwards,
        LetsBusinessLogicDeleteReports,
    ),
    (
        ShowsTargetedObjectsToThoseWhoAskOnly,
        ShowsDefaults,
        NotifiesInNoOrder,
        RefusesTokensWithProblems,
        RefusesUnknownParameters,
        LimitsTheRate,
        FillsInTheClient,
        KnowsItsClients,
        KeepsProgramTopicsToBusinessLogic,
    ),
)
"""All honest variants in two VTNs, for whoever has no time to try each alone: what is honest alone is so together.

RefusesPlainCallbacks is not among them, because little of the others would be seen of it.
"""
