"""Faults that an interface cannot have, by adapter and name, each with the reason. The one such table."""

from collections.abc import Mapping

NO_DISCHARGE = "no command discharges a car here, so none can be taken without its papers"
NO_CAPABILITY = "nothing tells whether a car can resume: a command that it cannot do is refused when it is sent"
STORE = "readings come from the vendor's own store, so a read never reaches the car"
STATION = "the station itself holds the current back, and is reached as long as it has a line"
WATTS = "a profile is in watts of all phases"
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
    "ocpp": {
        "amps_need_two_sends": WATTS,
        "asleep": STATION,
        "cannot_resume": STATION,
        "deep_sleep": STATION,
        "delayed": "a station carries a profile out by itself, with the answer",
        "opt_out": "a station has one button for its driver, which is charge now (override)",
        "path_gone": "the station calls us, not we the station",
        "polling_drain": "a charging point feeds the car that it asks",
        "restarts_itself": STATION,
        "schedule_clobbered": "another's limit holds beside ours, and shows as less power",
        "three_phase": WATTS,
        "token_revoked": "nobody else's grant is needed: the station is ours",
        "wrong_location": "a charging point does not move",
    },
}
