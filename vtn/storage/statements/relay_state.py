"""What the relay must remember: how far each outlet has read the log, and what is still owed. Work on a connection."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, select, update

from vtn.storage.dialects.database import upsert
from vtn.storage.ports import BrokenCallback, Delivery, DeliveryBacklog, DeliveryState
from vtn.storage.tables import BROKEN_CALLBACKS, CURSORS, DELIVERIES, HEAD, LOG, OBJECTS
from vtn.wire.enumerations import ObjectType, Operation

FIELDS = tuple(field.name for field in dataclasses.fields(Delivery))
KEY = tuple(column.name for column in DELIVERIES.primary_key)
THIS_ONE = and_(*(DELIVERIES.c[name] == bindparam(f"its_{name}") for name in KEY))
REST: dict[str, Any] = {name: bindparam(f"new_{name}") for name in FIELDS if name not in KEY}
MARKS = tuple(field.name for field in dataclasses.fields(BrokenCallback))
SUBSCRIPTIONS = OBJECTS[ObjectType.SUBSCRIPTION]
LARGEST_PRUNE = 10_000


def cursor(connection: Connection, outlet: str) -> int | None:
    """Where an outlet stands, if it is known."""
    seq: int | None = connection.execute(select(CURSORS.c.seq).where(CURSORS.c.outlet == outlet)).scalar()
    return seq


def move(connection: Connection, outlet: str, seq: int, owed: Sequence[Delivery]) -> None:
    """Move a cursor and store what its outlet owes."""
    upsert(connection, CURSORS, [{"outlet": outlet, "seq": seq}])
    upsert(connection, DELIVERIES, [_values(delivery) for delivery in owed])


def deliveries(connection: Connection, state: DeliveryState, limit: int) -> Sequence[Delivery]:
    """Deliveries in a state, in log order."""
    query = select(*(DELIVERIES.c[name] for name in FIELDS)).where(DELIVERIES.c.state == state.value)
    ordered = query.order_by(DELIVERIES.c.seq, DELIVERIES.c.subscription_id, DELIVERIES.c.entry).limit(limit)
    return [_delivery(row) for row in connection.execute(ordered)]


def backlog(connection: Connection) -> DeliveryBacklog:
    """What waits and what was given up, counted."""
    counted = select(DELIVERIES.c.state, func.count(), func.min(DELIVERIES.c.seq)).group_by(DELIVERIES.c.state)
    found = {DeliveryState(state): (number, oldest) for state, number, oldest in connection.execute(counted)}
    dead, _ = found.pop(DeliveryState.DEAD, (0, None))
    if not found:
        return DeliveryBacklog(0, dead)
    oldest = select(LOG.c.at).where(LOG.c.seq == min(seq for _, seq in found.values()))
    return DeliveryBacklog(sum(number for number, _ in found.values()), dead, connection.execute(oldest).scalar())


def put(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Overwrite deliveries; those that were settled meanwhile stay settled."""
    rows = [_values(delivery) for delivery in deliveries]
    if rows:
        values = [{**_key(row), **{f"new_{name}": row[name] for name in REST}} for row in rows]
        connection.execute(update(DELIVERIES).where(THIS_ONE).values(REST), values)


def bury(connection: Connection, dead: Sequence[Delivery], most: int) -> int:
    """Overwrite deliveries that were given up, and forget the oldest of a subscription that has more than `most`."""
    put(connection, dead)
    gone = 0
    for subscription_id in sorted({delivery.subscription_id for delivery in dead}):
        given_up = and_(DELIVERIES.c.subscription_id == subscription_id, DELIVERIES.c.state == DeliveryState.DEAD.value)
        newest = select(DELIVERIES.c.seq).where(given_up).order_by(DELIVERIES.c.seq.desc())
        cut = connection.execute(newest.offset(most).limit(1)).scalar()
        if cut is not None:
            gone += connection.execute(delete(DELIVERIES).where(given_up, DELIVERIES.c.seq <= cut)).rowcount
    return gone


def settle(connection: Connection, done: Sequence[Delivery]) -> None:
    """Forget deliveries."""
    if done:
        connection.execute(delete(DELIVERIES).where(THIS_ONE), [_key(_values(delivery)) for delivery in done])


def replay(connection: Connection, subscription_id: str | None) -> int:
    """Dead deliveries become replayed ones, as if they had never been tried; how many."""
    dead = DELIVERIES.c.state == DeliveryState.DEAD.value
    whose = dead if subscription_id is None else and_(dead, DELIVERIES.c.subscription_id == subscription_id)
    fresh = {"state": DeliveryState.REPLAYED.value, "attempts": 0, "next_at_s": 0.0, "since_s": 0.0}
    return connection.execute(update(DELIVERIES).where(whose).values(fresh)).rowcount


def broken(connection: Connection, subscription_id: str | None) -> Sequence[BrokenCallback]:
    """Marks on callbacks of subscriptions that stand, longest broken first."""
    query = select(*(BROKEN_CALLBACKS.c[name] for name in MARKS)).where(_stands())
    if subscription_id is not None:
        query = query.where(BROKEN_CALLBACKS.c.subscription_id == subscription_id)
    ordered = query.order_by(*(BROKEN_CALLBACKS.c[name] for name in ("since", "subscription_id", "entry")))
    return [BrokenCallback(*row) for row in connection.execute(ordered)]


def put_broken(connection: Connection, callback: BrokenCallback) -> None:
    """Mark a callback, and sweep out the marks of subscriptions that are gone."""
    connection.execute(delete(BROKEN_CALLBACKS).where(~_stands()))
    upsert(connection, BROKEN_CALLBACKS, [dataclasses.asdict(callback)])


def mend(connection: Connection, subscription_id: str) -> None:
    """Take a subscription's marks away."""
    connection.execute(delete(BROKEN_CALLBACKS).where(BROKEN_CALLBACKS.c.subscription_id == subscription_id))


def _stands() -> ColumnElement[bool]:
    return select(SUBSCRIPTIONS.c.id).where(SUBSCRIPTIONS.c.id == BROKEN_CALLBACKS.c.subscription_id).exists()


def prune(connection: Connection, before: str) -> int:
    """Drop the next part of the log that is older than `before` and that nobody needs; how many rows went."""
    passed = select(func.min(CURSORS.c.seq)).scalar_subquery()
    newer = select(LOG.c.seq).where(LOG.c.at >= before).order_by(LOG.c.seq).limit(1).scalar_subquery()
    head = select(HEAD.c.seq).scalar_subquery()
    needed = select(DELIVERIES.c.seq).where(DELIVERIES.c.seq == LOG.c.seq).exists()
    old = select(LOG.c.seq).where(
        LOG.c.seq <= func.coalesce(passed, head), LOG.c.seq < func.coalesce(newer, head + 1), ~needed
    )
    part = old.order_by(LOG.c.seq).limit(LARGEST_PRUNE).subquery()
    return connection.execute(delete(LOG).where(LOG.c.seq.in_(select(part.c.seq)))).rowcount


def _values(delivery: Delivery) -> dict[str, Any]:
    values = {name: getattr(delivery, name) for name in FIELDS}
    return {**values, "operation": delivery.operation.value, "state": delivery.state.value}


def _key(values: dict[str, Any]) -> dict[str, Any]:
    return {f"its_{name}": values[name] for name in KEY}


def _delivery(row: Sequence[Any]) -> Delivery:
    values = dict(zip(FIELDS, row, strict=True))
    return Delivery(**{**values, "operation": Operation(values["operation"]), "state": DeliveryState(values["state"])})
