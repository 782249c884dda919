"""Whatever code, tests and pages cite can be opened by whoever has the repository."""

import functools
import re
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
ELSEWHERE = re.compile(
    r"vehicle-apis|\bsurvey,? (?:[A-Z]\.|vgi)|\bvgi \d|\breference \d+\.\d|\bdesign, section|\bAnnex [A-Z]\b|"
    r"(?<!field )(?<!`)\bfault \d+\b"
)


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
        if ELSEWHERE.search(text_of(page))
        for line in text_of(page).splitlines()
        if ELSEWHERE.search(line)
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
