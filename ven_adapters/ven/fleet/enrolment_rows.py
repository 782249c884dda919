"""An enrolment as a row of the adapter's store: no more than what explanations need."""

from datetime import datetime

from ven_adapters.ven.fleet.enrolment_record import Enrolment
from ven_adapters.ven.store.database import document, print_at


def enrolment_values(enrolment: Enrolment, now: datetime) -> dict[str, str]:
    """The values of an `EnrolmentRow`."""
    consent = {"charging": enrolment.charging_consent, "discharge": enrolment.discharge_consent}
    named = {"vehicle_ref": enrolment.vehicle_ref, "zone": enrolment.zone}
    return named | {"document": document(consent), "at": print_at(now)}
