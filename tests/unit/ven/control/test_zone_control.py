"""Zone controller: what is planned ahead respects what drivers have chosen now."""

import dataclasses

import numpy as np
import pytest
from planning_cases import IDLE, NOW_S, asked, cars, joined

from ven_adapters.ven.control.zone_control import _as_chosen_now, unread_kw
from ven_adapters.ven.planning.plan import plan


def test_a_choice_that_ends_before_the_planned_instant_still_holds_while_it_is_in_force():
    view = cars(3, opted_out_until_s=np.array([NOW_S + 60, NOW_S - 60, -np.inf]), boost_until_s=NOW_S + 60)
    planned = _as_chosen_now(view, NOW_S, NOW_S + 300)
    assert (planned.opted_out_until_s > NOW_S + 300).tolist() == [True, False, False]
    assert (planned.boost_until_s > NOW_S + 300).all()


def test_nothing_else_of_the_view_changes():
    view = cars(2)
    planned = _as_chosen_now(view, NOW_S, NOW_S + 300)
    for field in dataclasses.fields(view):
        assert np.array_equal(getattr(planned, field.name), getattr(view, field.name), equal_nan=field.name != "zone")


FULL = IDLE | {"soc_pct": 90.3}
SILENT_S = NOW_S - 5_000


@pytest.mark.parametrize(
    ("seen", "silent", "expected"),
    [
        ([cars(4, power_kw=[5.0, 5.0, 0.0, 0.0])], [cars(2)], (2, 5.0)),
        ([cars(4), cars(6, **FULL)], [cars(3, **FULL)], (3, 0.0)),
        ([cars(4, **FULL)], [cars(2)], (2, 14.0)),
        ([], [cars(2), cars(2, **FULL)], (4, 14.0)),
        ([cars(3)], [], (0, 0.0)),
        ([cars(3)], [cars(2, plugged=0)], (0, 0.0)),
    ],
)
def test_silent_cars_do_as_measured_ones_of_which_the_same_is_expected_or_as_their_own_plan(seen, silent, expected):
    unheard = [dataclasses.replace(one, power_at_s=np.full(len(one), SILENT_S)) for one in silent]
    view = joined(*seen, *unheard)
    found = unread_kw(view, plan(view, asked(), NOW_S), NOW_S, 1_200.0)
    assert found == (expected[0], pytest.approx(expected[1]))
