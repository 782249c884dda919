"""The command line `ven-adapters link`."""

import asyncio
import os
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vtn.errors import ConfigError

if TYPE_CHECKING:
    from ven_adapters.config import AdapterSettings, ExecutorSettings


def link(  # noqa: PLR0913, PLR0917 - each option is one of the user's
    name: Annotated[str, typer.Argument(help="The automaker, as a check on the file's `oem`.")],
    account: Annotated[str, typer.Option(help="Whose consent it is: letters, digits, - and _.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The adapter's settings file, or an executor's.")],
    again: Annotated[bool, typer.Option("--again", help="Replace the account's grant.")] = False,  # noqa: FBT002 - a switch
    paste: Annotated[bool, typer.Option("--paste", help="Ask for the returned address.")] = False,  # noqa: FBT002 - a switch
    browse: Annotated[bool, typer.Option("--open", help="Open the page here.")] = False,  # noqa: FBT002 - a switch
    forget: Annotated[bool, typer.Option("--forget", help="Erase what this owner granted.")] = False,  # noqa: FBT002 - a switch
    patience_s: Annotated[float, typer.Option(min=1, max=86_400, help="How long to wait for the owner.")] = 600.0,
) -> None:
    """Let an owner open his cars to this adapter: print the consent page, keep what he grants, name his cars."""
    from ven_adapters.contract import BackendError
    from ven_adapters.linking.link import Ways, unlink
    from ven_adapters.linking.link import link as link_account
    from ven_adapters.registry import UnknownOem

    settings = _settings(config)
    if name != settings.oem:
        raise ConfigError(f"{config}: oem: is {settings.oem!r}, not {name!r} as the command line says")
    ways = Ways(typer.echo, _asked if paste else None, _opened if browse else None, patience_s)
    try:
        if forget:
            asyncio.run(unlink(name, settings.backend, account))
            typer.echo(f"{account}: what was granted is erased; the owner may end it at the vendor, too")
        else:
            asyncio.run(link_account(name, settings.backend, account, ways, again=again))
    except (BackendError, UnknownOem) as error:
        raise ConfigError(str(error)) from None


def _settings(config: Path) -> "AdapterSettings | ExecutorSettings":
    """An adapter's file, or an executor's: whichever of them calls the cars has the grants."""
    from ven_adapters.config import read_executor_settings, read_settings

    try:
        return read_settings(config, os.environ)
    except ConfigError as error:
        try:
            return read_executor_settings(config, os.environ)
        except ConfigError:
            raise error from None


async def _asked() -> str:
    return await asyncio.to_thread(typer.prompt, "The address that the browser shows afterwards")


def _opened(address: str) -> None:
    webbrowser.open(address)
