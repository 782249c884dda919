"""The 45 operations of OpenADR 3.1 and who may call them, as one table (SCO-01..12, SCO-O01..O45).

A client's role comes from its registration. Its token's scopes can only narrow what the role allows: `read_all` in a
VEN's token, which OpenADR 3.0.1 handed out, does not make it Business Logic (SCO-12).
"""

import dataclasses
from collections.abc import Collection, Iterable

from vtn.errors import Forbidden

BL_SCOPES = ("read_all", "read_bl", "write_programs", "write_events", "write_subscriptions", "write_vens")
VEN_SCOPES = ("read_targets", "read_ven_objects", "write_reports", "write_subscriptions", "write_vens")

OTHER_SPELLINGS = {
    "write_vens_bl": "write_vens",
    "write_vens_ven": "write_vens",
    "write_subscriptions_bl": "write_subscriptions",
    "write_subscriptions_ven": "write_subscriptions",
}
STANDARD_SCOPES = frozenset({*BL_SCOPES, *VEN_SCOPES})

LONGEST_LIST = 400

BL_READS_ALL = frozenset({"read_targets", "read_ven_objects", "read_bl"})
VEN_READS = frozenset({"read_targets", "read_ven_objects"})
BL_ONLY = frozenset({"read_bl", "write_programs", "write_events"})
BASE_PATH_301 = "/openadr3/3.0.1"
READS_ALL = "read_all"
COLLECTIONS_301 = frozenset({"programs", "reports", "events", "subscriptions", "vens", "resources"})


@dataclasses.dataclass(frozen=True, slots=True)
class ApiOperation:
    """One operation: its name in the specification, its route, and the scope it takes (None: any client).

    `or_scope` opens it too: OpenADR 3.0.1 reads with `read_all`, whoever the client is.
    """

    name: str
    method: str
    path: str
    scope: str | None
    or_scope: str | None = None


def _crud(
    collection: str, item: str, names: tuple[str, str, str, str, str], read: str, write: str
) -> list[ApiOperation]:
    search, create, read_one, replace, delete = names
    one = f"/{collection}/{{{item}}}"
    return [
        ApiOperation(search, "GET", f"/{collection}", read),
        ApiOperation(create, "POST", f"/{collection}", write),
        ApiOperation(read_one, "GET", one, read),
        ApiOperation(replace, "PUT", one, write),
        ApiOperation(delete, "DELETE", one, write),
    ]


def _topics(name: str, path: str, scope: str | None) -> ApiOperation:
    return ApiOperation(f"listAllMqttNotifierTopics{name}", "GET", f"/notifiers/mqtt/topics/{path}", scope)


OPERATIONS: tuple[ApiOperation, ...] = (
    *_crud(
        "programs",
        "programID",
        ("searchAllPrograms", "createProgram", "searchProgramByProgramId", "updateProgram", "deleteProgram"),
        "read_targets",
        "write_programs",
    ),
    *_crud(
        "reports",
        "reportID",
        ("searchAllReports", "createReport", "searchReportsByReportID", "updateReport", "deleteReport"),
        "read_ven_objects",
        "write_reports",
    ),
    *_crud(
        "events",
        "eventID",
        ("searchAllEvents", "createEvent", "searchEventsByID", "updateEvent", "deleteEvent"),
        "read_targets",
        "write_events",
    ),
    *_crud(
        "subscriptions",
        "subscriptionID",
        (
            "searchSubscriptions",
            "createSubscription",
            "searchSubscriptionByID",
            "updateSubscription",
            "deleteSubscription",
        ),
        "read_ven_objects",
        "write_subscriptions",
    ),
    *_crud(
        "vens",
        "venID",
        ("searchVens", "createVen", "searchVenByID", "updateVen", "deleteVen"),
        "read_ven_objects",
        "write_vens",
    ),
    *_crud(
        "resources",
        "resourceID",
        (
            "searchVenResources",
            "createResource",
            "searchVenResourceByID",
            "updateVenResource",
            "deleteVenResource",
        ),
        "read_ven_objects",
        "write_vens",
    ),
    ApiOperation("listAllNotifiers", "GET", "/notifiers", None),
    _topics("Programs", "programs", None),
    _topics("Program", "programs/{programID}", None),
    _topics("Events", "events", "read_bl"),
    _topics("ProgramEvents", "programs/{programID}/events", None),
    _topics("Reports", "reports", "read_bl"),
    _topics("Subscriptions", "subscriptions", "read_bl"),
    _topics("Vens", "vens", "read_bl"),
    _topics("Ven", "vens/{venID}", "read_ven_objects"),
    _topics("Resources", "resources", "read_bl"),
    _topics("VenEvents", "vens/{venID}/events", "read_ven_objects"),
    _topics("VenPrograms", "vens/{venID}/programs", "read_ven_objects"),
    _topics("VenResources", "vens/{venID}/resources", "read_ven_objects"),
)


def is_public_read(operation: ApiOperation) -> bool:
    """Whether it may be called without a token where a VTN has public data only (AUTH-26)."""
    return operation.method == "GET" and operation.scope == "read_targets"


def tells_where_to_listen(operation: ApiOperation) -> bool:
    """Whether it names a broker or topics that every client may ask for."""
    return operation.path.startswith("/notifiers") and operation.scope is None


def standard_scope(scope: str) -> str:
    """A scope in the standard's spelling."""
    return OTHER_SPELLINGS.get(scope, scope)


def permits(operation: ApiOperation, *, is_bl: bool, scopes: Collection[str]) -> bool:
    """Whether a client of this role, holding these scopes, may call the operation."""
    if operation.scope is None:
        return True
    if operation.scope in BL_ONLY and not is_bl:
        return False
    if operation.scope in scopes or operation.or_scope in scopes:
        return True
    return is_bl and "read_all" in scopes and operation.scope in BL_READS_ALL


def require(operation: ApiOperation, *, is_bl: bool, scopes: Collection[str]) -> None:
    """Raise Forbidden unless the client may call the operation."""
    if not permits(operation, is_bl=is_bl, scopes=scopes):
        held = " ".join(sorted(scopes)) or "none"
        detail = f"this operation needs the scope {operation.scope}; the token was given for: {held[:LONGEST_LIST]}"
        raise Forbidden(detail, operation.scope)


def askable(scopes: Collection[str]) -> frozenset[str]:
    """The scopes that a client may ask for: its own, and `read_all` if it may read all that VENs have to read.

    Clients written for 3.0.1, and the examples of some written for 3.1, ask for `read_all` as VENs. In a VEN's token it
    opens nothing on 3.1 (SCO-12), and on 3.0.1 the view of a VEN.
    """
    return frozenset(scopes) | ({"read_all"} if VEN_READS.issubset(scopes) else set())


def grantable(requested: Iterable[str], allowed: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split the scopes of a token request into those the client may have and those it may not, in standard spelling."""
    wanted = list(dict.fromkeys(standard_scope(scope) for scope in requested))
    granted = tuple(scope for scope in wanted if scope in allowed)
    return granted, tuple(scope for scope in wanted if scope not in allowed)


def _on_301(operation: ApiOperation) -> ApiOperation:
    """A 3.1 operation at its place on 3.0.1."""
    path = operation.path
    if path.startswith("/resources"):
        path = f"/vens/{{venID}}{path}"
    other = READS_ALL if operation.method == "GET" else None
    return dataclasses.replace(operation, path=path, or_scope=other)


# The 30 guarded operations of 3.0.1; `/auth/token`, the 31st, is open to all. A token of either version serves. A read
# takes the scope that it has on 3.1, or `read_all`, which 3.0.1 gave VENs too. What they see stays the same, because
# the role comes from the registration, and rows are filtered by the role (SCO-12).
OPERATIONS_301: tuple[ApiOperation, ...] = tuple(
    _on_301(operation) for operation in OPERATIONS if operation.path.split("/")[1] in COLLECTIONS_301
)
