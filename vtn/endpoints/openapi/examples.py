"""One example of each thing a client may write, of managed charging and discharge, for the published document.

Pure values. A test holds each against the rules of admission; names and numbers are made up.
"""

from collections.abc import Mapping
from typing import Any

from vtn.wire.enumerations import ObjectType

Json = dict[str, Any]
EVENING: Json = {"start": "2026-07-15T16:00:00Z", "duration": "PT1H"}
AN_ID = "0198f4c2a1b0c0ffee00c0ffee00c0ffee"
CALLBACK = "https://derms.example.org/openadr/hook"

PROGRAM: Json = {
    "programName": "ev-flex-2026",
    "programDescriptions": [{"URL": "https://utility.example.org/programs/ev-flex"}],
    "payloadDescriptors": [
        {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "DISPATCH_SETPOINT", "units": "KW"}
    ],
    "attributes": [{"type": "PROGRAM_TYPE", "values": ["MANAGED_CHARGING"]}],
    "targets": ["feeder-12"],
}
EVENT: Json = {
    "programID": AN_ID,
    "eventName": "evening peak",
    "priority": 1,
    "targets": ["feeder-12"],
    "reportDescriptors": [{"payloadType": "USAGE", "readingType": "DIRECT_READ", "units": "KWH"}],
    "intervalPeriod": EVENING,
    "intervals": [
        {"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [-500]}]},
        {"id": 1, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [0]}]},
    ],
}
REPORT: Json = {
    "eventID": AN_ID,
    "clientName": "nissan-zone-west",
    "reportName": "evening peak, measured",
    "payloadDescriptors": [{"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "USAGE", "units": "KWH"}],
    "resources": [
        {
            "resourceName": "zone-west",
            "intervalPeriod": EVENING,
            "intervals": [{"id": 0, "payloads": [{"type": "USAGE", "values": [0.0]}]}],
        }
    ],
}
SUBSCRIPTION: Json = {
    "clientName": "nissan-zone-west",
    "programID": AN_ID,
    "objectOperations": [{"objects": ["EVENT"], "operations": ["CREATE", "UPDATE", "DELETE"], "callbackUrl": CALLBACK}],
}
CAPACITY: list[Json] = [{"type": "MAX_POWER_CONSUMPTION", "values": [1200]}]

REQUESTS: Mapping[ObjectType, Mapping[str, Json]] = {
    ObjectType.PROGRAM: {"a program for one feeder": PROGRAM},
    ObjectType.EVENT: {"export for an hour, then rest": EVENT},
    ObjectType.REPORT: {"energy of one zone": REPORT},
    ObjectType.SUBSCRIPTION: {"every event of a program": SUBSCRIPTION},
    ObjectType.VEN: {
        "as Business Logic": {
            "objectType": "BL_VEN_REQUEST",
            "clientID": "nissan",
            "venName": "nissan-west",
            "targets": ["feeder-12"],
            "attributes": CAPACITY,
        },
        "as the VEN itself": {"objectType": "VEN_VEN_REQUEST", "venName": "nissan-west", "attributes": CAPACITY},
    },
    ObjectType.RESOURCE: {
        "as Business Logic": {
            "objectType": "BL_RESOURCE_REQUEST",
            "clientID": "nissan",
            "resourceName": "zone-west",
            "venID": AN_ID,
            "targets": ["feeder-12"],
        },
        "as the VEN itself": {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "zone-west", "venID": AN_ID},
    },
}
