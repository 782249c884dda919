"""Adapters without protocol: they talk too much, call too often, wait too long, or leave things behind."""

import asyncio
import dataclasses
import logging
from datetime import timedelta

import aiohttp
from adapters_breaking import BackendError, ErrorCode, Errors, Whole, broken

from ven_adapters.adapter_checks import bench
from ven_adapters.oems import nissan
from ven_adapters.transport.http import problems
from ven_adapters.transport.http.backend import HttpVehicleBackend
from ven_adapters.transport.http.session import SessionLimits
from ven_adapters.transport.http.settings import BackendSettings
from ven_adapters.transport.settings import read_table
from vtn.clock import sleep_until

LOG = logging.getLogger("a.third.party")


@broken("errors_and_logs_tell_no_secret")
class LogsItsToken(Whole):
    """Every call is logged with its headers."""

    async def snapshot(self, ref, *, max_age_s=None):
        LOG.debug("GET %s with Authorization: Bearer %s", ref, self.settings["token"])
        return await self.inner.snapshot(ref, max_age_s=max_age_s)


@broken("errors_and_logs_tell_no_secret")
def repeats_what_it_was_told(settings, patch):
    """Refusals of the backend are told word for word, with the car's VIN and place."""
    patch.setattr(problems, "discreet", lambda text: text)
    return Whole(settings)


@broken("a_wrong_token_is_not_repeated")
class TellsTheToken(Errors):
    """The error names the token that was refused."""

    def change(self, error):
        return BackendError(error.code, f"{error.detail} ({self.settings['token']})")


@broken("a_printed_adapter_tells_no_secret")
class ShowsItsToken(Whole):
    """repr() shows the settings."""

    def __repr__(self) -> str:
        return f"ShowsItsToken({self.settings!r})"


@broken("close_leaves_nothing_behind")
class LeavesATask(Whole):
    """A task of the adapter outlives close()."""

    async def snapshot(self, ref, *, max_age_s=None):
        self.task = asyncio.create_task(self.wait())
        return await self.inner.snapshot(ref, max_age_s=max_age_s)

    async def wait(self):
        await asyncio.Event().wait()


@broken("close_leaves_nothing_behind")
class LeavesASession(Whole):
    """A session of the adapter is never closed."""

    async def snapshot(self, ref, *, max_age_s=None):
        aiohttp.ClientSession()
        return await self.inner.snapshot(ref, max_age_s=max_age_s)


@broken("close_leaves_nothing_behind")
class CannotCloseTwice(Whole):
    """close() works once."""

    async def close(self):
        if self.__dict__.setdefault("closed", False):
            raise RuntimeError("is closed")
        self.closed = True
        await self.inner.close()


@broken("a_backend_that_never_answers_is_given_up")
class WaitsForEver(Whole):
    """There is no time-out."""

    def __init__(self, settings, patch) -> None:
        patch.setattr(bench, "STUCK_S", 0.6)
        super().__init__({**settings, "answer_s": 3_600.0})


@broken("a_backend_that_is_not_there_is_an_error_of_the_contract")
class TakesAbsentForDenied(Errors):
    """A backend that is not there has refused."""

    def change(self, error):
        absent = error.code is ErrorCode.BACKEND_TRANSIENT
        return BackendError(ErrorCode.NOT_PERMITTED, error.detail) if absent else error


class BoundlessSettings(BackendSettings):
    """A table of settings by which a car may be called as often as anybody likes."""

    @property
    def limits(self) -> SessionLimits:
        return dataclasses.replace(super().limits, vehicle_burst=10_000)


@broken("one_car_is_not_called_without_end")
def has_no_budget(settings, patch):
    """Nothing bounds the calls to one car."""
    return HttpVehicleBackend(read_table(BoundlessSettings, settings), nissan.achieve)


@broken("calls_at_once_are_bounded")
def calls_all_at_once(settings, patch):
    """Nothing bounds the calls side by side."""
    return Whole({**settings, "connections": 1_000})


@broken("an_adapter_that_is_not_asked_does_not_call")
class PollsForEver(Whole):
    """Every car is read every minute, wanted or not."""

    async def vehicles(self):
        self.task = asyncio.create_task(self.poll())
        async for vehicle in self.inner.vehicles():
            yield vehicle

    async def poll(self):
        while True:
            await sleep_until(self.settings["clock"], self.now + timedelta(seconds=60))
            async for vehicle in self.inner.vehicles():
                await self.inner.snapshot(vehicle.ref, max_age_s=0)

    async def close(self):
        if "task" in self.__dict__:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self.inner.close()


@broken("a_revoked_grant_is_not_hammered")
class LogsInForEver(Whole):
    """A refused call is made again with what is thought to be a new token."""

    async def snapshot(self, ref, *, max_age_s=None):
        for _ in range(8):
            try:
                return await self.inner.snapshot(ref, max_age_s=max_age_s)
            except BackendError as error:
                last = error
        raise last
