"""The commands `vtn 20b`: the two bridges, and who may come to the one that is a VTN."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import typer
from rich.console import Console
from rich.table import Table

from vtn.errors import Fault, Rejected
from vtn.settings import load

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="OpenADR 2.0b: a VEN of utilities' VTNs, and a VTN for VENs.")
ven_app = typer.Typer(no_args_is_help=True, help="VENs that speak 2.0b: provisioned here before they register.")
app.add_typer(ven_app, name="ven")

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
FINGERPRINT_PARTS = 10


def _run(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    return uvloop.run(work)


@app.command("upstream", epilog="Example: vtn 20b upstream --config config/20b-upstream.example.toml")
def upstream_command(config: ConfigFile = None) -> None:
    """Be a VEN of utilities whose VTNs speak 2.0b: their events stand in our VTN, our opts and reports go to them."""
    from vtn.oadr20b.upstream.run import upstream
    from vtn.oadr20b.upstream.settings import PREFIX, UpstreamSettings

    _run(upstream(load(UpstreamSettings, config, prefix=PREFIX, environ=os.environ)))


@app.command("serve", epilog="Example: vtn 20b serve --config config/20b.example.toml")
def serve_command(config: ConfigFile = None) -> None:
    """Be a VTN for VENs that speak 2.0b: what stands in our VTN is told to them, what they report goes there."""
    from vtn.oadr20b.downstream.run import serve
    from vtn.oadr20b.downstream.settings import PREFIX, DownstreamSettings

    _run(serve(load(DownstreamSettings, config, prefix=PREFIX, environ=os.environ)))


def _on_store(config: Path | None, work: Any) -> Any:
    """Do something with the store of `vtn 20b serve`, which may run meanwhile."""
    from vtn.oadr20b.downstream.settings import PREFIX, DownstreamSettings
    from vtn.oadr20b.store.database import opened

    settings = load(DownstreamSettings, config, prefix=PREFIX, environ=os.environ)

    async def go() -> Any:
        async with opened(settings.store()) as store:
            return await work(store)

    return asyncio.run(go())


@ven_app.command("add", epilog="Example: vtn 20b ven add depot-1 --fingerprint 17:3B:... --client depot-1 --secret S")
def ven_add(  # noqa: PLR0913, PLR0917 - the options of a command
    ven_name: Annotated[str, typer.Argument(help="Its name, 1 to 128 characters.")],
    fingerprint: Annotated[str, typer.Option(help="Fingerprint of its certificate: ten bytes, XX:XX:...")] = "",
    ven_id: Annotated[str, typer.Option(help="Its venID; without one, a new one.")] = "",
    client: Annotated[str, typer.Option(help="A VEN client of the VTN that reports for it.")] = "",
    secret: Annotated[str, typer.Option(help="The client's secret.", envvar="OADR20B_CLIENT_SECRET")] = "",
    target: Annotated[list[str] | None, typer.Option(help="A target that it is granted; repeat for more.")] = None,
    resource: Annotated[
        list[str] | None, typer.Option(help="A resourceID, or resourceID=TARGET,TARGET; repeat for more.")
    ] = None,
    nameplate_kw: Annotated[float, typer.Option(help="What it can draw at most, for capacity limits.")] = 0.0,
    config: ConfigFile = None,
    *,
    lenient: Annotated[bool, typer.Option(help="Take messages that the schema refuses, as far as they go.")] = False,
    push: Annotated[bool, typer.Option(help="It may register to be sent messages instead of polling.")] = False,
    as_json: Json = False,
) -> None:
    """Provision a VEN, and print its venID; a server that runs knows it within seconds."""
    from vtn.ids import uuids
    from vtn.oadr20b.downstream.vens import VenProvision, add_ven

    faults = []
    if not 1 <= len(ven_name) <= 128:  # noqa: PLR2004 - the standard's longest name
        faults.append(Fault("ven-name", "must have 1 to 128 characters"))
    if fingerprint and not _is_fingerprint(fingerprint):
        faults.append(Fault("fingerprint", "must be ten bytes in hexadecimal with colons between"))
    if bool(client) != bool(secret):
        faults.append(Fault("client", "client and secret go together"))
    if faults:
        raise Rejected(faults)
    provision = VenProvision(
        ven_id or uuids()(),
        ven_name,
        fingerprint.upper() or None,
        client or None,
        secret or None,
        tuple(target or ()),
        tuple(_resource(one) for one in resource or ()),
        nameplate_kw or None,
        lenient,
        push,
    )
    _on_store(config, lambda store: add_ven(store, provision))
    _say({"venID": provision.ven_id, "venName": ven_name}, as_json=as_json)


@ven_app.command("list", epilog="Example: vtn 20b ven list --json")
def ven_list(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """List VENs, and whether they are registered."""
    from vtn.oadr20b.downstream.vens import provisions

    rows = [
        {
            "venName": one.ven_name,
            "venID": one.ven_id,
            "fingerprint": one.fingerprint or "none",
            "client": one.client_id or "shared",
            "registered": state.registered_at.isoformat() if state.registered_at else "no",
        }
        for one, state in _on_store(config, provisions)
    ]
    if as_json:
        sys.stdout.write(orjson.dumps(rows).decode() + "\n")
        return
    table = Table(title="2.0b VENs")
    for name in rows[0] if rows else ("none",):
        table.add_column(name)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


@ven_app.command("cancel", epilog="Example: vtn 20b ven cancel depot-1")
def ven_cancel(ven_name: str, config: ConfigFile = None) -> None:
    """End a VEN's registration: it is told at its next poll, and may register again."""
    from vtn.oadr20b.downstream.vens import change_ven

    _on_store(config, lambda store: change_ven(store, ven_name, cancelled_at=datetime.now(UTC)))
    Console().print(f"The registration of {ven_name} is cancelled.", markup=False)


@ven_app.command("remove", epilog="Example: vtn 20b ven remove depot-1")
def ven_remove(ven_name: str, config: ConfigFile = None) -> None:
    """Forget a VEN: it is refused from now on."""
    from vtn.oadr20b.downstream.vens import remove_ven

    _on_store(config, lambda store: remove_ven(store, ven_name))
    Console().print(f"{ven_name} is removed.", markup=False)


@app.command("fingerprint", epilog="Example: vtn 20b fingerprint certs/server.pem")
def fingerprint_command(certificate: Path) -> None:
    """Print the fingerprint of a certificate, as 2.0b has it: what each side tells the other beforehand."""
    from openleadr.utils import certificate_fingerprint

    from vtn.errors import CannotStart
    from vtn.tls import require_readable

    require_readable(certificate)
    try:
        shown = certificate_fingerprint(certificate.read_text("ascii", "replace"))
    except ValueError:
        raise CannotStart(f"{certificate} holds no certificate") from None
    sys.stdout.write(f"{shown}\n")


def _is_fingerprint(text: str) -> bool:
    parts = text.split(":")
    return len(parts) == FINGERPRINT_PARTS and all(len(one) == 2 and _is_hex(one) for one in parts)  # noqa: PLR2004


def _is_hex(text: str) -> bool:
    return all(one in "0123456789abcdefABCDEF" for one in text)


def _resource(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, named = text.partition("=")
    return name, tuple(one for one in named.split(",") if one)


def _say(row: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(row).decode() + "\n")
    else:
        Console(soft_wrap=True).print("\n".join(f"{key:9} {value}" for key, value in row.items()), markup=False)
