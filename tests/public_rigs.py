"""One rig for each public vendor: the adapter, its recorded cloud, and a hurried clock."""

import contextlib
import dataclasses
from datetime import UTC, datetime, timedelta

from pacing import standing_time
from recorded import EVENING, EnodeCloud, SmartcarCloud, TeslaCloud, hurried

from ven_adapters.contract import Directive, DirectiveKind
from ven_adapters.oems import enode, smartcar
from ven_adapters.oems.tesla import backend as tesla
from ven_adapters.transport.grants.grants import Folder, store
from ven_adapters.transport.grants.oauth import Grant

PATIENCE_S, SPEED = 90.0, 1_200.0


@dataclasses.dataclass
class Rig:
    vendor: str
    backend: object
    cloud: object
    clock: object
    settings: dict
    number: int = 0
    refs: tuple = ()

    def directive(self, ref, kind=DirectiveKind.CURTAIL, *, minutes=60, starts_in_s=0.0, **more):
        self.number += 1
        start = self.clock.now() + timedelta(seconds=starts_in_s)  # type: ignore[attr-defined]
        end = start + timedelta(minutes=minutes)
        given = {"directive_id": f"d-{self.number}", "key": f"k-{self.number}", "not_after": end} | more
        return Directive(vehicle_ref=ref, kind=kind, start=start, end=end, **given)

    async def submit(self, directive):
        ref = directive.vehicle_ref
        capability, snapshot = await self.backend.capabilities(ref), await self.backend.snapshot(ref)  # type: ignore[attr-defined]
        return await self.backend.submit(directive, capability, snapshot)  # type: ignore[attr-defined]

    def reborn(self):
        """The same adapter in a new life."""
        return dataclasses.replace(self, backend=MAKERS[self.vendor](self.settings))

    def car(self, place=0):
        return list(self.cloud.cars.values())[place]  # type: ignore[attr-defined]


def usual(cloud, clock, state):
    return {
        "url": cloud.url,
        "token_url": f"{cloud.url}/token",
        "client_id": "us",
        "client_secret": "hush-client",
        "pseudonym_secret": "hush-names",
        "state": state,
        "clock": clock,
    }


def consented(state, name="owner-1", *, lives_s=0):
    """An owner's grant, worn out unless told otherwise, so that the first call renews it."""
    expires_at = datetime.now(UTC) + timedelta(seconds=lives_s)
    store(Folder(state / "grants").file(name), Grant("old", expires_at, "refresh_token-0"))


@contextlib.asynccontextmanager
async def tesla_rig(state, speed=SPEED, *, standing=True, **more):
    """A Tesla; without `standing` its clock can be shared with another process."""
    async with contextlib.AsyncExitStack() as stack:
        driven = await stack.enter_async_context(standing_time(when=standing))
        clock = driven.clock(EVENING, speed) if standing else hurried(speed)
        cloud = await stack.enter_async_context(TeslaCloud(clock).open())
        consented(state)
        settings = usual(cloud, clock, state) | {"vehicles": {vin: f"t-{n}" for n, vin in enumerate(cloud.cars)}}
        settings |= {"homes": {"t-0": [0.0, 0.0], "t-1": [0.0, 0.0]}} | more
        backend = tesla.backend(settings)
        try:
            yield Rig("tesla", backend, cloud, clock, settings, refs=("t-0", "t-1"))
        finally:
            await backend.close()


@contextlib.asynccontextmanager
async def app_rig(vendor, make, cloud_of, state, speed=SPEED, **more):
    """A vendor that gives one grant to the whole application."""
    async with contextlib.AsyncExitStack() as stack:
        clock = (await stack.enter_async_context(standing_time())).clock(EVENING, speed)
        cloud = await stack.enter_async_context(cloud_of(clock).open())
        refs = tuple(f"{vendor[0]}-{n}" for n in range(2))
        settings = usual(cloud, clock, state) | {"vehicles": dict(zip(cloud.cars, refs, strict=True))}
        settings |= {"management_url": cloud.url} | more
        backend = make(settings)
        try:
            yield Rig(vendor, backend, cloud, clock, settings, refs=refs)
        finally:
            await backend.close()


def smartcar_rig(state, **more):
    return app_rig("smartcar", smartcar.backend, SmartcarCloud, state, **more)


def enode_rig(state, **more):
    homes = {"e-0": [0.0, 0.0], "e-1": [0.0, 0.0]}
    return app_rig("enode", enode.backend, EnodeCloud, state, **({"homes": homes} | more))


MAKERS = {"enode": enode.backend, "smartcar": smartcar.backend, "tesla": tesla.backend}
RIGS = {"enode": enode_rig, "smartcar": smartcar_rig, "tesla": tesla_rig}
