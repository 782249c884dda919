"""The public vendors whose clouds can be simulated: one row each, and a cloud of any of them made from its row."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from ven_adapters.simulator.public import enode, smartcar, tesla
from ven_adapters.simulator.public.commands import Commands
from ven_adapters.simulator.public.grants import MARK, App, Grants
from ven_adapters.simulator.public.vendor_cloud import HOME, TOKEN_PATH, VendorCloud, VendorProtocol
from vtn.clock import Clock

APP = App("simulated-application", f"{MARK}-client")
HOOK_SECRET = f"{MARK}-webhook"
NAMES_SECRET = f"{MARK}-names"


@dataclasses.dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor: how it speaks, what it calls its cars, how it signs webhooks, and the phases of its cars' supply."""

    protocol: Callable[[VendorCloud], VendorProtocol]
    native: str
    sign: Callable[[str, bytes], Mapping[str, str]] | None = None
    phases: int = 1
    owners: bool = False
    places: bool = False


VENDORS: Mapping[str, Vendor] = {
    "tesla": Vendor(tesla.FleetApi, "7ZZZZ9ZZ9Z1{:06d}", owners=True, places=True),
    "smartcar": Vendor(smartcar.Signals, "veh-synthetic-{:04d}", smartcar.signed),
    "enode": Vendor(enode.Actions, "car-synthetic-{:04d}", enode.signed, enode.PHASES, places=True),
}


class PublicCloud:
    """A vendor's cloud, ready to be served: its paths, its protocol and what an adapter needs to know of it."""

    def __init__(self, name: str, cloud: Commands, clock: Clock, app: App = APP) -> None:
        self.name, self.vendor = name, VENDORS[name]
        cloud.phases = self.vendor.phases
        refs = cloud.fleet.refs
        natives = [self.vendor.native.format(number) for number in range(1, len(refs) + 1)]
        owners = [f"owner-{number}" for number in range(1, len(refs) + 1)] if self.vendor.owners else []
        self.owners: Sequence[str] = owners
        self._app, self.grants = app, Grants(app, owners)
        self.vendor_cloud = VendorCloud(cloud, clock, natives, self.grants)
        self.protocol = self.vendor.protocol(self.vendor_cloud)

    def application(self) -> web.Application:
        """The cloud's HTTP vendor_cloud."""
        return self.vendor_cloud.application(self.protocol)

    def tick(self) -> None:
        """Bring the cars to the present and push what changed."""
        self.vendor_cloud.tick(self.protocol)

    def listen_at(self, port: int) -> None:
        """Deliver webhooks to a port of this machine from now on, where this vendor has any."""
        sign = self.vendor.sign
        if sign is not None:
            self.vendor_cloud.hooks.open(f"http://127.0.0.1:{port}/", lambda body: sign(HOOK_SECRET, body))

    def settings(self, url: str) -> dict[str, Any]:
        """The `[backend]` table of the adapter, without `state` and `clock`."""
        refs = self.vendor_cloud.cloud.fleet.refs
        given: dict[str, Any] = {
            "url": url,
            "token_url": f"{url}{TOKEN_PATH}",
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret,
            "pseudonym_secret": NAMES_SECRET,
            "vehicles": dict(zip(self.vendor_cloud.natives, refs, strict=True)),
        }
        return given | ({"homes": {ref: list(HOME) for ref in refs}} if self.vendor.places else {})
