"""What every use case needs, in one value, and the object's life from request body to record and back."""

import dataclasses
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from vtn.auth.installation_keys import Seal
from vtn.auth.tokens import Principal
from vtn.bounds import ClientQuotas
from vtn.clock import Clock
from vtn.errors import Moved
from vtn.rules.admission import STANDARD, Strictness
from vtn.rules.privacy import Viewer
from vtn.service.bodies import Bodies
from vtn.storage.ports import Change, Command, Record, Store
from vtn.storage.read_model import ReadModel
from vtn.wire import document
from vtn.wire.enumerations import ObjectType
from vtn.wire.interval import print_date_time

T = TypeVar("T")
Json = dict[str, Any]
Index = Mapping[str, str | None]
NO_INDEX: Index = {}
MOST_JUDGEMENTS = 20
DEFAULT_QUOTAS = ClientQuotas()

COLUMNS: Mapping[ObjectType, Mapping[str, str]] = {
    ObjectType.PROGRAM: {"name": "programName"},
    ObjectType.EVENT: {"program_id": "programID"},
    ObjectType.REPORT: {"event_id": "eventID", "client_name": "clientName"},
    ObjectType.SUBSCRIPTION: {"program_id": "programID", "client_name": "clientName"},
    ObjectType.VEN: {"name": "venName"},
    ObjectType.RESOURCE: {"name": "resourceName", "ven_id": "venID"},
}


def _as_many_as_there_are(_client_id: str, _urls: Collection[str]) -> None:
    """Nothing bounds challenges."""


def _told_to_nobody(_kind: ObjectType, _client_id: str, _bodies: Sequence[bytes]) -> None:
    """Nobody hears of reads."""


@dataclasses.dataclass(frozen=True, slots=True)
class Core:
    """The parts that use cases share. `new_id` makes an id that was never used; `challenge` echoes a callback URL.

    `admit_challenges` refuses to have so many of them challenged for a client.

    `note_read` takes what a client was shown, for those who subscribe to reads; see `shown`. `sees_ownerless` shows
    Business Logic vens that no client owns yet. `bodies` reads what comes in and makes what goes out.
    """

    store: Store
    model: ReadModel
    clock: Clock
    seal: Seal
    new_id: Callable[[], str]
    challenge: Callable[[str, str | None], Awaitable[str | None]]
    strictness: Strictness = STANDARD
    cascade: bool = True
    note_read: Callable[[ObjectType, str, Sequence[bytes]], None] = _told_to_nobody
    sees_ownerless: bool = False
    admit_challenges: Callable[[str, Collection[str]], None] = _as_many_as_there_are
    quotas: ClientQuotas = DEFAULT_QUOTAS
    bodies: Bodies = dataclasses.field(default_factory=Bodies)

    def now_text(self) -> str:
        """The present instant as objects carry it."""
        return print_date_time(self.clock.now())

    def viewer(self, principal: Principal) -> Viewer:
        """The client as the privacy rules see it now."""
        viewer = self.model.viewer(principal.client_id, is_bl=principal.is_bl)
        return dataclasses.replace(viewer, sees_ownerless=True) if self.sees_ownerless else viewer

    def shown(self, kind: ObjectType, principal: Principal, bodies: Sequence[bytes]) -> None:
        """A client was just shown these objects; it costs nothing while nobody listens to reads of the kind."""
        if kind in self.model.read_by:
            self.note_read(kind, principal.client_id, bodies)

    async def write(self, command: Command, principal: Principal, at: str) -> tuple[Change, ...]:
        """Make a command durable in this client's name, as of an instant."""
        return await self.store.write(command, at=at, actor=principal.client_id)

    async def judged_anew(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Judge and write; again from the start whenever the transaction finds that what was judged by has moved."""
        for _ in range(MOST_JUDGEMENTS - 1):
            try:
                return await attempt()
            except Moved:
                await self.model.current(self.store)
        return await attempt()


def new_record(
    kind: ObjectType, object_id: str, at: str, content: Mapping[str, Any], owner: str | None, *, index: Index = NO_INDEX
) -> Record:
    """A record of an object that is born now; `index` adds columns that its own content does not name."""
    return _record(Record(kind, object_id, at, at, b"", owner), content, index)


def revised_record(
    held: Record, at: str, content: Mapping[str, Any], owner: str | None, *, index: Index = NO_INDEX
) -> Record:
    """The record that replaces `held`: same identity and birth, later modification (GEN-08, GEN-09), same side data."""
    blank = Record(held.kind, held.id, held.created, max(at, held.modified), b"", owner, side=held.side)
    return _record(blank, content, index)


def _record(blank: Record, content: Mapping[str, Any], index: Index) -> Record:
    """A blank record, filled: metadata first, then the client's own content."""
    metadata: Json = {
        "id": blank.id,
        "createdDateTime": blank.created,
        "modificationDateTime": blank.modified,
        "objectType": blank.kind.value,
    }
    if blank.client_id is not None:
        metadata["clientID"] = blank.client_id
    body = document.render({**metadata, **{key: value for key, value in content.items() if key not in metadata}})
    columns = {column: content.get(name) for column, name in COLUMNS[blank.kind].items()}
    found_by = {**columns, **index}
    return Record(
        blank.kind, blank.id, blank.created, blank.modified, body, blank.client_id, side=blank.side, **found_by
    )
