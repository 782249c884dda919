"""Transport and platform security (section SEC), as far as it shows from outside."""

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import struct
from urllib.parse import urlsplit

import aiohttp

from vtn.checking.verdict import Skipped, expect
from vtn.conformance.check import Need, check
from vtn.conformance.checks.access.authentication import own_tokens
from vtn.conformance.kit import COLLECTIONS, Kit
from vtn.conformance.parties.exchange import HttpAnswer, Party
from vtn.conformance.requirements import Level

TLS = (Need.TLS,)
WITHIN_S = 10.0
HANDSHAKE = 0x16
TLS_1_0, TLS_1_1 = (3, 1), (3, 2)
OLD_CIPHERS = (0xC013, 0xC014, 0xC009, 0xC00A, 0x002F, 0x0035, 0x000A)
WITHOUT_ENCRYPTION = (0x0001, 0x0002, 0x003B, 0xC006, 0xC010, 0xC015)
WITHOUT_AUTHENTICATION = (0x0018, 0x001B, 0x0034, 0x006C, 0xC018, 0xC019)
BROKEN = (0x0004, 0x0005, 0x0009, 0x000A, 0x0016, 0xC007, 0xC008, 0xC011, 0xC012)
WEAK_CIPHERS = (*WITHOUT_ENCRYPTION, *WITHOUT_AUTHENTICATION, *BROKEN)
GROUPS = (0x001D, 0x0017, 0x0018)
BURST = 40
SHOWN_BYTES = 4096


def place(kit: Kit) -> tuple[str, int]:
    """Host and port of the VTN."""
    parts = urlsplit(kit.url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


# --- TLS -------------------------------------------------------------------------------------------------------------


async def _sent(kit: Kit, data: bytes) -> bytes:
    """What comes back for bytes on a fresh TCP connection; nothing when it is closed."""
    answer = b""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(WITHIN_S):
            reader, writer = await asyncio.open_connection(*place(kit))
            try:
                writer.write(data)
                await writer.drain()
                answer = await reader.read(SHOWN_BYTES)
            finally:
                writer.close()
    return answer


@check("SEC-01", needs=TLS)
async def plain_http_opens_nothing(kit: Kit) -> None:
    """The https port, and port 80 of the same host, answer no request of plain HTTP with anything of the API."""
    host, _ = place(kit)
    path = f"{urlsplit(kit.url).path}/auth/server"
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    expect(b"tokenURL" not in await _sent(kit, request.encode()), "the https port answers plain HTTP")
    name = f"[{host}]" if ":" in host else host
    try:
        async with asyncio.timeout(WITHIN_S):
            other = await kit.nobody.get(f"http://{name}:80{path}")
    except (aiohttp.ClientError, OSError, TimeoutError):
        return
    expect("tokenURL" not in other.text, "port 80 serves the API without TLS")


def hello(version: tuple[int, int], ciphers: tuple[int, ...], host: str) -> bytes:
    """A ClientHello (RFC 5246, 7.4.1.2) that offers this version at most, and these cipher suites."""

    def counted(content: bytes, size: int = 2) -> bytes:
        return len(content).to_bytes(size, "big") + content

    def extension(kind: int, content: bytes) -> bytes:
        return struct.pack("!H", kind) + counted(content)

    extensions = extension(10, counted(b"".join(struct.pack("!H", group) for group in GROUPS)))
    extensions += extension(11, counted(b"\x00", 1))
    extensions += extension(13, counted(bytes.fromhex("040304010503050106030601080408050806020302010101")))
    with contextlib.suppress(UnicodeError):
        extensions = extension(0, counted(b"\x00" + counted(host.encode("ascii")))) + extensions
    suites = counted(b"".join(struct.pack("!H", suite) for suite in ciphers))
    body = bytes(version) + os.urandom(32) + b"\x00" + suites + b"\x01\x00" + counted(extensions)
    handshake = b"\x01" + counted(body, 3)
    return bytes((HANDSHAKE, 3, 1)) + counted(handshake)


async def _accepts(kit: Kit, version: tuple[int, int], ciphers: tuple[int, ...]) -> bool:
    """Whether the VTN goes on after such a hello, instead of closing or answering with an alert."""
    return (await _sent(kit, hello(version, ciphers, place(kit)[0])))[:1] == bytes((HANDSHAKE,))


async def _speaks(kit: Kit, version: ssl.TLSVersion) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return await _handshake(kit, context)


async def _handshake(kit: Kit, context: ssl.SSLContext) -> bool:
    host, port = place(kit)
    try:
        async with asyncio.timeout(WITHIN_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


@check("SEC-02", needs=TLS)
async def only_tls_1_2_and_later_is_spoken(kit: Kit) -> None:
    """TLS 1.0 and 1.1 are refused, and 1.2 or 1.3 is spoken."""
    for version, name in ((TLS_1_0, "1.0"), (TLS_1_1, "1.1")):
        expect(not await _accepts(kit, version, OLD_CIPHERS), f"TLS {name} is accepted")
    versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    expect(any([await _speaks(kit, version) for version in versions]), "neither TLS 1.2 nor 1.3 is spoken")


@check("SEC-02", needs=TLS, level=Level.READING)
async def tls_1_2_and_1_3_are_both_spoken(kit: Kit) -> None:
    """A VEN that speaks only TLS 1.2 gets in, and one that speaks only 1.3 does."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        expect(await _speaks(kit, version), f"{version.name} is not spoken")


async def _is_local(kit: Kit) -> bool:
    """Whether the VTN's host stands for private addresses only."""
    host, port = place(kit)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return not any(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_global for address in found)


async def _is_known(kit: Kit) -> bool:
    """Whether the certificate is valid for the host by the authorities of this system."""
    return await _handshake(kit, ssl.create_default_context())


@check("SEC-03", needs=TLS)
async def the_certificate_is_from_a_known_authority(kit: Kit) -> None:
    """The certificate is valid for the host by the authorities that this system knows."""
    if not await _is_known(kit) and await _is_local(kit):
        raise Skipped("the certificate is a private one, which a VTN within a private network may have (SEC-04)")
    expect(await _is_known(kit), "the certificate is from an unknown authority, or not for this host")


@check("SEC-04", needs=TLS)
async def a_private_certificate_is_used_in_private_networks_only(kit: Kit) -> None:
    """Where the certificate is not from a known authority the VTN's host has private addresses only."""
    expect(await _is_known(kit) or await _is_local(kit), "a VTN at a public address has a private certificate")


@check("SEC-05", needs=TLS)
async def weak_ciphers_are_refused(kit: Kit) -> None:
    """Cipher suites without encryption or authentication, and those with RC4, DES or 3DES, are refused."""
    for version in (TLS_1_1, (3, 3)):
        expect(not await _accepts(kit, version, WEAK_CIPHERS), "a weak cipher suite is accepted")


# --- the platform ----------------------------------------------------------------------------------------------------


async def _once(party: Party) -> HttpAnswer:
    """A small read, whatever it is answered."""
    return await party.send("GET", "/events", query=(("limit", "1"),), patient=False)


@check("SEC-07")
async def a_burst_is_served_or_put_off(kit: Kit) -> None:
    """Forty reads at once are each served, or put off with 429."""
    answers = await asyncio.gather(*(_once(kit.ven) for _ in range(BURST)))
    for answer in answers:
        answer.shows(200, 429)
    expect(any(answer.status == 200 for answer in answers), "not one of them was served")  # noqa: PLR2004 - OK


@check("SEC-08")
async def there_are_no_sessions(kit: Kit) -> None:
    """No answer sets a cookie, and a request without its own token is refused right after one with."""
    for path in ("/auth/server", "/notifiers", *(f"/{collection}" for collection in COLLECTIONS)):
        answer = (await kit.ven.get(path)).shows(200)
        expect("Set-Cookie" not in answer.headers, f"{path} sets a cookie")
        if path != "/auth/server" and path not in {"/programs", "/events"}:
            (await kit.nobody.get(path)).problem(401)
    expect("Set-Cookie" not in (await kit.ven.ask_token({})).headers, "the token endpoint sets a cookie")


@check("SEC-11")
async def secrets_are_not_repeated(kit: Kit) -> None:
    """Refusals repeat neither a wrong secret nor a wrong token, and tokens are answered with no-store."""
    secret, token = kit.name("secret"), kit.name("token")
    refusal = (await kit.nobody.bearing(token).get("/vens")).problem(401)
    expect(token not in refusal.text, "a refusal repeats the token")
    await own_tokens(kit)
    expect(secret not in (await kit.ven2.ask_token({"client_secret": secret})).text, "a refusal repeats the secret")
    kept = (await kit.ven2.ask_token({})).shows(200).headers.get("Cache-Control", "")
    expect("no-store" in kept, f"a token should be answered with Cache-Control: no-store, but with {kept!r}")
