"""JSON schemas of what clients send and what they get, made from the wire models; nothing of them is typed again.

A model says in one place what is refused; some of its rules are functions, which pydantic cannot show. `SHOWN` gives
those functions their keywords, and finds them through the aliases that carry them. What differs between the two
directions is `null` for a property that may only be left out: never sent, and taken unless `strict_null` (TR-31).
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pydantic
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from vtn.rules.admission import BL_VARIANTS, SHAPES, VEN_VARIANTS
from vtn.wire.enumerations import ObjectType
from vtn.wire.event import Event
from vtn.wire.model import DURATION, NOW_LITERALS, DateTime, Duration, Omittable, Start, Uri, WireModel
from vtn.wire.program import Program
from vtn.wire.report import Report
from vtn.wire.resource import Resource
from vtn.wire.subscription import Subscription
from vtn.wire.values import Point, Value
from vtn.wire.ven import Ven

Json = dict[str, Any]
HERE = "#/components/schemas/"
RESPONSES: Mapping[ObjectType, type[WireModel]] = {
    ObjectType.PROGRAM: Program,
    ObjectType.EVENT: Event,
    ObjectType.REPORT: Report,
    ObjectType.SUBSCRIPTION: Subscription,
    ObjectType.VEN: Ven,
    ObjectType.RESOURCE: Resource,
}
OUR_REFERENCES = re.compile(r"\s*\((?=[A-Z0-9, -]*\d)[A-Z]{2,}[A-Z0-9, -]*\)")


def published(pattern: re.Pattern[str] | str, *, whole: bool = True) -> str:
    r"""A pattern as JSON Schema has it (ECMA-262), where \A, \z and ASCII-only digits are spelled out."""
    text = pattern if isinstance(pattern, str) else pattern.pattern
    text = text.replace(r"\A", "^").replace(r"\z", "$").replace(r"\d", "[0-9]")
    return f"^(?:{text})$" if whole else text


def _function(alias: Any) -> Any:
    """The function by which an alias of `wire.model` judges its values."""
    judges = (pydantic.AfterValidator, pydantic.BeforeValidator)
    return next(part.func for part in alias.__metadata__ if isinstance(part, judges))


REFUSE_NULL = _function(Omittable)
VALUE = _function(Value)
SHOWN: Mapping[Any, Json] = {
    _function(Duration): {"pattern": published(DURATION)},
    _function(Uri): {"format": "uri"},
    _function(DateTime): {"format": "date-time"},
    _function(Start): {"format": "date-time"},
}
NOW: Json = {"type": "string", "enum": sorted(NOW_LITERALS), "description": "Now, whenever that is read."}


class _Generator(GenerateJsonSchema):
    """pydantic's generator, with what its functions hide."""

    sent = False
    nulls_are_taken = False

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic asks for each
        """No titles: they would only repeat the names."""
        return False

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """A property that may be left out: whether null may stand for that depends on the direction."""
        inner = self.generate_inner(schema["schema"])
        if schema["function"]["function"] is not REFUSE_NULL or self.nulls_are_taken:
            return inner
        options = [option for option in inner.get("anyOf", [inner]) if option != {"type": "null"}]
        return options[0] if len(options) == 1 else {"anyOf": options}

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        """A text with a form of its own, or a payload value."""
        check = schema["function"]["function"]
        if check is VALUE:
            point = self.generate_inner(Point.__pydantic_core_schema__)
            return {"anyOf": [{"type": ["number", "string", "boolean"]}, point]}
        shown = {**self.generate_inner(schema["schema"]), **SHOWN.get(check, {})}
        return {"anyOf": [shown, NOW]} if self.sent and check is _function(Start) else shown


class _Strict(_Generator):
    """What is taken from clients."""

    sent = True


class _Lenient(_Strict):
    """The same, when null is taken for a property that may only be left out."""

    nulls_are_taken = True


def _of(models: Iterable[type[pydantic.BaseModel]], generator: type[_Generator]) -> dict[str, Json]:
    """The schemas of models and of all that they use, by model name."""
    mode: JsonSchemaMode = "validation"
    inputs = [(model, mode, model.__pydantic_core_schema__) for model in models]
    _, definitions = generator(by_alias=True, ref_template=HERE + "{model}").generate_definitions(inputs)
    return {name: _tidy(schema) for name, schema in definitions.items()}


def _tidy(node: Any) -> Any:
    """Without titles, defaults that say nothing, and references to our own papers."""
    if isinstance(node, list):
        return [_tidy(child) for child in node]
    if not isinstance(node, dict):
        return node
    kept = _or_null({key: _tidy(child) for key, child in node.items() if (key, child) != ("default", None)})
    if isinstance(kept.get("title"), str):
        del kept["title"]
    if isinstance(kept.get("description"), str):
        kept["description"] = OUR_REFERENCES.sub("", kept["description"]).replace("\n", " ")
    if isinstance(kept.get("pattern"), str):
        kept["pattern"] = published(kept["pattern"], whole=False)
    if isinstance(kept.get("required"), list):
        kept["required"] = [name for name in kept["properties"] if name in kept["required"]]
    return kept


def _or_null(node: Json) -> Json:
    """A choice between null and one plain type, in one line."""
    options = node.get("anyOf", ())
    if len(options) != 2 or options[1] != {"type": "null"} or not isinstance(options[0].get("type"), str):  # noqa: PLR2004
        return node
    if options[0].keys() & {"enum", "const"}:
        return node
    rest = {key: child for key, child in node.items() if key != "anyOf"}
    return {**rest, **options[0], "type": [options[0]["type"], "null"]}


def _references(node: Any) -> set[str]:
    """The names that a schema refers to."""
    if isinstance(node, list):
        return set().union(*map(_references, node))
    if not isinstance(node, dict):
        return {node.removeprefix(HERE)} if isinstance(node, str) and node.startswith(HERE) else set()
    return set().union(*map(_references, node.values()))


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_renamed(child, names) for child in node]
    if isinstance(node, dict):
        return {key: _renamed(child, names) for key, child in node.items()}
    if isinstance(node, str) and node.startswith(HERE):
        name = node.removeprefix(HERE)
        return HERE + names.get(name, name)
    return node


def _differing(sent: Mapping[str, Json], got: Mapping[str, Json]) -> Sequence[str]:
    """The models whose schema depends on the direction, themselves or through what they use."""
    differing = {name for name in sent if name in got and sent[name] != got[name]}
    while more := {
        name for name in sent if name in got and name not in differing and _references(sent[name]) & differing
    }:
        differing |= more
    return sorted(differing)


def _stored(kind: ObjectType, schema: Json) -> Json:
    """The schema of a stored object: its model knows all but the constant that tells the kinds apart."""
    before = ("id", "createdDateTime", "modificationDateTime")
    properties = dict(schema["properties"])
    head = {name: properties.pop(name) for name in before}
    named: Json = {**head, "objectType": {"type": "string", "const": kind.value}, **properties}
    required = {"objectType", *schema["required"]}
    return {**schema, "properties": named, "required": [name for name in named if name in required]}


def request_models(kind: ObjectType) -> Sequence[type[WireModel]]:
    """The shapes in which an object of this kind may be written."""
    if kind in SHAPES:
        return (SHAPES[kind],)
    return (BL_VARIANTS[kind].model, VEN_VARIANTS[kind].model)


@functools.cache
def components(*, strict_null: bool) -> Mapping[str, Json]:
    """All schemas of objects: each kind as it is returned, as it is written, and what they are made of.

    They are made once and shared by every document of this process.
    """
    got = _of(RESPONSES.values(), _Generator)
    writable = [model for kind in ObjectType for model in request_models(kind)]
    sent = _of(writable, _Strict if strict_null else _Lenient)
    names = {name: f"{name}AsSent" for name in _differing(sent, got)}
    for kind, model in RESPONSES.items():
        got[model.__name__] = _stored(kind, got[model.__name__])
    return dict(sorted({**{names.get(name, name): _renamed(one, names) for name, one in sent.items()}, **got}.items()))


def request_schema(kind: ObjectType) -> Json:
    """A reference to what may be written; vens and resources say by their objectType which of two shapes it is."""
    refs = [f"{HERE}{model.__name__}" for model in request_models(kind)]
    if len(refs) == 1:
        return {"$ref": refs[0]}
    constants = (BL_VARIANTS[kind].constant, VEN_VARIANTS[kind].constant)
    mapping = dict(zip(constants, refs, strict=True))
    return {
        "oneOf": [{"$ref": ref} for ref in refs],
        "discriminator": {"propertyName": "objectType", "mapping": mapping},
    }


def response_schema(kind: ObjectType) -> Json:
    """A reference to an object as it is returned."""
    return {"$ref": f"{HERE}{RESPONSES[kind].__name__}"}
