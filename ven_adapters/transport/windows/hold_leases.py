"""Which cars are held, for how long nobody need look after them, and how each is given back: one SQLite file.

Whoever keeps windows writes a lease before a command that holds a car leaves, and renews all leases once a minute. A
lease that runs out has no living keeper any more; the guard (`ven_adapters.guard`) then gives the car back. Leases are
counted on the machine's monotonic clock, so that a clock on the wall that is set ends none early. After a boot that
clock counts anew: every lease is then given its whole length again.
"""

import contextlib
import dataclasses
import enum
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ven_adapters.contract import BackendError, ErrorCode, Setting
from ven_adapters.transport.http.codec import dumps, load, loads
from vtn.clock import RealClock
from vtn.privatefiles import private_database, private_file

FILE, LOCK = "holds.sqlite", "guard.lock"
BUSY_S = 5.0
GUARD_CALLS_S = 30.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS holds (
  ref TEXT PRIMARY KEY, directive_id TEXT NOT NULL, give_back TEXT NOT NULL, state TEXT NOT NULL,
  due_s REAL NOT NULL, lasts_s REAL NOT NULL, boot TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS keeper (one INTEGER PRIMARY KEY CHECK (one = 1), seen_s REAL NOT NULL, boot TEXT NOT NULL);
"""


class LeaseState(enum.StrEnum):
    """Whose turn a car is: its keeper's, the guard's for the length of one call, or nobody's."""

    HELD = "HELD"
    CALLING = "CALLING"
    RETURNED = "RETURNED"


@dataclasses.dataclass(frozen=True, slots=True)
class HoldLease:
    """One car that is held. `lasts_s`: real seconds from its writing; `tries`: calls of the guard that were refused."""

    ref: str
    directive_id: str
    give_back: tuple[Setting, ...]
    lasts_s: float
    tries: int = 0


class HoldLeases:
    """The leases of one automaker's cars in its private folder. OSError when they cannot be written or read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._boot = _boot()
        self._opened: sqlite3.Connection | None = None

    # --- the keeper of windows ------------------------------------------------------------------------------------

    def take(self, lease: HoldLease) -> None:
        """Write a lease down before its car is told; BACKEND_TRANSIENT while the guard calls that very car."""
        with self._writing() as database:
            if self._guard_calls(database, lease.ref):
                raise BackendError(
                    ErrorCode.BACKEND_TRANSIENT, "the guard is giving this car back", retry_after_s=GUARD_CALLS_S
                )
            self._put(database, lease)

    def renew(self, leases: Iterable[HoldLease]) -> frozenset[str]:
        """Write all leases anew, drop those of other cars; the directives whose cars the guard has given back.

        One transaction. A car that the guard calls at this moment is left alone, and one that it gave back keeps its
        row until its directive is not among these any more.
        """
        wanted = {lease.ref: lease for lease in leases}
        given_back: set[str] = set()
        dropped: list[tuple[str]] = []
        with self._writing() as database:
            for ref, directive_id, state in database.execute("SELECT ref, directive_id, state FROM holds").fetchall():
                if state == LeaseState.CALLING and self._guard_calls(database, ref):
                    wanted.pop(ref, None)
                elif ref not in wanted:
                    dropped.append((ref,))
                elif state == LeaseState.RETURNED and wanted[ref].directive_id == directive_id:
                    given_back.add(directive_id)
                    del wanted[ref]
            database.executemany("DELETE FROM holds WHERE ref = ?", dropped)
            for lease in wanted.values():
                self._put(database, lease)
            seen = (time.monotonic(), self._boot)
            database.execute("INSERT OR REPLACE INTO keeper (one, seen_s, boot) VALUES (1, ?, ?)", seen)
        return frozenset(given_back)

    def given_back(self, ref: str) -> str | None:
        """The directive whose car the guard has given back, if it was the car's last one."""
        with self._writing() as database:
            found = database.execute(
                "SELECT directive_id FROM holds WHERE ref = ? AND state = ?", (ref, LeaseState.RETURNED)
            ).fetchone()
            return None if found is None else str(found[0])

    def drop(self, ref: str, directive_id: str) -> None:
        """The directive holds the car no more; a lease of a newer one stays."""
        with self._writing() as database:
            database.execute("DELETE FROM holds WHERE ref = ? AND directive_id = ?", (ref, directive_id))

    # --- the guard ------------------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Take up what a guard before left in the middle of a call; to be called under `guard_lock`."""
        with self._writing() as database:
            calling = (LeaseState.HELD, LeaseState.CALLING)
            database.execute("UPDATE holds SET state = ? WHERE state = ?", calling)

    def due(self) -> tuple[HoldLease, ...]:
        """The leases that have run out. Those from before a boot are given their whole length from now."""
        now_s = time.monotonic()
        with self._writing() as database:
            foreign = (now_s, self._boot, self._boot)
            database.execute("UPDATE holds SET due_s = ? + lasts_s, boot = ? WHERE boot <> ?", foreign)
            rows = database.execute(
                "SELECT ref, directive_id, give_back, lasts_s, tries FROM holds WHERE state = ? AND due_s <= ?",
                (LeaseState.HELD, now_s),
            ).fetchall()
        return tuple(HoldLease(row[0], row[1], _settings(row[2]), row[3], row[4]) for row in rows)

    def claim(self, lease: HoldLease) -> bool:
        """Have a car for one call; False when its lease was renewed, replaced or dropped meanwhile."""
        with self._writing() as database:
            claimed = database.execute(
                "UPDATE holds SET state = ? WHERE ref = ? AND directive_id = ? AND state = ? AND due_s <= ?",
                (LeaseState.CALLING, lease.ref, lease.directive_id, LeaseState.HELD, time.monotonic()),
            )
            return claimed.rowcount == 1

    def refused(self, lease: HoldLease, again_s: float) -> None:
        """The call came to nothing; the keeper may have the car again, and the guard tries after so many seconds."""
        with self._writing() as database:
            database.execute(
                "UPDATE holds SET state = ?, due_s = ?, tries = tries + 1 WHERE ref = ? AND state = ?",
                (LeaseState.HELD, time.monotonic() + again_s, lease.ref, LeaseState.CALLING),
            )

    def returned(self, lease: HoldLease) -> None:
        """The vendor said yes; the row stays, for the keeper to learn of it."""
        with self._writing() as database:
            database.execute(
                "UPDATE holds SET state = ? WHERE ref = ? AND state = ?",
                (LeaseState.RETURNED, lease.ref, LeaseState.CALLING),
            )

    def count(self) -> int:
        """How many cars are held, or being given back."""
        with self._writing() as database:
            row = database.execute("SELECT COUNT(*) FROM holds WHERE state <> ?", (LeaseState.RETURNED,)).fetchone()
            return int(row[0])

    def keeper_gone_s(self) -> float:
        """For how many seconds the keeper has renewed nothing; infinite when it never did since the boot."""
        with self._writing() as database:
            row = database.execute("SELECT seen_s FROM keeper WHERE boot = ?", (self._boot,)).fetchone()
        return float("inf") if row is None else max(0.0, time.monotonic() - float(row[0]))

    def close(self) -> None:
        """Let go of the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _put(self, database: sqlite3.Connection, lease: HoldLease) -> None:
        given = dumps(lease.give_back).decode()
        due_s = time.monotonic() + lease.lasts_s
        row = (lease.ref, lease.directive_id, given, LeaseState.HELD, due_s, lease.lasts_s, self._boot)
        database.execute(
            "INSERT OR REPLACE INTO holds (ref, directive_id, give_back, state, due_s, lasts_s, boot)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def _guard_calls(self, database: sqlite3.Connection, ref: str) -> bool:
        found = database.execute("SELECT 1 FROM holds WHERE ref = ? AND state = ?", (ref, LeaseState.CALLING))
        return found.fetchone() is not None and guard_is_alive(self.folder)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk when the block ends; nothing of it when the block raises."""
        try:
            database = self._opened = self._opened or _open(self.folder / FILE)
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise OSError(f"{self.folder / FILE}: {error}") from None


@contextlib.contextmanager
def guard_lock(folder: Path) -> Iterator[bool]:
    """Be the one guard of a folder for the length of a block: whether we are. The kernel frees a dead one's lock."""
    descriptor = os.open(private_file(folder / LOCK), os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def guard_is_alive(folder: Path) -> bool:
    """Whether a guard has the folder; looks without taking its place."""
    if not (folder / LOCK).exists():
        return False
    with (folder / LOCK).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(private_database(path), timeout=BUSY_S, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.executescript(_SCHEMA)
    private_database(path)
    return database


def _boot() -> str:
    """This boot of this machine; where the system does not tell, all boots are one."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _settings(text: str) -> tuple[Setting, ...]:
    return tuple(load(Setting, raw, received_at=RealClock().now()) for raw in loads(text.encode()))
