"""Programs that are gone, as the log remembers them: their targets, and the subscriptions that went with them.

Deleting a program deletes its events, reports and subscriptions in one command, and each is notified (TR-47). By the
time the relay reads those rows the program and the subscriptions are gone; without the program's last targets nobody
could say who saw its events, and a VEN that listened only to that program would never hear that it ended.
"""

import dataclasses

from vtn.limits import Recent
from vtn.storage.ports import Change, Record, Store
from vtn.wire.enumerations import ObjectType, Operation

PAGE = 1000
REMEMBERED, REMEMBERED_BYTES = 1000, 16 * 1_048_576


@dataclasses.dataclass(frozen=True, slots=True)
class Farewell:
    """A program's last state, the subscriptions deleted by the same command, and that command's first log number.

    The log was read after `read_after`, so a command that began before it may be known in part only.
    """

    program: Record
    subscriptions: tuple[Record, ...]
    first_seq: int
    read_after: int


class Departed:
    """Finds deleted programs in the log, and remembers them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: Recent[str, Farewell] = Recent(REMEMBERED, REMEMBERED_BYTES)

    async def find(self, program_id: str, after: int) -> Farewell | None:
        """How a program went, if the log tells after a number."""
        known = self._known.get(program_id)
        if known is None or after < known.read_after:
            await self._read(program_id, after)
        return self._known.get(program_id)

    async def _read(self, program_id: str, read_after: int) -> None:
        command: list[Change] = []
        after = read_after
        while page := await self._store.changes(after, PAGE):
            for change in page:
                if command and (command[-1].at, command[-1].actor) != (change.at, change.actor):
                    command = []
                command.append(change)
                if change.operation is Operation.DELETE and change.record.kind is ObjectType.PROGRAM:
                    self._keep(_farewell(command, read_after))
                    if change.record.id == program_id:
                        return
            after = page[-1].seq

    def _keep(self, farewell: Farewell) -> None:
        records = (farewell.program, *farewell.subscriptions)
        self._known.keep(farewell.program.id, farewell, sum(len(record.body) for record in records))


def _farewell(command: list[Change], read_after: int) -> Farewell:
    """What a command whose last change deletes a program took with it."""
    program = command[-1].record
    gone = [change.record for change in command if change.operation is Operation.DELETE]
    subscriptions = (record for record in gone if record.kind is ObjectType.SUBSCRIPTION)
    mine = tuple(record for record in subscriptions if record.program_id == program.id)
    return Farewell(program, mine, command[0].seq, read_after)
