"""What every use case needs, in one value, and the object's life from request body to record and back."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from vtn.auth.sealing import Seal
from vtn.auth.tokens import Principal
from vtn.clock import Clock
from vtn.rules.admission import STANDARD, Strictness
from vtn.rules.privacy import Viewer
from vtn.storage.ports import Change, Command, Record, Store
from vtn.storage.readmodel import ReadModel
from vtn.wire import document
from vtn.wire.enumerations import ObjectType
from vtn.wire.interval import print_date_time

Json = dict[str, Any]

COLUMNS: Mapping[ObjectType, Mapping[str, str]] = {
    ObjectType.PROGRAM: {"name": "programName"},
    ObjectType.EVENT: {"program_id": "programID"},
    ObjectType.REPORT: {"event_id": "eventID", "client_name": "clientName"},
    ObjectType.SUBSCRIPTION: {"program_id": "programID", "client_name": "clientName"},
    ObjectType.VEN: {"name": "venName"},
    ObjectType.RESOURCE: {"name": "resourceName", "ven_id": "venID"},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Core:
    """The parts that use cases share. `new_id` makes an id that was never used; `challenge` echoes a callback URL."""

    store: Store
    model: ReadModel
    clock: Clock
    seal: Seal
    new_id: Callable[[], str]
    challenge: Callable[[str, str | None], Awaitable[str | None]]
    strictness: Strictness = STANDARD
    cascade: bool = True

    def now_text(self) -> str:
        """The present instant as objects carry it."""
        return print_date_time(self.clock.now())

    def viewer(self, principal: Principal) -> Viewer:
        """The client as the privacy rules see it now."""
        return self.model.viewer(principal.client_id, is_bl=principal.is_bl)

    async def write(self, command: Command, principal: Principal) -> tuple[Change, ...]:
        """Make a command durable in this client's name."""
        return await self.store.write(command, at=self.now_text(), actor=principal.client_id)


def new_record(kind: ObjectType, object_id: str, at: str, content: Mapping[str, Any], owner: str | None) -> Record:
    """A record of an object that is born now."""
    return _record(kind, object_id, at, at, content, owner)


def revised_record(held: Record, at: str, content: Mapping[str, Any], owner: str | None) -> Record:
    """The record that replaces `held`: same identity and birth, later modification (GEN-08, GEN-09)."""
    return _record(held.kind, held.id, held.created, max(at, held.modified), content, owner)


def _record(
    kind: ObjectType, object_id: str, created: str, modified: str, content: Mapping[str, Any], owner: str | None
) -> Record:
    metadata: Json = {
        "id": object_id,
        "createdDateTime": created,
        "modificationDateTime": modified,
        "objectType": kind.value,
    }
    if owner is not None:
        metadata["clientID"] = owner
    body = document.render({**metadata, **{key: value for key, value in content.items() if key not in metadata}})
    columns = {column: content.get(name) for column, name in COLUMNS[kind].items()}
    return Record(kind, object_id, created, modified, body, owner, **columns)
