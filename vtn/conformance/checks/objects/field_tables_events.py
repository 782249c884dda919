"""The fields of events and of what stands in them, a row each: EVT-F, INT-F, PAY-F, RDS-F."""

from vtn.conformance.bodies.field_cases import FieldCase, Presence, Rule
from vtn.conformance.bodies.forms import (
    EVENT,
    EVENT_DESCRIPTORS_OF_ALL,
    INTERVALS_OF_ALL,
    PERIODS_OF_ALL,
    POINT,
    REPORT_DESCRIPTORS_OF_ALL,
    REPORT_REQUEST,
    VALUES_MAPS_OF_ALL,
)
from vtn.conformance.bodies.scalars import (
    BOOLEAN,
    DATE_TIME,
    DURATION,
    FREE_TEXT,
    INT32,
    INTERVALS,
    NAME,
    NATURAL,
    NUMBER,
    OBJECT_ID,
    PERCENT,
    PERIOD,
    TARGETS,
    VALUES,
    VALUES_MAPS,
    list_of,
    one_of,
)
from vtn.conformance.bodies.valid_bodies import EVENT_DESCRIPTOR, REPORT_DESCRIPTOR

NEEDED, NULLABLE, OMITTABLE = Presence.REQUIRED, Presence.NULLABLE, Presence.OMITTABLE
ZERO = "PT0S"
REQUESTS = list_of({"payloadType": "USAGE"}, bad=({}, {"payloadType": 7}, 7, None))
EVENT_DESCRIPTORS = list_of(EVENT_DESCRIPTOR, bad=({}, {"payloadType": "PRICE"}, REPORT_DESCRIPTOR, 7, None))

EVENT_FIELDS = tuple(
    FieldCase(f"EVT-F{number:02}", "eventRequest", name, (EVENT,), presence, rule, default=default)
    for number, (name, presence, rule, default) in enumerate(
        (
            ("programID", NEEDED, OBJECT_ID, None),
            ("eventName", NULLABLE, FREE_TEXT, None),
            ("duration", OMITTABLE, DURATION, ZERO),
            ("priority", NULLABLE, NATURAL, None),
            ("targets", NULLABLE, TARGETS, None),
            ("reportDescriptors", NULLABLE, REQUESTS, None),
            ("payloadDescriptors", NULLABLE, EVENT_DESCRIPTORS, None),
            ("intervalPeriod", OMITTABLE, PERIOD, None),
            ("intervals", OMITTABLE, INTERVALS, None),
        ),
        1,
    )
)

TIMES = PERIODS_OF_ALL
INTERVAL_FIELDS = (
    FieldCase("INT-F01", "interval", "id", INTERVALS_OF_ALL, NEEDED, INT32),
    FieldCase("INT-F02", "interval", "intervalPeriod", INTERVALS_OF_ALL, OMITTABLE, PERIOD),
    FieldCase("INT-F03", "interval", "payloads", INTERVALS_OF_ALL, NEEDED, VALUES_MAPS),
    FieldCase("INT-F04", "intervalPeriod", "start", TIMES, Presence.WANTED, DATE_TIME, also=("TYP-10",)),
    FieldCase("INT-F05", "intervalPeriod", "duration", TIMES, OMITTABLE, DURATION, also=("TYP-11",), default=ZERO),
    FieldCase("INT-F06", "intervalPeriod", "randomizeStart", TIMES, OMITTABLE, DURATION, default=ZERO),
)

_MAP, _EVENTS, _REPORTS = "valuesMap", "eventPayloadDescriptor", "reportPayloadDescriptor"
_MAPS, _E, _R = VALUES_MAPS_OF_ALL, EVENT_DESCRIPTORS_OF_ALL, REPORT_DESCRIPTORS_OF_ALL
E_CONSTANT = one_of("EVENT_PAYLOAD_DESCRIPTOR")
R_CONSTANT = one_of("REPORT_PAYLOAD_DESCRIPTOR")
PAYLOAD_FIELDS = (
    FieldCase("PAY-F01", _MAP, "type", _MAPS, NEEDED, NAME),
    FieldCase("PAY-F02", _MAP, "values", _MAPS, NEEDED, VALUES),
    FieldCase("PAY-F03", "point", "x", (POINT,), NEEDED, NUMBER),
    FieldCase("PAY-F04", "point", "y", (POINT,), NEEDED, NUMBER),
    FieldCase("PAY-F05", _EVENTS, "objectType", _E, NEEDED, E_CONSTANT),
    FieldCase("PAY-F06", _EVENTS, "payloadType", _E, NEEDED, NAME),
    FieldCase("PAY-F07", _EVENTS, "units", _E, NULLABLE, NAME, also=("TYP-07",)),
    FieldCase("PAY-F08", _EVENTS, "currency", _E, NULLABLE, FREE_TEXT),
    FieldCase("PAY-F09", _REPORTS, "objectType", _R, NEEDED, R_CONSTANT),
    FieldCase("PAY-F10", _REPORTS, "payloadType", _R, NEEDED, NAME),
    FieldCase("PAY-F11", _REPORTS, "readingType", _R, NULLABLE, NAME, also=("TYP-08",)),
    FieldCase("PAY-F12", _REPORTS, "units", _R, NULLABLE, NAME),
    FieldCase("PAY-F13", _REPORTS, "accuracy", _R, NULLABLE, NUMBER),
    FieldCase("PAY-F14", _REPORTS, "confidence", _R, NULLABLE, PERCENT),
)

MODES = Rule(("INTERVALS", "SUB_INTERVALS", "OPEN_INTERVALS"), ("FOO", "intervals", 7))
REQUEST_FIELDS = tuple(
    FieldCase(f"RDS-F{number:02}", "reportDescriptor", name, (REPORT_REQUEST,), presence, rule, default=default)
    for number, (name, presence, rule, default) in enumerate(
        (
            ("payloadType", NEEDED, NAME, None),
            ("readingType", NULLABLE, NAME, None),
            ("units", NULLABLE, NAME, None),
            ("targets", NULLABLE, TARGETS, None),
            ("aggregate", OMITTABLE, BOOLEAN, False),
            ("startInterval", OMITTABLE, INT32, -1),
            ("numIntervals", OMITTABLE, INT32, -1),
            ("historical", OMITTABLE, BOOLEAN, True),
            ("frequency", OMITTABLE, INT32, -1),
            ("repeat", OMITTABLE, INT32, 1),
            ("reportIntervals", OMITTABLE, MODES, "INTERVALS"),
        ),
        1,
    )
)

FIELDS = (*EVENT_FIELDS, *INTERVAL_FIELDS, *PAYLOAD_FIELDS, *REQUEST_FIELDS)
