"""Drives ElaadNL's openadr3-client in its 3.0.1 mode against the 3.0.1 face: every public member, as BL and as VEN.

Reads the facts (url of the 3.0.1 base path, url31 of 3.1, secrets) as JSON from standard input; see drive_parts. The
server knows that the ven named VEN is c1's (protocol.ven_clients), for the library cannot say so.
"""

import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import openadr3_client
import requests
from drive_parts import Drive, Receiver, members_of_modules, public_members
from openadr3_client._models.common.attribute import Attribute
from openadr3_client._models.common.interval import Interval
from openadr3_client._models.common.interval_period import IntervalPeriod
from openadr3_client._models.common.ven_resource_attribute_type import VenResourceAttributeType
from openadr3_client.bl.http_factory import BusinessLogicHttpClientFactory
from openadr3_client.oadr301._vtn.interfaces.filters import PaginationFilter, TargetFilter
from openadr3_client.oadr301.conversion.input.events.dict import DictEventIntervalConverter as FromDictionaries
from openadr3_client.oadr301.conversion.output.events.dict import DictEventIntervalConverter as ToDictionaries
from openadr3_client.oadr301.models.event.event import EventUpdate, NewEvent
from openadr3_client.oadr301.models.event.event_payload import EventPayload, EventPayloadDescriptor, EventPayloadType
from openadr3_client.oadr301.models.program.program import NewProgram, ProgramDescription, ProgramUpdate
from openadr3_client.oadr301.models.report.report import NewReport, ReportResource, ReportUpdate
from openadr3_client.oadr301.models.report.report_payload import ReportDescriptor, ReportPayload, ReportPayloadType
from openadr3_client.oadr301.models.subscriptions.subscription import (
    NewSubscription,
    Object,
    ObjectOperation,
    Operation,
    SubscriptionUpdate,
)
from openadr3_client.oadr301.models.target import Target
from openadr3_client.oadr301.models.target_type import TargetType
from openadr3_client.oadr301.models.unit import Unit
from openadr3_client.oadr301.models.ven.resource import NewResource, ResourceUpdate
from openadr3_client.oadr301.models.ven.ven import NewVen, VenUpdate
from openadr3_client.ven.http_factory import VirtualEndNodeHttpClientFactory
from openadr3_client.version import OADRVersion

PACKAGE = "openadr3_client"
VEN = "ven-of-c1"
FIRST_FIFTY = PaginationFilter(skip=0, limit=50)
HOUR = timedelta(hours=1)
START = datetime(2030, 1, 1, 12, tzinfo=UTC)
PERIOD = IntervalPeriod(start=START, duration=HOUR, randomize_start=timedelta(minutes=5))
PRICES = EventPayloadDescriptor(payload_type=EventPayloadType.PRICE, units=Unit.KWH, currency="EUR")
POWER = (Attribute(type=VenResourceAttributeType.MAX_POWER_CONSUMPTION, values=(7.4,)),)
WEST = (Target(type=TargetType.SERVICE_AREA, values=("west",)),)
IN_THE_WEST = TargetFilter(target_type="SERVICE_AREA", target_values=["west"])
IN_A_GROUP = TargetFilter(target_type="GROUP", target_values=["west"])


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def only(one: Any) -> Any:
    """A check that a list holds this object and no other."""
    return lambda all_: [each.id for each in all_] == [one.id]


def clients(drive: Drive, facts: dict[str, Any]) -> None:
    """Log in as BL and as VEN with the scopes that 3.0.1 has, read_all for both."""
    for role, client_id, factory, make in (
        ("bl", "bl", BusinessLogicHttpClientFactory, "create_http_bl_client"),
        ("ven", "c1", VirtualEndNodeHttpClientFactory, "create_http_ven_client"),
    ):
        writes = {"bl": ["write_programs", "write_events"], "ven": ["write_reports"]}[role]
        drive.roles[role] = drive.on(
            factory,
            make,
            vtn_base_url=facts["url"],
            client_id=client_id,
            client_secret=facts["secrets"][client_id],
            token_url=f"{facts['url']}/auth/token",
            scopes=["read_all", "write_subscriptions", "write_vens", *writes],
            version=OADRVersion.OADR_301,
        )


def programs(drive: Drive) -> Any:
    """Both roles read; BL writes, fields that 3.1 has as attributes among them."""
    new = NewProgram(
        program_name=fresh("program"),
        program_long_name="A long name",
        retailer_name="R",
        retailer_long_name="Retailer",
        program_type="PRICING_TARIFF",
        country="NL",
        principal_subdivision="GE",
        interval_period=PERIOD,
        program_descriptions=(ProgramDescription(URL="https://example.org/tariff"),),
        binding_events=True,
        local_price=False,
        payload_descriptors=(PRICES,),
    )
    sent = new.model_dump()
    same = lambda it: it.model_dump().items() >= sent.items()  # noqa: E731 - a check of many uses
    made = drive.do("bl.programs.create_program", new, check=same)
    drive.on(new, "with_creation_guard")
    drive.on(made, "name", check=lambda it: it == new.program_name)
    for role in ("bl", "ven"):
        drive.do(f"{role}.programs.get_programs", target=None, pagination=FIRST_FIFTY, check=lambda all_: made in all_)
        drive.do(f"{role}.programs.get_program_by_id", made.id, check=lambda it: it == made)
    changed = drive.on(made, "update", ProgramUpdate(targets=WEST, retailer_name="S"))
    stored = drive.do("bl.programs.update_program_by_id", made.id, changed, check=lambda it: it.targets == WEST)
    for target, expected in ((IN_THE_WEST, (stored,)), (IN_A_GROUP, ())):
        check = lambda all_, expected=expected: all_ == expected  # noqa: E731 - a check of one use
        drive.do("bl.programs.get_programs", target=target, pagination=None, check=check)
    return stored


def vens(drive: Drive) -> Any:
    """BL makes the ven, the settings say whose it is; the VEN then reads and changes it, and its resources in it."""
    new = NewVen(ven_name=VEN, targets=WEST, attributes=POWER)
    made = drive.do("bl.vens.create_ven", new, check=lambda it: it.targets == WEST and it.resources == ())
    drive.on(made, "name", check=lambda it: it == VEN)
    for role in ("bl", "ven"):
        found = {"target": IN_THE_WEST, "pagination": FIRST_FIFTY, "check": only(made)}
        drive.do(f"{role}.vens.get_vens", ven_name=VEN, **found)
        drive.do(f"{role}.vens.get_ven_by_id", made.id, check=lambda it: it == made)
    parts = tuple(NewResource(resource_name=fresh("r"), venID=made.id) for _ in range(2))
    changed = drive.on(made, "update", VenUpdate(resources=parts, targets=None))
    kept = lambda it: it.targets == WEST and len(it.resources) == 2  # noqa: E731 - a check of one use
    stored = drive.do("ven.vens.update_ven_by_id", made.id, changed, check=kept)
    again = drive.do("bl.vens.update_ven_by_id", made.id, stored, check=kept)
    drive.claim("resources keep their place", repr(again)[:300], ok=again.resources == stored.resources)
    drive.do("ven.vens.delete_ven_by_id", made.id, check=lambda it: it.id == made.id)
    own = NewVen(ven_name=VEN, resources=parts[:1])
    mine = drive.do("ven.vens.create_ven", own, check=lambda it: len(it.resources) == 1)
    drive.do("bl.vens.delete_ven_by_id", mine.id, check=lambda it: it.id == mine.id)
    return drive.do("bl.vens.create_ven", NewVen(ven_name=VEN, targets=WEST), check=lambda it: it.targets == WEST)


def resources(drive: Drive, ven: Any) -> None:
    """Each role makes one below the path of the ven."""
    for role in ("bl", "ven"):
        new = NewResource(resource_name=fresh(role), venID=ven.id, attributes=POWER, targets=WEST)
        granted = WEST if role == "bl" else None
        made = drive.do(
            f"{role}.vens.create_ven_resource", ven.id, new, check=lambda it, granted=granted: it.targets == granted
        )
        drive.on(made, "name", check=lambda it, new=new: it == new.resource_name)
        found = {"resource_name": made.resource_name, "pagination": FIRST_FIFTY, "check": only(made)}
        drive.do(f"{role}.vens.get_ven_resources", ven.id, target=IN_THE_WEST if granted else None, **found)
        drive.do(f"{role}.vens.get_ven_resource_by_id", ven.id, made.id, check=lambda it, made=made: it == made)
        changed = drive.on(made, "update", ResourceUpdate(resource_name=fresh("renamed")))
        renamed = lambda it, changed=changed: it.resource_name == changed.resource_name  # noqa: E731
        drive.do(f"{role}.vens.update_ven_resource_by_id", ven.id, made.id, changed, check=renamed)
        drive.do(
            f"{role}.vens.delete_ven_resource_by_id", ven.id, made.id, check=lambda it, made=made: it.id == made.id
        )


def events(drive: Drive, program: Any) -> Any:
    """Both roles read; BL writes. Intervals come from the library's own conversion of dictionaries."""
    rows = [{"type": "PRICE", "values": [0.17], "start": START + n * HOUR, "duration": HOUR} for n in range(3)]
    read_rows = FromDictionaries()
    drive.on(read_rows, "validate_input", rows)
    drive.on(read_rows, "has_interval_period", rows[0], check=lambda it: it is True)
    intervals = drive.on(read_rows, "convert", rows, check=lambda it: len(it) == 3)
    new = NewEvent(
        programID=program.id,
        event_name=fresh("event"),
        priority=0,
        targets=WEST,
        payload_descriptors=(PRICES,),
        report_descriptors=(ReportDescriptor(payload_type=ReportPayloadType.USAGE, units=Unit.KWH),),
        interval_period=PERIOD,
        intervals=tuple(intervals),
    )
    same = lambda it: it.intervals == new.intervals and it.report_descriptors == new.report_descriptors  # noqa: E731
    made = drive.do("bl.events.create_event", new, check=same)
    drive.on(made, "name", check=lambda it: it == new.event_name)
    drive.on(ToDictionaries(), "convert", list(made.intervals), check=lambda it: it[2]["start"] == START + 2 * HOUR)
    for role in ("bl", "ven"):
        found = {"target": IN_THE_WEST, "pagination": FIRST_FIFTY, "program_id": program.id}
        drive.do(f"{role}.events.get_events", **found, check=lambda all_: all_ == (made,))
        drive.do(f"{role}.events.get_event_by_id", made.id, check=lambda it: it == made)
    changed = drive.on(made, "update", EventUpdate(priority=5))
    return drive.do("bl.events.update_event_by_id", made.id, changed, check=lambda it: it.priority == 5)


def in_half_hours(event: Any) -> bool:
    """A week of single prices, two to the hour."""
    price = event.intervals[0].payloads[0].values[0]
    return len(event.intervals) >= 7 * 48 and price in {n / 2 for n in range(48)}


def of_31(drive: Drive, facts: dict[str, Any], program: Any) -> None:
    """What only 3.1 can say, read with the library and written back changed."""
    form = {"grant_type": "client_credentials", "client_id": "bl", "client_secret": facts["secrets"]["bl"]}
    token = requests.post(f"{facts['url31']}/auth/token", data=form, timeout=30).json()["access_token"]
    bearing = {"Authorization": f"Bearer {token}"}
    tariff = {
        "programID": program.id,
        "duration": "P9999Y",
        "intervalPeriod": {"start": "2020-01-01T00:00:00Z", "duration": "PT1H"},
        "intervals": [{"id": n, "payloads": [{"type": "PRICE", "values": [n, n + 0.5]}]} for n in range(24)],
    }
    made = requests.post(f"{facts['url31']}/events", json=tariff, headers=bearing, timeout=30).json()
    shown = drive.do("bl.events.get_event_by_id", made["id"], check=in_half_hours)
    drive.do("bl.events.update_event_by_id", made["id"], shown.update(EventUpdate(priority=7)), check=in_half_hours)
    after = requests.get(f"{facts['url31']}/events/{made['id']}", headers=bearing, timeout=30).json()
    kept = after.items() >= {**tariff, "priority": 7}.items()
    drive.claim("an endless tariff of 3.1 survives a write of 3.0.1", json.dumps(after)[:600], ok=kept)
    drive.do("bl.events.delete_event_by_id", made["id"], check=lambda it: it.id == made["id"])


def without_end(drive: Drive, program: Any) -> None:
    """A price without a length, which means without an end on 3.0.1."""
    forever = IntervalPeriod(start=START, duration=timedelta(0))
    price = Interval(id=0, payloads=(EventPayload(type=EventPayloadType.PRICE, values=(0.2,)),))
    new = NewEvent(programID=program.id, interval_period=forever, intervals=(price,))
    same = lambda it: it.interval_period == forever and it.intervals == (price,)  # noqa: E731 - a check of one use
    drive.do("bl.events.create_event", new, check=same)


def reports(drive: Drive, program: Any, event: Any) -> None:
    """The VEN writes, both roles read."""
    payload = ReportPayload(type=ReportPayloadType.USAGE, values=(1.25,))
    part = ReportResource(
        resource_name="meter", interval_period=PERIOD, intervals=(Interval(id=0, payloads=(payload,)),)
    )
    named = {"programID": program.id, "eventID": event.id, "client_name": "c1", "resources": (part,)}
    new = NewReport(**named, report_name=fresh("report"))
    made = drive.do(
        "ven.reports.create_report", new, check=lambda it: (it.resources, it.program_id) == ((part,), program.id)
    )
    drive.on(made, "name", check=lambda it: it == new.report_name)
    for role in ("bl", "ven"):
        found = {"pagination": FIRST_FIFTY, "program_id": program.id, "event_id": event.id, "client_name": "c1"}
        drive.do(f"{role}.reports.get_reports", **found, check=lambda all_: all_ == (made,))
        drive.do(f"{role}.reports.get_report_by_id", made.id, check=lambda it: it == made)
    changed = drive.on(made, "update", ReportUpdate(client_name="c1", report_name="corrected"))
    drive.do("ven.reports.update_report_by_id", made.id, changed, check=lambda it: it.report_name == "corrected")
    only_reports = "reportPayloadDescriptor.objectType is REPORT_PAYLOAD_DESCRIPTOR; the library has event descriptors"
    described = NewReport(**named, payload_descriptors=(PRICES,))
    drive.do("ven.reports.create_report", described, refused=400, why=only_reports)
    elsewhere = NewReport(**{**named, "programID": "another"})
    drive.do("ven.reports.create_report", elsewhere, refused=409, why="the program is that of the event (TR-45)")
    drive.do("ven.reports.delete_report_by_id", made.id, check=lambda it: it.id == made.id)


def subscriptions(drive: Drive, program: Any) -> None:
    """The VEN writes in HTTP's words, both roles read them, and notifications speak them."""
    receiver = Receiver()
    words = (Operation.POST, Operation.PUT, Operation.DELETE, Operation.GET)
    wish = ObjectOperation(
        objects=(Object.EVENT,), operations=words, callback_url=receiver.url, bearer_token="secret-of-c1"
    )
    name = fresh("subscription")
    new = NewSubscription(client_name=name, programID=program.id, object_operations=(wish,), targets=WEST)
    same = lambda it: it.object_operations == (wish,) and it.targets == WEST  # noqa: E731 - a check of two uses
    made = drive.do("ven.subscriptions.create_subscription", new, check=same)
    drive.on(made, "name", check=lambda it: it == name)
    filters = {"pagination": FIRST_FIFTY, "target": IN_THE_WEST, "program_id": program.id, "client_name": name}
    for role in ("bl", "ven"):
        found = {**filters, "objects": (Object.EVENT,), "check": only(made)}
        drive.do(f"{role}.subscriptions.get_subscriptions", **found)
        drive.do(f"{role}.subscriptions.get_subscription_by_id", made.id, check=lambda it: it.client_name == name)
    changed = drive.on(made, "update", SubscriptionUpdate(targets=None))
    drive.do("ven.subscriptions.update_subscription_by_id", made.id, changed, check=lambda it: it.targets is None)
    told(drive, program, receiver)
    drive.do("ven.subscriptions.delete_subscription_by_id", made.id, check=lambda it: it.id == made.id)


def told(drive: Drive, program: Any, receiver: Receiver) -> None:
    """An event's life, as the callback of the subscription hears it."""
    price = Interval(id=0, payloads=(EventPayload(type=EventPayloadType.PRICE, values=(0.3,)),))
    made = drive.roles["bl"].events.create_event(NewEvent(programID=program.id, targets=WEST, intervals=(price,)))
    drive.roles["bl"].events.update_event_by_id(made.id, made.update(EventUpdate(priority=1)))
    drive.roles["bl"].events.delete_event_by_id(made.id)
    for word in ("POST", "PUT", "DELETE"):
        message = json.loads(receiver.taken.get(timeout=20)[1])
        said = (message["operation"], message["object"]["id"], message["targets"])
        typed = [{"type": "SERVICE_AREA", "values": ["west"]}]
        drive.claim(f"notification of {word}", json.dumps(message)[:600], ok=said == (word, made.id, typed))


def surface(drive: Drive) -> set[str]:
    """What the library offers in this mode: the members of each client's interfaces, and of its public modules."""
    names = {
        f"{role}.{part}.{name}"
        for role in ("bl", "ven")
        for part in public_members(type(drive.roles[role]), PACKAGE)
        for name in public_members(type(getattr(drive.roles[role], part)), PACKAGE)
    }
    return names | members_of_modules(openadr3_client, lambda name: "oadr301" not in name or "pandas" in name)


def main() -> None:
    facts, drive = json.load(sys.stdin), Drive()
    clients(drive, facts)
    program, ven = programs(drive), vens(drive)
    resources(drive, ven)
    event = events(drive, program)
    without_end(drive, program)
    of_31(drive, facts, program)
    reports(drive, program, event)
    subscriptions(drive, program)
    drive.do("bl.events.delete_event_by_id", event.id, check=lambda it: it.id == event.id)
    drive.do("bl.vens.delete_ven_by_id", ven.id, check=lambda it: it.id == ven.id)
    drive.do("bl.programs.delete_program_by_id", program.id, check=lambda it: it.id == program.id)
    drive.finish(surface(drive), {})


if __name__ == "__main__":
    main()
