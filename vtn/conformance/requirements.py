"""The numbered requirements of OpenADR 3.1 that checks cite, and why some of them have no check.

The rows stand in `requirements.tsv`: id, level in the standard, clause (Y: schema file, D: Definition, UG: User Guide,
N: notification paper, E: enumerations, L: change log), and what is required. This module judges nothing.
"""

import dataclasses
import enum
import functools
from collections.abc import Mapping
from importlib import resources


class Level(enum.StrEnum):
    """How binding a requirement is: the standard's SHALL, its SHOULD, or a reading where its text leaves a choice."""

    SHALL = "SHALL"
    SHOULD = "SHOULD"
    READING = "reading"


BINDING: Mapping[str, Level] = {
    "SHALL": Level.SHALL,
    "SHALL (schema)": Level.SHALL,
    "must (lower case)": Level.SHALL,
    "stated, no keyword": Level.SHALL,
    "SHOULD": Level.SHOULD,
    "MAY": Level.READING,
    "implied": Level.READING,
    "implied (User Guide, non-normative)": Level.READING,
    "unspecified - chosen reading": Level.READING,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Requirement:
    """One row: `id` such as EVT-19, how binding it is, the clause it comes from, and what it asks."""

    id: str
    level: Level
    clause: str
    text: str


@functools.cache
def every() -> Mapping[str, Requirement]:
    """All requirements by id, in the order of the list."""
    text = resources.files("vtn.conformance").joinpath("requirements.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line)
    return {row[0]: Requirement(row[0], BINDING[row[1]], row[2], row[3]) for row in rows}
