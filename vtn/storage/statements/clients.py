"""The registered API clients, as work on a connection."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, select, true, update

from vtn.storage.dialects.upsert import upsert
from vtn.storage.ports import ClientRecord, Role
from vtn.storage.tables import CLIENTS, HEAD

FIELDS = tuple(field.name for field in dataclasses.fields(ClientRecord))


def every(connection: Connection) -> tuple[int, Sequence[ClientRecord]]:
    """The generation and every client, as of one instant."""
    columns = [CLIENTS.c[name] for name in FIELDS]
    query = select(HEAD.c.client_generation, *columns).select_from(HEAD.outerjoin(CLIENTS, true()))
    rows = connection.execute(query.order_by(CLIENTS.c.client_id)).all()
    generation: int = rows[0][0]
    return generation, [_client(row[1:]) for row in rows if row[1] is not None]


def revise(connection: Connection, client_id: str, change: Callable[[ClientRecord | None], ClientRecord]) -> int:
    """Replace a client by what `change` makes of it, while nobody else can change it; the new generation."""
    connection.execute(select(HEAD.c.client_generation).with_for_update())
    columns = [CLIENTS.c[name] for name in FIELDS]
    row = connection.execute(select(*columns).where(CLIENTS.c.client_id == client_id)).first()
    client = change(_client(row) if row else None)
    values = {name: getattr(client, name) for name in FIELDS}
    upsert(connection, CLIENTS, [{**values, "role": client.role.value, "scopes": " ".join(client.scopes)}])
    step = update(HEAD).values(client_generation=HEAD.c.client_generation + 1).returning(HEAD.c.client_generation)
    generation: int = connection.execute(step).scalar_one()
    return generation


def _client(row: Sequence[Any]) -> ClientRecord:
    values = dict(zip(FIELDS, row, strict=True))
    return ClientRecord(**{**values, "role": Role(values["role"]), "scopes": tuple(values["scopes"].split())})
