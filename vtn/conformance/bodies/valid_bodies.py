"""The most widely accepted request bodies: valid, with every list filled and every interval timed.

The standard leaves servers the freedom to refuse what its schema allows but no client needs: empty lists, intervals of
no known time. Checks that are about something else must not hang on that, so they start from these bodies; only the
checks on empty lists and on missing starts (`checks.general.leniency`) leave them out.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

START = "2030-01-01T00:00:00Z"
PERIOD_OF_EVENT: Json = {"start": START, "duration": "PT1H"}
VALUES_MAP: Json = {"type": "PRICE", "values": [1]}
INTERVAL: Json = {"id": 0, "intervalPeriod": PERIOD_OF_EVENT, "payloads": [VALUES_MAP]}
RESOURCE_DATA: Json = {
    "resourceName": "meter-1",
    "intervals": [{**INTERVAL, "payloads": [{"type": "USAGE", "values": [1]}]}],
}
EVENT_DESCRIPTOR: Json = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "PRICE"}
REPORT_DESCRIPTOR: Json = {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "USAGE"}

USUAL_MEMBERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "/programs": ("PROG-02", ("programName",)),
    "/events": ("EVT-02", ("programID", "intervalPeriod", "intervals")),
    "/reports": ("RPT-03", ("eventID", "clientName", "resources")),
    "/subscriptions": ("SUB-02", ("clientName", "objectOperations")),
    "/vens": ("VEN-02", ("objectType", "clientID", "venName")),
    "/resources": ("RES-02", ("objectType", "clientID", "venID", "resourceName")),
}
"""By collection: the requirement about its plainest object, and the members that the usual one has."""

USUAL_VALUES: Mapping[str, Any] = {
    "intervalPeriod": PERIOD_OF_EVENT,
    "intervals": [INTERVAL],
    "resources": [RESOURCE_DATA],
}
LEFT_OUT = ("intervalPeriod", "intervals")


def event_of(program_id: Any, **extra: Any) -> Json:
    """A valid body for POST and PUT /events; a period or intervals given as None are left out."""
    body = {"programID": program_id, "intervalPeriod": PERIOD_OF_EVENT, "intervals": [INTERVAL], **extra}
    return {name: value for name, value in body.items() if value is not None or name not in LEFT_OUT}


def unusual_members(path: str, body: Json) -> list[str]:
    """What a body has that the usual one of its collection has not: other members, others' values, or none of one."""
    usual = USUAL_MEMBERS[path][1]
    other = [name for name in usual if name in USUAL_VALUES and body.get(name) != USUAL_VALUES[name]]
    return sorted({*other, *(body.keys() - set(usual))})


def interval_of(*payloads: Json, number: int = 0) -> Json:
    """A timed interval with these payloads."""
    return {**INTERVAL, "id": number, "payloads": list(payloads) or [VALUES_MAP]}
