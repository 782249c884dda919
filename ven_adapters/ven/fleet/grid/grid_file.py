"""Read the grid file strictly: which sites, transformers and feeders there are, and their limits; all faults at once.

TOML, one `[[node]]` a node, so that one that is named twice is seen. Bounded: bytes, nodes, levels, names, kW.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ven_adapters.ven.fleet.grid.grid_tree import MOST_LEVELS, GridNode, NodeKind
from vtn.errors import ConfigError

MOST_NODES = 200_000
MOST_BYTES = 64 * 1_048_576
MOST_KW = 1_000_000.0
MOST_NAME = 120
MOST_FAULTS = 50
_KINDS = tuple(kind.value for kind in NodeKind)
_LIMITS = ("import_limit_kw", "export_limit_kw", "default_import_kw", "default_export_kw")
_KEYS = frozenset({"name", "kind", "parent", *_LIMITS})


def read_grid(path: Path) -> list[GridNode]:
    """The nodes of a grid file; ConfigError names every fault, with the place of its node."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"grid: {path}: is larger than {MOST_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"grid: {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"grid: {path}: is not UTF-8 text") from None
    nodes, faults = parse_grid(text)
    if faults:
        more = [f"... and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
        raise ConfigError("\n".join(f"grid: {path}: {fault}" for fault in [*faults[:MOST_FAULTS], *more]))
    return nodes


def parse_grid(text: str) -> tuple[list[GridNode], list[str]]:
    """The nodes of a grid file's text, and everything that is wrong with them."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [], [f"is not TOML: {error}"]
    faults = [f"{key}: is not a setting" for key in sorted(raw.keys() - {"node"})]
    listed = raw.get("node", [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        return [], [*faults, "node: must be a list of tables, [[node]]"]
    if len(listed) > MOST_NODES:
        return [], [*faults, f"node: has {len(listed)} nodes, more than {MOST_NODES}"]
    nodes: dict[str, GridNode] = {}
    for place, one in enumerate(listed):
        if node := _node(one, f"node[{place}]", faults):
            nodes.setdefault(node.name, node)
    faults += [*_named_twice(listed), *_unknown_parents(listed), *_too_deep(nodes)]
    return list(nodes.values()), faults


def _node(raw: Mapping[str, Any], place: str, faults: list[str]) -> GridNode | None:
    before = len(faults)
    faults += [f"{place}.{key}: is not a setting" for key in sorted(raw.keys() - _KEYS)]
    name, parent = raw.get("name"), raw.get("parent")
    if not _is_name(name):
        faults.append(f"{place}.name: must be a text of 1 to {MOST_NAME} characters")
    if raw.get("kind") not in _KINDS:
        faults.append(f"{place}.kind: must be one of {', '.join(_KINDS)}")
    if parent is not None and not _is_name(parent):
        faults.append(f"{place}.parent: must be the name of a node")
    faults += [
        f"{place}.{key}: must be a number of kW from 0 to {MOST_KW:g}"
        for key in _LIMITS
        if key in raw and not _is_kw(raw[key])
    ]
    if len(faults) > before:
        return None
    limits = {key: float(raw[key]) for key in _LIMITS if key in raw}
    return GridNode(str(name), NodeKind(raw["kind"]), parent, **limits)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MOST_NAME and "\0" not in value


def _is_kw(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 <= value <= MOST_KW


def _named_twice(listed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    seen = set[str]()
    for place, one in enumerate(listed):
        name = one.get("name")
        if _is_name(name) and name in seen:
            yield f"node[{place}].name: {name!r} is named twice"
        seen.add(str(name))


def _unknown_parents(listed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    named = {one["name"] for one in listed if _is_name(one.get("name"))}
    for place, one in enumerate(listed):
        parent = one.get("parent")
        if _is_name(parent) and parent not in named:
            yield f"node[{place}].parent: {parent!r} is not a node of this file"


def _too_deep(nodes: Mapping[str, GridNode]) -> list[str]:
    """Circles, each once, and nodes with too many others above them."""
    faults: list[str] = []
    levels: dict[str | None, int] = {}
    for name in nodes:
        path: dict[str, None] = {}
        at: str | None = name
        while at is not None and at in nodes and at not in levels and at not in path:
            path[at] = None
            at = nodes[at].parent
        if at in path:
            circle = list(path)[list(path).index(at) :]
            faults.append(f"{at}.parent: leads in a circle: {' > '.join([*circle, at])}")
        level = 0 if at in path else levels.get(at, 0)
        for one in reversed(path):
            level += 0 if at in path else 1
            levels[one] = level
            if level == MOST_LEVELS + 1:
                faults.append(f"{one}.parent: has more than {MOST_LEVELS - 1} nodes above it")
    return faults
