"""The request schemas that field checks post: where each goes, who may post it, and a valid body of it.

`FieldPlace`s name the parts of these bodies in which the nested schemas (intervalPeriod, interval, valuesMap, point,
descriptors) stand.
"""

from vtn.conformance.bodies.field_cases import FieldPlace, Form, FormWriter
from vtn.conformance.bodies.valid_bodies import (
    EVENT_DESCRIPTOR,
    INTERVAL,
    PERIOD_OF_EVENT,
    REPORT_DESCRIPTOR,
    RESOURCE_DATA,
    VALUES_MAP,
    event_of,
    interval_of,
)
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import Json


async def _program(kit: Kit) -> FormWriter:
    return FormWriter(kit.bl, lambda: {"programName": kit.name("program"), "targets": [kit.name("target")]})


async def _event(kit: Kit) -> FormWriter:
    program = await kit.program()
    return FormWriter(kit.bl, lambda: event_of(program["id"]))


async def _report(kit: Kit) -> FormWriter:
    event = await kit.event(await kit.program())
    return FormWriter(kit.ven, lambda: kit.report_on(event["id"]))


async def _bl_ven(kit: Kit) -> FormWriter:
    own = {"objectType": "BL_VEN_REQUEST", "clientID": kit.ven.client_id}
    return FormWriter(kit.bl, lambda: {**own, "venName": kit.name("ven")})


async def _ven_ven(kit: Kit) -> FormWriter:
    return FormWriter(kit.ven, lambda: {"objectType": "VEN_VEN_REQUEST", "venName": kit.name("ven")})


async def _bl_resource(kit: Kit) -> FormWriter:
    return _resource_of(kit, await kit.ven_of(kit.ven))


def _resource_of(kit: Kit, ven: Json) -> FormWriter:
    own = {"objectType": "BL_RESOURCE_REQUEST", "clientID": ven["clientID"], "venID": ven["id"]}
    return FormWriter(kit.bl, lambda: {**own, "resourceName": kit.name("resource")})


async def _ven_resource(kit: Kit) -> FormWriter:
    own = {"objectType": "VEN_RESOURCE_REQUEST", "venID": (await kit.ven_of(kit.ven))["id"]}
    return FormWriter(kit.ven, lambda: {**own, "resourceName": kit.name("resource")})


PROGRAM_FORM = Form("programRequest", "/programs", "PROGRAM", _program)
EVENT_FORM = Form("eventRequest", "/events", "EVENT", _event)
REPORT_FORM = Form("reportRequest", "/reports", "REPORT", _report)
BL_VEN_FORM = Form("BlVenRequest", "/vens", "VEN", _bl_ven)
VEN_VEN_FORM = Form("VenVenRequest", "/vens", "VEN", _ven_ven)
BL_RESOURCE_FORM = Form("BlResourceRequest", "/resources", "RESOURCE", _bl_resource)
VEN_RESOURCE_FORM = Form("VenResourceRequest", "/resources", "RESOURCE", _ven_resource)

PROGRAM = FieldPlace(PROGRAM_FORM)
EVENT = FieldPlace(EVENT_FORM)
REPORT = FieldPlace(REPORT_FORM)
BL_VEN = FieldPlace(BL_VEN_FORM)
VEN_VEN = FieldPlace(VEN_VEN_FORM)
BL_RESOURCE = FieldPlace(BL_RESOURCE_FORM)
VEN_RESOURCE = FieldPlace(VEN_RESOURCE_FORM)

_REPORTED = {**RESOURCE_DATA, "intervalPeriod": PERIOD_OF_EVENT}
_PERIOD = {**PERIOD_OF_EVENT, "randomizeStart": "PT1M"}

PROGRAM_DESCRIPTION = FieldPlace(
    PROGRAM_FORM, {"programDescriptions": [{"URL": "https://example.org/x"}]}, ("programDescriptions", 0)
)
REPORT_RESOURCE = FieldPlace(REPORT_FORM, {"resources": [_REPORTED]}, ("resources", 0))
REPORT_REQUEST = FieldPlace(EVENT_FORM, {"reportDescriptors": [{"payloadType": "USAGE"}]}, ("reportDescriptors", 0))

EVENT_INTERVAL = FieldPlace(EVENT_FORM, {"intervals": [INTERVAL]}, ("intervals", 0))
REPORT_INTERVAL = FieldPlace(REPORT_FORM, {"resources": [_REPORTED]}, ("resources", 0, "intervals", 0))
INTERVALS_OF_ALL = (EVENT_INTERVAL, REPORT_INTERVAL)

PERIODS_OF_ALL = (
    FieldPlace(PROGRAM_FORM, {"intervalPeriod": _PERIOD}, ("intervalPeriod",)),
    FieldPlace(EVENT_FORM, {"intervalPeriod": _PERIOD}, ("intervalPeriod",)),
    FieldPlace(
        EVENT_FORM, {"intervals": [{**INTERVAL, "intervalPeriod": _PERIOD}]}, ("intervals", 0, "intervalPeriod")
    ),
    FieldPlace(
        REPORT_FORM, {"resources": [{**_REPORTED, "intervalPeriod": _PERIOD}]}, ("resources", 0, "intervalPeriod")
    ),
)

PAYLOAD = FieldPlace(EVENT_FORM, {"intervals": [INTERVAL]}, ("intervals", 0, "payloads", 0))
POINT = FieldPlace(
    EVENT_FORM,
    {"intervals": [interval_of({"type": "CURVE", "values": [{"x": 1, "y": 2}]})]},
    ("intervals", 0, "payloads", 0, "values", 0),
)
VALUES_MAPS_OF_ALL = (
    PAYLOAD,
    FieldPlace(REPORT_FORM, {"resources": [_REPORTED]}, ("resources", 0, "intervals", 0, "payloads", 0)),
    *(FieldPlace(form, {"attributes": [VALUES_MAP]}, ("attributes", 0)) for form in (PROGRAM_FORM, BL_VEN_FORM)),
    FieldPlace(BL_RESOURCE_FORM, {"attributes": [VALUES_MAP]}, ("attributes", 0)),
)


def _described(form: Form, descriptor: Json) -> FieldPlace:
    return FieldPlace(form, {"payloadDescriptors": [descriptor]}, ("payloadDescriptors", 0))


EVENT_DESCRIPTORS_OF_ALL = tuple(_described(form, EVENT_DESCRIPTOR) for form in (EVENT_FORM, PROGRAM_FORM))
REPORT_DESCRIPTORS_OF_ALL = tuple(_described(form, REPORT_DESCRIPTOR) for form in (REPORT_FORM, PROGRAM_FORM))
