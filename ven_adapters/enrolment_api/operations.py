"""What can be done to an enrolment: each act judges and writes inside one transaction, or refuses with every fault.

Ending an enrolment erases the person and keeps, under the pseudonym, what settlement must still prove: which consents
were given and when, in which programmes the car was, and that it ended.
"""

import dataclasses
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from ven_adapters.enrolment_api import eligibility
from ven_adapters.enrolment_api.bulk_writes import answer_values, memberships
from ven_adapters.enrolment_api.models import (
    Account,
    Agreement,
    Boost,
    Consent,
    Enrol,
    Home,
    Kept,
    Nothing,
    OptOut,
    Papers,
    Patience,
    Permissions,
    Preferences,
    Programs,
    Question,
    RequestFault,
    Scope,
    Skip,
    Status,
)
from ven_adapters.enrolment_api.problems import conflict, rejected, unknown_car
from ven_adapters.enrolment_api.seasons import season_of
from ven_adapters.enrolment_api.store import EnrolmentWrite, agreement_of, digest
from ven_adapters.enrolment_api.tables import (
    CarRow,
    ChosenRow,
    ConsentRow,
    DecisionRow,
    MembershipRow,
    NoticeRow,
    PersonRow,
    SkipRow,
    TermsRow,
)
from ven_adapters.transport.windows.precedence import LEAVES, is_overtaken
from vtn.databases import parse_at, print_at

LONGEST_CHOICE = timedelta(days=62)
MOST_CHOICES = 100
LIVE = frozenset({Status.ENROLLED.value, Status.SUSPENDED.value})


@dataclasses.dataclass(frozen=True, slots=True)
class EnrolmentOperations:
    """The acts. `zones`: those that the adapter's settings name, empty: any. `skip_tokens`: of a car and season."""

    programs: eligibility.Rules
    zones: frozenset[str] = frozenset()
    skip_tokens: int = 0

    async def enrol(self, write: EnrolmentWrite, body: Enrol) -> Agreement:
        """Enrol a car; 409 for a car, a VIN or an account that is enrolled as far as it may be."""
        row = await write.session.get(CarRow, body.vehicle_ref)
        if row is not None and row.status in LIVE:
            raise conflict(
                "vehicle_ref: is enrolled already", RequestFault(path="$.vehicle_ref", rule="is enrolled already")
            )
        if await write.count(PersonRow, vin=body.vin):
            raise conflict("vin: is enrolled under another ref", RequestFault(path="$.vin", rule="is enrolled already"))
        self._judge(body, write.now)
        account = {"utility": body.account.utility, "account_id": body.account.account_id}
        await self._room(write, body.programs, body.programs, await write.count(PersonRow, **account))
        await write.clear(MembershipRow, body.vehicle_ref)
        agreement = self._first(body, write.now)
        write.put_car(row, agreement)
        write.session.add(_person(body))
        self._join(write, agreement)
        for consent in body.consents:
            _record(write, body.vehicle_ref, consent.scope, _kept(consent), await _shown(write, consent.terms))
        write.journal(body.vehicle_ref, "enrolled")
        if row is not None:  # what an earlier driver of this ref chose is over
            await _choose(write, body.vehicle_ref, "OPT_IN", None)
        return agreement

    def _judge(self, body: Enrol, now: datetime) -> None:
        """Everything that is wrong with an enrolment beyond its shape."""
        question = _question(body.model, body.home.region, body.account)
        faults = [*eligibility.joining(self.programs, body.programs, question), *self._zone(body.home.zone, "$.home")]
        scopes = [consent.scope for consent in body.consents if consent.agreed]
        if Scope.CHARGING not in scopes:
            faults.append(RequestFault(path="$.consents", rule="must include the driver's consent to charging"))
        if Scope.DISCHARGE in scopes and not eligibility.discharges(self.programs, body.programs):
            faults.append(RequestFault(path="$.consents", rule="none of these programmes takes discharge"))
        faults += [
            RequestFault(path=f"$.consents[{place}].at", rule="must not lie in the future")
            for place, consent in enumerate(body.consents)
            if consent.at > now
        ]
        if faults:
            raise rejected(faults)

    def _zone(self, zone: str, path: str) -> list[RequestFault]:
        known = not self.zones or zone in self.zones
        return [] if known else [RequestFault(path=f"{path}.zone", rule=f"{zone!r} is not a zone of this adapter")]

    async def _room(self, write: EnrolmentWrite, named: Sequence[str], joined: Sequence[str], others: int) -> None:
        """Whether programmes that are joined have room, and the account, with `others` of its cars, may add one."""
        for place, name in enumerate(named):
            if name not in joined:
                continue
            rules, path = self.programs[name], f"$.programs[{place}]"
            if rules.most_cars is not None and await write.count(MembershipRow, program=name) >= rules.most_cars:
                raise conflict(f"{name}: is full", RequestFault(path=path, rule=f"{name} has no room for another car"))
            if rules.cars_per_account is not None and others >= rules.cars_per_account:
                raise conflict(
                    f"{name}: the account has its cars", RequestFault(path=path, rule="cars_per_account: is reached")
                )

    def _first(self, body: Enrol, now: datetime) -> Agreement:
        return Agreement(
            vehicle_ref=body.vehicle_ref,
            status=Status.ENROLLED,
            model=body.model,
            region=body.home.region,
            zone=body.home.zone,
            timezone=body.home.timezone,
            **_of_home(body.home),
            utility=body.account.utility,
            tariff=body.account.tariff,
            programs=body.programs,
            discharge_program=eligibility.discharges(self.programs, body.programs),
            preferences=body.preferences,
            consents=_newest({}, body.consents, now),
            permissions=body.permissions,
            discharge_budget=body.discharge_budget,
            patience=body.patience,
            enrolled_at=now,
        )

    def _join(self, write: EnrolmentWrite, agreement: Agreement) -> None:
        for values in memberships(self.programs, agreement, print_at(write.now)):
            write.session.add(MembershipRow(**values))

    async def consent(self, write: EnrolmentWrite, ref: str, body: Consent) -> Agreement:
        """Add a line to the history; the newest answer of a scope counts."""
        row, car = await enrolled(write, ref)
        if body.at > write.now:
            raise rejected([RequestFault(path="$.at", rule="must not lie in the future")])
        if body.agreed and body.scope is Scope.DISCHARGE and not car.discharge_program:
            raise rejected([RequestFault(path="$.scope", rule="none of the car's programmes takes discharge")])
        _record(write, ref, body.scope, _kept(body), await _shown(write, body.terms))
        return _change(write, row, car, "consent", consents=_newest(car.consents, [body], write.now))

    async def preferences(self, write: EnrolmentWrite, ref: str, body: Preferences) -> Agreement:
        """Replace the driver's week."""
        return _change(write, *await enrolled(write, ref), "preferences", preferences=body)

    async def permissions(self, write: EnrolmentWrite, ref: str, body: Papers) -> Agreement:
        """Replace the discharge papers."""
        row, car = await enrolled(write, ref)
        papers = {"permissions": body.permissions, "discharge_budget": body.discharge_budget}
        return _change(write, row, car, "permissions", **papers)

    async def patience(self, write: EnrolmentWrite, ref: str, body: Patience) -> Agreement:
        """Replace the driver's own caps on how often events may ask the car."""
        return _change(write, *await enrolled(write, ref), "patience", patience=body)

    async def change_programs(self, write: EnrolmentWrite, ref: str, body: Programs) -> Agreement:
        """Leave the programmes that are not named, join those that are."""
        row, car = await enrolled(write, ref)
        question = Question(model=car.model, region=car.region, utility=car.utility, tariff=car.tariff)
        if faults := list(eligibility.joining(self.programs, body.programs, question)):
            raise rejected(faults)
        joined = [name for name in body.programs if name not in car.programs]
        await self._room(write, body.programs, joined, await _others(write, ref))
        await write.clear(MembershipRow, ref)
        changed = {
            "left_by_rule": (),
            "programs": body.programs,
            "discharge_program": eligibility.discharges(self.programs, body.programs),
        }
        after = _change(write, row, car, "programs", status=Status.ENROLLED, **changed)
        self._join(write, after)
        return after

    async def home(self, write: EnrolmentWrite, ref: str, body: Home) -> Agreement:
        """The driver moved: another site, and papers that belonged to the old house no longer count.

        Papers that were handed in after the move, and told before it, are the new house's.
        """
        row, car = await enrolled(write, ref)
        question = Question(model=car.model, region=body.region, utility=car.utility, tariff=car.tariff)
        faults = [*eligibility.joining(self.programs, car.programs, question), *self._zone(body.zone, "$")]
        if faults:
            raise rejected(faults)
        person = await write.session.get(PersonRow, ref)
        if person is not None:
            person.document = _document({**orjson.loads(person.document), "place": body.place.model_dump()})
        place = {"zone": body.zone, "region": body.region, "timezone": body.timezone, **_of_home(body)}
        papers_at = (await write.decisions(ref)).get("permissions")
        papers = car.permissions if is_overtaken(write.decided_at, [papers_at], write.now) else Permissions()
        return _change(write, row, car, "home", **place, permissions=papers)

    async def sale(self, write: EnrolmentWrite, ref: str, _nothing: Nothing | None = None) -> Agreement:
        """The car is another's: nothing that its driver agreed to binds the next one."""
        return await self._end(write, ref, Status.SOLD)

    async def withdrawal(self, write: EnrolmentWrite, ref: str, _nothing: Nothing | None = None) -> Agreement:
        """The driver leaves."""
        return await self._end(write, ref, Status.WITHDRAWN)

    async def _end(self, write: EnrolmentWrite, ref: str, status: Status) -> Agreement:
        row, car = await enrolled(write, ref)
        for table in (PersonRow, ChosenRow, DecisionRow, MembershipRow, SkipRow, NoticeRow):
            await write.clear(table, ref)
        await write.forget_answers(ref)
        gone: dict[str, Any] = {
            "preferences": None,
            "permissions": Permissions(),
            "discharge_budget": None,
            "patience": None,
            "consents": {},
        }
        return _change(write, row, car, status.lower(), status=status, ended_at=write.now, **gone)

    async def opt_out(self, write: EnrolmentWrite, ref: str, body: OptOut) -> Agreement:
        """Leave one event, or all of them."""
        car = (await enrolled(write, ref))[1]
        _still_to_come(body.until, write.now, LONGEST_CHOICE if body.event_id is not None else None)
        if body.event_id is None:
            await write.forget([ref], "OPT_IN")
        await _choose(write, ref, "OPT_OUT", body.until, body.event_id or "")
        return car

    async def skip(self, write: EnrolmentWrite, ref: str, body: Skip) -> Agreement:
        """Leave one event with a token of the season, once per event; 409 when none is left."""
        car = (await enrolled(write, ref))[1]
        _still_to_come(body.until, write.now, LONGEST_CHOICE)
        if await write.session.get(SkipRow, (ref, body.event_id)) is not None:
            return car
        season = season_of(write.decided_at.astimezone(ZoneInfo(car.timezone)))
        if await write.count(SkipRow, vehicle_ref=ref, season=season) >= self.skip_tokens:
            rule = f"none of the {self.skip_tokens} skip tokens of {season} is left; an opt-out needs none"
            raise conflict(f"skip: {rule}", RequestFault(path="$.event_id", rule=rule))
        write.session.add(
            SkipRow(vehicle_ref=ref, event_id=body.event_id, season=season, at=print_at(write.decided_at))
        )
        write.journal(ref, "skip", body.event_id)
        await _choose(write, ref, "OPT_OUT", body.until, body.event_id)
        return car

    async def opt_in(self, write: EnrolmentWrite, ref: str, _nothing: Nothing | None = None) -> Agreement:
        """Take part again."""
        car = (await enrolled(write, ref))[1]
        await write.forget([ref], "OPT_OUT")
        await _choose(write, ref, "OPT_IN", None)
        return car

    async def boost(self, write: EnrolmentWrite, ref: str, body: Boost) -> Agreement:
        """Charge now."""
        car = (await enrolled(write, ref))[1]
        _still_to_come(body.until, write.now, LONGEST_CHOICE)
        await _choose(write, ref, "BOOST", body.until)
        return car


async def _others(write: EnrolmentWrite, ref: str) -> int:
    """How many other cars the account of a car has; none where a file brought the car, which names no account."""
    person = await write.session.get(PersonRow, ref)
    if person is None:
        return 0
    return await write.count(PersonRow, utility=person.utility, account_id=person.account_id) - 1


async def enrolled(write: EnrolmentWrite, ref: str) -> tuple[CarRow, Agreement]:
    """What is on file for a car that is enrolled; 404 for any other."""
    row = await write.session.get(CarRow, ref)
    if row is None or row.status not in LIVE:
        raise unknown_car(ref)
    return row, agreement_of(row)


def _change(write: EnrolmentWrite, row: CarRow, car: Agreement, what: str, **values: Any) -> Agreement:
    after = car.model_copy(update=values)
    write.put_car(row, after)
    write.journal(car.vehicle_ref, what)
    return after


def _newest(known: Mapping[str, Kept], given: Iterable[Consent], now: datetime) -> dict[str, Kept]:
    """Per scope the answer that was given last, whenever we hear of it."""
    kept = dict(known)
    for one in given:
        before = kept.get(one.scope)
        if before is None or not is_overtaken(one.at, [before.at], now, leaves=not one.agreed):
            kept[one.scope.value] = _kept(one)
    return kept


def _kept(one: Consent) -> Kept:
    return Kept(version=one.version, agreed=one.agreed, at=one.at, valid_until=one.valid_until)


async def _shown(write: EnrolmentWrite, terms: str) -> str:
    """Keep a text that was shown, once, whoever saw it; its digest."""
    sha256 = digest(terms.encode())
    if await write.session.get(TermsRow, sha256) is None:
        write.session.add(TermsRow(sha256=sha256, text=terms))
        await write.session.flush()
    return sha256


def _record(write: EnrolmentWrite, ref: str, scope: Scope, kept: Kept, terms_sha256: str = "") -> None:
    """One more line of the history."""
    write.session.add(ConsentRow(**answer_values(write, ref, scope, kept, terms_sha256)))


async def _choose(write: EnrolmentWrite, ref: str, choice: str, until: datetime | None, event_id: str = "") -> None:
    live = await write.live_choices(ref)
    known = await write.session.get(ChosenRow, (ref, choice, event_id))
    if event_id and known is None and live >= MOST_CHOICES:
        raise conflict(f"no more than {MOST_CHOICES} choices are kept for a car at a time")
    leaves = choice in LEAVES
    if known is not None and is_overtaken(write.decided_at, [parse_at(known.at)], write.now, leaves=leaves):
        return  # about one event: a newer word on it stands
    row = known or ChosenRow(vehicle_ref=ref, choice=choice, event_id=event_id, at="", seq=0)
    row.at, row.until = print_at(write.decided_at), None if until is None else print_at(until)
    row.seq = write.number()
    write.session.add(row)
    write.journal(ref, choice.lower(), event_id)


def _still_to_come(until: datetime | None, now: datetime, longest: timedelta | None) -> None:
    if until is not None and until <= now:
        raise rejected([RequestFault(path="$.until", rule="must lie in the future")])
    if until is not None and longest is not None and until > now + longest:
        raise rejected([RequestFault(path="$.until", rule=f"must lie within {longest.days} days")])


def _question(model: str, region: str, account: Account) -> Question:
    return Question(model=model, region=region, utility=account.utility, tariff=account.tariff)


def _person(body: Enrol) -> PersonRow:
    document = {"account": body.account.model_dump(), "place": body.home.place.model_dump()}
    return PersonRow(
        vehicle_ref=body.vehicle_ref,
        vin=body.vin,
        utility=body.account.utility,
        account_id=body.account.account_id,
        document=_document(document),
    )


def _document(content: Mapping[str, Any]) -> str:
    return orjson.dumps(content).decode()


def _of_home(home: Home) -> dict[str, Any]:
    """What of a home the engine needs to hold its limits, under its pseudonym."""
    grid = {name: getattr(home, name) for name in ("grid_node", "site_import_limit_w", "site_export_limit_w")}
    return {"site_id": home.site_id or new_site(), **grid}


def new_site() -> str:
    """A home's pseudonym: it says nothing of the home, and another one comes with every move."""
    return f"site-{secrets.token_hex(8)}"
