"""A zone whose cars take less than expected comes to its set-point; wrong readings cannot carry the plan away."""

import pytest

from ven_adapters.ven.control.set_point_trim import SetPointTrim, TrimmedAsk

ASKED_KW, MOST_KW = 100.0, 11.0


ASK = TrimmedAsk(ASKED_KW, MOST_KW, MOST_KW)


def follow(takes, *, minutes=90, ask=ASK, share=1.0):
    """A zone that draws `takes` of what it is planned for, a cycle a minute."""
    trim = SetPointTrim()
    measured_kw = 0.0
    for minute in range(minutes):
        measured_kw = takes * (ask.kw + trim.kw)
        trim = trim.after(60.0 * minute, ask, measured_kw, share)
    return trim, measured_kw


@pytest.mark.parametrize("takes", [0.93, 1.0, 1.06])
def test_a_zone_that_draws_other_than_planned_comes_to_its_set_point(takes):
    _, measured_kw = follow(takes)
    assert measured_kw == pytest.approx(ASKED_KW, abs=0.5)


def test_it_never_aims_further_aside_than_one_cars_power():
    assert follow(0.2)[0].kw == MOST_KW
    assert follow(3.0)[0].kw == -MOST_KW


def test_it_rests_while_a_change_is_on_its_way_and_where_too_little_is_measured():
    assert follow(0.5, minutes=5)[0].kw == 0.0
    assert follow(0.5, share=0.7)[0].kw == 0.0


def test_another_set_point_keeps_what_was_learned_and_its_end_forgets_it():
    trim, _ = follow(0.93)
    assert trim.after(6000.0, TrimmedAsk(50.0, MOST_KW, MOST_KW), 46.0, 1.0).kw == trim.kw
    assert trim.after(6000.0, None, 46.0, 1.0) == SetPointTrim()


def test_a_limit_is_aimed_below_and_never_above():
    limit = TrimmedAsk(ASKED_KW, 0.0, MOST_KW)
    assert follow(1.06, ask=limit)[1] == pytest.approx(ASKED_KW, abs=0.5)
    assert follow(0.9, ask=limit)[0].kw == 0.0
