"""Every bound on what comes from outside: how large, how many, how often, how long. One place, with sane defaults.

Each group is a table of the settings file, `[bounds.body]` and so on; the description of a field is its row in
`docs/bounds.md`. A bound is checked before work is done on what it bounds. This module knows no HTTP and no storage.
"""

import pydantic

from vtn.settings import Section

MEBIBYTE = 1_048_576


def _count(default: int, description: str, *, least: int = 1, most: int | None = None) -> int:
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
    """What one client may keep stored here."""


class DeliveryBounds(Section):
    """What notifications may cost: of one subscription, one client, one host that is called."""


class ConnectionBounds(Section):
    """Connections to a listening port: how many of one address, how long they may say nothing."""


class Bounds(Section):
    """All of them."""

    body: BodyBounds = BodyBounds()
    caches: CacheBounds = CacheBounds()
    client: ClientQuotas = ClientQuotas()
    delivery: DeliveryBounds = DeliveryBounds()
    connections: ConnectionBounds = ConnectionBounds()
