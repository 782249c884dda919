"""The bridges between a VTN of ours and peers of others: settings, and both of them running in the test's own loop."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from vtn.client import Client
from vtn.oadr20b.downstream import run as downstream
from vtn.oadr20b.downstream.settings import DownstreamSettings
from vtn.oadr20b.downstream.vens import VenProvision, add_ven
from vtn.oadr20b.store.database import opened
from vtn.oadr20b.upstream import run as upstream
from vtn.oadr20b.upstream.settings import UpstreamSettings
from vtn.wire.enumerations import ObjectType

CONTEXT = "http://utility.example/summer"


def upstream_settings(server, folder, url, name="u1", **more: Any) -> UpstreamSettings:
    """Settings of a bridge to one utility, in a hurry."""
    top = {key: more.pop(key) for key in ("clock", "look_s") if key in more}
    return UpstreamSettings.model_validate(
        {
            "vtn": {"url": server.url, "client_id": "bl", "client_secret": server.secrets["bl"]},
            "var": folder,
            "utilities": {name: {"url": url, "ven_name": f"ven-{name}", "poll_s": 0.2, **more}},
            "look_s": 0.2,
            "first_retry_s": 0.05,
            "longest_retry_s": 0.2,
            **top,
        }
    )


def downstream_settings(server, folder, files=None, ecc=None, **more: Any) -> DownstreamSettings:
    """Settings of a bridge for VENs, in a hurry; with certificates over TLS."""
    listener: dict[str, Any] = {"port": more.pop("port", 0)}
    if files is not None:
        listener |= {"certificate": files.certificate, "private_key": files.key, "client_ca": files.ca}
    if ecc is not None:
        listener |= {"ecc_certificate": ecc.certificate, "ecc_private_key": ecc.key}
    listener |= more.pop("listener", {})
    return DownstreamSettings.model_validate(
        {
            "vtn": {"url": server.url, "client_id": "bl", "client_secret": server.secrets["bl"]},
            "reports_client_id": "c1",
            "reports_client_secret": server.secrets["c1"],
            "var": folder,
            "server": listener,
            "poll_s": 1,
            "look_s": 0.1,
            "resend_s": 5.0,
            "granularity_s": 1.0,
            "report_back_s": 2.0,
            **more,
        }
    )


async def provision(settings, *vens: VenProvision) -> None:
    async with opened(settings.store()) as store:
        for one in vens:
            await add_ven(store, one)


@contextlib.asynccontextmanager
async def serving(settings, *vens: VenProvision) -> AsyncIterator[downstream.Serving]:
    """`vtn 20b serve` in this loop."""
    await provision(settings, *vens)
    async with downstream.running(settings) as made:
        yield made
        _raise(made.tasks)


@contextlib.asynccontextmanager
async def bridged(settings) -> AsyncIterator[None]:
    """`vtn 20b upstream` in this loop."""
    async with upstream.running(settings) as tasks:
        yield
        _raise(tasks)


def _raise(tasks) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def program_for(client: Client, name: str, *targets: str, **attributes: Any) -> str:
    """A program with these targets; attributes by their types."""
    made = [{"type": key, "values": [value]} for key, value in attributes.items()]
    content = {"programName": name, "targets": list(targets), "attributes": made}
    return str((await client.create(ObjectType.PROGRAM, content))["id"])


def event_in(program_id, payload, *values, start, minutes=30, **more: Any) -> dict[str, Any]:
    """An event with one interval for each value."""
    return {
        "programID": program_id,
        "intervalPeriod": {"start": start.isoformat(), "duration": f"PT{minutes}M"},
        "intervals": [
            {"id": number, "payloads": [{"type": payload, "values": [value]}]} for number, value in enumerate(values)
        ],
        **more,
    }


async def bridged_events(client: Client, name: str) -> list[dict[str, Any]]:
    """The events of our VTN that a bridge made of a utility's."""
    found = await client.search(ObjectType.EVENT)
    return [one for one in found if (one.get("eventName") or "").startswith(f"20b {name} ")]


async def reported(client: Client, event_id: str, payload: str) -> list[Any]:
    """Every value of a type that was reported on an event."""
    return [
        value
        for report in await client.search(ObjectType.REPORT, eventID=event_id)
        for resource in report["resources"]
        for interval in resource["intervals"]
        for one in interval["payloads"]
        if one["type"] == payload
        for value in one["values"]
    ]
