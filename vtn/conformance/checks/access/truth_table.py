"""The truth table of targets: what Business Logic and three VEN clients see of one stage (section TGT).

The third client, which owns no ven, is the second one before it is given its ven.
"""

import dataclasses
from collections.abc import Awaitable, Callable

from vtn.checking.verdict import expect
from vtn.conformance.check import ConformanceCheck, register
from vtn.conformance.kit import HIDDEN, Kit
from vtn.conformance.parties.exchange import HttpAnswer, Party
from vtn.conformance.requirements import Level
from vtn.conformance.stage import EVENTS, EVERYTHING, VENS, Fixtures, sight, staged

SHALL, READING = Level.SHALL, Level.READING
BEFORE_V2 = tuple(name for name in EVERYTHING if name != "V2")


@dataclasses.dataclass(frozen=True, slots=True)
class Sights:
    """A list request, what it proves, and what each client should see: fixtures with their targets, `|` between ways.

    Where the reading TR-02 has a switch both ways are right.
    """

    name: str
    proves: tuple[str, ...]
    level: Level
    collection: str
    asked: tuple[str, ...]
    bl: str = ""
    c1: str = ""
    c2: str = ""
    c3: str = ""

    @property
    def claim(self) -> str:
        """The row in a sentence."""
        query = "&".join(f"targets={label}" for label in self.asked)
        rows = (("BL", self.bl), ("a VEN granted g1, v1, r1", self.c1), ("one granted g2", self.c2), ("none", self.c3))
        seen = "; ".join(f"{who}: {words or 'nothing'}" for who, words in rows)
        return f"GET /{self.collection}{'?' + query if query else ''} shows {seen}."

    async def holds(self, kit: Kit) -> None:
        """Ask as everybody."""
        stage = await staged(kit, *BEFORE_V2)
        await self._sees(stage, kit.ven2, self.c3)
        await stage.make("V2")
        for party, right in ((kit.bl, self.bl), (kit.ven, self.c1), (kit.ven2, self.c2)):
            await self._sees(stage, party, right)

    async def _sees(self, stage: Fixtures, party: Party, right: str) -> None:
        seen = await stage.listed(party, self.collection, *self.asked)
        expect(seen in map(sight, right.split("|")), f"{party.who} should see {right or 'nothing'}, but sees {seen}")


LISTS = (
    Sights(
        "annex_d_events",
        ("TGT-07", "TGT-08", "TGT-10"),
        READING,
        "events",
        (),
        bl="E0 E1:g1 E12:g1,g2 ER:r1 E9:g9",
        c1="E0 E1:g1 E12:g1 ER:r1",
        c2="E0 E12:g2",
        c3="E0",
    ),
    Sights(
        "annex_d_events_of_g1",
        ("TGT-03", "TGT-05", "TGT-12"),
        SHALL,
        "events",
        ("g1",),
        bl="E1:g1 E12:g1,g2",
        c1="E1:g1 E12:g1",
    ),
    Sights(
        "annex_d_events_of_g2",
        ("TGT-05", "TGT-06"),
        SHALL,
        "events",
        ("g2",),
        bl="E12:g1,g2",
        c2="E12:g2",
    ),
    Sights(
        "annex_d_events_of_g1_and_g2",
        ("TGT-09",),
        READING,
        "events",
        ("g1", "g2"),
        bl="E12:g1,g2|E1:g1 E12:g1,g2",
        c1="E1:g1 E12:g1",
        c2="E12:g2",
    ),
    Sights("annex_d_events_of_v1", ("TGT-05", "TGT-06"), SHALL, "events", ("v1",)),
    Sights("annex_d_events_of_g9", ("TGT-05", "TGT-06"), SHALL, "events", ("g9",), bl="E9:g9"),
    Sights("annex_d_events_of_a_resource", ("TGT-03", "TGT-05"), SHALL, "events", ("r1",), bl="ER:r1", c1="ER:r1"),
    Sights(
        "annex_d_programs",
        ("TGT-07", "TGT-10"),
        READING,
        "programs",
        (),
        bl="P0 P1:g1 P9:g9",
        c1="P0 P1:g1",
        c2="P0",
        c3="P0",
    ),
    Sights(
        "annex_d_programs_of_g1",
        ("TGT-03", "TGT-05", "TGT-12"),
        SHALL,
        "programs",
        ("g1",),
        bl="P1:g1",
        c1="P1:g1",
    ),
    Sights(
        "annex_d_vens",
        ("TGT-13", "SCO-03"),
        SHALL,
        "vens",
        (),
        bl="V1:g1,v1 V2:g2",
        c1="V1:g1,v1",
        c2="V2:g2",
    ),
    Sights("annex_d_resources", ("TGT-13", "SCO-03"), SHALL, "resources", (), bl="R1:r1", c1="R1:r1"),
)

COLLECTIONS = {"E": "events", "P": "programs", "V": "vens", "R": "resources"}
Answers = tuple[int, ...]
OK: Answers = (200,)
NOT_FOUND: Answers = (404,)
Ask = Callable[[Fixtures, Party, str], Awaitable[HttpAnswer]]


async def _read(stage: Fixtures, party: Party, thing: str) -> HttpAnswer:
    return await party.get(f"/{COLLECTIONS[thing[0]]}/{stage.id(thing)}")


async def _rename(stage: Fixtures, party: Party, thing: str) -> HttpAnswer:
    body = {"objectType": "VEN_VEN_REQUEST", "venName": stage.kit.name("ven")}
    return await party.put(f"/vens/{stage.id(thing)}", body)


async def _delete(stage: Fixtures, party: Party, thing: str) -> HttpAnswer:
    return await party.delete(f"/events/{stage.id(thing)}")


@dataclasses.dataclass(frozen=True, slots=True)
class Statuses:
    """A request about one fixture, what it proves, and how each client should be answered.

    Whoever is answered 200 is shown the targets that the fixture has in `stage`.
    """

    name: str
    claim: str
    proves: tuple[str, ...]
    level: Level
    ask: Ask
    thing: str
    bl: Answers
    c1: Answers
    c2: Answers
    c3: Answers

    async def holds(self, kit: Kit) -> None:
        """Ask as everybody, Business Logic last."""
        stage = await staged(kit, *BEFORE_V2)
        await self._answers(stage, kit.ven2, self.c3)
        await stage.make("V2")
        for party, status in ((kit.ven, self.c1), (kit.ven2, self.c2), (kit.bl, self.bl)):
            await self._answers(stage, party, status)

    async def _answers(self, stage: Fixtures, party: Party, statuses: Answers) -> None:
        answer = await self.ask(stage, party, self.thing)
        if statuses != OK:
            answer.problem(*statuses)
            return
        labels = {**EVENTS, **VENS}[self.thing]
        seen = stage.shown([answer.shows(*statuses).object])
        expect(seen == {self.thing: sorted(labels)}, f"{party.who} should be shown {labels}, but is shown {seen}")


_E1, _E9, _V1 = "E1 is for those granted g1.", "E9 is for BL alone.", "V1 is its owner's, and BL's."
_UNSEEN = NOT_FOUND
REQUESTS = (
    Statuses("annex_d_event_e1", _E1, ("TGT-14",), READING, _read, "E1", OK, OK, _UNSEEN, _UNSEEN),
    Statuses("annex_d_event_e9", _E9, ("TGT-14",), READING, _read, "E9", OK, _UNSEEN, _UNSEEN, _UNSEEN),
    Statuses("annex_d_event_e0", "E0 is for everybody.", ("TGT-10",), READING, _read, "E0", OK, OK, OK, OK),
    Statuses("annex_d_ven_v1", _V1, ("VEN-19",), SHALL, _read, "V1", OK, OK, HIDDEN, HIDDEN),
    Statuses(
        "annex_d_ven_v1_renamed",
        "V1 is renamed by its owner, who keeps its targets, and by BL only in BL's own shape.",
        ("VEN-10", "VEN-14"),
        READING,
        *(_rename, "V1", (400,), OK, NOT_FOUND, NOT_FOUND),
    ),
    Statuses(
        "annex_d_event_e1_deleted",
        "E1 is deleted by BL; a VEN is forbidden to, and one that does not see it may not find it.",
        ("TGT-15",),
        SHALL,
        *(_delete, "E1", OK, (403,), HIDDEN, HIDDEN),
    ),
)

for _row in LISTS:
    register(ConformanceCheck(_row.name, _row.claim, _row.proves, _row.level, (), _row.holds))
for _request in REQUESTS:
    register(ConformanceCheck(_request.name, _request.claim, _request.proves, _request.level, (), _request.holds))
