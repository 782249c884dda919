"""The fields of programs, reports, vens and resources, a row each: PROG-F, RPT-F, VEN-F, RES-F."""

from vtn.conformance.bodies.field_cases import VALID, FieldCase, Presence, Rule
from vtn.conformance.bodies.forms import (
    BL_RESOURCE,
    BL_VEN,
    PROGRAM,
    PROGRAM_DESCRIPTION,
    REPORT,
    REPORT_RESOURCE,
    VEN_RESOURCE,
    VEN_VEN,
)
from vtn.conformance.bodies.scalars import (
    FREE_TEXT,
    INTERVALS,
    NAME,
    NEW_NAME,
    OBJECT_ID,
    OWN_NAME,
    PERIOD,
    TARGETS,
    URI,
    VALUES_MAPS,
    list_of,
)
from vtn.conformance.bodies.valid_bodies import EVENT_DESCRIPTOR, REPORT_DESCRIPTOR, RESOURCE_DATA

NEEDED, NULLABLE, OMITTABLE = Presence.REQUIRED, Presence.NULLABLE, Presence.OMITTABLE
LINKS = list_of({"URL": "https://example.org/x"}, bad=({}, {"URL": 7}, 7, None))
DESCRIPTORS = list_of(EVENT_DESCRIPTOR, REPORT_DESCRIPTOR, bad=({}, {"payloadType": "PRICE"}, 7, None))
REPORT_DESCRIPTORS = list_of(REPORT_DESCRIPTOR, bad=({}, {"payloadType": "USAGE"}, EVENT_DESCRIPTOR, 7, None))
REPORTED = list_of(
    RESOURCE_DATA,
    bad=({}, {"resourceName": "x"}, {"intervals": []}, 7, None),
)
NO_CONSTANT = ("FOO", "VEN", "RESOURCE", 7)

_PROG, _LINK = (PROGRAM,), (PROGRAM_DESCRIPTION,)
PROGRAM_FIELDS = (
    FieldCase("PROG-F01", "programRequest", "programName", _PROG, NEEDED, NEW_NAME),
    FieldCase("PROG-F02", "programRequest", "intervalPeriod", _PROG, OMITTABLE, PERIOD),
    FieldCase("PROG-F03", "programRequest", "programDescriptions", _PROG, NULLABLE, LINKS),
    FieldCase("PROG-F04", "programRequest", "payloadDescriptors", _PROG, NULLABLE, DESCRIPTORS),
    FieldCase("PROG-F05", "programRequest", "attributes", _PROG, NULLABLE, VALUES_MAPS),
    FieldCase("PROG-F06", "programRequest", "targets", _PROG, NULLABLE, TARGETS, also=("TYP-05",)),
    FieldCase("PROG-F07", "programRequest.programDescriptions[]", "URL", _LINK, NEEDED, URI),
)

_RPT, _DATA = (REPORT,), (REPORT_RESOURCE,)
REPORT_FIELDS = (
    FieldCase("RPT-F01", "reportRequest", "eventID", _RPT, NEEDED, OBJECT_ID),
    FieldCase("RPT-F02", "reportRequest", "clientName", _RPT, NEEDED, NAME, also=("TYP-04",)),
    FieldCase("RPT-F03", "reportRequest", "reportName", _RPT, NULLABLE, FREE_TEXT),
    FieldCase("RPT-F04", "reportRequest", "payloadDescriptors", _RPT, NULLABLE, REPORT_DESCRIPTORS),
    FieldCase("RPT-F05", "reportRequest", "resources", _RPT, NEEDED, REPORTED),
    FieldCase("RPT-F06", "reportRequest.resources[]", "resourceName", _DATA, NEEDED, NAME),
    FieldCase("RPT-F07", "reportRequest.resources[]", "intervalPeriod", _DATA, OMITTABLE, PERIOD),
    FieldCase("RPT-F08", "reportRequest.resources[]", "intervals", _DATA, NEEDED, INTERVALS),
)

_BL, _VEN = (BL_VEN,), (VEN_VEN,)
VARIANT = Rule((VALID,), NO_CONSTANT)
VEN_FIELDS = (
    FieldCase("VEN-F01", "BlVenRequest", "objectType", _BL, NEEDED, VARIANT, shown="VEN"),
    FieldCase("VEN-F02", "BlVenRequest", "clientID", _BL, NEEDED, OWN_NAME, also=("TYP-02",)),
    FieldCase("VEN-F03", "BlVenRequest", "targets", _BL, NULLABLE, TARGETS),
    FieldCase("VEN-F04", "BlVenRequest", "venName", _BL, NEEDED, NEW_NAME, also=("TYP-03",)),
    FieldCase("VEN-F05", "BlVenRequest", "attributes", _BL, NULLABLE, VALUES_MAPS),
    FieldCase("VEN-F06", "VenVenRequest", "objectType", _VEN, NEEDED, VARIANT, shown="VEN"),
    FieldCase("VEN-F07", "VenVenRequest", "venName", _VEN, NEEDED, NEW_NAME),
    FieldCase("VEN-F08", "VenVenRequest", "attributes", _VEN, NULLABLE, VALUES_MAPS),
)

_BL_RES, _VEN_RES = (BL_RESOURCE,), (VEN_RESOURCE,)
_BL_RESOURCE, _VEN_RESOURCE = "BlResourceRequest", "VenResourceRequest"
RESOURCE_FIELDS = (
    FieldCase("RES-F01", _BL_RESOURCE, "objectType", _BL_RES, NEEDED, VARIANT, shown="RESOURCE"),
    FieldCase("RES-F02", _BL_RESOURCE, "clientID", _BL_RES, Presence.DERIVABLE, OWN_NAME),
    FieldCase("RES-F03", _BL_RESOURCE, "targets", _BL_RES, NULLABLE, TARGETS),
    FieldCase("RES-F04", _BL_RESOURCE, "resourceName", _BL_RES, NEEDED, NEW_NAME, also=("TYP-06",)),
    FieldCase("RES-F05", _BL_RESOURCE, "venID", _BL_RES, NEEDED, OBJECT_ID),
    FieldCase("RES-F06", _BL_RESOURCE, "attributes", _BL_RES, NULLABLE, VALUES_MAPS),
    FieldCase("RES-F07", _VEN_RESOURCE, "objectType", _VEN_RES, NEEDED, VARIANT, shown="RESOURCE"),
    FieldCase("RES-F08", _VEN_RESOURCE, "resourceName", _VEN_RES, NEEDED, NEW_NAME),
    FieldCase("RES-F09", _VEN_RESOURCE, "venID", _VEN_RES, NEEDED, OBJECT_ID),
    FieldCase("RES-F10", _VEN_RESOURCE, "attributes", _VEN_RES, NULLABLE, VALUES_MAPS),
)

FIELDS = (*PROGRAM_FIELDS, *REPORT_FIELDS, *VEN_FIELDS, *RESOURCE_FIELDS)
