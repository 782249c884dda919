"""Keep the fleet's state in step with what drivers agree to and choose: all at the start, then every change at once.

What drivers told the enrolment API takes the way of what a backend pushes, so both are honoured alike.
"""

import asyncio
import dataclasses
import logging
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ven_adapters.ven.control.driver_choices import Effect
from ven_adapters.ven.control.fact_intake import FactIntake
from ven_adapters.ven.control.fleet_state import FleetState
from ven_adapters.ven.enrolment.files import Unreadable
from ven_adapters.ven.enrolment.source import AgreementChanges, AgreementSource
from vtn.clock import Clock

FOLLOW_EVERY_S = 0.25

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class EnrolmentSync:
    """What drivers say goes to `facts`. `strangers`: cars came of whom nothing is known.

    `owed`: everything is to be taken up anew, and could not be yet, because the store was away.
    """

    agreements: AgreementSource
    fleet_state: FleetState
    clock: Clock
    facts: FactIntake
    _stamps: dict[Path, float] = dataclasses.field(default_factory=dict)
    strangers: bool = False
    owed: bool = False

    async def begin(self) -> AgreementChanges:
        """Open the store and take up every agreement; the choices that hold come back. Raises Unreadable."""
        await self.agreements.open()
        return await self._read_all()

    async def _read_all(self) -> AgreementChanges:
        self._stamps = self.agreements.stamps()
        now = self.clock.now()
        enrolments, news = await self.agreements.read(now)
        self.facts.apply(Effect(release=self.fleet_state.enrol(enrolments, now)))
        return news

    async def reread(self) -> None:
        """Take up everything anew; a file that cannot be used changes nothing, a store that is away is asked again."""
        try:
            news = await self._read_all()
        except Unreadable as error:
            _log.error("the enrolments changed and cannot be used: %s", error)
        except (SQLAlchemyError, OSError) as error:
            self.owed = True
            _log.warning("the enrolment store is out of reach: %s", type(error).__name__)
            return
        else:
            self.heed(news)
        self.owed = False

    async def reread_changed_files(self) -> bool:
        """Take up everything anew when a file changed since it was read; whether one did."""
        if self.agreements.stamps() == self._stamps:
            return False
        await self.reread()
        return True

    async def run(self) -> None:
        """Take up changes until cancelled; a store that is away is asked again."""
        while True:
            await asyncio.sleep(FOLLOW_EVERY_S)
            try:
                await self.take_up(await self.agreements.news(self.clock.now()))
                if self.owed:
                    await self.reread()
                await self._tell_lost()
            except (SQLAlchemyError, OSError) as error:
                _log.warning("the enrolment store is out of reach: %s", type(error).__name__)

    async def _tell_lost(self) -> None:
        """What backends told of consents that ended; what cannot be said now is said next time."""
        if lost := list(self.fleet_state.choices.withdrawn):
            await self.agreements.tell_lost(lost, self.clock.now())
            for _ in lost:
                self.fleet_state.choices.withdrawn.popleft()

    async def take_up(self, news: AgreementChanges) -> None:
        """Agreements first, then choices; what needs the files or the store once more comes last, for it may fail."""
        regroup = False
        if news.changed or news.gone:
            left = self.fleet_state.amend(news.changed, news.gone, self.clock.now())
            regroup = any(one.zone not in self.fleet_state.groups for one in news.changed)
            self.strangers = True
            self.facts.apply(Effect(plan=True, release=left))
        self.heed(news)
        if regroup:
            await self.reread()

    def heed(self, news: AgreementChanges) -> None:
        """What drivers chose."""
        for chose in news.chose:
            self.facts.take(chose)
        for one in news.left_out:
            self.facts.apply(self.fleet_state.leave_out(one.vehicle_ref, one.event_id, one.until, self.clock.now()))

    def met(self) -> bool:
        """Whether strangers came since this was last asked."""
        strangers, self.strangers = self.strangers, False
        return strangers
