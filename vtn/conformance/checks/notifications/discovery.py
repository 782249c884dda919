"""Local discovery by mDNS and DNS-SD (section DISC): what a VTN announces about itself, if it announces anything.

One look around serves all checks of a run. A VTN that is not announced is none for a customer's site, or has discovery
switched off; both are allowed, and the checks are skipped.
"""

import asyncio
import dataclasses
import ipaddress
import re
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from vtn.checking.verdict import Skipped, expect
from vtn.conformance.check import check
from vtn.conformance.checks.access.security import place
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import HttpAnswer

SERVICE = "_openadr3._tcp.local."
LOOKS_FOR_S = 1.5
ANSWERS_WITHIN_MS = 1500
LONGEST_TXT = 255


@dataclasses.dataclass(frozen=True, slots=True)
class Announced:
    """A service instance: its SRV target and port, the addresses of that name, and its TXT record."""

    name: str
    server: str
    port: int
    addresses: tuple[str, ...]
    text: Mapping[str, str | None]


_seen: dict[str, tuple[Announced, ...]] = {}


async def announced(kit: Kit) -> Announced:
    """How this VTN is announced; Skipped when it is not."""
    if kit.run not in _seen:
        _seen[kit.run] = await _look_around()
    host, port = place(kit)
    addresses = await _addresses(host)
    for one in _seen[kit.run]:
        same = one.server.rstrip(".").lower() == host.lower() or not addresses.isdisjoint(one.addresses)
        if same and one.port == port:
            return one
    raise Skipped(
        f"nothing is announced as {SERVICE} for {host}:{port}; discovery is optional, and may be switched off"
    )


async def _addresses(host: str) -> set[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[4][0]) for address in found}


async def _look_around() -> tuple[Announced, ...]:
    names: set[str] = set()

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        del zeroconf, service_type, state_change
        names.add(name)

    try:
        around = AsyncZeroconf()
    except OSError:
        return ()
    try:
        browser = AsyncServiceBrowser(around.zeroconf, SERVICE, handlers=[changed])
        await asyncio.sleep(LOOKS_FOR_S)  # nothing says when everybody has answered
        found = await asyncio.gather(*(_resolved(around, name) for name in sorted(names)))
        await browser.async_cancel()
    finally:
        await around.async_close()
    return tuple(one for one in found if one is not None)


async def _resolved(around: AsyncZeroconf, name: str) -> Announced | None:
    info = AsyncServiceInfo(SERVICE, name)
    if not await info.async_request(around.zeroconf, ANSWERS_WITHIN_MS) or not info.server or not info.port:
        return None
    text = {
        key.decode(errors="replace"): None if value is None else value.decode(errors="replace")
        for key, value in info.properties.items()
    }
    return Announced(name, info.server, info.port, tuple(info.parsed_addresses()), text)


def _said(one: Announced, key: str) -> str:
    value = one.text.get(key)
    expect(value, f"the TXT record should have {key}, has {sorted(one.text)}")
    return str(value)


async def _here(kit: Kit, url: str) -> HttpAnswer:
    """GET a URL of the announced .local name by the host name that the kit was called with."""
    mine, parts = urlsplit(kit.url), urlsplit(url)
    host = f"[{mine.hostname}]" if ":" in (mine.hostname or "") else mine.hostname
    netloc = f"{host}:{parts.port or 443}"
    return await kit.nobody.get(parts._replace(scheme=mine.scheme, netloc=netloc, fragment="").geturl())


@check("DISC-01", "DISC-05")
async def the_vtn_is_found_by_its_local_name(kit: Kit) -> None:
    """The service is at a .local host name, which stands for an address that the VTN is reached at."""
    one = await announced(kit)
    expect(one.server.lower().endswith(".local."), f"the host should be a .local name, is {one.server}")
    expect(one.addresses, f"{one.server} should have an address")
    for address in one.addresses:
        ipaddress.ip_address(address)
    host, _ = place(kit)
    expect(await _addresses(host) & set(one.addresses) or host in one.server, f"{one.server} is at {one.addresses}")


@check("DISC-02", "DISC-03")
async def the_service_type_leads_to_an_instance(kit: Kit) -> None:
    """A PTR query for _openadr3._tcp is answered with the name of a service instance of that type."""
    name = (await announced(kit)).name
    expect(name.endswith(f".{SERVICE}") and name != f".{SERVICE}", f"the instance should be named in it, is {name}")


@check("DISC-04")
async def the_srv_record_names_the_listening_port(kit: Kit) -> None:
    """The SRV record names the host and the port at which the VTN listens."""
    one = await announced(kit)
    path = urlsplit(kit.url).path
    (await _here(kit, f"https://{one.server.rstrip('.')}:{one.port}{path}/auth/server")).shows(200)


@check("DISC-06")
async def the_version_is_announced(kit: Kit) -> None:
    """TXT `version` is the version of OpenADR that is spoken, such as 3.1.0."""
    version = _said(await announced(kit), "version")
    expect(re.fullmatch(r"3\.\d+\.\d+", version), f"version should be like 3.1.0, is {version}")


@check("DISC-07")
async def the_base_path_leads_to_the_api(kit: Kit) -> None:
    """TXT `base_path`, which has no slash in front, leads to /auth/server."""
    one = await announced(kit)
    base = _said(one, "base_path")
    expect(not base.startswith("/"), f"base_path should have no slash in front, is {base}")
    (await _here(kit, f"https://{one.server.rstrip('.')}:{one.port}/{base.rstrip('/')}/auth/server")).shows(200)


@check("DISC-08")
async def the_local_url_leads_to_the_api(kit: Kit) -> None:
    """TXT `local_url` is https://HOST.local:PORT/BASE_PATH, and leads to /auth/server."""
    one = await announced(kit)
    url = _said(one, "local_url")
    wanted = f"{urlsplit(kit.url).scheme}://{one.server.rstrip('.')}:{one.port}/{_said(one, 'base_path').strip('/')}"
    expect(url.rstrip("/") == wanted, f"local_url should be {wanted}, is {url}")
    (await _here(kit, f"{url.rstrip('/')}/auth/server")).shows(200)


@check("DISC-09")
async def the_programs_for_local_vens_are_announced(kit: Kit) -> None:
    """TXT `program_names` is there, in a string of at most 255 bytes with its key."""
    one = await announced(kit)
    expect("program_names" in one.text, f"the TXT record should have program_names, has {sorted(one.text)}")
    length = len(f"program_names={one.text['program_names'] or ''}".encode())
    expect(length <= LONGEST_TXT, f"the string of program_names has {length} bytes")


@check("DISC-10")
async def it_is_announced_whether_a_token_is_needed(kit: Kit) -> None:
    """TXT `requires_auth` is True or False, and so it is: without a token /programs is answered 401 or not."""
    needed = _said(await announced(kit), "requires_auth")
    expect(needed in {"True", "False"}, f"requires_auth should be True or False, is {needed}")
    status = (await kit.nobody.get("/programs")).shows(200, 401).status
    expect((status == 401) == (needed == "True"), f"requires_auth is {needed}, but the answer is {status}")  # noqa: PLR2004 - Unauthorized


@check("DISC-11")
async def the_openapi_document_is_announced(kit: Kit) -> None:
    """TXT `openapi_url` is a URL that serves an OpenAPI document with the paths of OpenADR."""
    one = await announced(kit)
    url = _said(one, "openapi_url")
    local = (urlsplit(url).hostname or "") == one.server.rstrip(".").lower()
    answer = (await _here(kit, url) if local else await kit.nobody.get(url)).shows(200)
    expect("openapi" in answer.text[:10_000] and "/programs" in answer.text, f"{url} should serve the OpenAPI document")


@check("DISC-13")
async def discovery_changes_nothing_in_the_api(kit: Kit) -> None:
    """By its URL the VTN is used without discovery; where it is announced, the same token endpoint is named there."""
    named = (await kit.nobody.get("/auth/server")).shows(200).object
    (await kit.ven.get("/programs", ("limit", "1"))).shows(200)
    try:
        one = await announced(kit)
    except Skipped:
        return
    found = await _here(kit, f"{_said(one, 'local_url').rstrip('/')}/auth/server")
    expect(found.shows(200).object.keys() == named.keys(), "/auth/server should answer the same at the local URL")


@check("DISC-14")
async def a_program_is_marked_as_local(kit: Kit) -> None:
    """The attribute LOCAL of a program, by which a local VTN marks what it has adapted, is kept and shown to VENs."""
    mark = [{"type": "LOCAL", "values": [True]}]
    program = await kit.program(attributes=mark)
    shown = (await kit.ven.get(f"/programs/{program['id']}")).shows(200).object
    expect(shown.get("attributes") == mark, f"attributes should be {mark}, are {shown.get('attributes')}")
