"""The published document: whole, true to the tables it is made from, and not to be read two ways."""

import dataclasses
import json
import re

import jsonschema_rs
import pytest

from vtn.endpoints.openapi import components, examples, schemas
from vtn.endpoints.openapi.document import AUTH_SERVER, AUTH_TOKEN, ServerFacts, document
from vtn.endpoints.paging import PARAMETERS, lists
from vtn.endpoints.problems import STATUSES
from vtn.errors import Rejected
from vtn.rules.admission import BL_VARIANTS, admit
from vtn.rules.scopes import OPERATIONS, STANDARD_SCOPES
from vtn.wire.document import render
from vtn.wire.enumerations import ObjectType

FACTS = ServerFacts("https://vtn.example.org", ("/openadr3/3.1.0", "/openadr3/3.1.1"))
WHOLE = document(FACTS, with_root=True)
EXAMPLES = [
    pytest.param(kind, name, body, id=f"{kind.value} {name}")
    for kind, bodies in examples.REQUESTS.items()
    for name, body in bodies.items()
]
# Bodies on which the published schema and admission must agree: a request, and whether it may be stored.
JUDGED = [
    (ObjectType.PROGRAM, {"programName": "p"}, True),
    (ObjectType.PROGRAM, {"programName": ""}, False),
    (ObjectType.PROGRAM, {"programName": "p" * 128, "private": {"x": [None]}}, True),
    (ObjectType.PROGRAM, {"programName": "p" * 129}, False),
    (ObjectType.PROGRAM, {"programName": "p", "programDescriptions": [{"URL": "no uri"}]}, False),
    (ObjectType.PROGRAM, {"programName": "p", "targets": None, "intervalPeriod": None}, True),
    (ObjectType.PROGRAM, {"programName": "p", "payloadDescriptors": [{"payloadType": "PRICE"}]}, False),
    (ObjectType.EVENT, {"programID": "a"}, True),
    (ObjectType.EVENT, {"programID": "a b"}, False),
    (ObjectType.EVENT, {"programID": "a", "priority": -1}, False),
    (ObjectType.EVENT, {"programID": "a", "duration": "PT1H"}, True),
    (ObjectType.EVENT, {"programID": "a", "duration": "P"}, False),
    (ObjectType.EVENT, {"programID": "a", "duration": "P\u0661D"}, False),
    (ObjectType.EVENT, {"programID": "a", "intervalPeriod": {"start": "0001-01-01"}}, True),
    (ObjectType.EVENT, {"programID": "a", "intervalPeriod": {"start": "2026-02-30T00:00:00Z"}}, False),
    (
        ObjectType.EVENT,
        {"programID": "a", "intervals": [{"id": 0, "payloads": [{"type": "X", "values": [True]}]}]},
        True,
    ),
    (
        ObjectType.EVENT,
        {"programID": "a", "intervals": [{"id": 0, "payloads": [{"type": "X", "values": [None]}]}]},
        False,
    ),
    (
        ObjectType.EVENT,
        {"programID": "a", "intervals": [{"id": 0, "payloads": [{"type": "X", "values": [{"x": 1}]}]}]},
        False,
    ),
    (ObjectType.EVENT, {"programID": "a", "reportDescriptors": [{"payloadType": "U", "repeat": 2**31}]}, False),
    (ObjectType.SUBSCRIPTION, {"clientName": "c", "objectOperations": []}, True),
    (ObjectType.SUBSCRIPTION, {"clientName": "c"}, False),
    (ObjectType.VEN, {"objectType": "VEN_VEN_REQUEST", "venName": "v"}, True),
    (ObjectType.VEN, {"objectType": "VEN", "venName": "v"}, False),
    (ObjectType.RESOURCE, {"objectType": "BL_RESOURCE_REQUEST", "resourceName": "r", "venID": "v"}, True),
]


def faults(schema, content, whole=WHOLE):
    root = {**schema, "components": whole["components"]}
    judge = jsonschema_rs.Draft202012Validator(root, validate_formats=True)
    return [error.message for error in judge.iter_errors(content)]


def operations(whole=WHOLE):
    return {
        one["operationId"]: (method, path, one)
        for path, item in whole["paths"].items()
        for method, one in item.items()
        if method in {"get", "post", "put", "delete"}
    }


def every(node, key):
    if isinstance(node, list):
        for child in node:
            yield from every(child, key)
    elif isinstance(node, dict):
        for name, child in node.items():
            if name == key:
                yield child
            yield from every(child, key)


def admitted(kind, body):
    is_bl = kind in BL_VARIANTS and body.get("objectType") == BL_VARIANTS[kind].constant
    try:
        admit(kind, json.loads(json.dumps(body)), is_bl=is_bl)
    except Rejected:
        return False
    return True


def test_every_operation_of_the_table_is_published_once_and_nothing_else_of_the_protocol():
    published = {
        name: (method.upper(), path) for name, (method, path, _) in operations(document(FACTS, with_root=False)).items()
    }
    expected = {one.name: (one.method, one.path) for one in (AUTH_SERVER, AUTH_TOKEN, *OPERATIONS)}
    assert published == expected


def test_every_reference_leads_somewhere():
    for reference in every(WHOLE, "$ref"):
        node = WHOLE
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_every_part_is_used():
    text = json.dumps({**WHOLE, "components": {**WHOLE["components"], "securitySchemes": {}}})
    for section in ("schemas", "responses", "parameters", "headers"):
        unused = [name for name in WHOLE["components"][section] if f"#/components/{section}/{name}" not in text]
        assert unused in ([], ["NotImplemented"])


def test_no_paper_of_ours_is_cited():
    cited = re.findall(r"\b[A-Z]{2,6}-\d\d", json.dumps(WHOLE))
    assert cited == []


def test_the_document_is_the_same_whenever_it_is_made():
    assert render(document(FACTS, with_root=True)) == render(WHOLE)


def test_every_scope_and_only_those_are_explained():
    assert set(components.SCOPES) == STANDARD_SCOPES
    used = {scope for scopes in every(WHOLE, "oAuth2ClientCredentials") if isinstance(scopes, list) for scope in scopes}
    assert used == STANDARD_SCOPES


def test_every_query_parameter_is_published_with_its_words():
    for kind in ObjectType:
        search = next(
            one
            for _, path, one in operations().values()
            if path == f"/{kind.value.lower()}s"
            and "get" in WHOLE["paths"][path]
            and one is WHOLE["paths"][path]["get"]
        )
        named = {one["name"]: one for one in search["parameters"] if one.get("in") == "query"}
        assert named.keys() == PARAMETERS[kind].keys() | lists(kind).keys()
        assert all(one["description"] for one in named.values())
        assert (named["limit"]["schema"]["minimum"], named["limit"]["schema"]["maximum"]) == (0, 50)
        assert named["skip"]["schema"]["minimum"] == 0


def test_every_refusal_that_a_problem_can_be_is_explained():
    assert {status.value for status in STATUSES.values()} <= components.REFUSALS.keys()


def test_every_answer_carries_the_request_id():
    for _, _, one in operations().values():
        for answer in one["responses"].values():
            whole = WHOLE["components"]["responses"][answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
            assert "X-Request-Id" in whole["headers"]


def test_the_settings_that_change_answers_change_the_document():
    facts = dataclasses.replace(
        FACTS, cascade=False, own_tokens=False, anonymous_read=True, strict_null=True, default_limit=7
    )
    changed = operations(document(facts, with_root=False))
    assert "409" in changed["deleteProgram"][2]["responses"]
    assert "501" in changed["fetchToken"][2]["responses"]
    assert {} in changed["searchAllEvents"][2]["security"]
    assert {} not in changed["searchVens"][2]["security"]
    assert (
        next(one for one in changed["searchVens"][2]["parameters"] if one.get("name") == "limit")["schema"]["default"]
        == 7
    )
    plain = operations()
    assert "409" not in plain["deleteProgram"][2]["responses"]
    assert "501" not in plain["fetchToken"][2]["responses"]


@pytest.mark.parametrize("strict_null", [False, True])
def test_null_for_what_may_only_be_left_out_is_sent_never_and_taken_by_the_switch(strict_null):
    parts = schemas.components(strict_null=strict_null)
    whole = {"components": {"schemas": parts}}
    body = {"programID": "a", "intervals": None}
    assert bool(faults(schemas.request_schema(ObjectType.EVENT), body, whole)) is strict_null
    stored = {**body, "id": "e", "objectType": "EVENT", "createdDateTime": "2026-07-15T16:00:00Z"}
    stored["modificationDateTime"] = stored["createdDateTime"]
    assert faults(schemas.response_schema(ObjectType.EVENT), stored, whole)
    del stored["intervals"]
    assert not faults(schemas.response_schema(ObjectType.EVENT), stored, whole)


@pytest.mark.parametrize(("kind", "name", "body"), EXAMPLES)
def test_every_example_may_be_stored_and_is_of_its_schema(kind, name, body):
    assert admitted(kind, body)
    assert faults(schemas.request_schema(kind), body) == []


@pytest.mark.parametrize(("kind", "body", "good"), JUDGED, ids=str)
def test_schema_and_admission_judge_alike(kind, body, good):
    assert admitted(kind, body) is good
    assert (faults(schemas.request_schema(kind), body) == []) is good
