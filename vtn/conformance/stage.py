"""The fixtures of the truth table of targets, on a live VTN: what the checks of targeting and notifications stand on.

`kit.ven` owns V1 with the grants g1 and v1, and its resource R1 with r1; `kit.ven2` owns V2 with g2. Programs P0 (no
targets), P1 [g1], P9 [g9]; events in P0: E0 (none), E1 [g1], E12 [g1, g2], ER [r1], E9 [g9]. Targets are made up anew
for every stage, so that nothing else on the VTN matters.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from vtn.checking.verdict import expect
from vtn.conformance.bodies.valid_bodies import event_of
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json, Party

PROGRAMS: Mapping[str, tuple[str, ...]] = {"P0": (), "P1": ("g1",), "P9": ("g9",)}
EVENTS: Mapping[str, tuple[str, ...]] = {"E0": (), "E1": ("g1",), "E12": ("g1", "g2"), "ER": ("r1",), "E9": ("g9",)}
VENS: Mapping[str, tuple[str, ...]] = {"V1": ("g1", "v1"), "V2": ("g2",)}
GRANTED = ("r1",)
LABELS = ("g1", "g2", "g9", "v1", "r1")
EVERYTHING = (*PROGRAMS, *EVENTS, "V1", "R1", "V2")


@dataclasses.dataclass(slots=True)
class Fixtures:
    """The fixtures by their names, and the real targets behind its labels."""

    kit: Kit
    targets: Mapping[str, str]
    things: dict[str, Json] = dataclasses.field(default_factory=dict)

    def id(self, name: str) -> str:
        """The id of a fixture."""
        return str(self.things[name]["id"])

    def real(self, *labels: str) -> list[str]:
        """The real targets behind labels; a label that is none stands for itself."""
        return [self.targets.get(label, label) for label in labels]

    async def make(self, *names: str) -> None:
        """Make fixtures, in the order of the table; what they hang on must be there or among them."""
        for name in (name for name in EVERYTHING if name in names):
            self.things[name] = await self._make(name)

    async def _make(self, name: str) -> Json:
        kit = self.kit
        if name in PROGRAMS:
            return await kit.program(**self._targets(*PROGRAMS[name]))
        if name in EVENTS:
            return await self.event(*EVENTS[name])
        if name in VENS:
            return await kit.ven_of(kit.ven if name == "V1" else kit.ven2, targets=self.real(*VENS[name]))
        return await kit.resource_of(self.things["V1"], targets=self.real(*GRANTED))

    async def event(self, *labels: str) -> Json:
        """One more event of P0, with targets by label."""
        return await self.kit.event(self.things["P0"], **self._targets(*labels))

    def _targets(self, *labels: str) -> Json:
        """The member `targets` with these labels; none of it without labels."""
        return {"targets": self.real(*labels)} if labels else {}

    async def retarget(self, name: str, *labels: str) -> Json:
        """Give an event of P0 other targets."""
        body = event_of(self.id("P0"), **self._targets(*labels))
        return (await self.kit.bl.put(f"/events/{self.id(name)}", body)).shows(200).object

    async def grant(self, name: str, *labels: str) -> Json:
        """Give a ven other targets, as Business Logic."""
        ven = self.things[name]
        body = {"objectType": "BL_VEN_REQUEST", "clientID": ven["clientID"], "venName": ven["venName"]}
        answer = await self.kit.bl.put(f"/vens/{ven['id']}", {**body, **self._targets(*labels)})
        return answer.shows(200).object

    def shown(self, items: Iterable[Json]) -> dict[str, list[str]]:
        """The fixtures among these objects, by name, each with the labels of the targets that it shows."""
        names = {thing["id"]: name for name, thing in self.things.items()}
        labels = {real: label for label, real in self.targets.items()}
        found: dict[str, list[str]] = {}
        for item in items:
            if name := names.get(item["id"]):
                expect(name not in found, f"{name} is listed twice")
                found[name] = sorted(labels.get(target, target) for target in item.get("targets") or ())
        return found

    async def listed(self, party: Party, collection: str, *labels: str) -> dict[str, list[str]]:
        """The fixtures that a party sees in a list, asking for targets by label; events are looked for in P0 only."""
        query = [("targets", target) for target in self.real(*labels)]
        if collection == "events":
            query.append(("programID", self.id("P0")))
        return self.shown(await party.all(f"/{collection}", *query))


async def staged(kit: Kit, *names: str) -> Fixtures:
    """A stage with these fixtures; without names, with all of them."""
    stage = Fixtures(kit, {label: kit.name(label) for label in LABELS})
    await stage.make(*(names or EVERYTHING))
    return stage


def sight(words: str) -> dict[str, list[str]]:
    """What a party should see, from words such as `E0 E12:g1,g2`: fixtures, each with the targets that it shows."""
    pairs = (word.partition(":") for word in words.split())
    return {name: sorted(filter(None, labels.split(","))) for name, _, labels in pairs}
