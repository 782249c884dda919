"""Query parameters: what is published of them is what is read, and every fault is told at once (FLT, PAG)."""

import pytest
from multidict import MultiDict
from openapi_schema_validator import OAS31Validator

from vtn.endpoints.paging import BOOLEANS, PARAMETERS, ParameterReader, QueryRules, lists, read_query
from vtn.errors import Rejected
from vtn.wire.enumerations import ObjectType

TEXTS = [
    "",
    "a",
    "a b",
    "a/b",
    "x" * 128,
    "x" * 129,
    "\0",
    "a\0b",
    "ü",
    "0",
    "-0",
    "50",
    "51",
    "-1",
    "1.5",
    "2147483648",
    "true",
    "TRUE",
    "EVENT",
    "event",
]
READERS = {name: reader for parameters in PARAMETERS.values() for name, (_, reader) in parameters.items()}
READERS |= {name: reader for kind in ObjectType for name, reader in lists(kind).items()}


def as_published(reader: ParameterReader, text: str):
    """The value that a client means by a text, as its schema sees it."""
    wanted = reader.schema["type"]
    if wanted == "boolean":
        return BOOLEANS.get(text, text)
    return int(text) if wanted == "integer" and text.lstrip("-").isdecimal() else text


@pytest.mark.parametrize("text", TEXTS, ids=repr)
@pytest.mark.parametrize("name", READERS)
def test_what_is_published_is_what_is_read(name, text):
    reader = READERS[name]
    try:
        reader.read(text)
        read = True
    except ValueError:
        read = False
    assert OAS31Validator(reader.schema).is_valid(as_published(reader, text)) is read


def test_every_fault_is_told_at_once():
    query = MultiDict([("limit", "51"), ("skip", "x"), ("targets", ""), ("targets", "ok"), ("active", "yes")])
    with pytest.raises(Rejected) as refused:
        read_query(ObjectType.EVENT, query, QueryRules())
    assert [fault.path for fault in refused.value.faults] == [
        "query.skip",
        "query.limit",
        "query.active",
        "query.targets[0]",
    ]


def test_a_parameter_of_another_kind_is_ignored():
    values, _ = read_query(ObjectType.REPORT, MultiDict([("objects", "nonsense"), ("targets", "")]), QueryRules())
    assert values == {"limit": 50}
