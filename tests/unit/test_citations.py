"""Whatever code, tests and pages cite can be opened by whoever has the repository, and what they name is there."""

import collections
import dataclasses
import fnmatch
import functools
import itertools
import re
import sys
from pathlib import Path

import pytest

from ven_adapters import contract
from ven_adapters.adapter_checks.check import every
from vtn.conformance import requirements

ROOT = Path(__file__).parents[2]
ROOMS = ("vtn", "ven_adapters", "tests", "docs", "certs", "config")
PAGES = [
    path
    for path in [*ROOT.glob("*.md"), *(file for room in ROOMS for file in (ROOT / room).rglob("*"))]
    if path.suffix in {".py", ".md", ".toml", ".tsv"} and path != Path(__file__)
]
READINGS = (ROOT / "docs" / "readings.md").read_text()
EXPLAINED = set(re.findall(r"^\| (TR-\d+|field fault \d+) \|", READINGS, re.MULTILINE))
# Notes that no reader of the repository has: a survey, a reference, a design, annexes of a list of requirements.
ELSEWHERE = [  # each with a text that a page must hold to be searched for it
    ("vehicle-apis", re.compile(r"vehicle-apis")),
    ("survey", re.compile(r"\bsurvey,? (?:[A-Z]\.|vgi)")),
    ("vgi ", re.compile(r"\bvgi \d")),
    ("reference ", re.compile(r"\breference \d+\.\d")),
    ("design, section", re.compile(r"\bdesign, section")),
    ("Annex ", re.compile(r"\bAnnex [A-Z]\b")),
    ("fault ", re.compile(r"(?<!field )(?<!`)\bfault \d+\b")),
]
# Names of others, of their standards and interfaces; names that are examples; files that commands make.
FOREIGN = {
    *("event.duration", "subscription.clientID", "payLoadType", "openadr3.yaml", "minItems", "realm_access.roles"),
    *("SmartChargingCtrlr.RateUnit", "limitL2", "limit_L2", "acLimitValue", "chargeState.lastUpdated"),
    *("noqa", "openleadr", "USD_PER_MWH", "PREFIX_SECTION__KEY", "VEN_EXECUTOR_", "NAME.lock", "x.key"),
    *("stations.ID.password", "vehicles.REF", "var/conformance/report.html", "var/demo/report.html"),
}
SOURCES = (".py", ".md", ".toml", ".tsv", ".html", ".conf", ".hocon", ".lock", ".yaml")
PATH = re.compile(r"(?<![\w./`<-])((?:vtn|ven_adapters|tests|docs|config)/[\w/.*-]+\.(?:py|md|toml|tsv))\b")


PROSE = re.compile(r'"""(.*?)"""|(?:^|(?<=\s))# (.*?)$', re.DOTALL | re.MULTILINE)
TOP = re.compile(r"^(?:async def|def|class) (\w+)|^(\w+)(?:: [^=]*)? = |^(?:from .+ )?import (.+)$", re.MULTILINE)
CLASS = re.compile(r"^ *class (\w+).*\n((?:(?: .*)?\n)*)", re.MULTILINE)
MEMBER = re.compile(r"^    +(?:async def|def) (\w+)|^    (\w+)(?:: | = )|\bself\.(\w+)", re.MULTILINE)


@dataclasses.dataclass
class Names:
    """What code defines: members by dotted module and by class; and every word and dotted text that it holds."""

    modules: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    by_last: dict[str, set[str]] = dataclasses.field(default_factory=lambda: collections.defaultdict(set))
    classes: dict[str, set[str]] = dataclasses.field(default_factory=lambda: collections.defaultdict(set))
    words: set[str] = dataclasses.field(default_factory=set)
    texts: set[str] = dataclasses.field(default_factory=set)

    def take(self, path: Path) -> None:
        """Take up one module."""
        code = "".join(parted(path)[0])
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        for end in range(1, len(parts) + 1):
            self.modules.setdefault(".".join(parts[:end]), set())
            self.by_last[parts[end - 1]].add(".".join(parts[:end]))
        self.modules[".".join(parts)] |= words_of(TOP, code)
        for name, body in CLASS.findall(code):
            self.classes[name] |= words_of(MEMBER, body)
        found = set(re.findall(r"\b\w++(?:\.\w++)*+", code))
        self.words |= {*parts, *(word for text in found for word in text.split("."))}
        self.texts |= {text for text in found if "." in text}

    def have(self, name: str) -> bool:
        """Whether a name, dotted or not, is one of code; the first parts of a module's name may be left out."""
        parts = name.split(".")
        if len(parts) == 1:
            return name in self.words
        if name in self.texts or parts[0] in sys.stdlib_module_names or self._is_member(parts):
            return True
        for end in range(len(parts), 0, -1):
            head, rest = ".".join(parts[:end]), parts[end:]
            found = [one for one in self.by_last.get(parts[end - 1], ()) if f".{one}".endswith(f".{head}")]
            if any(not rest or (rest[0] in self.modules[one] and self._fits(rest)) for one in found):
                return True
        return False

    def _fits(self, rest: list[str]) -> bool:
        return len(rest) == 1 or rest[0] not in self.classes or self._is_member(rest)

    def _is_member(self, parts: list[str]) -> bool:
        return parts[0] in self.classes and parts[1] in self.classes[parts[0]]


def words_of(pattern: re.Pattern[str], code: str) -> set[str]:
    """Every word that a group of the pattern matches in."""
    return set(re.findall(r"\w+", " ".join(itertools.chain.from_iterable(pattern.findall(code)))))


@functools.cache
def names() -> Names:
    """All names of the project: of its code, and of its settings, which two pages list."""
    found = Names()
    for page in PAGES:
        if page.suffix == ".py":
            found.take(page)
    for page in ("settings.md", "bounds.md"):
        for key in re.findall(r"^\| `([^`]+)`", (ROOT / "docs" / page).read_text(), re.MULTILINE):
            found.texts |= {".".join(key.split(".")[: end + 1]) for end in range(key.count(".") + 1)}
    return found


def prose_of(page: Path) -> str:
    """What is written for people: docstrings and comments of a module, a page without its code blocks."""
    if page.suffix == ".md":
        return re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    return "\n".join(parted(page)[1])


@functools.cache
def parted(page: Path) -> tuple[list[str], list[str]]:
    """A module's code, and what is written in it for people, in pieces."""
    pieces = PROSE.split(text_of(page))
    written = zip(pieces[1::3], pieces[2::3], strict=True)
    return pieces[::3], [docstring or comment or "" for docstring, comment in written]


@functools.cache
def text_of(page: Path) -> str:
    return page.read_text()


def cited(pattern: str) -> dict[str, str]:
    """What is cited, and the first page that does."""
    found: dict[str, str] = {}
    for page in PAGES:
        for words in re.findall(pattern, text_of(page)):
            found.setdefault(words, str(page.relative_to(ROOT)))
    return found


def test_there_is_something_to_resolve():
    assert len(PAGES) > 300
    assert len(EXPLAINED) > 60


@pytest.mark.parametrize("pattern", [r"\bTR-\d+\b", r"\bfield fault \d+\b"])
def test_a_cited_reading_and_a_cited_field_fault_are_explained(pattern):
    dangling = {words: page for words, page in cited(pattern).items() if words not in EXPLAINED}
    assert dangling == {}, "docs/readings.md explains them not"


def test_a_cited_requirement_is_in_the_table_of_requirements():
    known = set(requirements.every())
    families = "|".join(sorted({name.split("-")[0] for name in known}))
    mentions = cited(rf"\b(?:{families})-(?:O\d\d|\d\d+)\b")
    dangling = {words: page for words, page in mentions.items() if words not in known}
    assert dangling == {}, "vtn/conformance/requirements.tsv has them not"


def test_nothing_is_cited_that_is_not_in_the_repository():
    found = [
        f"{page.relative_to(ROOT)}: {line.strip()}"
        for page in PAGES
        for mark, pattern in ELSEWHERE
        if mark in text_of(page)
        for line in text_of(page).splitlines()
        if pattern.search(line)
    ]
    assert found == []


def test_what_a_check_of_adapters_cites_is_a_name_of_the_contract_or_a_field_fault():
    dangling = []
    for check in every():
        name, _, member = check.cites.partition(".")
        of = getattr(contract, name, None)
        members = {*dir(of), *getattr(of, "__annotations__", ())}
        if check.cites not in EXPLAINED and (of is None or (member and member not in members)):
            dangling.append((check.name, check.cites))
    assert dangling == []


def test_what_prose_names_in_backticks_is_a_name_of_the_project():
    """Modules, classes, functions, members, settings and files; what is no name (a command, a body) is passed over."""
    files = [
        f"/{path.relative_to(ROOT)}" for room in ("*", *(f"{one}/**/*" for one in ROOMS)) for path in ROOT.glob(room)
    ]
    ends = {file[at + 1 :] for file in files for at, letter in enumerate(file) if letter == "/"}
    stale = set()
    for page in PAGES:
        if page.suffix not in {".py", ".md"} or page.name == "CHANGELOG.md":
            continue
        prose = prose_of(page)
        quoted = {word.split("::")[0].removesuffix("()") for word in re.findall(r"`([^`\n]+)`", prose)}
        paths = PATH.findall(text_of(page) if page.suffix == ".md" else prose)
        for word in quoted.union(paths) - FOREIGN - names().texts:
            known = word in ends or bool("*" in word and fnmatch.filter(files, f"*/{word}"))
            is_file = re.fullmatch(r"[\w/.*-]+", word) and word.endswith(SOURCES)
            if not is_file:
                known = known or not re.fullmatch(r"[A-Za-z_]\w*(?:\.\w+)*", word) or names().have(word)
            if not known:
                stale.add(f"{page.relative_to(ROOT)}: {word}")
    assert not sorted(stale), "is renamed or gone; a name of others goes into FOREIGN"
