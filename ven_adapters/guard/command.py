"""`ven-adapters guard`: the guard of one automaker's held cars, as a process."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ven_adapters.config import AdapterSettings, ExecutorSettings, read_executor_settings, read_settings
from ven_adapters.guard.process import Guard, GuardedBackend
from ven_adapters.registry import factory
from vtn.errors import ConfigError
from vtn.tasks import on_stop_signal

EXAMPLE = "Example: ven-adapters guard enode --config config/enode.example.toml"


def guard(
    name: Annotated[str, typer.Argument(help="The automaker, as a check on the file's `oem`.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The settings file of the adapter or the executor.")],
    *,
    executor: Annotated[bool, typer.Option("--executor", help="The file is an executor's.")] = False,
) -> None:
    """Give held cars back when the process that holds them is no more. `run` and `execute` start it by themselves."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)

    def read() -> AdapterSettings | ExecutorSettings:
        return read_executor_settings(config, os.environ) if executor else read_settings(config, os.environ)

    settings = read()
    if settings.oem != name:
        raise ConfigError(f"{config}: oem: is {settings.oem!r}, not {name!r} as the command line says")
    asyncio.run(_guard(settings, lambda: _backend(read())))


async def _guard(settings: AdapterSettings | ExecutorSettings, make: Callable[[], GuardedBackend]) -> None:
    first = make()
    folder = first.guarded
    await first.close()
    if folder is None:
        raise ConfigError("backend.state: is required, for the leases of held cars")
    guard = Guard(folder, settings.shared_clock(), make, lingers=settings.guard.mode == "service")
    with on_stop_signal(guard.stop):
        await guard.run()


def _backend(settings: AdapterSettings | ExecutorSettings) -> GuardedBackend:
    """The automaker's file, whose webhooks nobody listens to here."""
    made = factory(settings.oem)(settings.backend)
    if not isinstance(made, GuardedBackend):
        raise ConfigError(f"oem: {settings.oem} needs no guard: what it holds ends by itself")
    return made
