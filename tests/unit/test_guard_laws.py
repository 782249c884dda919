"""Every guard against its law: together they let nothing through, and each is missed by its own law and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_cases import LAWS, anything, enforced, law, violations, wild

from ven_adapters.ven.guardrails import GUARDS

SEEDS = st.integers(min_value=0, max_value=1_000_000)
HOURS = st.sampled_from([0.25, 1.0, 2.0, 6.0])
ENOUGH_SEEDS = 60


def test_every_guard_has_a_law():
    assert set(LAWS) == set(GUARDS)


@law(60)
@given(SEEDS, HOURS)
def test_whatever_is_proposed_no_law_is_broken(seed, end_h):
    view = anything(seed)
    assert violations(enforced(view, wild(view, seed, end_h), end_h)) == set()


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_without_one_guard_exactly_its_own_law_is_broken(guard):
    broken = set()
    for seed in range(ENOUGH_SEEDS):
        view, end_h = anything(seed), (0.25, 1.0, 2.0, 6.0)[seed % 4]
        broken |= violations(enforced(view, wild(view, seed, end_h), end_h, without=guard))
    assert broken == {guard.__name__}
