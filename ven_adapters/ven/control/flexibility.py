"""What zones can do, and how far they fall short of what is asked, as the last cycle found it.

Said in the log when it is news: the band when something else is asked, a shortfall when it begins, changes or ends.
Reports, figures and explanations read it from here. No I/O beside the log.
"""

import dataclasses
import logging

from ven_adapters.ven.fleet.columns import FleetView
from ven_adapters.ven.openadr.zone_requests import RulingDimension, ZoneRequests
from ven_adapters.ven.planning.charging_need import PlanSettings
from ven_adapters.ven.planning.flexibility.feasible_band import FeasibleBand, feasible_band
from ven_adapters.ven.planning.flexibility.shortfall import Flexibility, in_words, is_news
from ven_adapters.ven.planning.night.planned_start import EarlierCycles, Night

BAND_EVERY_S = 900.0

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class FlexibilityWatch:
    """`now`: by zone what it can do and lacks. `bands`: by zone the coming day. `edition` moves with every cycle."""

    now: dict[str, Flexibility] = dataclasses.field(default_factory=dict)
    bands: dict[str, FeasibleBand] = dataclasses.field(default_factory=dict)
    edition: int = 0
    _said: dict[str, Flexibility] = dataclasses.field(default_factory=dict)
    _asked: dict[str, object] = dataclasses.field(default_factory=dict)

    def take(self, zone: str, found: Flexibility, *, leads: bool) -> None:
        """What a cycle found. Of one that plans ahead only a shortfall counts, and only while none is open."""
        self.edition += 1
        before = self.now.get(zone)
        if leads and (not found.is_short or (before is not None and before.is_short)):
            return
        self.now[zone] = found
        if not is_news(self._said.get(zone), found):
            return
        self._said[zone] = found
        if found.is_short:
            _log.warning("zone %s, event %s: %s", zone, found.event_id, in_words(found))
        else:
            _log.info("zone %s: what is asked can be done again", zone)

    def take_band(
        self,
        zone: str,
        view: FleetView,
        requests: ZoneRequests,
        settings: PlanSettings,
        night: Night | None,
        asked: object,
    ) -> None:
        """Work out the coming day anew when something else is `asked`, and every quarter of an hour."""
        known, now_s = self.bands.get(zone), requests.now_s
        is_new = self._asked.get(zone) != asked
        if known is not None and not is_new and now_s - known.start_s < BAND_EVERY_S:
            return
        self._asked[zone] = asked
        self.bands[zone] = feasible_band(view, requests, now_s, settings, EarlierCycles(night))
        if is_new and (requests.ruling is not RulingDimension.NOTHING or requests.import_cap_kw is not None):
            _log.info("zone %s: %s", zone, _in_words(self.bands[zone], self.now.get(zone)))


def _in_words(band: FeasibleBand, now: Flexibility | None) -> str:
    known = "" if now is None else f"feasible now from {now.least_kw:.1f} to {now.most_kw:.1f} kW; "
    least, most = band.least_kw, band.most_kw
    return (
        f"{known}in the quarter hours of the coming day the least is {least.min():.1f} to {least.max():.1f} kW, "
        f"the most {most.min():.1f} to {most.max():.1f} kW"
    )
