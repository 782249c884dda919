"""The OpenAPI 3.1 document of the enrolment API, made from the models and the table of acts."""

import functools
from typing import Any

from pydantic.json_schema import models_json_schema

from ven_adapters.enrolment_api.models import Agreement, Enrol, Model, Problem, Question, Told, Verdicts
from ven_adapters.enrolment_api.operation_table import ACTS
from ven_adapters.enrolment_api.responses import CarPage, CarView, Changes, EnrolmentWebhook, History, Why
from ven_adapters.enrolment_api.webhooks.notices import EventNotice

Json = dict[str, Any]
REF = "#/components/schemas/{model}"
_INPUT = (Enrol, Question, Told, *(act.body for act in ACTS if act.body is not None))
_OUTPUT = (Agreement, CarPage, CarView, Changes, History, EnrolmentWebhook, EventNotice, Problem, Verdicts, Why)
_REFUSALS = {"400": "Faults, all of them", "401": "No bearer key", "404": "No such car", "409": "Conflict"}
_REFUSALS |= {"410": "Answered before, and erased since", "413": "Too large", "429": "Too many requests"}
_PATH = {"name": "vehicle_ref", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 120}}
_ONCE = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 128}}
_SIGNED = [
    {"name": "X-Timestamp", "in": "header", "required": True, "schema": {"type": "string"}},
    {"name": "X-Signature", "in": "header", "required": True, "schema": {"type": "string"}},
]
_PAGE = [
    {"name": "after", "in": "query", "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}},
]
_NUMBERED = [{"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0}}, _PAGE[1]]
_AT = {"name": "at", "in": "query", "schema": {"type": "string", "format": "date-time"}}


@functools.cache
def document() -> Json:
    """The whole document."""
    modes: Any = [(model, "validation") for model in _INPUT] + [(model, "serialization") for model in _OUTPUT]
    _, schemas = models_json_schema(modes, ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Enrolment beside a VEN adapter", "version": "1.0.0", "description": __doc__},
        "security": [{"key": []}],
        "paths": _paths(),
        "webhooks": {
            "changed": {"post": _operation("changed", "An enrolment changed", EnrolmentWebhook, None, _SIGNED)},
            "event": {"post": _operation("event", "An event is near, or over", EventNotice, None, _SIGNED)},
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> Json:
    paths: Json = {
        "/openapi.json": {"get": {**_operation("document", "This document", None, None), "security": []}},
        "/v1/eligibility": {"post": _operation("eligibility", "Which programmes a car may join", Question, Verdicts)},
        "/v1/webhooks": {
            "post": {**_operation("tell", "A signed decision", Told, Agreement, _SIGNED), "security": []},
        },
        "/v1/cars": {
            "post": _operation("enrol", "Enrol a car", Enrol, Agreement, [_ONCE], status="201"),
            "get": _operation("cars", "Some cars", None, CarPage, _PAGE),
        },
        "/v1/cars/{vehicle_ref}": {"get": _operation("car", "One car", None, CarView, [_PATH])},
        "/v1/cars/{vehicle_ref}/changes": {
            "get": _operation("changes", "What happened to a car, oldest first", None, Changes, [_PATH, *_NUMBERED])
        },
        "/v1/cars/{vehicle_ref}/why": {"get": _operation("why", "Why a car did what it did", None, Why, [_PATH, _AT])},
        "/v1/cars/{vehicle_ref}/consents": {
            "get": _operation("consents", "A car's consents, oldest first", None, History, [_PATH])
        },
    }
    for act in ACTS:
        told = _operation(act.name, act.summary, act.body, Agreement, [_PATH, _ONCE], status=str(int(act.status)))
        paths.setdefault(f"/v1/cars/{{vehicle_ref}}/{act.path}", {})["post"] = told
    return paths


def _operation(
    name: str,
    summary: str,
    body: type[Model] | None,
    answer: type[Model] | None,
    parameters: list[Json] | None = None,
    *,
    status: str = "200",
) -> Json:
    good = {"description": summary, **({"content": _content(answer)} if answer is not None else {})}
    refusals = {
        code: {"description": why, "content": _content(Problem, "application/problem+json")}
        for code, why in _REFUSALS.items()
    }
    return {
        "operationId": name,
        "summary": summary,
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": {"required": True, "content": _content(body)}} if body is not None else {}),
        "responses": {status: good, **refusals},
    }


def _content(model: type[Model], media: str = "application/json") -> Json:
    return {media: {"schema": {"$ref": REF.format(model=model.__name__)}}}
