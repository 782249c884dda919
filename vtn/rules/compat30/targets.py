"""Typed targets of 3.0.1 (`[{"type": T, "values": [...]}]`) and bare targets of 3.1 (strings), each made of the other.

What a target's type was is remembered beside the object (`side`); GROUP stands for a type that nobody gave, because it
is the one label that the 3.0.1 schema itself shows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from vtn.errors import Fault
from vtn.rules.compat30.side import Types
from vtn.wire.document import Digits, WideInt

GROUP = "GROUP"
LONGEST = 128
MOST_TYPES = 8
"""Of one target; every mention of it shows all of them, so more would let a small object become a very large one."""
BOOLEANS = {True: "true", False: "false"}


def flatten(targets: Any, path: str, types: dict[str, tuple[str, ...]], faults: list[Fault]) -> list[str] | None:
    """The strings of typed targets, each once; their types go to `types`, what is wrong to `faults`."""
    if targets is None:
        return None
    if not isinstance(targets, list):
        faults.append(Fault(path, "must be a list"))
        return None
    found: list[str] = []
    for position, entry in enumerate(targets):
        for name, target in _entry(entry, f"{path}[{position}]", faults):
            found.append(target)
            names = types.get(target, ())
            if name not in names and len(names) == MOST_TYPES:
                faults.append(Fault(f"{path}[{position}].type", f"is one too many: a target has at most {MOST_TYPES}"))
            elif name not in names:
                types[target] = (*names, name)
    return list(dict.fromkeys(found))


def _entry(entry: Any, path: str, faults: list[Fault]) -> Iterable[tuple[str, str]]:
    """The type and each target of one entry."""
    if not isinstance(entry, dict):
        faults.append(Fault(path, "must be an object with type and values"))
        return
    name, values = entry.get("type"), entry.get("values")
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST:
        faults.append(Fault(f"{path}.type", "must be text of 1 to 128 characters"))
        return
    if not isinstance(values, list):
        faults.append(Fault(f"{path}.values", "must be a list"))
        return
    for position, value in enumerate(values):
        text = _text(value)
        if text is None or not 1 <= len(text) <= LONGEST:
            rule = "must be text of 1 to 128 characters, a number, true or false"
            faults.append(Fault(f"{path}.values[{position}]", rule))
        else:
            yield name, text


def _text(value: Any) -> str | None:
    """A value as a target, numbers as they were written; None for what no target can be made of."""
    if isinstance(value, bool):
        return BOOLEANS[value]
    if isinstance(value, (Digits, WideInt)):
        return value.literal
    return str(value) if isinstance(value, (str, int, float)) else None


def typed(targets: Iterable[str], types: Types) -> list[dict[str, Any]]:
    """Bare targets with their types, one entry for each type in the order in which they appear."""
    entries: dict[str, list[str]] = {}
    for target in targets:
        for name in types.get(target, (GROUP,)):
            entries.setdefault(name, []).append(target)
    return [{"type": name, "values": values} for name, values in entries.items()]


def with_typed(content: Mapping[str, Any], types: Types) -> dict[str, Any]:
    """An object whose `targets`, if it has any, are typed."""
    targets = content.get("targets")
    return dict(content) if targets is None else {**content, "targets": typed(targets, types)}


def with_flat(
    content: Mapping[str, Any], path: str, types: dict[str, tuple[str, ...]], faults: list[Fault]
) -> dict[str, Any]:
    """An object whose `targets`, if it has any, are bare."""
    if "targets" not in content:
        return dict(content)
    return {**content, "targets": flatten(content["targets"], f"{path}.targets", types, faults)}
