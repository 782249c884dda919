"""The command `ven-adapters explain`: from the adapter's own store, while it runs or long after."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import orjson
import typer
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from ven_adapters.config import AdapterSettings, opening, read_settings
from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.ven.explain.explanation import Explanation, Unexplained, explanation, plain, zone_of
from ven_adapters.ven.explain.narrative import paragraph
from ven_adapters.ven.store.database import AdapterStore
from vtn.errors import ConfigError


def explain(vehicle: str, at: str | None, config: Path, *, as_json: bool) -> None:
    """Print why a car did what it did; ConfigError when nothing is stored that could tell."""
    settings = read_settings(config, os.environ)
    now = settings.shared_clock().now()
    when = now if at is None else instant(at)
    if when > now:
        raise ConfigError(f"--at: {at} has not come yet; it is {now.isoformat(timespec='seconds')}")
    try:
        told = asyncio.run(_explained(settings, vehicle, when))
    except Unexplained as reason:
        raise ConfigError(str(reason)) from None
    except (SQLAlchemyError, OSError) as error:
        raise ConfigError(f"store_url: cannot be read ({type(error).__name__}); has the adapter ever run?") from None
    facts = plain(told) | {"paragraph": paragraph(told)}
    typer.echo(orjson.dumps(facts, option=orjson.OPT_UTC_Z | orjson.OPT_INDENT_2) if as_json else paragraph(told))


def instant(text: str) -> datetime:
    """An instant as a user writes it; ConfigError unless it is RFC 3339 with an offset."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"--at: {text!r} is no instant such as 2026-07-02T04:00:00Z") from None
    raise ConfigError(f"--at: {text!r} needs an offset, such as Z for UTC")


async def _explained(settings: AdapterSettings, vehicle: str, at: datetime) -> Explanation:
    _must_exist(settings.store())
    ref = await _ref_of(settings, vehicle)
    with opening("store_url"):
        store = AdapterStore(settings.store())
    try:
        facts = await store.facts(ref)
        return explanation(ref, facts, await store.asked(zone_of(ref, facts, at)), at)
    finally:
        await store.close()


async def why(settings: AdapterSettings, ref: str, at: datetime) -> str | None:
    """The paragraph for one car and instant, for who asks by HTTP; None when nothing is stored that could tell."""
    try:
        return paragraph(await _explained(settings, ref, at))
    except Unexplained:
        return None


async def _ref_of(settings: AdapterSettings, vehicle: str) -> str:
    """The car's own name; the automaker's for it only where the enrolment store knows whose that is."""
    url = settings.enrolment_store()
    if url is None or not _exists(url):
        return vehicle
    store = EnrolmentStore(url)
    try:
        return await store.ref_of_vin(vehicle) or vehicle
    finally:
        await store.close()


def _must_exist(url: str) -> None:
    """A file that is not there must not be made by a look at it."""
    if not _exists(url):
        raise Unexplained("store_url: there is no store yet; the adapter makes it when it first runs")


def _exists(url: str) -> bool:
    path = make_url(url)
    return path.get_backend_name() != "sqlite" or bool(path.database and Path(path.database).exists())
