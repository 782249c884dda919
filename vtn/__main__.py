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
from vtn.errors import VtnError, operators_sentence
from vtn.oadr20b.command import app as oadr20b_app
from vtn.settings import load

if TYPE_CHECKING:
    from vtn.storage.ports import BrokenCallback, ClientRecord, Delivery

T = TypeVar("T")
PREFIX = "EVTN"
EXIT_REFUSED = 1
EXIT_CONFIGURATION = 2

app = typer.Typer(no_args_is_help=True, add_completion=False, help="An OpenADR 3 virtual top node.")
client_app = typer.Typer(no_args_is_help=True, help="Who may use the API: Business Logic and VEN clients.")
app.add_typer(client_app, name="client")
app.add_typer(oadr20b_app, name="20b")
letters_app = typer.Typer(invoke_without_command=True)
app.add_typer(letters_app, name="dead-letters")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file; without it the embedded default.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def main() -> None:
    """Run the command line; a refusal is one sentence, not a traceback.

    Exit code 2: a setting, a file, a port or the database is not as it must be; 1: what was asked for cannot be done.
    """
    try:
        app()
    except Exception as error:
        if (sentence := operators_sentence(error)) is not None:
            _fail(sentence, EXIT_CONFIGURATION)
        if isinstance(error, VtnError):
            _fail(str(error), EXIT_REFUSED)
        raise


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


@letters_app.callback(epilog="Example: vtn dead-letters --json")
def dead_letters(context: typer.Context, config: ConfigFile = None, *, as_json: Json = False) -> None:
    """List webhook deliveries that were given up, list broken callbacks, or have deliveries tried again."""
    if context.invoked_subcommand is None:
        letters_list(config, as_json=as_json)
        if not as_json:
            letters_broken(config)
    elif config or as_json:
        raise typer.BadParameter("options go behind the command")


@letters_app.command("list", epilog="Example: vtn dead-letters list --json")
def letters_list(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """List webhook deliveries that were given up after their last try."""
    from vtn.app import opened_store
    from vtn.storage.ports import DeliveryState

    async def work() -> list[dict[str, object]]:
        async with opened_store(_settings(config)) as store:
            found = await store.deliveries(DeliveryState.DEAD)
        return [_letter(delivery) for delivery in found]

    _print(_run(work()), "Dead letters", as_json=as_json)


@letters_app.command("broken", epilog="Example: vtn dead-letters broken --json")
def letters_broken(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """List callbacks that failed too often in a row and are no longer called."""
    from vtn.app import opened_store

    async def work() -> list[dict[str, object]]:
        async with opened_store(_settings(config)) as store:
            return [_broken(callback) for callback in await store.broken_callbacks()]

    _print(_run(work()), "Broken callbacks", as_json=as_json)


@letters_app.command("replay", epilog="Example: vtn dead-letters replay --all")
def letters_replay(
    subscription: Annotated[str, typer.Option(help="Only what is owed to this subscription.")] = "",
    config: ConfigFile = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="What is owed to any subscription.")] = False,
    as_json: Json = False,
) -> None:
    """Try given-up deliveries again and mend the callbacks they go to; a running server does it within a second."""
    from vtn.app import replay

    if every == bool(subscription):
        raise typer.BadParameter("say either --all or --subscription ID")
    done = _run(replay(_settings(config), subscription or None))
    if as_json:
        sys.stdout.write(orjson.dumps({"deliveries": done.deliveries, "callbacks": done.callbacks}).decode() + "\n")
    else:
        Console().print(f"{done.deliveries} deliveries are tried again; {done.callbacks} callbacks are mended.")


@app.command(epilog="Example: vtn archive --client derms-1 > reports.jsonl")
def archive(
    client_id: Annotated[str, typer.Option("--client", help="Only reports of this client.")] = "",
    event_id: Annotated[str, typer.Option("--event", help="Only reports on this event, which may be gone.")] = "",
    config: ConfigFile = None,
) -> None:
    """Print deleted reports that are kept, oldest first: one line of JSON each, with when it was deleted.

    Reports go with their event when that is deleted, and are kept here.
    """
    from vtn.app import opened_store

    async def work() -> None:
        async with opened_store(_settings(config)) as store:
            after = ("", "")
            while page := await store.archived(after, client_id or None):
                for at, report in page:
                    if event_id not in ("", report.event_id):
                        continue
                    line = orjson.dumps({"archived": at, "report": orjson.Fragment(report.body)})
                    sys.stdout.buffer.write(line + b"\n")
                after = (page[-1][0], page[-1][1].id)

    _run(work())


def _broken(callback: "BrokenCallback") -> dict[str, object]:
    return {
        "subscriptionID": callback.subscription_id,
        "entry": callback.entry,
        "since": callback.since,
        "failures": callback.failures,
        "lastError": callback.last_error,
    }


def _letter(delivery: "Delivery") -> dict[str, object]:
    return {
        "subscriptionID": delivery.subscription_id,
        "change": delivery.seq,
        "operation": delivery.operation.value,
        "attempts": delivery.attempts,
        "lastError": delivery.last_error,
    }


@client_app.command("add", epilog="Example: vtn client add derms-1 --role BL")
def client_add(  # noqa: PLR0913 - the options of a command
    client_id: Annotated[str, typer.Argument(help="The clientID, 1 to 128 characters.")],
    role: Annotated[str, typer.Option(help="BL (a utility) or VEN (an automaker).")],
    scope: Annotated[list[str] | None, typer.Option(help="A scope; repeat for more. Default: all of the role.")] = None,
    config: ConfigFile = None,
    *,
    external: Annotated[bool, typer.Option("--external", help="No secret: it brings tokens of auth.issuers.")] = False,
    issuer: Annotated[str, typer.Option(help="The only issuer whose tokens count; implies --external.")] = "",
    fixed_scopes: Annotated[
        bool, typer.Option("--fixed-scopes", help="Its tokens have its scopes, whatever its token requests ask for.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Register a client and print its secret, once."""
    from vtn.app import add_client

    source = issuer if external or issuer else None
    scopes = tuple(scope or ())
    secret = _run(add_client(_settings(config), client_id, role, scopes, source, fixed_scopes=fixed_scopes))
    _print_secret(client_id, secret, as_json=as_json)


@client_app.command("rotate", epilog="Example: vtn client rotate derms-1")
def client_rotate(client_id: str, config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Give a client a new secret; its old secret and tokens are dead at once."""
    from vtn.app import opened_registry

    async def work() -> str | None:
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


@client_app.command("webhook-key", epilog="Example: vtn client webhook-key derms-1")
def client_webhook_key(client_id: str, config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Print the key that a client checks the signatures of its webhooks with; DIVERGENCES.md says how."""
    from vtn.app import webhook_key

    key = _run(webhook_key(_settings(config), client_id))
    if as_json:
        sys.stdout.write(orjson.dumps({"clientID": client_id, "webhookKey": key}).decode() + "\n")
    else:
        Console(soft_wrap=True).print(f"clientID    {client_id}\nwebhookKey  {key}", markup=False)


@client_app.command("list", epilog="Example: vtn client list --json")
def client_list(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """List the clients, without their secrets."""
    from vtn.app import opened_registry

    async def work() -> list[dict[str, object]]:
        async with opened_registry(_settings(config)) as registry:
            await registry.current()
            return [_listed(client) for client in registry.every()]

    _print(_run(work()), "Clients", as_json=as_json)


def _listed(client: "ClientRecord") -> dict[str, object]:
    from vtn.auth.clients import tokens_of

    return {
        "clientID": client.client_id,
        "role": client.role.value,
        "scopes": " ".join(client.scopes),
        "tokens": tokens_of(client),
        "fixedScopes": client.fixed_scopes,
        "revoked": client.revoked,
    }


def _print_secret(client_id: str, secret: str | None, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps({"clientID": client_id, "secret": secret}).decode() + "\n")
        return
    proof = f"secret    {secret}\n(the secret is shown only now)" if secret else "tokens    of an external issuer"
    Console(soft_wrap=True).print(f"clientID  {client_id}\n{proof}", markup=False)


def _print(rows: list[dict[str, object]], title: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(rows).decode() + "\n")
        return
    table = Table(title=title, min_width=len(title))
    for name in rows[0] if rows else ("none",):
        table.add_column(str(name))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
