"""Faults that a public vendor's interface cannot have, by vendor and name, each with the reason. The one such table."""

from collections.abc import Mapping

NO_DISCHARGE = "no command discharges a car here, so none can be taken without its papers"
NO_CAPABILITY = "nothing tells whether a car can resume: a command that it cannot do is refused when it is sent"
STORE = "readings come from the vendor's own store, so a read never reaches the car"
NO_CHOICES = "what drivers choose is not told: it shows as a car that charges again by itself (restarts_itself)"

ABSENT: Mapping[str, Mapping[str, str]] = {
    "tesla": {
        "cannot_resume": NO_CAPABILITY,
        "plug_flaps": "the plug is no value of its own: charging_state tells it",
        "schedule_clobbered": "a command is taken whatever schedule stands; one shows as scheduled_charging_pending",
        "unguarded_discharge": NO_DISCHARGE,
    },
    "smartcar": {
        "amps_need_two_sends": "no command sets a current",
        "cannot_resume": NO_CAPABILITY,
        "opt_out": NO_CHOICES,
        "override": NO_CHOICES,
        "polling_drain": STORE,
        "three_phase": "no command sets a current",
        "unguarded_discharge": NO_DISCHARGE,
    },
    "enode": {
        "opt_out": NO_CHOICES,
        "override": NO_CHOICES,
        "polling_drain": STORE,
        "three_phase": "phases are not told, and taken to be three",
        "unguarded_discharge": NO_DISCHARGE,
    },
    "ocpp": {},
}
