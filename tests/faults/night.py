"""The fault drill: 2,000 cars, every field fault at its rate at once, one night; judged by the simulators' own truth.

`python tests/faults/night.py` plays the demonstration's evening with every fault and cars that are not what they tell,
holds each claim of the adapters
against what the cars really did, and writes `var/faults/night.json` and a table fault by fault; `details.json` beside
it has every figure of the night and the claims that were false. The exit code is 0 when no driver was late that need
not be, no battery went below its reserve or gave without permission, and nothing was reported in force that the physics
contradicts.
"""

import argparse
import asyncio
import collections
import dataclasses
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ven_adapters.contract import FINAL_STATES, DirectiveKind
from ven_adapters.demo.evening import EveningOptions, play
from ven_adapters.lifecycle.evidence import TOLERANCE_W, ExpectedEffect
from ven_adapters.simulator.faults.table import BY_NAME, FAULTS

HOURS = 18
ADAPTER = ("tests.faults.adapter_child",)
CLOUD = ("--fault", "all", "--power")
WIDTH = 180
PROMISES = ("feasible_late_departures", "reserve_violations", "unauthorised_discharges", "false_in_force")
KEYS = ("cars", "faults", *PROMISES, "directives", "by_fault")
# Faults that only an adapter meets that reads without need, stops a car again and again, or asks it for a low current.
EARNED = frozenset({"polling_drain", "blocks_after_stops", "amps_need_two_sends"})
AROUND_MINUTES = (-1, 0, 1)
AROUND_S = 60.0

# What a directive's end tells the driver, in the app's words; a code says why.
TO_DRIVER: Mapping[str, str] = {
    "RELEASED": "the event is over; your car is yours again",
    "SUPERSEDED": "the plan for your car changed",
    "CANCELLED": "your car was given back early",
    "OVERRIDDEN": "you took over; we leave your car alone until you leave",
    "FAILED": "your car did not follow; it charges as you set it",
    "REJECTED": "your car was not asked again",
    "EXPIRED": "your car could not be reached in time; it charges as you set it",
}

Claim = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Night:
    """One automaker's cars as they were: least and most watts (minutes, cars), and the cars that met each fault.

    `turns`: a car's column, seconds, watts wherever its power became another; in one minute there may be many.
    """

    midnight: datetime
    first_s: float
    column: Mapping[str, int]
    least_w: np.ndarray
    most_w: np.ndarray
    turns: np.ndarray
    met: Mapping[str, frozenset[str]]


def read_night(folder: Path, oem: str) -> Night:
    """The ground truth that a simulator wrote."""
    truth = orjson.loads((folder / f"truth-{oem}.json").read_bytes())
    with np.load(folder / f"power-{oem}.npz") as arrays:
        refs = arrays["refs"].tolist()
        met = {
            name.removeprefix("fault_"): frozenset(refs[car] for car in arrays[name].tolist())
            for name in arrays.files
            if name.startswith("fault_")
        }
        return Night(
            datetime.fromisoformat(truth["midnight"]),
            float(arrays["first_s"]),
            {ref: car for car, ref in enumerate(refs)},
            arrays["least_w"],
            arrays["most_w"],
            arrays["turns"],
            met,
        )


def read_claims(path: Path) -> list[Claim]:
    """What an adapter claimed, in order."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def contradicted(claim: Claim, night: Night) -> bool:
    """Whether a claim of IN_FORCE rests on an instant at which the car did otherwise."""
    powers = powers_w(claim, night)
    effect, full = _effect(claim), "COMPLETE" in (claim["evidence"] or "")
    fits = (effect.fits_power(power) or (full and abs(power) < TOLERANCE_W) for power in powers)
    return bool(powers) and not any(fits)


def powers_w(claim: Claim, night: Night) -> list[float]:
    """What the car drew around the instant on which a claim of IN_FORCE rests; nothing where no truth was kept."""
    if claim["state"] != "IN_FORCE" or claim["confirmed_at"] is None:
        return []
    at_s = (datetime.fromisoformat(claim["confirmed_at"]) - night.midnight).total_seconds()
    minute, car = int((at_s - night.first_s) // 60.0), night.column[claim["ref"]]
    minutes = [minute + more for more in AROUND_MINUTES if 0 <= minute + more < len(night.least_w)]
    powers = [float(side[one, car]) for one in minutes for side in (night.least_w, night.most_w)]
    mine = night.turns[night.turns[:, 0] == car]
    powers += mine[np.abs(mine[:, 1] - at_s) <= AROUND_S, 2].tolist()
    return [power for power in powers if not math.isnan(power)]


def _effect(claim: Claim) -> ExpectedEffect:
    if claim["kind"] in (DirectiveKind.CHARGE, DirectiveKind.RELEASE):
        return ExpectedEffect(None)
    watts = claim["setting_w"] if claim["setting_w"] is not None else claim["asked_w"] or 0
    return ExpectedEffect(float(watts), claim["kind"] != DirectiveKind.SETPOINT)


def last_claims(claims: Iterable[Claim]) -> list[Claim]:
    """The last claim about each directive."""
    return list({claim["id"]: claim for claim in claims}.values())


def by_fault(nights: Sequence[Night], ends: Sequence[Claim]) -> dict[str, dict[str, Any]]:
    """For every fault: how often it showed, how directives of its cars ended, what drivers and the utility heard."""
    told = {}
    for fault in FAULTS:
        cars = frozenset().union(*(night.met.get(fault.name, frozenset()) for night in nights))
        mine = [end for end in ends if end["ref"] in cars]
        states = collections.Counter(end["state"] for end in mine)
        told[fault.name] = {
            "number": fault.number,
            "rate": fault.rate,
            "of": fault.of.value,
            "shows": fault.shows,
            "cars": len(cars),
            "directives": len(mine),
            "states": dict(states.most_common()),
            "errors": dict(collections.Counter(end["error"] for end in mine if end["error"]).most_common()),
            "driver_told": _to_driver(mine),
            "utility_told": _to_utility(mine),
        }
    return told


def _to_driver(ends: Sequence[Claim]) -> str:
    """The commonest end that was not as usual, else the commonest."""
    usual = {"RELEASED", "SUPERSEDED", "CANCELLED"}
    odd = [end for end in ends if end["state"] not in usual] or list(ends)
    if not odd:
        return "nothing: no directive met it"
    (state, error), _ = collections.Counter((end["state"], end["error"]) for end in odd).most_common(1)[0]
    return TO_DRIVER.get(state, "an event holds your car") + (f" ({error})" if error else "")


def _to_utility(ends: Sequence[Claim]) -> str:
    seen = sum(bool(end["confirmed"]) for end in ends)
    return f"{seen} of {len(ends)} directives seen at the car, {len(ends) - seen} not counted"


def judge(options: EveningOptions, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The drill's result, from the simulators' truth and the adapters' claims."""
    nights = {oem: read_night(options.var / "truth", oem) for oem in options.oems}
    claims = {oem: read_claims(options.var / oem / "claims.jsonl") for oem in options.oems}
    false = [claim for oem in options.oems for claim in claims[oem] if contradicted(claim, nights[oem])]
    ends = [end for oem in options.oems for end in last_claims(claims[oem])]
    finals = {state.value for state in FINAL_STATES}
    told = by_fault(list(nights.values()), ends)
    return {
        "cars": summary["cars"],
        "faults": sum(one["cars"] > 0 for one in told.values()),
        **{name: summary[name] for name in PROMISES[:3]},
        "false_in_force": len({claim["id"] for claim in false}),
        "directives": len(ends),
        "directives_not_final": sum(end["state"] not in finals for end in ends),
        "in_force_claims": sum(bool(powers_w(claim, nights[oem])) for oem in options.oems for claim in claims[oem]),
        "by_fault": told,
        "false_claims": false[:50],
        **{
            name: summary[name]
            for name in ("late_departures", "departures", "left_early", "opt_outs", "opt_outs_honoured")
        },
        **{name: summary[name] for name in ("asked_kwh", "delivered_kwh", "tracking_error_pct", "speed", "seed")},
        "wall_s": summary["wall_s"],
    }


def drill(cars: int, speed: float, seed: int, folder: Path, **more: Any) -> dict[str, Any]:
    """Play the night and judge it; the result is also in `night.json`, all that it rests on in `details.json`."""
    played = {
        "adapter": ADAPTER,
        "cloud": CLOUD,
        "hours": HOURS,
        "solves": False,
        "limits_capacity": False,
        "past_nights": 0,
        **more,
    }
    options = EveningOptions(cars, speed, seed, folder / "night", **played)
    result = judge(options, asyncio.run(play(options)))
    for name, told in (("night", {key: result[key] for key in KEYS}), ("details", result)):
        (folder / f"{name}.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    return result


def table(result: Mapping[str, Any]) -> Table:
    """Fault by fault: how often it showed, how directives ended, what was told."""
    shown = Table("", "fault", "cars", "directives", "ended", "the driver was told", "the utility was told")
    for name, one in result["by_fault"].items():
        ended = ", ".join(f"{count} {state.lower()}" for state, count in one["states"].items())
        row = (one["number"], name, one["cars"], one["directives"], ended, one["driver_told"], one["utility_told"])
        shown.add_row(*map(str, row))
    return shown


def broken(result: Mapping[str, Any]) -> list[str]:
    """The promises that were not kept, and the faults that never showed."""
    unseen = [name for name in BY_NAME if name not in EARNED and not result["by_fault"][name]["cars"]]
    return [name for name in PROMISES if result[name]] + [f"{name} never showed" for name in unseen]


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--cars", type=int, default=2000)
    words.add_argument("--speed", type=float, default=300.0)
    words.add_argument("--seed", type=int, default=7)
    words.add_argument("--var", type=Path, default=Path("var/faults"))
    given = words.parse_args()
    result = drill(given.cars, given.speed, given.seed, given.var)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(table(result))
    for name in (*PROMISES, "directives", "directives_not_final", "in_force_claims", "wall_s"):
        console.print(f"{name:28} {result[name]}", highlight=False)
    found = broken(result)
    for one in found:
        console.print(f"broken: {one}", style="bold red")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
