"""Which addresses a callback may be made to: a pure table, asked about the very address that is connected to.

A callback URL is written by a client, so the VTN must not be led by it to its own machine, its network or its cloud's
metadata service (Definition, Webhooks, additional guidelines; HOOK-05). The table follows the IANA registries of
special-purpose addresses and the clouds' own documents. An operator may open networks of its own site (TR-68).
"""

import dataclasses
import ipaddress
from collections.abc import Collection

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """Why an address is not called; `opens` when an operator may say that the network is its own."""

    what: str
    opens: bool = False


METADATA = Ground("a cloud metadata address")
LOOPBACK = Ground("a loopback address")
UNSPECIFIED = Ground("an unspecified address")
MULTICAST = Ground("a multicast address")
BROADCAST = Ground("a broadcast address")
TUNNEL = Ground("a tunnel address")
LINK_LOCAL = Ground("a link-local address", opens=True)
UNIQUE_LOCAL = Ground("a unique-local address", opens=True)
PRIVATE = Ground("a private address", opens=True)
SHARED = Ground("a shared address of a provider's network", opens=True)
RESERVED = Ground("a reserved address", opens=True)

TABLE: tuple[tuple[Ground, tuple[str, ...]], ...] = (
    (METADATA, ("169.254.169.0/24", "169.254.170.0/24", "fd00:ec2::/32")),  # AWS, and most others at 169.254.169.254
    (METADATA, ("168.63.129.16", "fd20:ce::254")),  # Azure, Google
    (METADATA, ("100.100.100.200", "192.0.0.192", "fd00:c1::a9fe:a9fe")),  # Alibaba, Oracle
    (METADATA, ("169.254.0.23", "169.254.42.42", "fd00:42::42", "fe80::a9fe:a9fe")),  # Tencent, Scaleway, OpenStack
    (LOOPBACK, ("127.0.0.0/8", "::1")),
    (UNSPECIFIED, ("0.0.0.0/8", "::")),
    (MULTICAST, ("224.0.0.0/4", "ff00::/8")),
    (BROADCAST, ("255.255.255.255",)),
    (TUNNEL, ("2002::/16", "192.88.99.0/24", "2001::/32")),  # 6to4 and its relays, Teredo
    (TUNNEL, ("192.52.193.0/24", "2001:3::/32", "64:ff9b:1::/48")),  # AMT, a site's own NAT64
    (LINK_LOCAL, ("169.254.0.0/16", "fe80::/10")),
    (UNIQUE_LOCAL, ("fc00::/7",)),
    (PRIVATE, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fec0::/10")),
    (SHARED, ("100.64.0.0/10",)),
    (RESERVED, ("192.0.0.0/24", "192.31.196.0/24", "192.175.48.0/24", "2001::/23", "2620:4f:8000::/48")),  # protocols
    (RESERVED, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")),  # documentation
    (RESERVED, ("198.18.0.0/15", "100::/64", "100:0:0:1::/64", "5f00::/16", "240.0.0.0/4")),
)
REFUSED = tuple((ipaddress.ip_network(text), ground) for ground, texts in TABLE for text in texts)
UNICAST = ipaddress.IPv6Network("2000::/3")

# IPv4-mapped, NAT64, IPv4-translated and the long gone IPv4-compatible form
STAND_FOR_IPV4 = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96", "::ffff:0:0:0/96", "::/96")))
ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


def refusal(text: str, *, allow_loopback: bool = False, local_networks: Collection[Network] = ()) -> str | None:
    """Why this IP address may not be called, or None.

    `allow_loopback` opens 127.0.0.0/8 and ::1 and nothing else. `local_networks` opens what it names, but never
    loopback, metadata, tunnel, multicast, broadcast and unspecified addresses.
    """
    try:
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return f"{text} is not an IP address"
    ground = _ground(address)
    if ground is None or (allow_loopback and address.is_loopback):
        return None
    if ground.opens and any(_within(address, network) for network in local_networks):
        return None
    return f"{address} is {ground.what}"


def _ground(address: Address) -> Ground | None:
    """Why an address is refused; one that no table names must still be global."""
    if address.version == 6 and (int(address) >> 32) & 0xFFFF_FFFF in ISATAP:  # noqa: PLR2004 - the protocol's version
        return TUNNEL
    named = next((ground for network, ground in REFUSED if _within(address, network)), None)
    beyond = not address.is_global or (address.version == 6 and address not in UNICAST)  # noqa: PLR2004 - the same
    return named or (RESERVED if beyond else None)


def _within(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address) or int(address) <= 1:
        return address
    embeds = any(address in network for network in STAND_FOR_IPV4)
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if embeds else address
