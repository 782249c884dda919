"""What is missing at an automaker's: an alarm that names no car, a step of a car's history, a car that is met anew."""

import asyncio
import dataclasses
from datetime import timedelta

import orjson
from agent_cases import T0, agent, enrolment

from ven_adapters.contract import Capability, SetupFault
from ven_adapters.ven.control.setup_alarms import SetupAlarms

KEY, SOFTWARE = "takes no command until our key is in it", "streams nothing with its software"


def missing(ref, sentence=KEY, *, blocks=True):
    return SetupFault(ref, sentence, takes_no_command=blocks)


def steps(rows):
    return {row.values["vehicle_ref"]: orjson.loads(row.values["document"])["missing"] for row in rows}


def test_alarms_say_of_how_many_cars_a_sentence_holds_and_name_none():
    alarms = SetupAlarms()
    alarms.take([missing("a"), missing("b"), missing("b", SOFTWARE, blocks=False), missing(None, "takes no key")], T0)
    assert alarms.alarms == ["every car takes no key", f"2 cars: {KEY}", f"1 car: {SOFTWARE}"]
    told = alarms.added_to({"alarms": ["another"], "alarms_in_all": 1})
    assert (told["alarms"][0], len(told["alarms"]), told["alarms_in_all"]) == ("another", 4, 4)
    assert SetupAlarms().added_to({"alarms": ["another"]}) == {"alarms": ["another"]}


def test_only_changes_are_steps_and_only_cars_that_take_commands_from_now_on_or_no_more_are_met_anew():
    alarms = SetupAlarms()
    turned, rows = alarms.take([missing("a"), missing("b", SOFTWARE, blocks=False)], T0)
    assert (turned, steps(rows)) == ({"a"}, {"a": [KEY], "b": [SOFTWARE]})
    assert alarms.take([missing("a"), missing("b", SOFTWARE, blocks=False)], T0) == (set(), [])
    turned, rows = alarms.take([missing("b")], T0 + timedelta(hours=1))
    assert (turned, steps(rows)) == ({"a", "b"}, {"a": [], "b": [KEY]})


class Backend:
    """Cars that can be commanded unless something is missing."""

    def __init__(self) -> None:
        self.found, self.asked = (), []

    async def setup_faults(self):
        return self.found

    async def capabilities(self, ref):
        self.asked.append(ref)
        blocked = any(one.vehicle_ref == ref and one.takes_no_command for one in self.found)
        return dataclasses.replace(Capability("m", 60_000, 7_000), can_stop=not blocked)


async def test_a_car_whose_key_is_paired_later_is_commanded_from_then_on(tmp_path):
    whole = agent(tmp_path)
    whole.statistics.abandon()
    watch, cars = whole.setup_watch, whole.fleet_state
    watch.backend = Backend()
    cars.enrol([enrolment("a"), enrolment("b")], T0)
    cars.learn(dict.fromkeys(("a", "b"), Capability("m", 60_000, 7_000)))
    watch.backend.found = (missing("a"), missing("stranger"))
    await watch._take(await watch.backend.setup_faults())
    assert [cars.capabilities[ref].can_stop for ref in ("a", "b")] == [False, True]
    assert watch.alarms.alarms == [f"1 car: {KEY}"]
    watch.backend.found = ()
    await watch._take(await watch.backend.setup_faults())
    assert (cars.capabilities["a"].can_stop, watch.alarms.alarms) == (True, [])
    assert watch.backend.asked == ["a", "a"]


async def test_a_backend_that_cannot_tell_is_not_asked(tmp_path):
    whole = agent(tmp_path)
    whole.statistics.abandon()
    whole.setup_watch.backend = object()
    async with asyncio.timeout(10):
        await whole.setup_watch.run()
