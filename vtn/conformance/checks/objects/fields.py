"""Fields, one check per row of the tables; and the fields that the VTN itself writes into every object (GEN-F, TYP)."""

import functools
import re
from collections.abc import Awaitable, Callable

from vtn.checking.verdict import expect
from vtn.conformance.bodies.field_cases import checks_of, is_date_time, views
from vtn.conformance.bodies.scalars import LONGEST_NAME
from vtn.conformance.bodies.specimens import Specimen, one_of_each
from vtn.conformance.bodies.valid_bodies import event_of
from vtn.conformance.check import ConformanceCheck, check, register
from vtn.conformance.checks.objects import field_tables_events, field_tables_objects
from vtn.conformance.kit import Kit
from vtn.conformance.requirements import Level

OBJECT_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}", re.ASCII)
OBJECT_TYPES = ("PROGRAM", "EVENT", "REPORT", "SUBSCRIPTION", "VEN", "RESOURCE")

checks_of((*field_tables_events.FIELDS, *field_tables_objects.FIELDS))


def _is_id(value: object, _made: Specimen) -> bool:
    return isinstance(value, str) and OBJECT_ID.fullmatch(value) is not None


def _is_time(value: object, _made: Specimen) -> bool:
    return is_date_time(value)


def _is_its_kind(value: object, made: Specimen) -> bool:
    return value == made.kind


WRITTEN_BY_THE_VTN: tuple[tuple[str, str, Callable[[object, Specimen], bool], str], ...] = (
    ("GEN-F01", "id", _is_id, "1 to 128 letters, digits, _ and -"),
    ("GEN-F02", "createdDateTime", _is_time, "an RFC 3339 date-time"),
    ("GEN-F03", "modificationDateTime", _is_time, "an RFC 3339 date-time"),
    ("GEN-F04", "objectType", _is_its_kind, "the object's kind"),
)


async def _present(name: str, right: Callable[[object, Specimen], bool], words: str, kit: Kit) -> None:
    for made in await one_of_each(kit):
        for where, seen in await views(made.party, made.path, made.content):
            expect(name in seen, f"a {made.kind} has no {name} {where}")
            expect(right(seen[name], made), f"{name} of a {made.kind} is {seen[name]!r} {where}, not {words}")


def _register() -> None:
    for requirement, name, right, words in WRITTEN_BY_THE_VTN:
        run: Callable[[Kit], Awaitable[None]] = functools.partial(_present, name, right, words)
        claim = f"Every object has `{name}`, {words}, in the answer to its POST, by id and in the list."
        register(
            ConformanceCheck(f"objectMetadata_{name}_is_always_there", claim, (requirement,), Level.SHALL, (), run)
        )


_register()


@check("RPT-F09")
async def a_report_names_its_client_wherever_it_is_read(kit: Kit) -> None:
    """Every report has `clientID`, 1 to 128 characters: the client that wrote it."""
    report = await kit.report(kit.ven, await kit.event(await kit.program()))
    for party in (kit.ven, kit.bl):
        for where, seen in await views(party, "/reports", report):
            found = seen.get("clientID")
            expect(found == kit.ven.client_id, f"clientID should be {kit.ven.client_id!r}, but is {found!r} {where}")
            expect(1 <= len(str(found)) <= LONGEST_NAME, f"clientID has {len(str(found))} characters {where}")


@check("TYP-01")
async def an_object_id_has_up_to_128_letters_digits_hyphens_and_underscores(kit: Kit) -> None:
    """An unknown programID of 128 allowed characters finds nothing; null, none, 129 or other characters are refused."""
    for unknown in ("a-Z_9", "x" * LONGEST_NAME):
        found = (await kit.bl.get("/events", ("programID", unknown))).shows(200).list
        expect(found == [], f"no event has the programID {unknown}, but {len(found)} were listed")
    for broken in (None, "", "x" * (LONGEST_NAME + 1), "no good", "é"):
        (await kit.bl.post("/events", event_of(broken))).problem(400)
    (await kit.bl.get("/events", ("programID", "x" * (LONGEST_NAME + 1)))).problem(400)


@check("TYP-09")
async def an_object_type_is_one_of_six_names(kit: Kit) -> None:
    """Each of the six object types is taken where one is asked for; another name, and null, are refused."""
    for name in OBJECT_TYPES:
        (await kit.bl.get("/subscriptions", ("objects", name))).shows(200)
    (await kit.bl.get("/subscriptions", ("objects", "FOO"))).problem(400)
    entry = {"operations": ["CREATE"], "callbackUrl": "https://example.org/hook"}
    for wrong in ("FOO", "program", None):
        await kit.refused(kit.bl, "/subscriptions", kit.subscribing({**entry, "objects": [wrong]}), 400)
