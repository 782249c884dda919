"""A VTN at a customer's site announces itself on its own network: mDNS and DNS-SD (DISC-01..05).

The announcer announces what `records` makes, keeps it current and takes it back. It names untargeted programs only,
because the whole network listens. Nothing in the API depends on it.
"""

import asyncio
import logging
from collections.abc import Callable

import ifaddr
import zeroconf
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from vtn.notifiers.local_discovery.records import SERVICE, ServicePlace, text_record
from vtn.rules.topics import EVERYONE
from vtn.storage.read_model import ReadModel
from vtn.wire.enumerations import ObjectType

LOOK_EVERY_S = 6.0  # RFC 6762, 8.4: a record changes at most ten times a minute
RETRY_S = 60.0

_log = logging.getLogger(__name__)


def interface_addresses() -> list[str]:
    """The addresses of this machine's network interfaces."""
    every = (address.ip for adapter in ifaddr.get_adapters() for address in adapter.ips)
    return [address if isinstance(address, str) else address[0] for address in every]


class Announcer:
    """Announces this VTN until cancelled; where that fails it is tried again, and the API goes on without.

    `addresses` are asked for again and again, because a site's router may hand out others.
    """

    def __init__(
        self,
        here: ServicePlace,
        addresses: Callable[[], list[str]],
        model: ReadModel,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._here = here
        self._addresses = addresses
        self._model = model
        self._look_every_s = look_every_s

    async def run(self) -> None:
        """Announce; anew when the addresses have changed, and after a while when it failed."""
        while True:
            try:
                await self._announce(self._addresses())
            except (OSError, RuntimeError, zeroconf.Error) as error:
                _log.warning("%s.local cannot be announced: %r", self._here.name, error)
                await asyncio.sleep(RETRY_S)

    async def _announce(self, addresses: list[str]) -> None:
        """Announce these addresses until they are no longer ours."""
        responder = AsyncZeroconf(interfaces=addresses)
        try:
            told = self._text()
            service = self._service(f"{self._here.name}.{SERVICE}", addresses, told)
            await (await responder.async_register_service(service, allow_name_change=True))
            _log.info("announcing %s at %s", service.name, ", ".join(addresses))
            while self._addresses() == addresses:
                if (text := self._text()) != told:
                    told = text
                    await (await responder.async_update_service(self._service(service.name, addresses, told)))
                await asyncio.sleep(self._look_every_s)
        finally:
            await responder.async_unregister_all_services()
            await responder.async_close()

    def _service(self, name: str, addresses: list[str], text: dict[str, str]) -> AsyncServiceInfo:
        return AsyncServiceInfo(
            SERVICE,
            name,
            port=self._here.port,
            properties=text,
            server=f"{self._here.name}.local.",
            parsed_addresses=addresses,
        )

    def _text(self) -> dict[str, str]:
        """What is to be said now."""
        programs = self._model.every(ObjectType.PROGRAM)
        shared = (one for one in programs if self._model.visible(ObjectType.PROGRAM, one.id, EVERYONE))
        return text_record(self._here, (one.name for one in shared if one.name))
