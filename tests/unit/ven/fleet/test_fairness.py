"""The Gini coefficient of kWh borne per car, by its definition over all pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.ven.fleet.event_burden import gini


@pytest.mark.parametrize(
    ("borne_kwh", "coefficient"), [([], 0), ([0, 0], 0), ([3, 3, 3], 0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25)]
)
def test_known_distributions(borne_kwh, coefficient):
    assert gini(np.array(borne_kwh, dtype=np.float64)) == pytest.approx(coefficient)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30).filter(lambda one: sum(one) > 1e-6))
def test_it_is_half_the_mean_difference_over_the_mean(borne):
    borne_kwh = np.array(borne)
    differences = np.abs(borne_kwh[:, None] - borne_kwh).sum()
    assert gini(borne_kwh) == pytest.approx(differences / (2 * len(borne) * borne_kwh.sum()), abs=1e-9)
