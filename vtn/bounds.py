"""Every bound on what comes from outside: how large, how many, how often, how long. One place, with sane defaults.

Each group is a table of the settings file, `[bounds.body]` and so on; the description of a field is its row in
`docs/bounds.md`. A bound is checked before work is done on what it bounds. This module knows no HTTP and no storage.
"""

from vtn.settings import Section


class BodyBounds(Section):
    """What one request body may hold, and how its faults are told."""


class ClientQuotas(Section):
    """What one client may keep stored here."""


class DeliveryBounds(Section):
    """What notifications may cost: of one subscription, one client, one host that is called."""


class ConnectionBounds(Section):
    """Connections to a listening port: how many of one address, how long they may say nothing."""


class Bounds(Section):
    """All of them."""

    body: BodyBounds = BodyBounds()
    client: ClientQuotas = ClientQuotas()
    delivery: DeliveryBounds = DeliveryBounds()
    connections: ConnectionBounds = ConnectionBounds()
