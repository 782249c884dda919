"""What the relay must remember: how far each outlet has read the log, and what is still owed. Work on a connection."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, select, update

from vtn.storage.ports import Delivery, DeliveryState
from vtn.storage.tables import CURSORS, DELIVERIES, HEAD, LOG
from vtn.storage.upsert import upsert
from vtn.wire.enumerations import Operation

FIELDS = tuple(field.name for field in dataclasses.fields(Delivery))
KEY = tuple(column.name for column in DELIVERIES.primary_key)
THIS_ONE = and_(*(DELIVERIES.c[name] == bindparam(f"its_{name}") for name in KEY))
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


def put(connection: Connection, delivery: Delivery) -> None:
    """Overwrite a delivery; one that was settled meanwhile stays settled."""
    values = _values(delivery)
    rest = {name: value for name, value in values.items() if name not in KEY}
    connection.execute(update(DELIVERIES).where(THIS_ONE).values(rest), _key(values))


def settle(connection: Connection, done: Sequence[Delivery]) -> None:
    """Forget deliveries."""
    if done:
        connection.execute(delete(DELIVERIES).where(THIS_ONE), [_key(_values(delivery)) for delivery in done])


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
