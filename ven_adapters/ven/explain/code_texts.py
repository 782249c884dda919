"""Codes in plain words, for `explain`: one table per kind of code. Knows nothing of stores."""

from collections.abc import Mapping

from ven_adapters.contract import Certainty, DirectiveKind, DirectiveState, DriverChoice, ErrorCode, Rung
from ven_adapters.ven.planning.guardrails import Reason

# Why a car was told something: "... because ...".
BECAUSE: Mapping[Reason, str] = {
    Reason.NONE: "nothing else spoke against it",
    Reason.NO_CONSENT: "its driver does not agree to managed charging",
    Reason.OPTED_OUT: "its driver had opted out",
    Reason.BOOST: "its driver had asked to charge now",
    Reason.AWAY: "it was not known to be plugged in at its own site",
    Reason.LEVEL_UNKNOWN: "its battery's level was not known, so that no promise about departure could be kept",
    Reason.CANNOT_CHARGE: "it reported a fault, or no power at its plug",
    Reason.BELOW_RESERVE: "its battery was below the driver's reserve",
    Reason.READY_BY: "it had to charge from then on to be ready by departure",
    Reason.CANNOT_STOP: "it cannot be stopped",
    Reason.CANNOT_RESUME: "it could not have been started again while it still needed energy",
    Reason.DWELL: "it had been started or stopped a moment before",
    Reason.SET_POINT: "the zone's set-point asked for it",
    Reason.IMPORT_CAP: "the zone's limit on import asked for it",
    Reason.SIMPLE_LEVEL: "the zone's SIMPLE level asked for it",
    Reason.ALERT: "an alert to the zone asked for it",
    Reason.PRE_CHARGE: "an alert asked for cars to be filled beforehand",
    Reason.PRICE: "the zone's prices make other hours cheaper or cleaner",
    Reason.EXPORT_PRICE: "what is paid for feeding the grid exceeds charging it back, losses and wear",
    Reason.CHARGE_STATE: "the grid asked for a level of charge",
    Reason.RECOVERY: "restarts after an event are spread",
    Reason.NO_NEED: "it needed no energy",
    Reason.GRID_LIMIT: "a limit of its site, transformer or feeder asked for it",
    Reason.PATIENCE: "events had asked it as often or as long as its driver agreed to",
}

DOES: Mapping[DirectiveKind, str] = {
    DirectiveKind.CURTAIL: "to pause",
    DirectiveKind.CAP: "to draw at most {power_w} W",
    DirectiveKind.CHARGE: "to charge",
    DirectiveKind.SETPOINT: "to keep to {power_w} W",
    DirectiveKind.RELEASE: "to do as its driver had set it",
}

BY: Mapping[Rung, str] = {
    Rung.POWER: "by a limit on power",
    Rung.CURRENT: "by a limit on current",
    Rung.PAUSE: "by stopping the charge",
    Rung.TARGET_LEVEL: "by its target level",
    Rung.SCHEDULE: "by its own schedule",
    Rung.RESUME: "by starting the charge",
}

SURE: Mapping[Certainty, str] = {
    Certainty.NONE: "nothing was known of its effect",
    Certainty.ACCEPTED: "no more was known than that its backend had taken it",
    Certainty.BACKEND_REPORTED: "its effect was known from its backend's word alone",
    Certainty.VEHICLE_OBSERVED: "its effect was observed at the car",
    Certainty.METERED: "its effect was measured by a meter",
}

CHOSE: Mapping[DriverChoice, str] = {
    DriverChoice.OPT_OUT: "had opted out",
    DriverChoice.OPT_IN: "had opted in again",
    DriverChoice.BOOST: "had asked to charge now",
    DriverChoice.CONSENT_WITHDRAWN: "had withdrawn the consent",
}

# What speaks against a directive that stands, by the fact that its last step brought.
OTHERWISE: Mapping[str, str] = {
    "contradicted_at": ", although the car was last seen doing something else",
    "unplugged_at": ", although its cable was said to be out",
}
ENDED: Mapping[DirectiveState, str] = {
    DirectiveState.RELEASED: "ended in time and the car was released",
    DirectiveState.OVERRIDDEN: "was overridden by the driver, who is left alone for it",
    DirectiveState.FAILED: "failed",
    DirectiveState.EXPIRED: "expired without its effect having been seen",
    DirectiveState.REJECTED: "was refused",
    DirectiveState.SUPERSEDED: "was replaced by a newer one",
    DirectiveState.CANCELLED: "was taken back",
}

FAILED: Mapping[ErrorCode, str] = {
    ErrorCode.INVALID_REQUEST: "the backend does not understand it, or does not know it",
    ErrorCode.NOT_SUPPORTED: "the car cannot do it",
    ErrorCode.NOT_PERMITTED: "the backend does not permit it",
    ErrorCode.CONSENT_REVOKED: "the driver's consent was withdrawn at the automaker",
    ErrorCode.REAUTH_REQUIRED: "the driver has to sign in again",
    ErrorCode.SUBSCRIPTION_LAPSED: "the car's connected service is not paid for",
    ErrorCode.NOT_PLUGGED: "the cable was out",
    ErrorCode.ASLEEP: "the car was asleep",
    ErrorCode.UNREACHABLE: "the car was out of reach",
    ErrorCode.NOT_AT_SITE: "the car was elsewhere",
    ErrorCode.NO_POWER: "the charging point gave nothing",
    ErrorCode.LIMIT_REACHED: "the battery was at its limit",
    ErrorCode.ALREADY_IN_STATE: "the car did so already",
    ErrorCode.SCHEDULE_CONFLICT: "another schedule owns the car",
    ErrorCode.USER_OVERRIDE: "the driver took over",
    ErrorCode.THIRD_PARTY_INTERFERENCE: "another app controls the car",
    ErrorCode.RATE_LIMITED: "too many calls",
    ErrorCode.QUOTA_EXHAUSTED: "the quota of calls was used up",
    ErrorCode.BACKEND_TRANSIENT: "the backend was in trouble",
    ErrorCode.OUTCOME_UNKNOWN: "the answer was lost, so that nobody knew whether it had arrived",
    ErrorCode.REJECTED_BY_VEHICLE: "the car refused",
    ErrorCode.STALE_TELEMETRY: "no fresh reading came",
    ErrorCode.EXPIRED: "it was too late",
}
