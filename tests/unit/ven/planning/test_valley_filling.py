"""A day in quarter hours: everybody served in time, valleys filled, ceilings kept, at whatever size."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_cases import law

from ven_adapters.ven.planning.valley_filling import (
    SLOT_H,
    SLOTS,
    Stays,
    fill_valleys,
    keep_below,
    on_arrival_kw,
    stays_of,
)

ZONES = 3


def evening(seed, count):
    """Cars that come in the evening and leave in the morning, in hours from noon."""
    r = np.random.default_rng(seed)
    come_h = np.clip(r.normal(6.25, 1.9, count), 0, 20)
    leave_h = np.clip(r.normal(19.5, 1.2, count), come_h + 1, 24)
    zone, u = r.integers(0, ZONES, count), r.random(count)
    return stays_of(zone, come_h, leave_h, r.gamma(1.7, 9.25, count), r.choice([1.4, 7.2, 11.5], count), u)


def matrix(quarters):
    """(cars, SLOTS) truth values."""
    return np.unpackbits(quarters, axis=0).T.astype(bool)


FLAT = np.zeros((ZONES, SLOTS))


@law(8)
@given(st.integers(0, 10_000), st.sampled_from([1, 30, 2_000]))
def test_every_car_charges_as_long_as_it_needs_and_only_while_it_is_there(seed, count):
    stays = evening(seed, count)
    made = fill_valleys(stays, FLAT)
    charges, slot = matrix(made.quarters), np.arange(SLOTS)
    assert (charges.sum(axis=1) == stays.need).all()
    assert not (charges & ((slot < stays.arrive[:, None]) | (slot >= stays.depart[:, None]))).any()
    for zone in range(ZONES):
        mine = stays.zone == zone
        assert made.load_kw[zone] == pytest.approx(stays.kw[mine] @ charges[mine], abs=1e-6)
    assert made.load_kw.sum() * SLOT_H == pytest.approx((stays.kw * stays.need).sum() * SLOT_H)


@law(8)
@given(st.integers(0, 10_000))
def test_the_order_of_cars_does_not_matter(seed):
    stays = evening(seed, 300)
    shuffled = np.random.default_rng(seed).permutation(len(stays))
    other = Stays(*(getattr(stays, field.name)[shuffled] for field in dataclasses.fields(Stays)))
    first, second = fill_valleys(stays, FLAT), fill_valleys(other, FLAT)
    assert (matrix(first.quarters)[shuffled] == matrix(second.quarters)).all()


def test_valleys_are_filled_and_the_evening_peak_is_gone():
    stays, base_kw = (
        evening(1, 20_000),
        np.tile(2_000 + 2_000 * np.cos(np.arange(SLOTS) / SLOTS * 2 * np.pi), (ZONES, 1)),
    )
    made, peak_kw = fill_valleys(stays, base_kw), (base_kw + on_arrival_kw(stays, ZONES)).max(axis=1)
    assert ((base_kw + made.load_kw).max(axis=1) < 0.6 * peak_kw).all()
    assert ((base_kw + made.load_kw).max(axis=1) < 1.02 * made.level_kw).all()


def test_the_level_is_the_lowest_that_serves_everybody():
    """Four cars of 4 kW, two quarter hours each, all within the same hour: two of them at any time."""
    stays = stays_of(np.zeros(4, np.int64), np.zeros(4), np.ones(4), np.full(4, 2.0), np.full(4, 4.0), np.arange(4) / 4)
    made = fill_valleys(stays, np.zeros((1, SLOTS)))
    assert made.load_kw[0, :5].tolist() == [8, 8, 8, 8, 0]


def test_a_ceiling_is_kept_unless_somebody_would_be_late():
    stays, ceiling_kw = evening(2, 5_000), np.full((ZONES, SLOTS), np.inf)
    ceiling_kw[:, 16:36] = 0.0
    made = fill_valleys(stays, FLAT, ceiling_kw)
    late = (stays.depart - stays.need) < 36
    must_kw = np.array([on_arrival_kw(_only(stays, late & (stays.zone == z)), ZONES)[z].sum() for z in range(ZONES)])
    assert (made.load_kw[:, 16:36].sum(axis=1) <= must_kw + 1e-6).all()


def _only(stays, mask):
    return Stays(*(getattr(stays, field.name)[mask] for field in dataclasses.fields(Stays)))


def test_without_a_ceiling_cars_charge_when_they_come():
    stays = evening(3, 500)
    load_kw, _ = keep_below(stays, np.full((ZONES, SLOTS), np.inf))
    assert load_kw == pytest.approx(on_arrival_kw(stays, ZONES), abs=1e-6)


def test_what_does_not_fit_before_departure_is_left_out_and_the_rest_is_charged():
    stays = stays_of(np.zeros(1, np.int64), np.zeros(1), np.ones(1), np.full(1, 100.0), np.full(1, 8.0), np.zeros(1))
    assert (stays.need[0], stays.kw[0]) == (4, 8.0)


def test_nobody_is_a_day_too():
    nobody = stays_of(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(5)))
    assert fill_valleys(nobody, FLAT).load_kw.sum() == 0
