"""What 2.0b VENs answered and reported, on its way into our VTN as reports.

An entry is written in the transaction that takes the message, and stays until our VTN has it. Its subject is what it is
about: a newer entry of the same subject takes the place of the older one, and a message that was sent twice makes one
report. A report is found by its name before it is made, so that one whose answer was lost is not made again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import orjson

from vtn.client import Client, VtnRefused, VtnUnreachable
from vtn.limits import doubled_s
from vtn.oadr20b.store.database import BridgeStore, Rows, print_at
from vtn.oadr20b.store.tables import VEN_OUTBOX
from vtn.wire.enumerations import ObjectType

Json = dict[str, Any]
AT_ONCE = 16
BATCH = 200
KEPT = timedelta(days=7)
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 60.0
GIVEN_UP = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
)
log = logging.getLogger("vtn.oadr20b.downstream")


class ReportOutbox:
    """Entries that wait for our VTN. `client_of` is the VTN's client that reports for a VEN."""

    def __init__(self, store: BridgeStore, client_of: Callable[[str], Client | None]) -> None:
        self._store = store
        self._client_of = client_of
        self._wake = asyncio.Event()
        self.refused = 0

    def entry(self, subject: str, ven_id: str, report: Json, at: datetime) -> Rows:
        """A statement that puts a report into the outbox; `wake` it once the transaction is committed."""
        row = {
            "subject": subject,
            "ven_id": ven_id,
            "at": print_at(at),
            "done": False,
            "document": orjson.dumps(report, option=orjson.OPT_SORT_KEYS).decode(),
        }
        return self._store.put(VEN_OUTBOX, [row])

    async def add(self, entries: Sequence[tuple[str, str, Json]], at: datetime) -> None:
        """Put reports into the outbox: subject, venID, body. One that our VTN has already as it is stays done."""
        fresh = []
        for subject, ven_id, report in entries:
            text = orjson.dumps(report, option=orjson.OPT_SORT_KEYS).decode()
            known = await self._store.row(VEN_OUTBOX, subject=subject)
            if known is None or known["document"] != text:
                fresh.append(self.entry(subject, ven_id, report, at))
        if fresh:
            await self._store.write(*fresh)
            self.wake()

    def wake(self) -> None:
        """Look into the outbox now."""
        self._wake.set()

    async def run(self) -> None:
        """Have our VTN take what waits, for ever."""
        failures = 0
        while True:
            self._wake.clear()
            waiting = await self._store.rows(VEN_OUTBOX, done=False, order="at")
            try:
                for start in range(0, len(waiting), AT_ONCE):
                    await _together(self._deliver(one) for one in waiting[start : start + AT_ONCE])
                failures = 0
            except (VtnRefused, VtnUnreachable) as error:
                failures += 1
                log.warning("our VTN does not take what VENs reported (%d times in a row): %s", failures, error)
                await asyncio.sleep(doubled_s(failures, FIRST_RETRY_S, LONGEST_RETRY_S))
                continue
            if not waiting:
                await self._wake.wait()

    async def forget(self, now: datetime) -> None:
        """Drop entries that our VTN has for long; until then a repeated message is known as one."""
        old = print_at(now - KEPT)
        await self._store.write(self._store.drop(VEN_OUTBOX, done=True, at_before=old))

    async def _deliver(self, row: dict[str, Any]) -> None:
        client = self._client_of(row["ven_id"])
        if client is None:
            log.error("no client of our VTN reports for the VEN %s", row["ven_id"])
            self.refused += 1
        else:
            report = orjson.loads(row["document"])
            try:
                await _ensure_report(client, report)
            except VtnRefused as refused:
                if refused.status not in GIVEN_UP:
                    raise
                self.refused += 1
                log.error("our VTN refuses a report of the VEN %s: %s", row["ven_id"], refused)  # noqa: TRY400
        same = {"subject": row["subject"], "document": row["document"]}
        await self._store.write(self._store.change(VEN_OUTBOX, {"done": True}, **same))


async def _together(works: Any) -> None:
    """Do several things at once, and raise the first failure when all are over."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _ensure_report(client: Client, report: Json) -> None:
    """Have a report stand as it should: replaced where one of its name is there, made otherwise."""
    found = await client.search(ObjectType.REPORT, eventID=report["eventID"], clientName=report["clientName"])
    known = next((one for one in found if one.get("reportName") == report["reportName"]), None)
    if known is not None:
        await client.replace(ObjectType.REPORT, known["id"], report)
    else:
        await client.create(ObjectType.REPORT, report)
