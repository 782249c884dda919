"""The server against its own OpenAPI document and against the standard's: made-up requests, real answers (GEN, ERR)."""

import pytest
from fuzz import fuzz
from openadr_spec import HERE, document

BUDGET = 1_500
# Where the standard's document contradicts itself or its text, and readings.md has decided (TR numbers are its own).
CONTRADICTIONS = [
    {
        "check": "response_schema_conformance",
        "operation": r"\w+ /(vens|resources).*",
        "says": r'^"(VEN|RESOURCE)" is not one of "BL_(VEN|RESOURCE)_REQUEST"',
        "reason": "TR-23: no objectType satisfies both halves of a ven's or resource's response schema",
    },
    {
        "check": "status_code_conformance",
        "operation": "POST /vens",
        "says": "^Received: 409$",
        "reason": "TR-44: names of vens are unique, but POST /vens lists no 409",
    },
    {
        "check": "status_code_conformance",
        "operation": r"PUT /programs/\{programID\}|GET /notifiers.*",
        "says": "^Received: 401$",
        "reason": "TR-43: two operations list no 401",
    },
    {
        "check": "status_code_conformance",
        "operation": "GET /notifiers.*",
        "says": "^Received: (400|404)$",
        "reason": "MQTT-21..31: topics of an object that is hidden or missing, or whose id is malformed",
    },
    {
        "check": "status_code_conformance",
        "operation": "(POST|PUT) .*",
        "says": "^Received: (408|413|503)$",
        "reason": "bounds of a real server: too slow, too large, database out of reach",
    },
    {
        "check": "negative_data_rejection",
        "operation": "(POST|PUT) .*",
        "says": r"(?s)Incorrect type.*\n.*null",
        "reason": "TR-31: null where only absence is allowed is taken as absence",
    },
    {
        "check": "positive_data_acceptance",
        "operation": "(POST|PUT) .*",
        "says": r"\$: is not JSON: Expecting value at line 1 column 1",
        "reason": "TR-39: most operations forget to require their body",
    },
    {
        "check": "positive_data_acceptance",
        "operation": "(POST|PUT) /programs.*",
        "says": r"\$\.programDescriptions\[\d+\]: must be an object",
        "reason": "TR-33: the items of programDescriptions have no type",
    },
]


@pytest.fixture(scope="module")
def summary():
    return fuzz(BUDGET, seed=1)


def test_nothing_that_the_document_allows_or_forbids_breaks_the_server_or_the_document(summary):
    assert summary["failures"] == []
    assert summary["requests"] >= BUDGET * 0.7


def test_every_operation_is_asked_and_nearly_all_succeed(summary):
    asked = summary["by_operation"]
    assert len(asked) == 45
    assert len([name for name, statuses in asked.items() if {"200", "201"} & statuses.keys()]) >= 40


@HERE
def test_the_standards_own_document_is_broken_only_where_it_contradicts_itself():
    found = fuzz(BUDGET, seed=1, document=document(), known=CONTRADICTIONS)
    assert found["failures"] == []
    assert found["requests"] >= BUDGET * 0.7
