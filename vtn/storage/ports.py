"""What storage promises to the packages above it, in values. SQLite and PostgreSQL keep these promises alike.

Every write stores the object and its row in the change log in one transaction, and returns after the commit. Log
numbers rise in commit order without gaps, so a reader that has seen number n has seen everything up to n.
"""

import dataclasses
import enum
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from vtn.wire.enumerations import ObjectType, Operation
from vtn.wire.interval import parse_date_time


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One object as it is stored: the JSON text as the owner would read it, and the columns it is found by.

    `created` and `modified` are RFC 3339 texts of equal form, so that they sort as instants. `name` is unique in its
    scope: among programs, among vens, and among the resources of one ven; reports and events leave it None.
    `side` is what a face of another version must remember of the object and no 3.1 client is shown (JSON text).
    """

    kind: ObjectType
    id: str
    created: str
    modified: str
    body: bytes
    client_id: str | None = None
    name: str | None = None
    program_id: str | None = None
    event_id: str | None = None
    ven_id: str | None = None
    client_name: str | None = None
    side: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One row of the change log. A DELETE carries the last state as `record`; an UPDATE also the state before."""

    seq: int
    at: str
    operation: Operation
    record: Record
    before: Record | None = None
    actor: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Create:
    """Store a new object.

    Conflict when its name is taken or when an object that it points at does not exist; Moved when a report's event has
    another program than the report by now, or a resource's ven another client; OverQuota when its owner has enough.
    """

    record: Record


@dataclasses.dataclass(frozen=True, slots=True)
class Replace:
    """Replace an object by what `revise` makes of the stored one, inside the transaction; NotFound when it is gone.

    `revise` may raise any VtnError to refuse; it must be pure, since it may run again. When a ven changes its
    client_id, `follow(resource, ven)` makes of each resource of that ven what it shall become, logged as an UPDATE; the
    reports of an event that changes its program_id are found by the new one. Moved and OverQuota as for `Create`.
    """

    kind: ObjectType
    id: str
    revise: Callable[[Record], Record]
    follow: Callable[[Record, Record], Record] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object and its children (program: events, reports, subscriptions; event: reports; ven: resources).

    Children go first and each is logged; reports are copied to the archive before they go. With `cascade` False an
    object that has children is a Conflict. `check` may raise a VtnError to refuse.
    """

    kind: ObjectType
    id: str
    check: Callable[[Record], None]
    cascade: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class All:
    """Do these commands in order, each seeing what those before it did: all of them or, when one fails, none."""

    commands: tuple[Create | Replace | Delete, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Touch:
    """Write what is there already, durably: whether any write would succeed. It changes nothing and is not logged."""


Command = Create | Replace | Delete | All | Touch


class Role(enum.StrEnum):
    """What a client is, by its registration and never by its token's scopes (SCO-12)."""

    BL = "BL"
    VEN = "VEN"


@dataclasses.dataclass(frozen=True, slots=True)
class ClientRecord:
    """A registered API client. Tokens issued before `valid_from_s` (Unix seconds) are dead.

    With `fixed_scopes` its tokens have all of its scopes, whatever a token request asks for.
    """

    client_id: str
    role: Role
    scopes: tuple[str, ...]
    secret_hash: str = dataclasses.field(repr=False)
    created: str
    valid_from_s: float
    revoked: bool = False
    fixed_scopes: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ReportQuery:
    """Which reports to list, oldest first by (created, id); None means any."""

    client_id: str | None = None
    program_id: str | None = None
    event_id: str | None = None
    client_name: str | None = None
    skip: int = 0
    limit: int = 50


Archived = tuple[str, Record]


class DeliveryState(enum.StrEnum):
    """A webhook delivery waits, was given up, or was given up and is to be taken up again by whoever delivers."""

    PENDING = "PENDING"
    DEAD = "DEAD"
    REPLAYED = "REPLAYED"


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """One notification owed to one callback of one subscription; deleted once the receiver took it.

    `seq` names the change; `entry` is the number of an entry in objectOperations, which it keeps while the subscription
    is rewritten (`rules.entries`); `operation` is what this subscriber is told, which differs from the change's when an
    update takes the object out of its sight. `host` is where the entry led when it became owed, which keeps the order
    of what goes there; `since_s` is when that was, in real Unix seconds, 0 when unknown.
    """

    subscription_id: str
    entry: int
    seq: int
    operation: Operation
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    next_at_s: float = 0.0
    last_error: str | None = None
    host: str = ""
    since_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class BrokenCallback:
    """A callback that failed `failures` times in a row and is no longer called: which, since when, and why at last.

    `entry` is the number of the entry, as in `Delivery`; `url_digest` tells whether it still names the URL that failed.
    """

    subscription_id: str
    entry: int
    url_digest: str
    since: str
    failures: int
    last_error: str


@dataclasses.dataclass(frozen=True, slots=True)
class IdentifierClaim:
    """A client comes in by an MQTT client identifier at `now_s` (real Unix seconds), or is still there.

    What was last seen before `forgotten_s` belongs to nobody any more; a client keeps `most` of them, and never loses
    those that it `holds` at the moment.
    """

    identifier: str
    client_id: str
    now_s: float
    forgotten_s: float
    most: int
    holds: frozenset[str] = frozenset()
    comes: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class IdentifierOwner:
    """Whose an MQTT client identifier is after a claim, how often it came by it, and which others it lost for it."""

    client_id: str
    uses: int = 0
    lost: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class DeliveryBacklog:
    """How many deliveries wait and how many were given up; `oldest_at` is when the oldest waiting change was made."""

    pending: int = 0
    dead: int = 0
    oldest_at: str | None = None

    def oldest_s(self, now: datetime) -> float:
        """The age of what has waited longest, in seconds."""
        return max(0.0, (now - parse_date_time(self.oldest_at)).total_seconds()) if self.oldest_at else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Leader:
    """Who relays and keeps time: which process, since when (its own clock), for the how-manieth leader's term.

    `quiet_s` is for how long this process has seen no sign of it; `late` when that is longer than it should be.
    """

    holder: str
    since: str
    term: int
    quiet_s: float = 0.0
    late: bool = False


class Store(Protocol):
    """The database behind the top node."""

    async def write(self, command: Command, *, at: str, actor: str) -> tuple[Change, ...]:
        """Do a command durably and return its changes in log order; Conflict, NotFound or Unavailable otherwise.

        Commands that arrive while a commit is in flight are committed together in the next transaction; one that
        fails does not touch its neighbours.
        """
        ...

    async def objects(self) -> tuple[int, Sequence[Record]]:
        """Every object but reports, and the log's head, as of one instant."""
        ...

    async def changes(self, after: int, limit: int = 1000) -> Sequence[Change]:
        """The log after a number, in order."""
        ...

    async def head(self) -> int:
        """The newest number of the log, from the database."""
        ...

    def shared_head(self) -> int:
        """The newest number that any process on this host has committed, without touching the database."""
        ...

    async def reports(self, query: ReportQuery) -> Sequence[Record]:
        """Reports as asked."""
        ...

    async def report(self, report_id: str) -> Record | None:
        """One report."""
        ...

    async def clients(self) -> tuple[int, Sequence[ClientRecord]]:
        """Every client, revoked ones too, and the generation that counts changes to them."""
        ...

    async def put_client(self, client: ClientRecord) -> None:
        """Add or replace a client; every process on this host sees it before the next request."""
        ...

    async def revise_client(self, client_id: str, revise: Callable[[ClientRecord | None], ClientRecord]) -> None:
        """Replace a client by what `revise` makes of the stored one, inside the transaction; it may raise to refuse."""
        ...

    def client_generation(self) -> int:
        """Counts changes to clients made by any process on this host, without touching the database."""
        ...

    async def cursor(self, outlet: str) -> int:
        """How far an outlet of the relay has read the log; 0 when it is new."""
        ...

    async def advance(self, outlet: str, seq: int, owed: Sequence[Delivery] = ()) -> None:
        """Move an outlet's cursor and store what it owes, in one transaction."""
        ...

    async def deliveries(self, state: DeliveryState = DeliveryState.PENDING, limit: int = 10_000) -> Sequence[Delivery]:
        """Deliveries in a state, in log order."""
        ...

    async def backlog(self) -> DeliveryBacklog:
        """How much is owed and how much was given up, as numbers."""
        ...

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Remember other tries, or the end of trying; what was settled meanwhile stays settled."""
        ...

    async def bury(self, dead: Sequence[Delivery], most: int) -> int:
        """Remember deliveries that were given up, at most so many a subscription; how many older ones went for it."""
        ...

    async def settle(self, done: Sequence[Delivery]) -> None:
        """Forget deliveries that the receiver took, or that are owed no more."""
        ...

    async def replay(self, subscription_id: str | None = None) -> int:
        """Turn the dead deliveries of one subscription, or of all, into replayed ones; how many they were."""
        ...

    async def broken_callbacks(self, subscription_id: str | None = None) -> Sequence[BrokenCallback]:
        """The broken callbacks of one subscription, or of all; none of a subscription that is gone."""
        ...

    async def put_broken(self, callback: BrokenCallback) -> None:
        """Mark a callback as broken."""
        ...

    async def mend(self, subscription_id: str) -> None:
        """Take back every mark on a subscription's callbacks."""
        ...

    async def claim_identifier(self, claim: IdentifierClaim) -> IdentifierOwner:
        """Give an MQTT client identifier to a client, unless another has it."""
        ...

    async def prune(self, before: str) -> int:
        """Drop log rows older than `before` that every cursor has passed and no delivery needs; how many went."""
        ...

    async def prune_archive(self, before: str) -> int:
        """Drop archived reports that were deleted before an instant; how many went."""
        ...

    async def archived(self, after: tuple[str, str] = ("", ""), client_id: str | None = None) -> Sequence[Archived]:
        """A page of the archive after (instant, id), oldest first: when each report was archived, and the report."""
        ...

    async def lead(self) -> bool:
        """Try to become (or stay) the one process that relays and keeps time; False while another one is.

        A leader that dies is followed at once, one that gives no sign of life after the time of its lease.
        """
        ...

    def may_relay(self) -> bool:
        """False when this process has led and cannot be sure that it still does; asks neither disk nor network.

        After that it also cannot move cursors or change deliveries: Unavailable.
        """
        ...

    async def leader(self) -> Leader | None:
        """Who leads, from the database; None when nobody does."""
        ...

    async def probe(self) -> None:
        """Unavailable when no write would succeed; see `Touch`."""
        ...

    async def close(self) -> None:
        """Finish what is queued and let go of the database."""
        ...
