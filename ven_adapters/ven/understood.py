"""The last limit of each program that was understood, per zone: what counts while a later one is not.

A limit that is not understood is neither invented nor passed over. Kept durably, because a restart must not lift it.
No I/O: what must be stored is handed over as rows.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from ven_adapters.ven.asks import Ask
from ven_adapters.ven.meanings import Dimension, limit_of
from ven_adapters.ven.store import LimitRow, Values, print_at

_IMPORTS = (Dimension.IMPORT_LIMIT_KW, Dimension.IMPORT_SUBSCRIPTION_KW)
_EXPORTS = (Dimension.EXPORT_LIMIT_KW, Dimension.EXPORT_SUBSCRIPTION_KW)


class UnderstoodLimits:
    """By zone, program and dimension, kW. `set_kw`: per zone what settings say counts where no limit was understood."""

    def __init__(self) -> None:
        self._kw: dict[str, dict[tuple[str, Dimension], float]] = {}
        self._rows: list[Values] = []
        self._set: dict[str, dict[tuple[str, Dimension], float]] = {}

    def set_kw(self, zone: str, *, imports: float | None, exports: float | None) -> None:
        """What counts in a zone while a limit is not understood and none was before."""
        told = {
            ("", one): kw
            for kw, several in ((imports, _IMPORTS), (exports, _EXPORTS))
            if kw is not None
            for one in several
        }
        self._set[zone] = told

    def restore(self, rows: Iterable[LimitRow]) -> None:
        """What an earlier run understood; a dimension that is no longer known is forgotten."""
        known = {dimension.value: dimension for dimension in Dimension}
        for row in rows:
            if row.dimension in known:
                self._kw.setdefault(row.zone, {})[(row.program_id, known[row.dimension])] = row.kw

    def take(self, zone: str, limits: Iterable[Ask], now: datetime) -> None:
        """The limits that are in force and understood; of several of one program the smallest."""
        fresh: dict[tuple[str, Dimension], float] = {}
        for ask in limits:
            dimension = limit_of(ask.payload_type)
            if dimension is not None:
                key = ask.program_id, dimension
                fresh[key] = min(ask.value, fresh.get(key, ask.value))
        known = self._kw.setdefault(zone, {})
        for (program_id, dimension), kw in fresh.items():
            if known.get((program_id, dimension)) != kw:
                values = {"zone": zone, "program_id": program_id, "dimension": dimension.value, "kw": kw}
                self._rows.append(Values(LimitRow, values | {"at": print_at(now)}))
        known |= fresh

    def kept(self, part: str, zone: str) -> Mapping[tuple[str, Dimension], float]:
        """By program ("" for any) and dimension what counts in place of a limit that is not understood."""
        return self._set.get(zone, {}) | self._kw.get(part, {})

    def drain(self) -> Iterator[Values]:
        """Rows for the store: what changed since the last drain."""
        rows, self._rows = self._rows, []
        yield from rows
