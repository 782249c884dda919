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

UNCHECKED: Mapping[str, str] = {
    "VER-04": "says that no base path is mandated: whatever URL the kit is called with is the right one",
    "AUTH-13": "needs a client that its operator has barred from the grant, which no request can bring about",
    "AUTH-24": "leaves the format of tokens to the VTN: to its clients they are opaque",
    "INT-13": "asks clients to judge, when they read an event, whether it is still active",
    "RDS-11": "asks VENs which of the reports that they missed to send; nothing of it shows at the VTN",
    "HOOK-04": "takes more failures than fit into a run: retries go on for minutes or hours, and VTNs choose how many",
    "HOOK-07": "lets a VTN sign its notifications in a way of its own, which a stranger cannot verify",
    "HOOK-08": "lets a VTN publish the addresses that it calls from, out of band",
    "HOOK-12": "asks the receiver to answer challenges, as the kit's own receiver does throughout",
    "DISC-12": "asks VENs to prefer the .local name",
    "SEC-06": "asks VENs to verify certificates",
    "SEC-12": "says that credentials, URL and names are agreed out of band; the kit is given its own that way",
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
