"""The command line `ven-adapters enrol`: serve the enrolment API, take in files, list, erase, hand out keys."""

import asyncio
import functools
import os
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer

from vtn.errors import ConfigError

PAGE = 500
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
Config = Annotated[
    Path, typer.Option("--config", "-c", help="The adapter's settings file, with a section [enrolling].")
]

app = typer.Typer(no_args_is_help=True, help="Who agreed to what: the enrolment API and its store.")


@app.command(epilog="Example: ven-adapters enrol serve --config config/ven-adapter.example.toml")
def serve(config: Config) -> None:
    """Serve the enrolment API for the automaker's app until SIGTERM or SIGINT."""
    from ven_adapters.config import read_settings
    from ven_adapters.enrolment_api.serve import serve as serve_until_stopped
    from ven_adapters.ven.explain.command import why

    settings = read_settings(config, os.environ)
    asyncio.run(serve_until_stopped(settings, settings.shared_clock(), functools.partial(why, settings)))


@app.command("import", epilog="Example: ven-adapters enrol import cars.jsonl --program evening -c adapter.toml")
def import_(
    file: Annotated[Path, typer.Argument(help="One JSON line per car.")],
    config: Config,
    program: Annotated[list[str] | None, typer.Option(help="A programme that these cars are in; repeatable.")] = None,
) -> None:
    """Take an enrolment file into the store: all of it, or with every fault named nothing."""
    from ven_adapters.config import read_settings
    from ven_adapters.enrolment_api.serve import opened, operations_of
    from ven_adapters.ven.enrolment.bulk_import import Imported, import_file
    from ven_adapters.ven.enrolment.files import Unreadable

    settings = read_settings(config, os.environ)

    async def take_in() -> Imported:
        async with opened(settings) as store:
            now = settings.shared_clock().now()
            return await import_file(store, operations_of(settings), file, program or [], now)

    try:
        done = asyncio.run(take_in())
    except Unreadable as error:
        raise ConfigError(str(error)) from None
    typer.echo(f"{done.taken} cars taken in, {done.left} left alone because their drivers had left")


@app.command(epilog="Example: ven-adapters enrol judge --config adapter.toml")
def judge(config: Config) -> None:
    """Judge enrolled cars by the programmes' rules as they are now; `serve` does it too when it starts."""
    from ven_adapters.config import read_settings
    from ven_adapters.enrolment_api.reevaluation import Reevaluated
    from ven_adapters.enrolment_api.serve import judged, opened, operations_of

    settings = read_settings(config, os.environ)

    async def again() -> Reevaluated | None:
        async with opened(settings) as store:
            return await judged(store, operations_of(settings), settings.shared_clock())

    done = asyncio.run(again())
    if done is None:
        typer.echo("nothing to judge: the rules are those that cars were judged by last, or there are none")
    else:
        told = f"{done.left} cars left a programme, {done.suspended} of them are in none any more"
        typer.echo(f"{told}, {done.back} are in one again")


@app.command("list", epilog="Example: ven-adapters enrol list --config adapter.toml")
def list_cars(config: Config) -> None:
    """List cars by pseudonym: status, zone, programmes, consents."""
    from ven_adapters.config import read_settings
    from ven_adapters.enrolment_api.models import Agreement
    from ven_adapters.enrolment_api.serve import opened

    settings = read_settings(config, os.environ)

    async def all_cars() -> list[Agreement]:
        async with opened(settings) as store:
            cars: list[Agreement] = []
            while more := await store.page(cars[-1].vehicle_ref if cars else "", PAGE):
                cars += more
            return cars

    for car in asyncio.run(all_cars()):
        agreed = [f"{scope} {kept.version}" for scope, kept in car.consents.items() if kept.agreed]
        typer.echo("\t".join([car.vehicle_ref, car.status, car.zone, ",".join(car.programs), ", ".join(agreed)]))


@app.command(epilog="Example: ven-adapters enrol erase bmw-0001 --config adapter.toml")
def erase(ref: Annotated[str, typer.Argument(help="The car's pseudonym.")], config: Config) -> None:
    """End an enrolment and erase the person; consents and programmes stay as evidence, under the pseudonym."""
    from ven_adapters.config import read_settings
    from ven_adapters.enrolment_api.problems import Refused
    from ven_adapters.enrolment_api.serve import opened, operations_of

    settings = read_settings(config, os.environ)

    async def withdraw() -> None:
        async with opened(settings) as store:
            async with store.write(settings.shared_clock().now()) as write:
                await operations_of(settings).withdrawal(write, ref)
            await store.scrub()

    try:
        asyncio.run(withdraw())
    except Refused as error:
        raise ConfigError(error.detail) from None
    typer.echo(f"{ref} is erased")


@app.command(epilog="Example: ven-adapters enrol key ios-app --config adapter.toml")
def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    config: Config,
    *,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the key away.")] = False,
) -> None:
    """Make a bearer key for the automaker's app, in place of the one of the same name; it is shown once."""
    if not NAME.fullmatch(name) or name == "webhook":
        raise ConfigError("name: must be 1 to 64 letters, digits, ., - or _, and not `webhook`")
    from ven_adapters.config import read_settings
    from ven_adapters.enrolment_api.serve import opened

    settings = read_settings(config, os.environ)
    made = None if revoke else secrets.token_urlsafe(32)

    async def put_key() -> None:
        async with opened(settings) as store, store.write(settings.shared_clock().now()) as write:
            await write.put_key(name, made)

    asyncio.run(put_key())
    typer.echo(made or f"{name} has no key any more")
