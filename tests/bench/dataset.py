"""What is measured against: clients, programs, vens and events, and the requests that VENs make of them.

Everything but the clients enters through the API. Each event has the zone it is for among its targets, and a label that
no VEN is granted, so that every answer needs its targets cut.
"""

import asyncio
import contextlib
import dataclasses
import http.client
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson
from driver import Load
from servers import CannotMeasureError

from vtn.auth.clients import hash_secret, new_secret
from vtn.auth.tokens import TokenService, load_key
from vtn.rules.scopes import BL_SCOPES, VEN_SCOPES
from vtn.storage.ports import ClientRecord, Role
from vtn.storage.sql import open_store

BASE = "/openadr3/3.1.0"
PROGRAMS = 1_000
EVENTS = 10_000
VENS = 500
ZONES_PER_VEN = 3
EVENTS_PER_ZONE = 2
REPORT_BYTES = 1024
DISTINCT_REPORTS = 256
LIFETIME_S = 3600
PAGE = 50
TIMEOUT_S = 10
BORN = "2026-01-01T00:00:00.000000Z"


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The access tokens of Business Logic and of every VEN."""

    bl: str
    vens: list[str]


@dataclasses.dataclass(frozen=True)
class Polls:
    """What the server answers: the first VEN's body and ETag, and every VEN's body."""

    body: bytes
    etag: str
    all_bodies: frozenset[bytes]

    @property
    def first_event(self) -> str:
        """The id of the first event of the first VEN."""
        found: str = orjson.loads(self.body)[0]["id"]
        return found


def register(url: str, var: Path) -> Tokens:
    """Write the clients into the database, before the server starts, and issue their tokens with the server's key."""
    var.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_register(url, var))


async def _register(url: str, var: Path) -> Tokens:
    secret_hash, now_s = hash_secret(new_secret()), time.time() - 1
    bl = ClientRecord("bench-bl", Role.BL, BL_SCOPES, secret_hash, BORN, now_s)
    vens = [ClientRecord(client_id(n), Role.VEN, VEN_SCOPES, secret_hash, BORN, now_s) for n in range(VENS)]
    store = await open_store(url, shared_dir=var)
    try:
        for client in (bl, *vens):
            await store.put_client(client)
    finally:
        await store.close()
    known = {client.client_id: client for client in (bl, *vens)}
    tokens = TokenService(load_key(var / "keys" / "tokens.pem"), LIFETIME_S, known.get, lambda: 0)
    return Tokens(tokens.issue(bl, bl.scopes)[0], [tokens.issue(ven, ven.scopes)[0] for ven in vens])


def fill(port: int, tokens: Tokens, core: int | None) -> None:
    """Create the programs, vens and events through the API."""
    _create(port, "/programs", tokens.bl, programs(), core)
    pages = (_fetch(port, f"/programs?skip={skip}", tokens.bl)[0] for skip in range(0, PROGRAMS, PAGE))
    ids = [program["id"] for page in pages for program in orjson.loads(page)]
    _create(port, "/vens", tokens.bl, vens(), core)
    _create(port, "/events", tokens.bl, events(ids), core)


def _create(port: int, path: str, token: str, bodies: Iterable[object], core: int | None) -> None:
    Load(port, [post(path, token, orjson.dumps(body)) for body in bodies], status=201).once(core)


def poll(port: int, tokens: Tokens) -> Polls:
    """Ask once for every VEN, and check that each is told of its own zones' events and of nothing else."""
    found = [_fetch(port, "/events", token) for token in tokens.vens]
    for ven, (body, _) in enumerate(found):
        told = [event["targets"] for event in orjson.loads(body)]
        if sorted(told) != sorted([zone] for zone in grants(ven) for _ in range(EVENTS_PER_ZONE)):
            raise CannotMeasureError(f"{client_id(ven)} was told of events for {told}")
    return Polls(*found[0], frozenset(body for body, _ in found))


def _fetch(port: int, path: str, token: str) -> tuple[bytes, str]:
    """A body and its ETag."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", f"{BASE}{path}", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise CannotMeasureError(f"GET {path} was answered {answer.status}")
        return answer.read(), answer.headers["ETag"]


def client_id(ven: int) -> str:
    """The clientID of a VEN."""
    return f"bench-ven-{ven}"


def grants(ven: int) -> list[str]:
    """The zones that a VEN is granted."""
    return [f"zone-{ZONES_PER_VEN * ven + n}" for n in range(ZONES_PER_VEN)]


def programs() -> Iterator[dict[str, object]]:
    """Program bodies."""
    for n in range(PROGRAMS):
        yield {"programName": f"bench-program-{n}", "retailerName": "Bench Energy", "country": "US"}


def vens() -> Iterator[dict[str, object]]:
    """Ven bodies, as Business Logic writes them."""
    for n in range(VENS):
        yield {
            "objectType": "BL_VEN_REQUEST",
            "venName": f"bench-ven-{n}",
            "clientID": client_id(n),
            "targets": grants(n),
        }


def events(program_ids: list[str]) -> Iterator[dict[str, object]]:
    """Event bodies of about 800 bytes, `EVENTS_PER_ZONE` for every zone."""
    for n in range(EVENTS):
        yield {
            "programID": program_ids[n % len(program_ids)],
            "eventName": f"bench-event-{n}",
            "priority": n % 5,
            "targets": [f"zone-{n % (EVENTS // EVENTS_PER_ZONE)}", "label-nobody-is-granted"],
            "intervalPeriod": {"start": "2026-07-15T16:00:00Z", "duration": "PT15M", "randomizeStart": "PT0S"},
            "intervals": [
                {"id": hour, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [-500.5 + n]}]} for hour in range(6)
            ],
        }


def reports(event_id: str) -> Iterator[bytes]:
    """Report bodies of `REPORT_BYTES` bytes with four intervals, all different."""
    for n in range(DISTINCT_REPORTS):
        content = {
            "eventID": event_id,
            "clientName": f"automaker-{n % 7}",
            "reportName": "",
            "payloadDescriptors": [
                {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "USAGE", "units": "KWH"},
            ],
            "resources": [_resource(n)],
        }
        spare = REPORT_BYTES - len(orjson.dumps(content))
        yield orjson.dumps({**content, "reportName": f"quarter hours {n} ".ljust(spare, "-")[:spare]})


def _resource(n: int) -> dict[str, object]:
    def payloads(quarter: int) -> list[dict[str, object]]:
        return [
            {"type": "USAGE", "values": [round(11.03 + n / 16 + quarter, 3)]},
            {"type": "DEMAND", "values": [round(44.12 + n / 8 + quarter, 3)]},
            {"type": "STORAGE_CHARGE_LEVEL", "values": [50 + (n + quarter) % 50]},
        ]

    return {
        "resourceName": f"zone-{n % 10}",
        "intervalPeriod": {"start": "2026-07-15T16:00:00Z", "duration": "PT15M"},
        "intervals": [{"id": quarter, "payloads": payloads(quarter)} for quarter in range(4)],
    }


def get(path: str, token: str, etag: str | None = None) -> bytes:
    """A poll, as bytes."""
    condition = f"If-None-Match: {etag}\r\n" if etag else ""
    return f"GET {BASE}{path} HTTP/1.1\r\n{_headers(token)}{condition}\r\n".encode()


def post(path: str, token: str, body: bytes) -> bytes:
    """A write, as bytes."""
    announced = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST {BASE}{path} HTTP/1.1\r\n{_headers(token)}{announced}".encode() + body


def _headers(token: str) -> str:
    return f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\nUser-Agent: evtn-bench\r\n"
