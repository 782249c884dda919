"""Each guard has a law; without a guard exactly the tests that name it fail, and every other one goes on passing."""

import functools
import inspect
import itertools

import planning_cases
import pytest
import test_guardrails
from hypothesis import given
from hypothesis import strategies as st
from law_cases import LAWS, anything, enforced, law, violations, wild

from ven_adapters.ven.planning import guardrails
from ven_adapters.ven.planning.guardrails import GUARDS

pytestmark = pytest.mark.laws

SEEDS = st.integers(min_value=0, max_value=1_000_000)
HOURS = (0.25, 1.0, 2.0, 6.0)
ENOUGH_SEEDS = 60


def test_every_guard_has_a_law():
    assert set(LAWS) == set(GUARDS)


@law(60)
@given(SEEDS, st.sampled_from(HOURS))
def test_whatever_is_proposed_no_law_is_broken(seed, end_h):
    view = anything(seed)
    assert violations(enforced(view, wild(view, seed, end_h), end_h)) == set()


@functools.cache
def broken_without(guard):
    """The laws that break over many proposals, under all guards or all but one."""
    broken = set()
    for seed in range(ENOUGH_SEEDS):
        view, end_h = anything(seed), HOURS[seed % len(HOURS)]
        broken |= violations(enforced(view, wild(view, seed, end_h), end_h, without=guard))
    return frozenset(broken)


def keeps(guard, off):
    """The law of a guard, as a test of its own, with one guard switched off."""
    assert guard.__name__ not in broken_without(off)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_a_guards_law_is_kept(guard):
    keeps(guard, None)


def cases_of(test):
    """Every call that pytest would make of a test: its parameters' values by name."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    ways = []
    for mark in marks:
        names = [mark.args[0]] if isinstance(mark.args[0], str) else list(mark.args[0])
        rows = [[row] if len(names) == 1 else list(row) for row in mark.args[1]]
        ways.append([dict(zip(names, row, strict=True)) for row in rows])
    for parts in itertools.product(*ways):
        yield {name: value for part in parts for name, value in part.items()}


def hand_written():
    """The examples of `test_guardrails`: a name, the guards that it names, the call."""
    for name, test in inspect.getmembers(test_guardrails, inspect.isfunction):
        if name.startswith("test_"):
            for number, given_values in enumerate(cases_of(test)):
                named = (given_values["guard"],) if "guard" in given_values else getattr(test, "guards", ())
                yield f"{name}[{number}]", frozenset(named), functools.partial(test, **given_values)


def fails(call):
    """Whether a test fails."""
    try:
        call()
    except (AssertionError, IndexError):
        return True
    return False


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_without_one_guard_exactly_the_tests_that_name_it_fail(guard, monkeypatch):
    """The hand-written examples and the laws, all of them, with this one guard switched off."""
    left = tuple(one for one in GUARDS if one is not guard)
    for module in (guardrails, planning_cases, test_guardrails):
        monkeypatch.setattr(module, "GUARDS", left)
    failed = {name for name, _, call in hand_written() if fails(call)}
    failed |= {one.__name__ for one in LAWS if fails(functools.partial(keeps, one, guard))}
    naming = {name for name, named, _ in hand_written() if guard in named} | {guard.__name__}
    assert failed == naming
    assert len(naming) > 1, "a law and at least one example by hand"
