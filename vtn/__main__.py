"""The command line `vtn`."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import orjson
import typer
from rich.console import Console
from rich.table import Table

from vtn.config import Settings
from vtn.conformance.command import EXAMPLE, conformance
from vtn.errors import ConfigError, VtnError
from vtn.settings import load

if TYPE_CHECKING:
    from vtn.storage.ports import Delivery

T = TypeVar("T")
PREFIX = "EVTN"
EXIT_CANNOT_START = 1
EXIT_CONFIGURATION = 2

app = typer.Typer(no_args_is_help=True, add_completion=False, help="An OpenADR 3 virtual top node.")
client_app = typer.Typer(no_args_is_help=True, help="Who may use the API: Business Logic and VEN clients.")
app.add_typer(client_app, name="client")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file; without it the embedded default.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def main() -> None:
    """Run the command line; a refusal is one sentence, not a traceback."""
    try:
        app()
    except ConfigError as error:
        _fail(str(error), EXIT_CONFIGURATION)
    except VtnError as error:
        _fail(str(error), EXIT_CANNOT_START)


def _fail(sentence: str, code: int) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"vtn: {sentence}", style="bold red", markup=False, highlight=False)
    sys.exit(code)


def _settings(config: Path | None) -> Settings:
    return load(Settings, config, prefix=PREFIX, environ=os.environ)


def _run(work: Coroutine[Any, Any, T]) -> T:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)


app.command(epilog=EXAMPLE)(conformance)


@app.command(epilog="Example: vtn serve --config config/vtn.example.toml")
def serve(config: ConfigFile = None) -> None:
    """Serve the API, its notifications and (unless configured otherwise) the bundled broker."""
    settings = _settings(config)
    from vtn.app import serve as serve_until_stopped

    _run(serve_until_stopped(settings))


@app.command(epilog="Example: vtn migrate --config config/vtn.example.toml")
def migrate(config: ConfigFile = None) -> None:
    """Bring the database to this version's schema and stop; `serve` does the same at its start."""
    from vtn.app import opened_store

    async def work() -> int:
        async with opened_store(_settings(config)) as store:
            return await store.head()

    Console().print(f"The database is ready; its change log stands at {_run(work())}.")


@app.command(epilog="Example: vtn certs --folder certs --host localhost --host 127.0.0.1")
def certs(
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path("certs"),
    host: Annotated[list[str] | None, typer.Option(help="A name or address of the server; repeat for more.")] = None,
) -> None:
    """Make a development certificate authority and a server certificate; never for production."""
    from vtn.auth.pki import make_development_certificates
    from vtn.clock import RealClock

    for path in make_development_certificates(folder, host or ["localhost", "127.0.0.1", "::1"], RealClock().now()):
        Console().print(str(path))


@app.command("dead-letters", epilog="Example: vtn dead-letters --json")
def dead_letters(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """List webhook deliveries that were given up after their last try."""
    from vtn.app import opened_store
    from vtn.storage.ports import DeliveryState

    async def work() -> list[dict[str, object]]:
        async with opened_store(_settings(config)) as store:
            found = await store.deliveries(DeliveryState.DEAD)
        return [_letter(delivery) for delivery in found]

    _print(_run(work()), "Dead letters", as_json=as_json)


def _letter(delivery: "Delivery") -> dict[str, object]:
    return {
        "subscriptionID": delivery.subscription_id,
        "change": delivery.seq,
        "operation": delivery.operation.value,
        "attempts": delivery.attempts,
        "lastError": delivery.last_error,
    }


@client_app.command("add", epilog="Example: vtn client add derms-1 --role BL")
def client_add(
    client_id: Annotated[str, typer.Argument(help="The clientID, 1 to 128 characters.")],
    role: Annotated[str, typer.Option(help="BL (a utility) or VEN (an automaker).")],
    scope: Annotated[list[str] | None, typer.Option(help="A scope; repeat for more. Default: all of the role.")] = None,
    config: ConfigFile = None,
    *,
    as_json: Json = False,
) -> None:
    """Register a client and print its secret, once."""
    from vtn.app import add_client

    secret = _run(add_client(_settings(config), client_id, role, tuple(scope or ())))
    _print_secret(client_id, secret, as_json=as_json)


@client_app.command("rotate", epilog="Example: vtn client rotate derms-1")
def client_rotate(client_id: str, config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Give a client a new secret; its old secret and tokens are dead at once."""
    from vtn.app import opened_registry

    async def work() -> str:
        async with opened_registry(_settings(config)) as registry:
            return await registry.rotate(client_id)

    _print_secret(client_id, _run(work()), as_json=as_json)


@client_app.command("revoke", epilog="Example: vtn client revoke derms-1")
def client_revoke(client_id: str, config: ConfigFile = None) -> None:
    """Stop a client at once; what it created stays."""
    from vtn.app import opened_registry

    async def work() -> None:
        async with opened_registry(_settings(config)) as registry:
            await registry.revoke(client_id)

    _run(work())
    Console().print(f"{client_id} is revoked.", markup=False)


@client_app.command("list", epilog="Example: vtn client list --json")
def client_list(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """List the clients, without their secrets."""
    from vtn.app import opened_registry

    async def work() -> list[dict[str, object]]:
        async with opened_registry(_settings(config)) as registry:
            await registry.current()
            return [
                {"clientID": c.client_id, "role": c.role.value, "scopes": " ".join(c.scopes), "revoked": c.revoked}
                for c in registry.every()
            ]

    _print(_run(work()), "Clients", as_json=as_json)


def _print_secret(client_id: str, secret: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps({"clientID": client_id, "secret": secret}).decode() + "\n")
    else:
        Console(soft_wrap=True).print(
            f"clientID  {client_id}\nsecret    {secret}\n(the secret is shown only now)", markup=False
        )


def _print(rows: list[dict[str, object]], title: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(rows).decode() + "\n")
        return
    table = Table(title=title)
    for name in rows[0] if rows else ("none",):
        table.add_column(str(name))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
