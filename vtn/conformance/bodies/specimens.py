"""One object of each of the six kinds, for claims that hold for all of them; and what their schemas allow to be absent.

A specimen has the required properties and what any reasonable server takes (`valid_bodies`); a program has a target of
its own besides, by which it is found in its list.
"""

import dataclasses
from collections.abc import Mapping

from vtn.checking.verdict import Failed
from vtn.conformance.bodies.valid_bodies import event_of
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import NOT_SERVED, Json, Party

METADATA = ("id", "createdDateTime", "modificationDateTime", "objectType")

NULLABLE: Mapping[str, tuple[str, ...]] = {
    "PROGRAM": ("programDescriptions", "payloadDescriptors", "attributes", "targets"),
    "EVENT": ("eventName", "priority", "targets", "reportDescriptors", "payloadDescriptors"),
    "REPORT": ("reportName", "payloadDescriptors"),
    "SUBSCRIPTION": ("targets",),
    "VEN": ("targets", "attributes"),
    "RESOURCE": ("targets", "attributes"),
}
NEVER_NULL: Mapping[str, tuple[str, ...]] = {
    "PROGRAM": ("intervalPeriod",),
    "EVENT": ("duration", "intervalPeriod", "intervals"),
    "REPORT": (),
    "SUBSCRIPTION": ("programID",),
    "VEN": (),
    "RESOURCE": (),
}
"""Optional properties that may be absent but not null."""


@dataclasses.dataclass(frozen=True, slots=True)
class Specimen:
    """An object of one kind: who writes it, where it lives, what was posted and what came back."""

    kind: str
    party: Party
    path: str
    request: Json
    content: Json
    status: int

    @property
    def place(self) -> str:
        """Where it is read by id."""
        return f"{self.path}/{self.content['id']}"

    @property
    def said(self) -> Json:
        """What was posted, but for objectType, which a ven or resource answers with its kind."""
        return {name: value for name, value in self.request.items() if name != "objectType"}


async def specimen(kit: Kit, kind: str, party: Party, path: str, request: Json) -> Specimen:
    """Create one."""
    content = await kit.made(party, path, request)
    return Specimen(kind, party, path, request, content, kit.transcript.answers[-1].status)


async def one_of_each(kit: Kit) -> list[Specimen]:
    """A new object of each kind: the program, the event's program and the ven are three different objects.

    Without a receiver there is no subscription among them, because it needs a callback that answers; and no object of a
    collection that the VTN does not serve at all, which is accused by the check of the operations (GEN-01).
    """
    event = await kit.event(await kit.program())
    owner = kit.ven.client_id
    own_ven = {"objectType": "BL_VEN_REQUEST", "clientID": owner, "venName": kit.name("ven")}
    ven = await specimen(kit, "VEN", kit.bl, "/vens", own_ven)
    own = {"objectType": "BL_RESOURCE_REQUEST", "clientID": owner, "venID": ven.content["id"]}
    rows: list[tuple[str, Party, str, Json]] = [
        ("PROGRAM", kit.bl, "/programs", {"programName": kit.name("program"), "targets": [kit.name("target")]}),
        ("EVENT", kit.bl, "/events", event_of(event["programID"])),
        ("REPORT", kit.ven, "/reports", kit.report_on(event["id"])),
        ("RESOURCE", kit.bl, "/resources", {**own, "resourceName": kit.name("resource")}),
    ]
    if kit.receiver is not None:
        rows.insert(3, ("SUBSCRIPTION", kit.ven, "/subscriptions", kit.subscribing()))
    made = [ven]
    for row in rows:
        try:
            made.append(await specimen(kit, *row))
        except Failed as failure:
            if failure.cause is None or NOT_SERVED not in failure.cause.key:
                raise
    return made
