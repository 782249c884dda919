"""What each client keeps stored, counted in the transaction that stores it and judged there by the client's quotas.

An account is an owner and what is counted: a kind of object, the entries of subscriptions, or the archive. The counters
are one row each, so a judgement costs one statement, however much is stored. The database refuses a growth beyond its
bound; a shrinking always passes, also where a bound was lowered below what is there.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from vtn.bounds import ClientQuotas
from vtn.databases import INSERT
from vtn.errors import OverQuota
from vtn.storage.ports import Change, Record
from vtn.storage.tables import USAGE
from vtn.wire import document
from vtn.wire.enumerations import ObjectType, Operation

EVERYONE = ""
ENTRIES, ARCHIVE = "ENTRIES", "ARCHIVE"
TOGETHER = frozenset({ObjectType.PROGRAM, ObjectType.EVENT, ObjectType.VEN})
COLUMNS = ("owner", "counted", "objects", "bytes", "most_objects", "most_bytes")
MOST_REMEMBERED, REMEMBERED_S = 10_000, 5.0


class UsageKey(NamedTuple):
    """Whose, and what is counted."""

    owner: str
    counted: str


class Amount(NamedTuple):
    """How many, and how many bytes of JSON text; negative where it is a shrinking."""

    objects: int
    bytes: int


class UsageBound(NamedTuple):
    """The bounds of what is counted, None where there is none, and the settings that hold them."""

    objects: int | None
    bytes: int | None
    setting: str
    bytes_setting: str = ""


UNBOUNDED = UsageBound(None, None, "")
Growth = Mapping[UsageKey, Amount]
Limits = Mapping[str, UsageBound]
Pair = tuple[Record | None, Record | None]


def limits(quotas: ClientQuotas) -> Limits:
    """The bounds of each thing that is counted."""
    return {
        ObjectType.PROGRAM: UsageBound(quotas.programs, quotas.program_bytes, "programs", "program_bytes"),
        ObjectType.EVENT: UsageBound(quotas.events, quotas.event_bytes, "events", "event_bytes"),
        ObjectType.VEN: UsageBound(quotas.vens, quotas.ven_bytes, "vens", "ven_bytes"),
        ObjectType.RESOURCE: UsageBound(quotas.resources, quotas.resource_bytes, "resources", "resource_bytes"),
        ObjectType.REPORT: UsageBound(quotas.reports, quotas.report_bytes, "reports", "report_bytes"),
        ObjectType.SUBSCRIPTION: UsageBound(
            quotas.subscriptions, quotas.subscription_bytes, "subscriptions", "subscription_bytes"
        ),
        ENTRIES: UsageBound(quotas.subscription_entries, None, "subscription_entries"),
        ARCHIVE: UsageBound(None, quotas.archive_bytes, "archive_bytes"),
    }


def owner_of(record: Record) -> str:
    """Whose account a record is on."""
    return EVERYONE if record.kind in TOGETHER else record.client_id or EVERYONE


def growth(pairs: Iterable[Pair]) -> Growth:
    """By how much accounts grow when the first of each pair is replaced by the second; None stands for nothing."""
    grown: dict[UsageKey, Amount] = {}
    for before, after in pairs:
        for record, sign in ((before, -1), (after, 1)):
            if record is not None:
                _add(grown, UsageKey(owner_of(record), record.kind.value), sign, sign * len(record.body))
                if record.kind is ObjectType.SUBSCRIPTION:
                    _add(grown, UsageKey(owner_of(record), ENTRIES), sign * _entries(record), 0)
    return {account: amount for account, amount in grown.items() if any(amount)}


def _add(grown: dict[UsageKey, Amount], account: UsageKey, objects: int, size: int) -> None:
    held = grown.get(account)
    grown[account] = Amount(objects, size) if held is None else Amount(held.objects + objects, held.bytes + size)


def _entries(record: Record) -> int:
    entries = document.parse(record.body).get("objectOperations")
    return len(entries) if isinstance(entries, list) else 0


def rows_of_new(records: Sequence[Record], bounds: Limits) -> list[tuple[Any, ...]]:
    """The same as `rows(growth(...))` for new objects of one kind, as cheaply as it can be said."""
    kind = records[0].kind
    if kind is ObjectType.SUBSCRIPTION:
        return rows(growth((None, record) for record in records), bounds)
    most, together, sizes = bounds[kind], kind in TOGETHER, dict[str, list[int]]()
    for record in records:
        owner = EVERYONE if together else record.client_id or EVERYONE
        if owner in sizes:
            sizes[owner].append(len(record.body))
        else:
            sizes[owner] = [len(record.body)]
    return [
        (owner, kind.value, len(held), sum(held), most.objects, most.bytes) for owner, held in sorted(sizes.items())
    ]


def rows(grown: Growth, bounds: Limits) -> list[tuple[Any, ...]]:
    """What is to be counted, in the order of `COLUMNS`; a bound stands only where something grows.

    Nothing is refused for the archive's sake: there the oldest goes.
    """
    found = []
    for (owner, counted), (objects, size) in sorted(grown.items()):
        most = UNBOUNDED if counted == ARCHIVE else bounds[counted]
        found.append(
            (owner, counted, objects, size, most.objects if objects > 0 else None, most.bytes if size > 0 else None)
        )
    return found


def count(connection: Connection, grown: Growth, bounds: Limits) -> None:
    """Move the counters; refused by the database (IntegrityError) where one would pass its bound."""
    given = rows(grown, bounds)
    if not given:
        return
    statement = INSERT[connection.dialect.name](USAGE)
    moved: dict[str, Any] = {name: USAGE.c[name] + statement.excluded[name] for name in COLUMNS[2:4]}
    moved |= {name: statement.excluded[name] for name in COLUMNS[4:]}
    upserted = statement.on_conflict_do_update(index_elements=list(COLUMNS[:2]), set_=moved)
    connection.execute(upserted, [dict(zip(COLUMNS, row, strict=True)) for row in given])


def held(connection: Connection, account: UsageKey) -> Amount:
    """What is on an account."""
    query = select(USAGE.c.objects, USAGE.c.bytes).where(USAGE.c.owner == account.owner)
    row = connection.execute(query.where(USAGE.c.counted == account.counted)).first()
    return Amount(*row) if row else Amount(0, 0)


def excess(connection: Connection, grown: Growth, bounds: Limits) -> OverQuota | None:
    """The error for a growth that the database refused, after its savepoint was rolled back; None if it would fit."""
    for account, amount in grown.items():
        most, stored = bounds[account.counted], held(connection, account)
        for by, there, bound, setting, unit in (
            (amount.objects, stored.objects, most.objects, most.setting, ""),
            (amount.bytes, stored.bytes, most.bytes, most.bytes_setting, " bytes"),
        ):
            if bound is not None and by > 0 and there + by > bound:
                return OverQuota(_words(account, there, bound, setting, unit))
    return None


def _words(account: UsageKey, there: int, bound: int, setting: str, unit: str) -> str:
    what = "entries of subscriptions" if account.counted == ENTRIES else f"{account.counted.lower()}s"
    whose = "all clients together keep" if account.owner == EVERYONE else "this client keeps"
    amount = f"{there}{unit} of {what}" if unit else f"{there} {what}"
    return (
        f"{whose} {amount}, and may keep {bound} (bounds.client.{setting}): "
        f"delete {what} that are no longer needed, or ask the operator of this VTN for more"
    )


class FullAccounts:
    """Clients that were refused lately: asked again, they are refused without a transaction.

    A client that keeps writing at its bound would otherwise make every batch of others' writes be done twice. What a
    client deletes or replaces is seen in the log before its next request; what is missed is forgotten in seconds. Each
    refusal is an error of its own: one that is raised again and again would hold every request that it ended.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._refused: dict[str, tuple[float, Record, OverQuota]] = {}

    def refusal(self, record: Record) -> OverQuota | None:
        """The error for a new record of an owner for whom one of this kind, no larger, was refused just now."""
        known = self._refused.get(owner_of(record)) if self._refused else None
        if known is None:
            return None
        at_s, refused, error = known
        same = refused.kind is record.kind and len(refused.body) <= len(record.body)
        if same and record.kind is ObjectType.SUBSCRIPTION:
            same = _entries(refused) <= _entries(record)
        return OverQuota(*error.args) if same and self._now_s() - at_s < REMEMBERED_S else None

    def note(self, record: Record, error: OverQuota) -> None:
        """A new record was refused."""
        if len(self._refused) >= MOST_REMEMBERED:
            self._refused.clear()
        self._refused[owner_of(record)] = (self._now_s(), record, error)

    def see(self, changes: Sequence[Change]) -> None:
        """Changes were made, here or elsewhere: there may be room again."""
        if self._refused:
            for change in changes:
                if change.operation is not Operation.CREATE:
                    for record in (change.record, change.before or change.record):
                        self._refused.pop(owner_of(record), None)

    def forget(self) -> None:
        """Changes may have been missed."""
        self._refused.clear()
