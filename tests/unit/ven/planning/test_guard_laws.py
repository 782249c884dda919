"""Each guard has a law, and no law is broken, whatever is proposed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law_cases import HOURS, LAWS, anything, enforced, keeps, law, violations, wild

from ven_adapters.ven.planning.guardrails import GUARDS

pytestmark = pytest.mark.laws

SEEDS = st.integers(min_value=0, max_value=1_000_000)


def test_every_guard_has_a_law():
    assert set(LAWS) == set(GUARDS)


@law(60)
@given(SEEDS, st.sampled_from(HOURS))
def test_whatever_is_proposed_no_law_is_broken(seed, end_h):
    view = anything(seed)
    assert violations(enforced(view, wild(view, seed, end_h), end_h)) == set()


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_a_guards_law_is_kept(guard):
    keeps(guard, None)
