"""The version in the base URL (section VER)."""

import re
from urllib.parse import urlsplit

from vtn.checking.verdict import Skipped, expect
from vtn.conformance.bodies.field_cases import alike
from vtn.conformance.bodies.valid_bodies import event_of, interval_of
from vtn.conformance.check import check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json, Party

VERSION = re.compile(r"\d+\.\d+\.\d+")
OF_OLD = "3.0.1"
ALIKE = ("3.1.0", "3.1.1")


def _split(kit: Kit) -> tuple[str, str]:
    """The base URL in two: what comes before its last segment, and that segment, when it begins like a version."""
    parts = urlsplit(kit.url)
    way, _, last = parts.path.rstrip("/").rpartition("/")
    if not last[:1].isdigit():
        raise Skipped(f"the base URL {kit.url} ends in no version; none is mandated")
    return parts._replace(path=way, query="", fragment="").geturl(), last


def _elsewhere(kit: Kit, version: str) -> Party:
    return kit.bl.at(f"{_split(kit)[0]}/{version}")


@check("VER-01")
async def versions_live_side_by_side_under_their_base_urls(kit: Kit) -> None:
    """The base URL with its version serves programs; another version beside it serves them too or is not there."""
    (await kit.bl.get("/programs", ("limit", "1"))).shows(200)
    other = await _elsewhere(kit, OF_OLD).get("/programs")
    expect(other.status in {200, 404}, f"{other.url} should list programs or not be there, but answered {other.status}")
    if other.status == 200:  # noqa: PLR2004 - OK
        expect(isinstance(other.list, list), "the other version should list programs")
    expect((await _elsewhere(kit, "0.0.0").get("/programs")).status != 200, "a version that never was is served")  # noqa: PLR2004 - OK


@check("VER-02")
async def a_version_is_major_minor_patch(kit: Kit) -> None:
    """The version in the base URL is three numbers with dots between them."""
    version = _split(kit)[1]
    expect(VERSION.fullmatch(version), f"{version!r} is not major.minor.patch")


@check("VER-03")
async def the_two_patches_of_3_1_answer_alike(kit: Kit) -> None:
    """Where both 3.1.0 and 3.1.1 are served, the same requests get the same answers from both."""
    if not all([(await _elsewhere(kit, one).get("/programs", ("limit", "0"))).status == 200 for one in ALIKE]):  # noqa: PLR2004 - OK
        raise Skipped("only one patch of 3.1 is served")
    program = await kit.program()
    event = await kit.event(program, intervals=[interval_of({"type": "PRICE", "values": [0.25]})])
    seen: list[Json] = []
    for version in ALIKE:
        party = _elsewhere(kit, version)
        read = (await party.get(f"/events/{event['id']}")).shows(200).object
        listed = (await party.get("/events", ("programID", program["id"]))).shows(200).list
        refused = (await party.post("/events", event_of("no-such-id"))).status
        seen.append({"read": read, "listed": listed, "refused": refused})
    expect(seen[0] == seen[1], f"{ALIKE[0]} and {ALIKE[1]} answer differently")
    expect(alike(seen[0]["listed"], [event]), "the event should be listed under both versions")
