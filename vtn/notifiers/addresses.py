"""Which addresses a callback may be made to: a pure table, asked about the very address that is connected to.

A callback URL is written by a client, so the VTN must not be led by it to its own machine, its network or its cloud's
metadata service (Definition, Webhooks, additional guidelines; HOOK-05).
"""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
COMPATIBLE = ipaddress.IPv6Network("::/96")

REFUSED: tuple[tuple[Network, str], ...] = (
    (ipaddress.IPv4Network("169.254.169.254/32"), "a cloud metadata address"),
    (ipaddress.IPv4Network("168.63.129.16/32"), "a cloud metadata address"),
    (ipaddress.IPv4Network("100.100.100.200/32"), "a cloud metadata address"),
    (ipaddress.IPv6Network("fd00:ec2::254/128"), "a cloud metadata address"),
    (ipaddress.IPv4Network("192.0.0.192/32"), "a cloud metadata address"),
    (ipaddress.IPv4Network("192.0.0.0/24"), "a reserved address"),
    (LOCAL_NAT64, "a private address"),
    (ipaddress.IPv4Network("127.0.0.0/8"), "a loopback address"),
    (ipaddress.IPv6Network("::1/128"), "a loopback address"),
    (ipaddress.IPv4Network("169.254.0.0/16"), "a link-local address"),
    (ipaddress.IPv6Network("fe80::/10"), "a link-local address"),
    (ipaddress.IPv6Network("fc00::/7"), "a unique-local address"),
    (ipaddress.IPv4Network("10.0.0.0/8"), "a private address"),
    (ipaddress.IPv4Network("172.16.0.0/12"), "a private address"),
    (ipaddress.IPv4Network("192.168.0.0/16"), "a private address"),
    (ipaddress.IPv6Network("fec0::/10"), "a private address"),
    (ipaddress.IPv4Network("224.0.0.0/4"), "a multicast address"),
    (ipaddress.IPv6Network("ff00::/8"), "a multicast address"),
)


def refusal(text: str, *, allow_loopback: bool = False) -> str | None:
    """Why this IP address may not be called, or None; `allow_loopback` opens 127.0.0.0/8 and ::1 and nothing else."""
    try:
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return f"{text} is not an IP address"
    if allow_loopback and address.is_loopback:
        return None
    named = next((why for network, why in REFUSED if address.version == network.version and address in network), None)
    if named is None and not address.is_global:
        named = "a reserved address"
    return f"{address} is {named}" if named else None


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address in SIX_TO_FOUR and address.sixtofour:
        return address.sixtofour
    embeds = address in NAT64 or address in TRANSLATED or (address in COMPATIBLE and int(address) > 1)
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if embeds else address
