"""What the operations of the OpenAPI document share: schemas, headers, refusals and ways to prove who one is."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, get_args

from vtn.config import Mqtt
from vtn.endpoints import request_id
from vtn.endpoints.oauth import FIELDS, LONGEST_FIELD
from vtn.endpoints.openapi import schemas
from vtn.endpoints.problems import AUTHENTICATE
from vtn.endpoints.status.health import PartState
from vtn.rules import topics

Json = dict[str, Any]
JSON = "application/json"
TEXT: Json = {"type": "string"}
WRONG_CREDENTIALS = "WrongCredentials"
URI: Json = {"type": "string", "format": "uri"}
SCOPES: Mapping[str, str] = {
    "read_all": "Business Logic reads every object.",
    "read_bl": "Business Logic reads the topics that carry everything.",
    "read_targets": "Reads programs and events that the client's targets reach.",
    "read_ven_objects": "Reads the client's own vens, resources, reports and subscriptions.",
    "write_programs": "Business Logic writes programs.",
    "write_events": "Business Logic writes events.",
    "write_reports": "VENs write reports.",
    "write_subscriptions": "Writes the client's own subscriptions.",
    "write_vens": "Writes vens and resources.",
}
REFUSALS: Mapping[int, str] = {
    400: "The request is malformed; `errors` lists every fault with its place.",
    401: "No access token, or one that is unknown, expired or revoked.",
    403: "The client's role or its token's scopes do not allow this, or it keeps as much here as it may.",
    404: "No such object, or none that this client may see.",
    408: "The body did not arrive in time; the connection ends.",
    409: "A name is taken, or a reference points at nothing.",
    413: "The body is larger, or holds more values, than this server takes.",
    429: "Too often: tokens, refused writes, or new callbacks; `Retry-After` says when to come again.",
    500: "The server failed; `instance` finds the story in its log.",
    501: "This server issues no tokens; `/auth/server` names who does.",
    503: "The database is out of reach; whether a write took effect is unknown.",
}


def answer(words: str, schema: Json, media_type: str = JSON) -> Json:
    """A response with a body."""
    return {"description": words, "headers": answer_headers(), "content": {media_type: {"schema": schema}}}


def answer_headers() -> Json:
    """What every answer's head holds."""
    return {request_id.HEADER: {"$ref": "#/components/headers/RequestId"}}


def refusal(status: int) -> Json:
    """A reference to the response of this status."""
    return {"$ref": f"#/components/responses/{_phrase(status)}"}


def token_refusal(status: int) -> Json:
    """The same, of a token request."""
    wrong = status == HTTPStatus.UNAUTHORIZED
    return {"$ref": f"#/components/responses/{WRONG_CREDENTIALS}"} if wrong else refusal(status)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")


def components(*, token_url: str, problem_media_type: str, strict_null: bool) -> Json:
    """The section of that name; `problem_media_type` is what refusals are sent as."""
    return {
        "schemas": {**schemas.components(strict_null=strict_null), **_other_schemas()},
        "parameters": {"RequestId": _callers_request_id()},
        "headers": {"RequestId": _our_request_id()},
        "responses": {_phrase(status): _problem_answer(status, problem_media_type) for status in REFUSALS}
        | {WRONG_CREDENTIALS: _wrong_credentials(problem_media_type)},
        "securitySchemes": {
            "oAuth2ClientCredentials": {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": dict(SCOPES)}},
            },
            "bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        },
    }


def _problem_answer(status: int, media_type: str) -> Json:
    found = answer(REFUSALS[status], {"$ref": f"{schemas.HERE}Problem"}, media_type)
    if status == HTTPStatus.UNAUTHORIZED:
        found["headers"][AUTHENTICATE] = {"required": True, "schema": TEXT}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        found["headers"]["Retry-After"] = {"required": True, "schema": TEXT}
    return found


def _wrong_credentials(media_type: str) -> Json:
    """401 of a token request: with the scheme of those that came in the header, and without any for a form's."""
    found = answer("The credentials are not right.", {"$ref": f"{schemas.HERE}Problem"}, media_type)
    found["headers"][AUTHENTICATE] = {"description": "Of HTTP Basic only (RFC 6749, 5.2).", "schema": TEXT}
    return found


def _our_request_id() -> Json:
    return {
        "description": "The id of this one request, ours; its log lines and its problem document carry it too.",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    }


def _callers_request_id() -> Json:
    return {
        "name": request_id.HEADER,
        "in": "header",
        "description": "An id of the caller's own; a short and plain one is set beside ours in the log.",
        "schema": TEXT,
    }


def _object(required: Mapping[str, Json], optional: Mapping[str, Json] | None = None) -> Json:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _other_schemas() -> dict[str, Json]:
    """What is no object of the standard."""
    names = {str(operation): TEXT for operation in topics.PUBLISHED}
    return {
        "Problem": _problem(),
        "TokenRequest": _token_request(),
        "Token": _object(
            {"access_token": TEXT, "token_type": {"const": "Bearer"}},
            {"expires_in": {"type": "integer", "description": "Seconds."}, "scope": TEXT},
        ),
        "AuthServer": _object({"tokenURL": URI}),
        "Notifiers": _notifiers(),
        "Topics": _object({"topics": _object({"ALL": TEXT}, names)}),
        "Health": _health(),
    }


def _problem() -> Json:
    fault = _object({"path": TEXT, "rule": TEXT})
    found = _object(
        {"type": URI, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "instance": URI},
        {
            "errors": {"type": "array", "items": fault, "description": "Every fault of a malformed request."},
            "error": {"type": "string", "description": "Of token requests: the code of RFC 6749."},
            "error_description": TEXT,
        },
    )
    return {**found, "description": "What went wrong with one request."}


def _token_request() -> Json:
    text: Json = {"type": "string", "minLength": 1, "maxLength": LONGEST_FIELD}
    fields = dict.fromkeys(FIELDS, text) | {"grant_type": {"const": "client_credentials"}}
    scope = {**text, "minLength": 0, "description": "Scopes, separated by spaces; without it, all that the client has."}
    found = _object({name: fields[name] for name in FIELDS if name == "grant_type"}, {**fields, "scope": scope})
    return {**found, "description": "clientID and secret here, or by HTTP Basic (RFC 6749, 2.3.1)."}


def _notifiers() -> Json:
    methods = list(get_args(Mqtt.model_fields["authentication"].annotation))
    binding = _object(
        {
            "URIS": {"type": "array", "items": URI},
            "serialization": {"const": "JSON"},
            "authentication": _object({"method": {"type": "string", "enum": methods}}),
        }
    )
    return _object({"WEBHOOK": {"const": True}}, {"MQTT": binding})


def _health() -> Json:
    state: Json = {"type": "string", "enum": [str(one) for one in PartState]}
    figures: Json = {"type": "object", "additionalProperties": {"type": "number"}}
    check = _object({"state": state, "words": TEXT}, {"figures": figures})
    checks: Json = {"type": "object", "additionalProperties": check}
    return _object({"status": state}, {"version": TEXT, "checks": checks})
