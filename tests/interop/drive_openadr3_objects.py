"""The objects of OpenADR 3.1 through ElaadNL's openadr3-client: what Business Logic and VENs may do with each."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from drive_parts import Drive, Receiver
from openadr3_client._models.common.attribute import Attribute
from openadr3_client._models.common.interval import Interval
from openadr3_client._models.common.interval_period import IntervalPeriod
from openadr3_client._models.common.ven_resource_attribute_type import VenResourceAttributeType
from openadr3_client.oadr310._vtn.interfaces.filters import PaginationFilter, TargetFilter
from openadr3_client.oadr310.conversion.input.events.dict import DictEventIntervalConverter as FromDictionaries
from openadr3_client.oadr310.conversion.output.events.dict import DictEventIntervalConverter as ToDictionaries
from openadr3_client.oadr310.models.event.event import EventUpdate, NewEvent
from openadr3_client.oadr310.models.event.event_payload import EventPayloadDescriptor, EventPayloadType
from openadr3_client.oadr310.models.program.program import NewProgram, ProgramDescription, ProgramUpdate
from openadr3_client.oadr310.models.program.program_attribute import ProgramAttributeType
from openadr3_client.oadr310.models.report.report import NewReport, ReportResource, ReportUpdate
from openadr3_client.oadr310.models.report.report_payload import ReportDescriptor, ReportPayload, ReportPayloadType
from openadr3_client.oadr310.models.resource.resource import (
    NewResourceBlRequest,
    NewResourceVenRequest,
    ResourceUpdateBlRequest,
    ResourceUpdateVenRequest,
)
from openadr3_client.oadr310.models.subscriptions.subscription import (
    NewSubscription,
    Object,
    ObjectOperation,
    Operation,
    SubscriptionUpdate,
)
from openadr3_client.oadr310.models.unit import Unit
from openadr3_client.oadr310.models.ven.ven import (
    NewVenBlRequest,
    NewVenVenRequest,
    VenUpdateBlRequest,
    VenUpdateVenRequest,
)

FIRST_FIFTY = PaginationFilter(skip=0, limit=50)
HOUR = timedelta(hours=1)
START = datetime(2030, 1, 1, 12, tzinfo=UTC)
PERIOD = IntervalPeriod(start=START, duration=HOUR, randomize_start=timedelta(minutes=5))
PRICES = EventPayloadDescriptor(payload_type=EventPayloadType.PRICE, units=Unit.KWH, currency="EUR")
POWER = (Attribute(type=VenResourceAttributeType.MAX_POWER_CONSUMPTION, values=(7.4,)),)


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def programs(drive: Drive) -> Any:
    """Both roles read; BL writes."""
    name = fresh("program")
    attributes = (
        Attribute(type=ProgramAttributeType.COUNTRY, values=("NL",)),
        Attribute(type=ProgramAttributeType.BINDING_EVENTS, values=(True,)),
    )
    new = NewProgram(
        program_name=name,
        interval_period=PERIOD,
        program_descriptions=(ProgramDescription(URL="https://example.org/tariff"),),
        payload_descriptors=(PRICES,),
        attributes=attributes,
    )
    made = drive.do("bl.programs.create_program", new, check=lambda it: it.payload_descriptors == (PRICES,))
    drive.on(new, "with_creation_guard")
    drive.on(made, "name", check=lambda it: it == name)
    drive.on(made.attributes, "get_by_type", ProgramAttributeType.COUNTRY, check=lambda it: it.values == ("NL",))
    for role in ("bl", "ven"):
        drive.do(f"{role}.programs.get_programs", target=None, pagination=FIRST_FIFTY, check=lambda all_: made in all_)
        drive.do(f"{role}.programs.get_program_by_id", made.id, check=lambda it: it == made)
    update = ProgramUpdate(program_name=name, payload_descriptors=(PRICES,), targets=("west",))
    drive.on(made, "update", update, check=lambda it: it.targets == ("west",))
    changed = drive.do("bl.programs.update_program_by_id", made.id, update, check=lambda it: it.targets == ("west",))
    west = TargetFilter(targets=["west"])
    drive.do("bl.programs.get_programs", target=west, pagination=None, check=lambda all_: changed in all_)
    return changed


def vens(drive: Drive) -> Any:
    """BL makes the ven of c1, which the VEN reads and changes; the VEN then deletes it and makes its own."""
    name = fresh("ven")
    new = NewVenBlRequest(ven_name=name, client_id="c1", targets=("west",), attributes=POWER)
    made = drive.do("bl.vens.create_ven", new, check=lambda it: it.client_id == "c1" and it.targets == ("west",))
    drive.on(made, "name", check=lambda it: it == name)
    for role in ("bl", "ven"):
        drive.do(
            f"{role}.vens.get_vens", ven_name=name, target=None, pagination=None, check=lambda all_: len(all_) == 1
        )
        drive.do(f"{role}.vens.get_ven_by_id", made.id, check=lambda it: it == made)
    update = VenUpdateBlRequest(ven_name=name, client_id="c1", targets=("west", "north"))
    drive.on(made, "update", update)
    drive.do("bl.vens.update_ven_by_id", made.id, update, check=lambda it: it.targets == ("west", "north"))
    own = VenUpdateVenRequest(ven_name=name, attributes=POWER)
    kept = lambda it: it.targets == ("west", "north") and it.attributes == POWER  # noqa: E731 - a check of one use
    drive.do("ven.vens.update_ven_by_id", made.id, own, check=kept)
    north = TargetFilter(targets=["north"])
    drive.do("bl.vens.get_vens", ven_name=None, target=north, pagination=FIRST_FIFTY, check=lambda all_: len(all_) == 1)
    drive.do("ven.vens.delete_ven_by_id", made.id, check=lambda it: it.id == made.id)
    mine = drive.do("ven.vens.create_ven", NewVenVenRequest(ven_name=name), check=lambda it: it.client_id == "c1")
    drive.do("bl.vens.update_ven_by_id", mine.id, VenUpdateBlRequest(ven_name=name, client_id="c1", targets=("west",)))
    return mine


def resources(drive: Drive, ven: Any) -> Any:
    """Each role makes one; each reads both."""
    names = {"bl": fresh("meter"), "ven": fresh("charger")}
    new = {
        "bl": NewResourceBlRequest(resource_name=names["bl"], ven_id=ven.id, client_id="c1", targets=("west",)),
        "ven": NewResourceVenRequest(resource_name=names["ven"], ven_id=ven.id, attributes=POWER),
    }
    update = {
        "bl": ResourceUpdateBlRequest(resource_name=names["bl"], ven_id=ven.id, client_id="c1", attributes=POWER),
        "ven": ResourceUpdateVenRequest(resource_name=names["ven"], ven_id=ven.id),
    }
    for role, name in names.items():
        made = drive.do(f"{role}.resources.create_resource", new[role], check=lambda it: it.client_id == "c1")
        drive.on(made, "name", check=lambda it, name=name: it == name)
        drive.on(made, "update", update[role])
        drive.do(
            f"{role}.resources.get_resources",
            ven_id=ven.id,
            resource_name=name,
            target=None,
            pagination=FIRST_FIFTY,
            check=lambda all_, made=made: all_ == (made,),
        )
        drive.do(f"{role}.resources.get_resource_by_id", made.id, check=lambda it, made=made: it == made)
        drive.do(f"{role}.resources.update_resource_by_id", made.id, update[role])
        drive.do(f"{role}.resources.delete_resource_by_id", made.id, check=lambda it, made=made: it.id == made.id)


def events(drive: Drive, program: Any) -> Any:
    """Both roles read; BL writes. Intervals come from the library's own conversion of dictionaries."""
    rows = [{"type": "PRICE", "values": [0.17], "start": START + n * HOUR, "duration": HOUR} for n in range(3)]
    read_rows = FromDictionaries()
    drive.on(read_rows, "validate_input", rows)
    drive.on(read_rows, "has_interval_period", rows[0], check=lambda it: it is True)
    intervals = drive.on(read_rows, "convert", rows, check=lambda it: len(it) == 3)
    new = NewEvent(
        program_id=program.id,
        event_name=fresh("event"),
        priority=0,
        targets=("west",),
        payload_descriptors=(PRICES,),
        report_descriptors=(ReportDescriptor(payload_type=ReportPayloadType.USAGE, units=Unit.KWH),),
        interval_period=PERIOD,
        intervals=tuple(intervals),
        duration=3 * HOUR,
    )
    same = lambda it: it.intervals == new.intervals and it.report_descriptors == new.report_descriptors  # noqa: E731
    made = drive.do("bl.events.create_event", new, check=same)
    drive.on(made, "name", check=lambda it: it == new.event_name)
    drive.on(ToDictionaries(), "convert", list(made.intervals), check=lambda it: it[2]["start"] == START + 2 * HOUR)
    west = TargetFilter(targets=["west"])
    for role in ("bl", "ven"):
        drive.do(
            f"{role}.events.get_events",
            target=west,
            pagination=FIRST_FIFTY,
            program_id=program.id,
            check=lambda all_: all_ == (made,),
        )
        drive.do(f"{role}.events.get_event_by_id", made.id, check=lambda it: it == made)
    update = EventUpdate(program_id=program.id, targets=("west",), intervals=new.intervals, priority=5)
    drive.on(made, "update", update)
    return drive.do("bl.events.update_event_by_id", made.id, update, check=lambda it: it.priority == 5)


def reports(drive: Drive, program: Any, event: Any) -> None:
    """The VEN writes, both roles read."""
    payload = ReportPayload(type=ReportPayloadType.USAGE, values=(1.25,))
    part = ReportResource(
        resource_name="meter", interval_period=PERIOD, intervals=(Interval(id=0, payloads=(payload,)),)
    )
    new = NewReport(event_id=event.id, client_name="c1", report_name=fresh("report"), resources=(part,))
    made = drive.do("ven.reports.create_report", new, check=lambda it: it.resources == (part,))
    drive.on(made, "name", check=lambda it: it == new.report_name)
    for role in ("bl", "ven"):
        drive.do(
            f"{role}.reports.get_reports",
            pagination=FIRST_FIFTY,
            program_id=program.id,
            event_id=event.id,
            client_name="c1",
            check=lambda all_: all_ == (made,),
        )
        drive.do(f"{role}.reports.get_report_by_id", made.id, check=lambda it: it == made)
    update = ReportUpdate(event_id=event.id, client_name="c1", report_name="corrected", resources=(part,))
    drive.on(made, "update", update)
    drive.do("ven.reports.update_report_by_id", made.id, update, check=lambda it: it.report_name == "corrected")
    described = NewReport(event_id=event.id, client_name="c1", resources=(part,), payload_descriptors=(PRICES,))
    drive.do(
        "ven.reports.create_report",
        described,
        refused=400,
        why="reportPayloadDescriptor.objectType is REPORT_PAYLOAD_DESCRIPTOR; the library has event descriptors only",
    )
    drive.do("ven.reports.delete_report_by_id", made.id, check=lambda it: it.id == made.id)


def subscriptions(drive: Drive, program: Any) -> None:
    """The VEN writes, both roles read. Of the library's operations only DELETE is one of 3.1."""
    receiver = Receiver()

    def operations(*names: Operation) -> tuple[ObjectOperation, ...]:
        wanted = {"objects": (Object.EVENT, Object.PROGRAM), "operations": names}
        return (ObjectOperation(callback_url=receiver.url, bearer_token="secret-of-c1", **wanted),)

    name, old = fresh("subscription"), operations(Operation.POST, Operation.PUT)
    drive.do(
        "ven.subscriptions.create_subscription",
        NewSubscription(client_name=name, program_id=program.id, object_operations=old),
        refused=400,
        why="objectOperations.operations are CREATE, READ, UPDATE, DELETE since 3.1; the library has those of 3.0.1",
    )
    new = NewSubscription(client_name=name, program_id=program.id, object_operations=operations(Operation.DELETE))
    made = drive.do(
        "ven.subscriptions.create_subscription", new, check=lambda it: it.object_operations == new.object_operations
    )
    drive.on(made, "name", check=lambda it: it == name)
    filters = {"pagination": FIRST_FIFTY, "program_id": program.id, "client_name": name, "objects": (Object.EVENT,)}
    for role in ("bl", "ven"):
        drive.do(
            f"{role}.subscriptions.get_subscriptions",
            **filters,
            check=lambda all_: [one.id for one in all_] == [made.id],
        )
        drive.do(f"{role}.subscriptions.get_subscription_by_id", made.id, check=lambda it: it.client_name == name)
    update = SubscriptionUpdate(client_name=name, object_operations=operations(Operation.DELETE))
    drive.on(made, "update", update)
    drive.do("ven.subscriptions.update_subscription_by_id", made.id, update, check=lambda it: it.program_id is None)
    drive.do("ven.subscriptions.delete_subscription_by_id", made.id, check=lambda it: it.id == made.id)
