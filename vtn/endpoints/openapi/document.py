"""The OpenAPI 3.1 document of this server, made from the tables that the server itself runs by.

Operations and scopes come from `rules.scopes`, query parameters from `paging`, schemas from the wire models, what a
client may write from `examples`. Only words stand here, and which refusals an operation can answer with.
"""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

from vtn.endpoints.notifiers import TOPICS
from vtn.endpoints.oauth import FORM
from vtn.endpoints.objects import KINDS
from vtn.endpoints.openapi import examples, schemas
from vtn.endpoints.openapi.components import answer, answer_headers, components, refusal, token_refusal
from vtn.endpoints.paging import ID, PARAMETERS, ParameterReader, lists
from vtn.rules.scopes import BL_READS_ALL, OPERATIONS, ApiOperation, is_public_read
from vtn.wire.enumerations import ObjectType

Json = dict[str, Any]
JSON = "application/json"
AUTH_SERVER = ApiOperation("getAuthServerInfo", "GET", "/auth/server", None)
AUTH_TOKEN = ApiOperation("fetchToken", "POST", "/auth/token", None)
SUMMARIES: Mapping[tuple[str, bool], str] = {
    ("GET", False): "List {}s",
    ("POST", False): "Create a {}",
    ("GET", True): "Read one {}",
    ("PUT", True): "Replace a {}",
    ("DELETE", True): "Delete a {}",
}
TAGS: Mapping[str, str] = {
    "programs": "The agreements under which events are sent: a tariff, a capacity programme, a virtual power plant.",
    "events": "What a program asks for, and when: prices, set-points, limits, alerts.",
    "reports": "What VENs measured or expect, in answer to the report requests of events.",
    "subscriptions": "Who is called back when which objects change.",
    "vens": "The clients that take part, and the targets that Business Logic granted to them.",
    "resources": "The zones, feeders and charging points of a ven, with targets of their own.",
    "notifiers": "Other ways to hear of changes, and the MQTT topics where they are told.",
    "auth": "Where access tokens come from.",
    "server": "This server itself: its documentation and its health.",
}
PARAMETER_WORDS: Mapping[str, str] = {
    "skip": "How many objects to leave out from the beginning of the list, which is in order of creation.",
    "limit": "How many objects to return at most.",
    "targets": "Only objects that carry one of these targets; a VEN gets no further than its grants.",
    "programID": "Only objects of this program.",
    "eventID": "Only reports on this event.",
    "venID": "Only resources of this ven.",
    "venName": "Only the ven with exactly this name.",
    "resourceName": "Only resources with exactly this name.",
    "clientName": "Only objects whose writer called itself exactly this.",
    "active": "With true, no events that are over.",
    "objects": "Only subscriptions to all of these kinds of object.",
}


@dataclasses.dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the document says of one server. `root_url` has no trailing slash; `bases` are paths below it."""

    root_url: str
    bases: Sequence[str]
    default_limit: int = 50
    problem_media_type: str = JSON
    strict_null: bool = False
    cascade: bool = True
    own_tokens: bool = True
    anonymous_read: bool = False


def document(facts: ServerFacts, *, with_root: bool) -> Json:
    """The document of the protocol; `with_root` adds what this server answers outside of it."""
    paths: dict[str, Json] = {}
    for operation in (AUTH_SERVER, AUTH_TOKEN, *OPERATIONS):
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(facts, operation)
    return {
        "openapi": "3.1.0",
        "info": _info(),
        "servers": [{"url": facts.root_url + base} for base in facts.bases],
        "tags": [{"name": name, "description": words} for name, words in TAGS.items() if with_root or name != "server"],
        "paths": {**paths, **(_root(facts) if with_root else {})},
        "components": components(
            token_url=f"{facts.root_url}{facts.bases[0]}/auth/token",
            problem_media_type=facts.problem_media_type,
            strict_null=facts.strict_null,
        ),
    }


def _info() -> Json:
    return {
        "title": "EVTN, an OpenADR 3.1 virtual top node",
        "version": importlib.metadata.version("evtn"),
        "description": (
            "Utilities and other Business Logic write programs and events; VENs read those that reach them and report."
            " Every refusal is a problem document. Every answer carries X-Request-Id, which is also in the problem's"
            " `instance` and in the server's log. Lists carry an ETag; a poll with If-None-Match that finds nothing new"
            " is answered 304. Answers are compressed for clients that accept gzip, and request bodies may be sent with"
            " Content-Encoding: gzip. Properties that this document does not name are kept as private extensions."
        ),
    }


def _operation(facts: ServerFacts, operation: ApiOperation) -> Json:
    """One operation."""
    collection = operation.path.split("/")[1]
    found: Json = {"operationId": operation.name, "tags": [collection], "summary": _summary(operation)}
    found["parameters"] = _parameters(facts, operation)
    if body := _request_body(operation):
        found["requestBody"] = body
    refused = token_refusal if operation is AUTH_TOKEN else refusal
    refusals = {str(status): refused(status) for status in _refusals(facts, operation)}
    found["responses"] = {**_success(operation), **refusals}
    found["security"] = _security(facts, operation)
    return found


def _kind(operation: ApiOperation) -> ObjectType | None:
    """The kind of object that an operation is about; None for tokens and topics."""
    kind, _ = KINDS.get(operation.path.split("/")[1], (None, ""))
    return kind.type if kind else None


def _summary(operation: ApiOperation) -> str:
    kind = _kind(operation)
    if kind:
        words = SUMMARIES[operation.method, operation.path.endswith("}")].format(kind.value.lower())
        return words.replace("a event", "an event")
    if operation.path.startswith(TOPICS):
        return f"MQTT topics of {operation.path.removeprefix(TOPICS)}"
    return {
        "/notifiers": "The notifiers on offer",
        "/auth/server": "Where tokens come from",
        "/auth/token": "Get an access token",
    }[operation.path]


def _parameters(facts: ServerFacts, operation: ApiOperation) -> list[Json]:
    """Those of the path, those of a list's query, and the caller's own request id."""
    places = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    found: list[Json] = [{"name": place, "in": "path", "required": True, "schema": dict(ID.schema)} for place in places]
    kind = _kind(operation)
    if kind and operation.method == "GET" and not places:
        singles = [(name, reader) for name, (_, reader) in PARAMETERS[kind].items()]
        found += [_query(facts, name, reader) for name, reader in singles]
        found += [_repeated(name, reader) for name, reader in lists(kind).items()]
    return [*found, {"$ref": "#/components/parameters/RequestId"}]


def _query(facts: ServerFacts, name: str, reader: ParameterReader) -> Json:
    schema = {**reader.schema, **({"default": facts.default_limit} if name == "limit" else {})}
    return {"name": name, "in": "query", "description": PARAMETER_WORDS[name], "schema": schema}


def _repeated(name: str, reader: ParameterReader) -> Json:
    schema = {"type": "array", "items": dict(reader.schema)}
    return {"name": name, "in": "query", "description": PARAMETER_WORDS[name], "schema": schema, "explode": True}


def _request_body(operation: ApiOperation) -> Json | None:
    kind = _kind(operation)
    if operation is AUTH_TOKEN:
        return {"required": True, "content": {FORM: {"schema": {"$ref": f"{schemas.HERE}TokenRequest"}}}}
    if kind is None or operation.method not in {"POST", "PUT"}:
        return None
    shown = {name: {"value": value} for name, value in examples.REQUESTS[kind].items()}
    return {"required": True, "content": {JSON: {"schema": schemas.request_schema(kind), "examples": shown}}}


def _success(operation: ApiOperation) -> Json:
    """What comes back when all is well."""
    kind = _kind(operation)
    if kind is None:
        name = "Topics" if operation.path.startswith(TOPICS) else _ANSWERS[operation.path]
        return {"200": answer("As asked.", {"$ref": f"{schemas.HERE}{name}"})}
    one = schemas.response_schema(kind)
    if operation.path.endswith("}"):
        words = {"GET": "The object.", "PUT": "The object as it is now.", "DELETE": "The object as it was."}
        return {"200": answer(words[operation.method], one)}
    if operation.method == "POST":
        return {"201": answer("The object as it is stored.", one)}
    found = {"200": answer("A page of the list.", {"type": "array", "items": one})}
    if kind is not ObjectType.REPORT:
        found["200"]["headers"]["ETag"] = {"required": True, "schema": {"type": "string"}}
        found["304"] = {"description": "As the client has it already (If-None-Match).", "headers": answer_headers()}
    return found


_ANSWERS = {"/notifiers": "Notifiers", "/auth/server": "AuthServer", "/auth/token": "Token"}


def _refusals(facts: ServerFacts, operation: ApiOperation) -> list[int]:
    """Every status of a refusal that this operation can answer with."""
    writes = operation.method in {"POST", "PUT"}
    below_topics = operation.path.startswith(TOPICS)
    found = {400, 500}
    if operation is AUTH_SERVER:
        return sorted(found)
    found |= {401, 503}
    if operation is AUTH_TOKEN:
        return sorted(found | {408, 429} | (set() if facts.own_tokens else {501}))
    if operation.scope is not None:
        found.add(403)
    if writes:
        found |= {408, 409, 413, 429}
    if operation.path.endswith("}") or below_topics or (writes and _kind(operation) is ObjectType.RESOURCE):
        found.add(404)
    if operation.method == "DELETE" and not facts.cascade:
        found.add(409)
    return sorted(found)


def _security(facts: ServerFacts, operation: ApiOperation) -> list[Json]:
    """Who may call: by a scope, or by `read_all`, which opens every read to Business Logic."""
    if operation in {AUTH_SERVER, AUTH_TOKEN}:
        return []
    scopes = [operation.scope] if operation.scope else []
    found: list[Json] = [{"oAuth2ClientCredentials": scopes}]
    if operation.scope in BL_READS_ALL:
        found.append({"oAuth2ClientCredentials": ["read_all"]})
    open_to_all: list[Json] = [{}] if facts.anonymous_read and is_public_read(operation) else []
    return [*found, {"bearerAuth": []}, *open_to_all]


def _root(facts: ServerFacts) -> dict[str, Json]:
    """What this server answers beside the protocol, at its root."""
    health = f"{schemas.HERE}Health"
    pages = {
        "/health": ("getHealth", "Whether this server can do its work", JSON, {"$ref": health}),
        "/openapi.json": ("getOpenApi", "This document", JSON, {"type": "object"}),
        "/docs": ("getDocs", "This document as a page", "text/html", {"type": "string"}),
    }
    found: dict[str, Json] = {}
    for path, (name, summary, media_type, schema) in pages.items():
        get: Json = {"operationId": name, "tags": ["server"], "summary": summary, "security": []}
        get["responses"] = {"200": answer("As asked.", schema, media_type), "500": refusal(500)}
        found[path] = {"servers": [{"url": facts.root_url}], "get": get}
    found["/health"]["get"]["responses"]["503"] = answer("A part that the API needs is down.", {"$ref": health})
    return found
