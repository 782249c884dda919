"""A VTN that announces itself on the loopback interface, and a VEN that finds it there."""

import asyncio
import contextlib
import socket
from typing import Self

import pytest
from vtn_process import Party, fresh

PATIENCE_S = 90.0
SERVICE = "_openadr3._tcp.local."
HOST = "127.0.0.1"

zeroconf = pytest.importorskip("zeroconf")
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf  # noqa: E402 - after the skip


def multicast_works() -> bool:
    """Whether a datagram to the mDNS group comes back on the loopback interface."""
    group = "224.0.0.251"
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(OSError))
        taker, giver = (stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2))
        taker.bind((group, 0))
        taker.settimeout(2)
        both = socket.inet_aton(group) + socket.inet_aton(HOST)
        taker.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, both)
        giver.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
        giver.sendto(b"here", (group, taker.getsockname()[1]))
        return taker.recv(16) == b"here"
    return False


pytestmark = pytest.mark.skipif(not multicast_works(), reason="this machine carries no multicast on its loopback")


@pytest.fixture(scope="module")
def name():
    return fresh("vtn")


@pytest.fixture(scope="module")
def announced(launch, name):
    """A server that announces itself, on the loopback interface only."""
    with launch({"discovery.enabled": "true", "discovery.name": name}, process=True) as server:
        yield server


class Ven:
    """A VEN that browses for VTNs, as the standard has it."""

    def __init__(self) -> None:
        self.seen = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self.dns = AsyncZeroconf(interfaces=[HOST])
        self._browser = AsyncServiceBrowser(self.dns.zeroconf, SERVICE, handlers=[self._changed])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._browser.async_cancel()
        await self.dns.async_close()

    def _changed(self, **_):
        self._task = asyncio.ensure_future(self._tell())

    async def _tell(self):
        async with self.seen:
            self.seen.notify_all()

    async def find(self, name, holds=lambda _text: True):
        """The announcement of this instance, once its text is as wanted."""
        info = AsyncServiceInfo(SERVICE, f"{name}.{SERVICE}")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await info.async_request(self.dns.zeroconf, 1000) and holds(text(info)):
                    return info
                async with self.seen:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self.seen.wait(), 1)


def text(info):
    return {key.decode(): (value or b"").decode() for key, value in info.properties.items()}


async def test_a_ven_finds_the_vtn_and_the_url_leads_to_it(announced, name, http):
    port = int(announced.root.rpartition(":")[2])
    async with Ven() as ven:
        info = await ven.find(name)
        host = zeroconf.AddressResolverIPv4(f"{name}.local.")
        assert await host.async_request(ven.dns.zeroconf, 3000)
        assert host.parsed_addresses() == [HOST]
    said = text(info)
    assert (info.server, info.port, info.priority, info.weight) == (f"{name}.local.", port, 0, 0)
    assert info.parsed_addresses() == [HOST]
    assert said["local_url"] == f"http://{name}.local:{port}/openadr3/3.1.0"
    assert (said["version"], said["base_path"], said["requires_auth"]) == ("3.1.0", "openadr3/3.1.0", "True")
    for url in (f"{said['local_url']}/auth/server", said["openapi_url"]):
        async with http.get(url.replace(f"{name}.local", info.parsed_addresses()[0])) as answer:
            assert answer.status == 200


async def test_program_names_follow_the_programs_and_keep_targeted_ones_to_themselves(announced, name, http):
    bl = Party(http, announced.url, announced.token("bl"))
    hidden, shown, split = fresh("hidden"), fresh("shown"), f"{fresh('a')},{fresh('b')}"
    await bl.made("/programs", {"programName": hidden, "targets": ["g1"]})
    await bl.made("/programs", {"programName": split})
    program = await bl.made("/programs", {"programName": shown})
    async with Ven() as ven:
        said = text(await ven.find(name, lambda said: shown in said["program_names"]))
        assert hidden not in said["program_names"]
        assert split not in said["program_names"]
        (await bl.delete(f"/programs/{program['id']}")).shows(200)
        said = text(await ven.find(name, lambda said: shown not in said["program_names"]))
    assert said["program_names"] == ""


async def test_a_vtn_that_stops_takes_its_announcement_back(launch):
    own = fresh("vtn")
    gone = asyncio.Event()

    def watch(name, state_change, **_):
        if name == f"{own}.{SERVICE}" and state_change is zeroconf.ServiceStateChange.Removed:
            gone.set()

    async with Ven() as ven:
        with launch({"discovery.enabled": "true", "discovery.name": own}, process=True):
            await ven.find(own)
            browser = AsyncServiceBrowser(ven.dns.zeroconf, SERVICE, handlers=[watch])
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
        await browser.async_cancel()


def test_discovery_is_off_unless_asked_for(vtn):
    assert "announcing" not in vtn.log
