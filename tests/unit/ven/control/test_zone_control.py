"""Zone controller: what is planned ahead respects what drivers have chosen now."""

import dataclasses

import numpy as np
from planning_cases import NOW_S, cars

from ven_adapters.ven.control.zone_control import _as_chosen_now


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
