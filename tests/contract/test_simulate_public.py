"""What `ven-adapters simulate` leaves for an adapter is enough for it: settings, grants, and cars that answer."""

import asyncio
import contextlib
import dataclasses
import time
import tomllib

import pytest
from ocpp_rig import CAR, EVENING, PASSWORD, PATIENCE_S, SPEED, central, place

from ven_adapters.oems import enode, smartcar
from ven_adapters.oems.tesla import backend as tesla
from ven_adapters.simulator.command import SimulatorOptions, known, models_of, simulated
from ven_adapters.simulator.public import serve as clouds
from ven_adapters.simulator.settings import SimulatorSettings
from ven_adapters.simulator.station import serve as stations
from ven_adapters.transport.ocpp21.settings import CentralSettings
from ven_adapters.transport.settings import read_table
from vtn.clock import SimulatedClock

MAKERS = {"enode": enode.backend, "smartcar": smartcar.backend, "tesla": tesla.backend}
CARS = 12


def settings_for(name):
    return SimulatorSettings(models_of(name), CARS, 7, EVENING, "a-secret-of-16-or-more", faults={}, truth="as_told")


@contextlib.asynccontextmanager
async def simulating(name, clock, tmp_path, monkeypatch, **options):
    """The simulator of a name, ready; it ends with the block."""
    ready = asyncio.Event()
    serve = clouds.serve

    async def told(*given):
        await serve(*given, say=lambda _: ready.set())

    monkeypatch.setattr(clouds, "serve", told)
    given = SimulatorOptions(tmp_path / "state", options.get("webhook_port"), "")
    task = asyncio.ensure_future(simulated(name, settings_for(name), clock, given))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ready.wait()
        yield tomllib.loads((tmp_path / "state" / "backend.toml").read_text())["backend"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("name", sorted(MAKERS))
async def test_an_adapter_finds_every_car_with_the_table_that_was_written(name, tmp_path, monkeypatch):
    clock = SimulatedClock(EVENING, time.time(), SPEED)
    async with simulating(name, clock, tmp_path, monkeypatch) as table:
        backend = MAKERS[name](table | {"clock": clock})
        try:
            refs = [vehicle.ref async for vehicle in backend.vehicles()]
            assert sorted(refs) == [f"{name}-{number:04d}" for number in range(1, CARS + 1)]
            capability = await backend.capabilities(refs[0])
            assert 1_000 <= capability.max_charge_w <= 23_000
        finally:
            await backend.close()


async def test_stations_connect_to_their_central_system_and_tell_of_their_cars(tmp_path):
    clock = SimulatedClock(EVENING, time.time(), SPEED)
    async with central(clock, vehicles={CAR: place()}) as rig:
        made = dataclasses.replace(settings_for("ocpp"), token=PASSWORD)
        ready = asyncio.Event()
        task = asyncio.ensure_future(stations.serve(made, clock, rig.url, tmp_path, say=lambda _: ready.set()))
        try:
            snapshot = await rig.until(lambda one: getattr(one, "reachability", None) is not None)
            assert snapshot.vehicle_ref == CAR
            assert ready.is_set()
            table = tomllib.loads((tmp_path / "backend.toml").read_text())["backend"]
            assert len(read_table(CentralSettings, table).places) == CARS
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def test_every_simulator_has_a_name_of_its_own():
    assert len(known()) == len(set(known()))
    assert {"bmw", "ford", "honda", "nissan", "tesla", "smartcar", "enode", "ocpp"} <= set(known())
