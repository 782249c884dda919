"""How a sound adapter is broken, one thing at a time, and the check that must notice."""

import dataclasses
from collections.abc import Callable

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.oems import nissan

BROKEN: dict[str, "Broken"] = {}


@dataclasses.dataclass(frozen=True)
class Broken:
    """A broken adapter: what is wrong with it in words, the check aimed at it, and how it is made."""

    name: str
    words: str
    check: str
    make: Callable
    brand: str


def broken(check, brand="nissan"):
    """Register `make(settings, patch)`, or a class made of settings; its docstring says what is wrong."""

    def add(make):
        words = " ".join((make.__doc__ or "").split())
        BROKEN[make.__name__] = Broken(make.__name__, words, check, make, brand)
        return make

    return add


class Whole:
    """A sound adapter, call by call; its heirs break one of them."""

    oem = nissan

    def __init__(self, settings, patch=None) -> None:
        self.settings, self.patch = settings, patch
        self.inner = self.oem.backend(settings)

    @property
    def now(self):
        return self.settings["clock"].now()

    async def vehicles(self):
        async for vehicle in self.inner.vehicles():
            yield vehicle

    async def capabilities(self, ref):
        return await self.inner.capabilities(ref)

    async def snapshot(self, ref, *, max_age_s=None):
        return await self.inner.snapshot(ref, max_age_s=max_age_s)

    async def submit(self, directive, capability, snapshot):
        return await self.inner.submit(directive, capability, snapshot)

    async def cancel(self, vehicle_ref, directive_id):
        return await self.inner.cancel(vehicle_ref, directive_id)

    async def status(self, vehicle_ref, directive_id):
        return await self.inner.status(vehicle_ref, directive_id)

    async def events(self):
        async for event in self.inner.events():
            yield event

    async def close(self):
        await self.inner.close()


class Readings(Whole):
    """Every reading of every snapshot is changed by `change(name, reading)`."""

    def change(self, name, reading):
        raise NotImplementedError

    async def snapshot(self, ref, *, max_age_s=None):
        told = await self.inner.snapshot(ref, max_age_s=max_age_s)
        names = [field.name for field in dataclasses.fields(told) if field.name != "vehicle_ref"]
        changed = {name: self.change(name, reading) for name in names if (reading := getattr(told, name)) is not None}
        return dataclasses.replace(told, **changed)


class Orders(Whole):
    """Every directive is changed by `change(directive)` before it is submitted."""

    def change(self, directive):
        raise NotImplementedError

    async def submit(self, directive, capability, snapshot):
        return await self.inner.submit(self.change(directive), capability, snapshot)


class Stands(Whole):
    """Every status is changed by `change(status)`."""

    def change(self, status):
        raise NotImplementedError

    async def status(self, vehicle_ref, directive_id):
        return self.change(await self.inner.status(vehicle_ref, directive_id))


class Errors(Whole):
    """Every refusal of a reading or a directive becomes `change(error)`."""

    def change(self, error):
        raise NotImplementedError

    async def snapshot(self, ref, *, max_age_s=None):
        try:
            return await self.inner.snapshot(ref, max_age_s=max_age_s)
        except BackendError as error:
            raise self.change(error) from None

    async def submit(self, directive, capability, snapshot):
        try:
            return await self.inner.submit(directive, capability, snapshot)
        except BackendError as error:
            raise self.change(error) from None


def other(error, code):
    return BackendError(code, error.detail, retry_after_s=error.retry_after_s)


__all__ = ["BROKEN", "BackendError", "Broken", "ErrorCode", "Errors", "Orders", "Readings", "Stands", "Whole", "broken"]
