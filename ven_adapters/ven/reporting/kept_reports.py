"""Reports that the VTN has no place for any more, because their event was deleted: kept beside the store, one a line.

`unposted_reports.jsonl` in the adapter's folder, for whoever settles accounts; of two full files the older goes.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import orjson

from vtn.privatefiles import private_folder

MOST_BYTES = 32 * 1_048_576

_log = logging.getLogger(__name__)


class KeptReports:
    """`keep` a report. A disk that is full costs the report, and says so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "unposted_reports.jsonl"

    def keep(self, report: Mapping[str, object], now: datetime, why: str) -> None:
        """Append one report with when and why it was kept."""
        line = orjson.dumps({"at": now, "why": why, "report": report}, option=orjson.OPT_UTC_Z) + b"\n"
        try:
            private_folder(self._folder)
            if self.path.exists() and self.path.stat().st_size + len(line) > MOST_BYTES:
                self.path.replace(self.path.with_suffix(".jsonl.1"))
            with self.path.open("ab") as file:
                file.write(line)
        except OSError as error:
            _log.warning("a report on event %s is lost: %s", report.get("eventID"), error.strerror)
        else:
            _log.warning("a report on event %s is kept in %s: %s", report.get("eventID"), self.path.name, why)
