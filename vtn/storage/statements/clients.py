"""The registered API clients, and whose an MQTT client identifier is: work on a connection.

A broker keeps a session under the identifier alone, so whoever comes by the identifier gets the session. The register
of identifiers outlasts connections and restarts, and holds for every process of an installation.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select, true, update

from vtn.databases import INSERT
from vtn.storage.dialects.database import upsert
from vtn.storage.ports import ClientRecord, IdentifierClaim, IdentifierOwner, Role
from vtn.storage.tables import CLIENTS, HEAD, MQTT_IDENTIFIERS

ROW = MQTT_IDENTIFIERS.c
FIELDS = tuple(field.name for field in dataclasses.fields(ClientRecord))


def claim(connection: Connection, asked: IdentifierClaim) -> IdentifierOwner:
    """Give an identifier to a client, unless another has used it too lately; see `ports.Store.claim_identifier`."""
    this = ROW.identifier == asked.identifier
    fresh = {"identifier": asked.identifier, "client_id": asked.client_id, "seen_s": asked.now_s, "uses": 0}
    connection.execute(INSERT[connection.dialect.name](MQTT_IDENTIFIERS).values(fresh).on_conflict_do_nothing())
    held = connection.execute(select(ROW.client_id, ROW.seen_s, ROW.uses).where(this).with_for_update()).one()
    mine = held.client_id == asked.client_id
    if not mine and held.seen_s >= asked.forgotten_s:
        return IdentifierOwner(held.client_id)
    uses = (held.uses if mine else 0) + asked.comes
    taken = {"client_id": asked.client_id, "seen_s": asked.now_s, "uses": uses}
    connection.execute(update(MQTT_IDENTIFIERS).where(this).values(taken))
    return IdentifierOwner(asked.client_id, uses, _forget(connection, asked))


def _forget(connection: Connection, asked: IdentifierClaim) -> tuple[str, ...]:
    """Forget what the client has not used for long, and of the rest what is beyond its bound.

    What was used once goes first, the oldest of it before: clients that make up an identifier each time shall not cost
    another process of theirs the one that it comes back by.
    """
    own = ROW.client_id == asked.client_id
    connection.execute(delete(MQTT_IDENTIFIERS).where(own, ROW.seen_s < asked.forgotten_s))
    order = (ROW.uses > 1).desc(), ROW.seen_s.desc(), ROW.identifier
    others = select(ROW.identifier).where(own, ROW.identifier != asked.identifier).order_by(*order)
    free = [name for name in connection.execute(others).scalars() if name not in asked.holds]
    lost = tuple(free[max(0, asked.most - 1 - len(asked.holds - {asked.identifier})) :])
    if lost:
        connection.execute(delete(MQTT_IDENTIFIERS).where(ROW.identifier.in_(lost)))
    return lost


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
