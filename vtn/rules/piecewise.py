"""Validation of large content piece by piece, so that it can stop: at a fault too many, or to let others work.

A schema library finds every fault before it tells of one, and a body can hold a fault in every third byte. No rule of
the wire models looks from one item of a list at another, so to validate an object without its lists, and then its lists
a few items at a time, finds the same faults as to validate it whole.
"""

import dataclasses
import functools
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import pydantic

from vtn.rules.measures import CONTAINERS, weight
from vtn.wire.model import Many, WireModel

PIECE = 1_000
"""JSON values of one piece: a hundredth of a second, even when every one of them is a fault."""

Location = tuple[int | str, ...]
Context = dict[str, bool]


@dataclasses.dataclass(frozen=True, slots=True)
class SchemaProblem:
    """What the schema library found: where, its name for the rule, and its words."""

    location: Location
    kind: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Items:
    """The items of a list: how several are validated at once, and their model if they are objects with lists."""

    several: pydantic.TypeAdapter[Any]
    model: type[WireModel] | None


def problems(model: type[WireModel], content: Any, context: Context) -> Iterator[SchemaProblem]:
    """Everything that is wrong with content, found as it is asked for. `context` is the validators' own."""
    return _of_object(model, content, (), context)


def whole(model: type[WireModel], content: Any, context: Context) -> list[SchemaProblem]:
    """The same at once, in the order of the model's fields."""
    try:
        model.model_validate(content, context=context)
    except pydantic.ValidationError as error:
        return _problems(error, ())
    return []


def _problems(error: pydantic.ValidationError, location: Location, shift: int = 0) -> list[SchemaProblem]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [SchemaProblem((*location, *_shifted(one["loc"], shift)), one["type"], one["msg"]) for one in found]


def _shifted(location: Location, shift: int) -> Location:
    return (location[0] + shift, *location[1:]) if shift and location and isinstance(location[0], int) else location


def _of_object(model: type[WireModel], content: Any, location: Location, context: Context) -> Iterator[SchemaProblem]:
    """The object without its lists and without what the model does not know, then its lists."""
    lists = _lists(model)
    shell = content
    if type(content) is dict:
        known = {name: content[name] for name in _names(model) if name in content}
        shell = {name: [] if name in lists and type(value) is list else value for name, value in known.items()}
    try:
        model.model_validate(shell, context=context)
    except pydantic.ValidationError as error:
        yield from _problems(error, location)
    if type(content) is dict:
        for name, items in lists.items():
            if type(content.get(name)) is list:
                yield from _of_list(items, content[name], (*location, name), context)


def _of_list(items: Items, values: Sequence[Any], location: Location, context: Context) -> Iterator[SchemaProblem]:
    for start, piece, heavy in _pieces(values):
        if heavy and items.model is not None:
            yield from _of_object(items.model, piece[0], (*location, start), context)
            continue
        try:
            items.several.validate_python(piece, context=context)
        except pydantic.ValidationError as error:
            yield from _problems(error, location, start)


def _pieces(values: Sequence[Any]) -> Iterator[tuple[int, Sequence[Any], bool]]:
    """Runs of items that are a piece together, by where they start; an item that is more than one comes alone."""
    start, held = 0, 0
    for position, value in enumerate(values):
        own = weight(value, PIECE) if type(value) in CONTAINERS else 1
        if held and held + own > PIECE:
            yield start, values[start:position], False
            start, held = position, 0
        if own > PIECE:
            yield position, values[position : position + 1], True
            start, held = position + 1, 0
        else:
            held += own
    if held:
        yield start, values[start:], False


# --- what the models say of themselves -------------------------------------------------------------------------------


@functools.cache
def _names(model: type[WireModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


@functools.cache
def _lists(model: type[WireModel]) -> Mapping[str, Items]:
    """The fields of a model that hold lists, by their JSON names."""
    found = {}
    for name, field in model.model_fields.items():
        item = _item(field.annotation)
        if item is not None:
            is_model = isinstance(item, type) and issubclass(item, WireModel) and bool(_lists(item))
            found[field.alias or name] = Items(pydantic.TypeAdapter(Many[item]), item if is_model else None)  # type: ignore[valid-type]
    return found


def _item(annotation: Any) -> Any:
    """The type of the items, when a field is a list; None when it is not."""
    origin = get_origin(annotation)
    if origin is tuple:
        return get_args(annotation)[0]
    if origin is Annotated:
        return _item(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return next((item for one in get_args(annotation) if (item := _item(one)) is not None), None)
    return None
