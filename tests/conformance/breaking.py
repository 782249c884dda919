"""How our own VTN is broken, one thing at a time.

A mutation replaces one function, value or setting while the server is made, by pytest's MonkeyPatch. It names the
requirement whose checks must notice.
"""

from collections.abc import Callable, Mapping
from typing import Any

from multidict import MultiDict
from ours import Mutant

from vtn.endpoints import objects as http_objects
from vtn.service import core, objects
from vtn.wire.enumerations import ObjectType

MUTANTS: dict[str, Mutant] = {}


def mutant(requirement: str, *, mqtt: bool = False, settings: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """Register a function that breaks something; its docstring says what."""

    def add(apply: Any) -> Any:
        words = " ".join((apply.__doc__ or "").split())
        MUTANTS[apply.__name__] = Mutant(apply.__name__, words, requirement, apply, mqtt, settings or {})
        return apply

    return add


def wrap(patch, owner: Any, name: str, change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a function by what `change` makes of it."""
    patch.setattr(owner, name, change(getattr(owner, name)))


def on_body(patch, change: Callable[[Any], Any]) -> None:
    """Change every request body before it is judged."""
    wrap(patch, objects, "admit", lambda admit: lambda kind, body, **rest: admit(kind, change(body), **rest))


def on_stored(patch, kind: ObjectType, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change what is stored of one kind of object."""

    def altered(record):
        def make(blank, content, index):
            return record(blank, change(dict(content)) if blank.kind is kind else content, index)

        return make

    wrap(patch, core, "_record", altered)


def on_query(patch, change: Callable[[MultiDict[str]], None]) -> None:
    """Change every list query before it is read."""

    def altered(read_query):
        def read(kind, query, rules):
            mine = MultiDict(query)
            change(mine)
            return read_query(kind, mine, rules)

        return read

    wrap(patch, http_objects, "read_query", altered)
