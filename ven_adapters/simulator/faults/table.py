"""The faults that automakers' interfaces show in the field, by name: a table of what each is, how often, and its hook.

Numbers are those of the field faults in docs/readings.md, which says what each means and what an adapter owes. Rates
are this project's estimate of a bad night: shares of cars, of commands, or of readings. Where a fault comes and goes it
is drawn for a car and a minute, so the same seed and the same times give the same faults.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence

from ven_adapters.contract import Snapshot
from ven_adapters.simulator.faults import call_faults, command_faults, reading_faults
from ven_adapters.simulator.faults.call_faults import CallAnswer, Visit
from ven_adapters.simulator.faults.command_faults import Hold, Taken
from ven_adapters.simulator.faults.fault_draws import Chance, Rates
from ven_adapters.simulator.faults.reading_faults import Sight
from vtn.errors import ConfigError

SLEEPS_AFTER_S = 1_200.0
BLOCKS_AFTER = 10
READS_PER_HOUR = 12
STALE_S = (600.0, 25_200.0)
RESTARTS_S = (300.0, 1_200.0)
ALL = "all"


class Of(enum.StrEnum):
    """What a rate is a share of. Cars have a fault for good; commands and readings are drawn minute by minute."""

    CARS = "cars"
    COMMANDS = "commands"
    READINGS = "readings"


CallHook = Callable[[Chance, Visit], CallAnswer | None]
ReadingHook = Callable[[Chance, Sight, Snapshot], Snapshot]
SettingHook = Callable[[Taken], Hold]


@dataclasses.dataclass(frozen=True, slots=True)
class FieldFault:
    """One fault: what the interface shows, and at which of a simulator's seams it comes in.

    A fault without a hook is a state of the car or its driver, which the cloud keeps.
    """

    name: str
    number: int
    rate: float
    of: Of
    shows: str
    call: CallHook | None = None
    setting: SettingHook | None = None
    reading: ReadingHook | None = None


FAULTS: tuple[FieldFault, ...] = (
    FieldFault(
        "asleep", 1, 0.10, Of.CARS, "409 ASLEEP after idling, until a wake; the last reading says that it sleeps"
    ),
    FieldFault(
        *("silent_start", 2, 0.01, Of.COMMANDS),
        "a start is accepted and told IN_FORCE; the car stays as it was",
        setting=command_faults.silent_start,
    ),
    FieldFault("deep_sleep", 3, 0.005, Of.CARS, "409 UNREACHABLE after idling, until somebody touches the cable"),
    FieldFault(
        *("rate_limited", 4, 0.005, Of.COMMANDS), "429 RATE_LIMITED with Retry-After", call=call_faults.rate_limited
    ),
    FieldFault("polling_drain", 5, 0.05, Of.CARS, "409 UNREACHABLE after a dozen fresh reads in an hour off the plug"),
    FieldFault(
        *("lost_answer", 6, 0.01, Of.COMMANDS),
        "a bare 500 or a cut connection; the write was done, or was not",
        call=call_faults.lost_answer,
    ),
    FieldFault("stale_telemetry", 7, 0.03, Of.CARS, "readings are minutes to seven hours old, and say so"),
    FieldFault(
        *("sentinel", 8, 0.01, Of.READINGS),
        "255 % charge, a date in 1970, or no level",
        reading=reading_faults.sentinel,
    ),
    FieldFault(
        *("plug_flaps", 9, 0.005, Of.READINGS),
        "plugged is no in a single reading, the rest unchanged",
        reading=reading_faults.plug_flaps,
    ),
    FieldFault(
        "unplugged", 10, 0.02, Of.CARS, "the cable is pulled during an event; half of the drivers plug in again"
    ),
    FieldFault(
        *("no_effect", 11, 0.01, Of.COMMANDS),
        "a limit is accepted and told IN_FORCE; the car charges at 6 A or does nothing",
        setting=command_faults.no_effect,
    ),
    FieldFault(
        *("amps_need_two_sends", 12, 0.05, Of.CARS),
        "a current below 10 A is taken only when sent twice, and forgotten when plugged in again",
        setting=command_faults.amps_need_two_sends,
    ),
    FieldFault(
        "cannot_resume", 13, 0.03, Of.CARS, "the capability says no stop, or no start after a stop, and means it"
    ),
    FieldFault(
        "blocks_after_stops", 14, 0.05, Of.CARS, "after ten stops the car charges no more until plugged in again"
    ),
    FieldFault(
        *("schedule_clobbered", 15, 0.02, Of.CARS),
        "409 SCHEDULE_CONFLICT for three hours",
        call=call_faults.schedule_clobbered,
    ),
    FieldFault("restarts_itself", 16, 0.02, Of.CARS, "minutes after a stop the car charges again; still told IN_FORCE"),
    FieldFault(
        *("wrong_location", 17, 0.01, Of.CARS),
        "at_site is no or unknown; 422 NOT_AT_SITE",
        reading=reading_faults.wrong_location,
    ),
    FieldFault(
        "token_revoked", 18, 0.01, Of.CARS, "401 REAUTH_REQUIRED for every call", call=call_faults.token_revoked
    ),
    FieldFault("path_gone", 19, 0.005, Of.CARS, "410 with a page for humans", call=call_faults.path_gone),
    FieldFault("delayed", 20, 0.03, Of.COMMANDS, "obeyed five to fifteen minutes after the answer"),
    FieldFault(
        *("three_phase", 21, 0.01, Of.CARS),
        "a current flows on three phases where the capability says one; telemetry says three",
        setting=command_faults.three_phase,
        reading=reading_faults.three_phases_told,
    ),
    FieldFault(
        *("coarse_power", 22, 0.05, Of.CARS),
        "power in whole kilowatts, beside an exact current and voltage",
        reading=reading_faults.coarse_power,
    ),
    FieldFault("override", 23, 0.02, Of.CARS, "the driver presses charge now: OVERRIDDEN, then 422 USER_OVERRIDE"),
    FieldFault("opt_out", 23, 0.02, Of.CARS, "the driver leaves the event: OVERRIDDEN, then 422 USER_OVERRIDE"),
    FieldFault("unguarded_discharge", 24, 0.30, Of.CARS, "a discharge is taken without papers and below the reserve"),
    FieldFault(
        *("meter_disagrees", 25, 0.01, Of.CARS),
        "the state says what was commanded, the power what flows",
        setting=command_faults.meter_disagrees,
        reading=reading_faults.meter_disagrees,
    ),
    FieldFault(
        *("clock_skew", 26, 0.02, Of.CARS),
        "observed_at is off by seven hours, or runs five minutes ahead",
        reading=reading_faults.clock_skew,
    ),
)
BY_NAME: Mapping[str, FieldFault] = {fault.name: fault for fault in FAULTS}
FIELD_RATES: Rates = {fault.name: fault.rate for fault in FAULTS}


def befalls(fault: FieldFault, chance: Chance, ref: str, at_s: float) -> bool:
    """Whether a fault is on a car at an instant."""
    return chance.car(fault.name, ref) if fault.of is Of.CARS else chance.minute(fault.name, ref, at_s)


def played(rates: Rates) -> tuple[FieldFault, ...]:
    """The faults that have a rate."""
    return tuple(fault for fault in FAULTS if rates.get(fault.name, 0.0) > 0.0)


def parse_faults(words: Sequence[str]) -> Rates:
    """`name=rate`, or `name` or `all` at the field rate, as rates by name; ConfigError names the word and the rule."""
    rates: dict[str, float] = {}
    for word in words:
        name, _, given = word.partition("=")
        names = list(BY_NAME) if name == ALL else [name]
        rates |= {one: _rate(one, given) for one in names}
    return rates


def _rate(name: str, given: str) -> float:
    if name not in BY_NAME:
        raise ConfigError(f"fault: {name!r} is none; known are {', '.join(BY_NAME)} and {ALL}")
    try:
        rate = float(given) if given else BY_NAME[name].rate
    except ValueError:
        rate = -1.0
    if not 0.0 <= rate <= 1.0:
        raise ConfigError(f"fault: {name}={given}: must be a share from 0 to 1")
    return rate
