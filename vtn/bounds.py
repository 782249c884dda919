"""Every bound on what comes from outside: how large, how many, how often, how long. One place, with sane defaults.

Each group is a table of the settings file, `[bounds.body]` and so on; the description of a field is its row in
`docs/bounds.md`. A bound is checked before work is done on what it bounds. This module knows no HTTP and no storage.
"""

from typing import Annotated, Self

import pydantic

from vtn.settings import Section

MEBIBYTE = 1_048_576
Count = Annotated[int, pydantic.Field(ge=1, le=1_000_000_000_000)]
Connections = Annotated[int, pydantic.Field(ge=1, le=1_000_000)]


def _count(default: int, description: str, *, least: int = 1, most: int = 1_000_000_000) -> int:
    """A field that holds a whole number."""
    number: int = pydantic.Field(default, ge=least, le=most, description=description)
    return number


class BodyBounds(Section):
    """What one request body may hold, and how its faults are told."""

    values: int = _count(
        150_000, "JSON values (objects, lists, texts, numbers) in one body; more are answered 413", least=100
    )
    members: int = _count(1_000, "members of one JSON object", least=20)
    intervals: int = _count(20_000, "`intervals` of one event or of one resource of a report")
    payloads: int = _count(1_000, "`payloads` of one interval")
    payload_values: int = _count(50_000, "`values` of one payload, attribute or 3.0.1 target")
    targets: int = _count(5_000, "`targets` of one object or report request, bare or typed")
    resources: int = _count(10_000, "`resources` of one report or 3.0.1 ven")
    descriptors: int = _count(1_000, "`payloadDescriptors`, `reportDescriptors` or `programDescriptions` of one object")
    attributes: int = _count(1_000, "`attributes` of one object")
    operations: int = _count(1_000, "`objectOperations` of one subscription, and `objects` or `operations` of one")
    other_lists: int = _count(50_000, "items of any other list (private extensions)")
    text: int = _count(262_144, "characters of one text for which the standard names no bound", least=1_024)
    faults: int = _count(100, "faults told of one body; the search for more ends there", most=1_000)
    heavy_bytes: int = _count(
        32_768, "bodies from this size are judged off the event loop, one at a time and one a client", least=1_024
    )
    waiting_bytes: int = _count(
        16 * MEBIBYTE,
        "bytes of one client's heavy bodies that may wait for their turn; more are answered 429",
        least=1_024,
    )
    refusals_per_minute: int = _count(
        6_000, "refused writes of one client at once, and again each minute; 8 kB of a refused body count as one more"
    )


class CacheBounds(Section):
    """What is remembered to be quick, in bytes of memory. A cache that is full forgets, and nobody is refused."""

    answers_bytes: int = _count(64 * MEBIBYTE, "lists that clients poll, plain and compressed", least=65_536)
    views_bytes: int = _count(32 * MEBIBYTE, "objects as VENs may see them, targets cut", least=65_536)
    versions_bytes: int = _count(32 * MEBIBYTE, "objects in the words of OpenADR 3.0.1", least=65_536)
    tokens_bytes: int = _count(16 * MEBIBYTE, "access tokens that were checked", least=65_536)
    notices_bytes: int = _count(
        16 * MEBIBYTE, "changes on their way to subscribers: as logged, as read and as told, each", least=65_536
    )


class ClientQuotas(Section):
    """What one client may keep stored here, judged in the transaction that stores it.

    Programs, events and vens are counted for all clients together: the first two belong to Business Logic as a whole,
    and a client has one ven at most. Bytes are those of the JSON text. A refusal is 403 and names the bound.
    """

    programs: Count = pydantic.Field(10_000, description="Programs, of all clients together.")
    program_bytes: Count = pydantic.Field(256 * MEBIBYTE, description="Bytes of programs, of all clients together.")
    events: Count = pydantic.Field(100_000, description="Events, of all clients together; all are held in memory.")
    event_bytes: Count = pydantic.Field(1024 * MEBIBYTE, description="Bytes of events, of all clients together.")
    vens: Count = pydantic.Field(100_000, description="Vens, of all clients together.")
    ven_bytes: Count = pydantic.Field(256 * MEBIBYTE, description="Bytes of vens, of all clients together.")
    resources: Count = pydantic.Field(10_000, description="Resources of one client's ven.")
    resource_bytes: Count = pydantic.Field(64 * MEBIBYTE, description="Bytes of one client's resources.")
    reports: Count = pydantic.Field(1_000_000, description="Reports of one client.")
    report_bytes: Count = pydantic.Field(1024 * MEBIBYTE, description="Bytes of one client's reports.")
    archive_bytes: Count = pydantic.Field(
        1024 * MEBIBYTE,
        description="Bytes of one client's deleted reports that stay in the archive; its oldest go first.",
    )
    subscriptions: Count = pydantic.Field(100, description="Subscriptions of one client.")
    subscription_bytes: Count = pydantic.Field(16 * MEBIBYTE, description="Bytes of one client's subscriptions.")
    subscription_entries: Count = pydantic.Field(
        500, description="Entries of objectOperations in all subscriptions of one client: each may be owed every event."
    )
    entries_in_one: Count = pydantic.Field(100, description="Entries of objectOperations in one subscription.")
    targets_in_one: Count = pydantic.Field(1_000, description="Targets of one subscription.")


class DeliveryBounds(Section):
    """What notifications may cost: of one subscription, one client, one host that is called.

    A host is a name with its port, as callback URLs write it.
    """

    owed_per_subscription: int = _count(
        5_000, "deliveries that may wait for one subscription; beyond, its oldest are dead letters"
    )
    dead_letters_per_subscription: int = _count(
        10_000, "dead letters that are kept of one subscription; beyond, its oldest are forgotten"
    )
    calls_per_host: int = _count(16, "calls to one host at the same time", most=512)
    calls_per_host_and_second: float = pydantic.Field(
        100.0, ge=1, le=1_000_000_000, description="calls to one host in one second, at once or spread"
    )
    challenges_per_request: int = _count(
        50, "new callback URLs in one request; each is called once before it is accepted"
    )
    challenges_per_client_and_minute: int = _count(
        300, "new callback URLs of one client, at once and again each minute; beyond, 429"
    )
    challenges_per_host_and_minute: int = _count(
        300, "new callback URLs that lead to one host, of all clients, at once and again each minute"
    )
    sessions_per_client: int = _count(
        64, "MQTT sessions of one client at the same time; the bundled broker refuses more"
    )
    mqtt_identifiers_per_client: int = _count(
        256, "MQTT client identifiers that belong to one client; beyond, it loses its oldest"
    )
    mqtt_session_kept_s: int = _count(
        604_800,
        "for how many seconds the bundled broker keeps the session of a client that is away; for a day"
        " longer its identifier is nobody else's",
        least=3_600,
    )

    @pydantic.model_validator(mode="after")
    def _a_request_that_is_not_too_large_can_come_through(self) -> Self:
        for name in ("challenges_per_client_and_minute", "challenges_per_host_and_minute"):
            if getattr(self, name) < self.challenges_per_request:
                raise ValueError(f"{name} must not be below challenges_per_request ({self.challenges_per_request})")
        return self


class ConnectionBounds(Section):
    """Connections to one listening port: how many of one address, how long they may say nothing.

    A connection is unproven until something that came by it carried a valid credential, or its WebSocket handshake is
    done. Unproven ones make room for newer ones, oldest first; proven ones are never closed for anybody.
    """

    connections: Connections = pydantic.Field(
        10_000, description="Connections at once to one port; when all are proven, further ones are closed."
    )
    of_one_address: Connections = pydantic.Field(
        5_000,
        description="Of them, those of one IPv4 address or IPv6 /64 network; behind a proxy all share one: raise it.",
    )
    unproven: Connections = pydantic.Field(
        4_000, description="Unproven ones at once; for one more, the oldest of the address with the most is closed."
    )
    unproven_of_one_address: Connections = pydantic.Field(
        1_000, description="Unproven ones of one address at once; for one more, its oldest is closed."
    )
    patience_s: Annotated[float, pydantic.Field(ge=0.1, le=600)] = pydantic.Field(
        30.0,
        description="Seconds a TLS or WebSocket handshake, a head or a body may take, or an answer may lie untaken.",
    )
    idle_s: Annotated[float, pydantic.Field(ge=1, le=86_400)] = pydantic.Field(
        620.0,
        description="Seconds a connection is kept between requests; longer than load balancers keep theirs.",
    )
    head_line_bytes: Annotated[int, pydantic.Field(ge=1024, le=65_536)] = pydantic.Field(
        8190, description="The longest request line and the longest header field."
    )
    head_fields: Annotated[int, pydantic.Field(ge=16, le=1024)] = pydantic.Field(
        128, description="Header fields of one request."
    )

    @pydantic.model_validator(mode="after")
    def _parts_fit_into_the_whole(self) -> Self:
        for name in ("of_one_address", "unproven", "unproven_of_one_address"):
            if name in self.model_fields_set and getattr(self, name) > self.connections:
                raise ValueError(f"{name} must not be above connections ({self.connections})")
        return self


class Bounds(Section):
    """All of them."""

    body: BodyBounds = BodyBounds()
    caches: CacheBounds = CacheBounds()
    client: ClientQuotas = ClientQuotas()
    delivery: DeliveryBounds = DeliveryBounds()
    connections: ConnectionBounds = ConnectionBounds()
