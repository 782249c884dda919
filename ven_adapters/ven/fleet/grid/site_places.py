"""Which node of the grid each car of a fleet hangs from: by its home, and by what enrolments say of the home.

Follows enrolments as they change; a car hangs from its home where that is limited, else from what the home hangs from.
"""

from collections.abc import Iterable

import numpy as np

from ven_adapters.ven.fleet.columns import Floats, Ints, grown
from ven_adapters.ven.fleet.enrolment_record import Enrolment
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE, NO_TREE, GridTree, SiteClaims, with_sites


class SitePlaces:
    """One entry per row of the fleet; `tree` has the nodes of the grid file and the sites that are limited.

    `strangers`: how many cars name a node that the grid file does not have.
    """

    def __init__(self, grid: GridTree = NO_TREE) -> None:
        self._grid = grid
        self._nodes = {name: place for place, name in enumerate(grid.names)}
        self._sites: list[str] = []
        self._site_ids: dict[str, int] = {}
        self._in_file: list[int] = []
        self._site: Ints = np.zeros(0, dtype=np.int64)
        self._node: Ints = np.zeros(0, dtype=np.int64)
        self._import_kw: Floats = np.zeros(0)
        self._export_kw: Floats = np.zeros(0)
        self._papers_kw: Floats = np.zeros(0)
        self._unknown: dict[int, str] = {}
        self.tree = grid

    @property
    def strangers(self) -> int:
        """How many cars name a node that the grid file does not have."""
        return len(self._unknown)

    @property
    def unknown_nodes(self) -> list[str]:
        """The nodes that cars name and the grid file does not have."""
        return sorted(set(self._unknown.values()))

    def grow(self, count: int) -> None:
        """Have at least `count` rows."""
        self._site = grown(self._site, count, fill=NO_NODE)
        self._node = grown(self._node, count, fill=NO_NODE)
        self._import_kw = grown(self._import_kw, count, fill=np.inf)
        self._export_kw = grown(self._export_kw, count, fill=np.inf)
        self._papers_kw = grown(self._papers_kw, count, fill=np.inf)

    def put(self, row: int, enrolment: Enrolment) -> None:
        """What an enrolment says of its home."""
        self._site[row] = self._intern(enrolment.site_id)
        named, permission = enrolment.grid_node, enrolment.permission
        self._node[row] = NO_NODE if named is None else self._nodes.get(named, NO_NODE)
        self._unknown.pop(row, None)
        if named is not None and named not in self._nodes:
            self._unknown[row] = named
        self._import_kw[row] = _kw(enrolment.site_import_limit_w)
        self._export_kw[row] = _kw(enrolment.site_export_limit_w)
        feeds = permission is not None and enrolment.discharge_consent
        self._papers_kw[row] = permission.export_limit_w / 1000 if permission is not None and feeds else np.inf

    def retire(self, rows: Iterable[int]) -> None:
        """Cars that left."""
        for row in rows:
            self._site[row] = NO_NODE
            self._unknown.pop(row, None)

    def placed(self) -> Ints:
        """Per row what the car hangs from now, a number of `tree`."""
        claims = SiteClaims(self._site, self._node, self._import_kw, self._export_kw, self._papers_kw)
        in_file = np.array(self._in_file, dtype=np.int64)
        self.tree, leaf = with_sites(self._grid, self._sites, in_file, claims)
        return leaf

    def _intern(self, site_id: str) -> int:
        if site_id not in self._site_ids:
            self._site_ids[site_id] = len(self._sites)
            self._sites.append(site_id)
            self._in_file.append(self._nodes.get(site_id, NO_NODE))
        return self._site_ids[site_id]


def _kw(watts: int | None) -> float:
    return np.inf if watts is None else watts / 1000
