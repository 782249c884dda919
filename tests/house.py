"""How the house stands: sizes, floors, circles, names and citations, measured from the code itself (`make house`).

The goals are guides. Floors are the longest chain of imports inside a folder, circles counted as one; a circle is a
group of modules that import each other, imports inside functions included and those for type checking alone left out.
"""

import ast
import collections
import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("vtn", "ven_adapters")
SHORT_LINES = 45
LONG_LINES = 450
READINGS = "docs/readings.md"


@dataclasses.dataclass(frozen=True, slots=True)
class Measure:
    """One row: what is measured, what it is, its goal, and where it is worst."""

    name: str
    value: int
    goal: int
    where: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Module:
    """A module by its dotted name, with what it imports and the classes it defines."""

    name: str
    lines: int
    imports: frozenset[str]
    classes: tuple[str, ...]
    is_package: bool


def modules() -> dict[str, Module]:
    """All modules of the project's packages, by name; what they import is bound to these."""
    files = {_dotted(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
    found = {}
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        imports = {known for asked in _imported(tree) if (known := _known(asked, files)) and known != name}
        classes = tuple(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
        lines = len(text.splitlines())
        found[name] = Module(name, lines, frozenset(imports), classes, path.name == "__init__.py")
    return found


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module) -> Iterator[str]:
    """The dotted names that are imported where the code runs."""
    only_for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in only_for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _known(asked: str, files: Mapping[str, Path]) -> str | None:
    """The module that a dotted name means: itself, or what it is a member of."""
    while asked:
        if asked in files:
            return asked
        asked = asked.rpartition(".")[0]
    return None


def circles(arrows: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """Groups that reach each other: Tarjan's strongly connected components (1972), those of one left out."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in arrows[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = []
            while not group or group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in arrows:
        if name not in index:
            visit(name)
    return found


def floors(arrows: Mapping[str, frozenset[str]]) -> int:
    """The longest chain of arrows, each circle counted as one."""
    together = {name: group[0] for group in circles(arrows) for name in group}
    heads: dict[str, set[str]] = collections.defaultdict(set)
    for name, others in arrows.items():
        mine = together.get(name, name)
        heads[mine] |= {together.get(other, other) for other in others} - {mine}
    height: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in height:
            height[name] = 1 + max((of(other) for other in heads[name]), default=0)
        return height[name]

    return max(map(of, list(heads)), default=0)


def inside(found: Mapping[str, Module], package: str) -> dict[str, frozenset[str]]:
    """The arrows between the modules of one package."""
    mine = {name: one for name, one in found.items() if name.startswith(f"{package}.")}
    return {name: frozenset(one.imports & mine.keys()) for name, one in mine.items()}


def rooms(arrows: Mapping[str, frozenset[str]], package: str) -> dict[str, frozenset[str]]:
    """The same arrows between the folders of a package; the modules beside them are one room, its top."""

    def room(name: str) -> str:
        inner = name.removeprefix(f"{package}.").partition(".")
        return inner[0] if inner[1] or f"{package}.{inner[0]}" not in arrows else "top"

    found: dict[str, set[str]] = collections.defaultdict(set)
    for name, others in arrows.items():
        if name.count(".") > package.count(".") + 1 or not any(other.startswith(f"{name}.") for other in arrows):
            found[room(name)] |= {room(other) for other in others} - {room(name)}
    return {name: frozenset(others) for name, others in found.items()}


def dangling() -> list[str]:
    """Readings and field faults that are cited and that nothing explains."""
    explained = set(re.findall(r"^\| (TR-\d+|field fault \d+) \|", (ROOT / READINGS).read_text(), re.MULTILINE))
    cited = {
        words
        for package in (*PACKAGES, "tests")
        for path in (ROOT / package).rglob("*.py")
        for words in re.findall(r"\b(?:TR-|field fault )\d+\b", path.read_text(encoding="utf-8"))
    }
    return sorted(cited - explained)


def measures() -> list[Measure]:
    """Every measure with its goal, in the order of the table."""
    found = modules()
    flat = collections.Counter(name.rpartition(".")[0] for name, one in found.items() if not one.is_package)
    fullest, most = flat.most_common(1)[0]
    defined = collections.Counter(name for one in found.values() for name in one.classes)
    twice = sorted(name for name, count in defined.items() if count > 1)
    short = [name for name, one in found.items() if not one.is_package and one.lines < SHORT_LINES]
    long = sorted(name for name, one in found.items() if one.lines > LONG_LINES)
    rings = circles({name: one.imports for name, one in found.items()})
    loose = dangling()
    engine = inside(found, "ven_adapters.ven")
    return [
        Measure("modules in one flat folder, at most", most, 14, fullest),
        Measure("floors of rooms in ven_adapters/ven", floors(rooms(engine, "ven_adapters.ven")), 10),
        Measure("longest chain of modules there", floors(engine), 10),
        Measure("class names that exist more than once", len(twice), 0, ", ".join(twice[:6])),
        Measure("citations that cannot be opened", len(loose), 0, ", ".join(loose[:6])),
        Measure(f"modules under {SHORT_LINES} lines", len(short), 10, ", ".join(short[:3])),
        Measure(f"modules over {LONG_LINES} lines", len(long), 0, ", ".join(long[:6])),
        Measure("import circles", len(rings), 0, "; ".join(" - ".join(ring[:3]) for ring in rings[:3])),
    ]


def path_measures() -> list[Measure]:
    """One event's way, walked: in an interpreter that has the project's libraries."""
    from event_path import paths

    found = paths()
    goals = {"adapter": (30, 120), "vtn": (20, 60)}
    return [
        Measure(f"{what} on the path of one event, {name}", value, goal)
        for name in goals
        for what, value, goal in zip(("files", "moves between files"), found[name], goals[name], strict=True)
    ]


def main() -> None:
    """Print the table."""
    sys.setrecursionlimit(10_000)
    rows = [*measures(), *path_measures()]
    width = max(len(row.name) for row in rows)
    head = f"{'measure':{width}}  today  goal"
    lines = [f"{row.name:{width}}  {row.value:5}  {row.goal:4}  {row.where}".rstrip() for row in rows]
    sys.stdout.write("\n".join([head, *lines, ""]))


if __name__ == "__main__":
    main()
