"""The last limit of each program that was understood, per group of zones: what counts while a later one is not.

It is that of the whole group, so that it binds cars of it that are planned apart since, because they changed programs.
A limit that is not understood is neither invented nor passed over. Kept durably, because a restart must not lift it.
No I/O: what must be stored is handed over as rows.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from ven_adapters.ven.openadr.payload_types import Dimension, limit_of
from ven_adapters.ven.openadr.zone_requests import DEFAULT_LIMIT, GridRequest
from ven_adapters.ven.store.database import LimitRow, RowValues, print_at

_IMPORTS = (Dimension.IMPORT_LIMIT_KW, Dimension.IMPORT_SUBSCRIPTION_KW)
_EXPORTS = (Dimension.EXPORT_LIMIT_KW, Dimension.EXPORT_SUBSCRIPTION_KW)


class UnderstoodLimits:
    """By zone, program and dimension, kW. `set_kw`: per zone what settings say counts where no limit was understood."""

    def __init__(self) -> None:
        self._kw: dict[str, dict[tuple[str, Dimension], float]] = {}
        self._rows: list[RowValues] = []
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

    def take(self, zone: str, limits: Iterable[GridRequest], now: datetime) -> None:
        """The limits that are in force; of several of one program the smallest.

        While one stands in for another that is not understood, it is not forgotten for a larger one of that program.
        """
        fresh: dict[tuple[str, Dimension], float] = {}
        known = self._kw.setdefault(zone, {})
        for ask in limits:
            dimension = limit_of(ask.payload_type)
            key = None if dimension is None else (ask.program_id, dimension)
            if key is not None and (key in known or not ask.stands_in):
                fresh[key] = min(ask.whole, fresh.get(key, ask.whole))
        for (program_id, dimension), kw in fresh.items():
            if known.get((program_id, dimension)) != kw:
                values = {"zone": zone, "program_id": program_id, "dimension": dimension.value, "kw": kw}
                self._rows.append(RowValues(LimitRow, values | {"at": print_at(now)}))
        known |= fresh

    def kept(self, zone: str, *, lost: bool = False) -> Mapping[tuple[str, Dimension], float]:
        """By program ("" for any) and dimension what counts in place of a limit that is not understood.

        While the VTN is `lost` what is set also holds where no limit that it sent does, under DEFAULT_LIMIT.
        """
        told = self._set.get(zone, {})
        defaults = {(DEFAULT_LIMIT, dimension): kw for (_, dimension), kw in told.items()} if lost else {}
        return told | defaults | self._kw.get(zone, {})

    def drain(self) -> Iterator[RowValues]:
        """Rows for the store: what changed since the last drain."""
        rows, self._rows = self._rows, []
        yield from rows
