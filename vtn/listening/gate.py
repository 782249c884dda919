"""How many connections a port has, by address, and which one goes when there are too many.

A connection is unproven until whoever serves it says that it has shown a valid credential or finished its handshake.
When a bound is reached, the oldest unproven connection makes room: of the same address, or of the address with most of
them. A proven connection never makes room for another; when none but proven ones are left, the newcomer is refused.
No input or output here, and no clock.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable

from vtn.bounds import ConnectionBounds

IPV6_NETWORK_BITS = 64  # what one customer of a provider is given


class ConnectionSlot:
    """One connection's place at a port, from its acceptance to its end. `cut` closes the connection."""

    __slots__ = ("_gate", "address", "cut", "left", "proven")

    def __init__(self, gate: "ConnectionGate", address: str, cut: Callable[[], None]) -> None:
        self._gate = gate
        self.address = address
        self.cut = cut
        self.proven = False
        self.left = False

    def prove(self) -> None:
        """A valid credential was shown, or the handshake is done; from now on nobody takes this place."""
        if not self.proven and not self.left:
            self._gate.prove(self)

    def leave(self) -> None:
        """The connection is over; leaving twice is harmless."""
        if not self.left:
            self._gate.leave(self)


class ConnectionGate:
    """The places at one port. `displaced` and `refused` count who had to go and who was not let in."""

    def __init__(self, bounds: ConnectionBounds, *, files: int | None = None) -> None:
        """`files`: how many files this process may have open; connections take three quarters of them at most."""
        most = bounds.connections if files is None else max(1, min(bounds.connections, files * 3 // 4))
        self._most = most
        self._of_one_address = min(bounds.of_one_address, most)
        self._unproven_most = min(bounds.unproven, max(1, most // 2))
        self._unproven_of_one_address = min(bounds.unproven_of_one_address, self._unproven_most)
        self._unproven: dict[str, dict[ConnectionSlot, None]] = {}
        self._unproven_count = 0
        self._proven: Counter[str] = Counter()
        self._proven_count = 0
        self.displaced = 0
        self.refused = 0

    @property
    def proven(self) -> int:
        """How many proven connections there are."""
        return self._proven_count

    @property
    def unproven(self) -> int:
        """How many unproven connections there are."""
        return self._unproven_count

    def admit(self, address: str, cut: Callable[[], None]) -> ConnectionSlot | None:
        """A place for a new connection, perhaps at the cost of an unproven one; None when there is none."""
        network = network_of(address)
        own = self._unproven.get(network, {})
        if len(own) >= self._unproven_of_one_address:
            self._displace(network)
        elif self._unproven_count >= self._unproven_most:
            self._displace(self._greediest())
        if self._proven[network] + len(own) >= self._of_one_address and not self._displace(network):
            self.refused += 1
            return None
        if self._unproven_count + self._proven_count >= self._most and not self._displace(self._greediest()):
            self.refused += 1
            return None
        slot = ConnectionSlot(self, network, cut)
        self._unproven.setdefault(network, {})[slot] = None
        self._unproven_count += 1
        return slot

    def make_room(self) -> bool:
        """Close an unproven connection, because the process has no files left; whether there was one."""
        return self._displace(self._greediest())

    def prove(self, slot: ConnectionSlot) -> None:
        """See `ConnectionSlot.prove`."""
        self._forget_unproven(slot)
        slot.proven = True
        self._proven[slot.address] += 1
        self._proven_count += 1

    def leave(self, slot: ConnectionSlot) -> None:
        """See `ConnectionSlot.leave`."""
        slot.left = True
        if not slot.proven:
            self._forget_unproven(slot)
            return
        self._proven_count -= 1
        self._proven[slot.address] -= 1
        if not self._proven[slot.address]:
            del self._proven[slot.address]

    def _forget_unproven(self, slot: ConnectionSlot) -> None:
        own = self._unproven[slot.address]
        del own[slot]
        if not own:
            del self._unproven[slot.address]
        self._unproven_count -= 1

    def _greediest(self) -> str | None:
        """The address with most unproven connections."""
        return max(self._unproven, key=lambda address: len(self._unproven[address]), default=None)

    def _displace(self, address: str | None) -> bool:
        """Close the oldest unproven connection of an address; whether it had one."""
        slot = next(iter(self._unproven.get(address or "", ())), None)
        if slot is None:
            return False
        slot.leave()
        self.displaced += 1
        slot.cut()
        return True


def network_of(address: str) -> str:
    """Whom an address belongs to: an IPv4 address to itself, an IPv6 address to its /64 network."""
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(read, ipaddress.IPv4Address):
        return str(read)
    if read.ipv4_mapped is not None:
        return str(read.ipv4_mapped)
    return str(ipaddress.IPv6Network((read, IPV6_NETWORK_BITS), strict=False))
