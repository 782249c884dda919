"""Leases run out by the machine's monotonic clock, are claimed by one guard, and are on disk before a car is held."""

import stat
import time
from datetime import timedelta

import pytest

from ven_adapters.contract import BackendError, ErrorCode, Rung, Setting
from ven_adapters.transport.windows import hold_leases
from ven_adapters.transport.windows.hold_leases import (
    FILE,
    HoldLease,
    HoldLeases,
    guard_is_alive,
    guard_lock,
)

RESUME, AMPS = Setting(Rung.RESUME, 11_000), Setting(Rung.CURRENT, current_a=32)


def lease(ref="car-1", directive_id="d-1", lasts_s=1200.0):
    return HoldLease(ref, directive_id, (RESUME, AMPS), lasts_s)


@pytest.fixture
def monotonic(monkeypatch):
    """The machine's monotonic clock, to be moved by hand."""
    stands = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: stands[0])
    return stands


@pytest.fixture
def leases(tmp_path):
    made = HoldLeases(tmp_path)
    yield made
    made.close()


def due(leases):
    return [(one.ref, one.directive_id) for one in leases.due()]


def test_a_lease_is_due_when_it_has_run_out_and_says_how_the_car_is_given_back(leases, monotonic):
    leases.take(lease())
    monotonic[0] += 1199.0
    assert leases.due() == ()
    monotonic[0] += 2.0
    assert leases.due() == (lease(),)


def test_what_is_renewed_is_not_due(leases, monotonic):
    leases.take(lease())
    for _ in range(100):
        monotonic[0] += 60.0
        assert leases.renew([lease()]) == frozenset()
        assert leases.due() == ()


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)])
def test_a_clock_on_the_wall_that_jumps_ends_no_lease(leases, monotonic, monkeypatch, jump):
    leases.take(lease())
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + jump.total_seconds())
    monotonic[0] += 600.0
    assert leases.due() == ()
    monotonic[0] += 601.0
    assert due(leases) == [("car-1", "d-1")]


def test_after_a_boot_a_lease_has_its_whole_length_again(leases, monotonic, tmp_path, monkeypatch):
    leases.take(lease())
    monotonic[0] = 5.0
    monkeypatch.setattr(hold_leases, "_boot", lambda: "another boot")
    after = HoldLeases(tmp_path)
    monotonic[0] = 2_000.0
    assert after.due() == ()
    monotonic[0] += 1_201.0
    assert due(after) == [("car-1", "d-1")]
    after.close()


def test_a_car_without_a_lease_any_more_is_not_due(leases, monotonic):
    leases.take(lease())
    leases.take(lease("car-2"))
    leases.drop("car-1", "d-1")
    monotonic[0] += 2_000.0
    assert due(leases) == [("car-2", "d-1")]
    leases.renew([])
    assert leases.due() == ()


def test_a_lease_of_a_newer_directive_is_not_dropped_with_the_older(leases, monotonic):
    leases.take(lease())
    leases.take(lease(directive_id="d-2"))
    leases.drop("car-1", "d-1")
    monotonic[0] += 2_000.0
    assert due(leases) == [("car-1", "d-2")]


def test_a_lease_that_was_renewed_after_it_was_looked_at_is_not_claimed(leases, monotonic):
    leases.take(lease())
    monotonic[0] += 2_000.0
    (found,) = leases.due()
    leases.renew([lease()])
    assert not leases.claim(found)


def test_what_one_guard_has_claimed_no_other_claims(leases, monotonic, tmp_path):
    leases.take(lease())
    monotonic[0] += 2_000.0
    (found,) = leases.due()
    assert leases.claim(found)
    other = HoldLeases(tmp_path)
    assert not other.claim(found)
    assert other.due() == ()
    other.close()


def test_a_refused_call_is_due_again_later_and_counts_its_tries(leases, monotonic):
    leases.take(lease())
    monotonic[0] += 2_000.0
    (found,) = leases.due()
    leases.claim(found)
    leases.refused(found, 30.0)
    assert leases.due() == ()
    monotonic[0] += 31.0
    assert [one.tries for one in leases.due()] == [1]


def test_while_the_guard_calls_a_car_its_keeper_may_not(leases, monotonic, tmp_path):
    leases.take(lease())
    monotonic[0] += 2_000.0
    (found,) = leases.due()
    with guard_lock(tmp_path) as ours:
        assert ours
        leases.claim(found)
        with pytest.raises(BackendError) as caught:
            leases.take(lease(directive_id="d-2"))
        assert caught.value.code is ErrorCode.BACKEND_TRANSIENT
        assert leases.renew([lease()]) == frozenset()
        leases.returned(found)
    assert leases.given_back("car-1") == "d-1"
    assert leases.renew([lease()]) == frozenset({"d-1"})
    leases.take(lease(directive_id="d-2"))
    assert leases.given_back("car-1") is None


def test_a_call_that_a_dead_guard_began_is_nobodys(leases, monotonic):
    leases.take(lease())
    monotonic[0] += 2_000.0
    (found,) = leases.due()
    leases.claim(found)
    leases.take(lease(directive_id="d-2"))
    monotonic[0] += 2_000.0
    assert due(leases) == [("car-1", "d-2")]


def test_the_next_guard_takes_up_what_a_dead_one_began(leases, monotonic):
    leases.take(lease())
    monotonic[0] += 2_000.0
    (found,) = leases.due()
    leases.claim(found)
    leases.adopt()
    assert due(leases) == [("car-1", "d-1")]


def test_one_guard_at_a_time(tmp_path):
    assert not guard_is_alive(tmp_path)
    with guard_lock(tmp_path) as ours:
        assert ours
        assert guard_is_alive(tmp_path)
        with guard_lock(tmp_path) as second:
            assert not second
    assert not guard_is_alive(tmp_path)


def test_how_long_a_keeper_is_gone_is_known(leases, monotonic):
    assert leases.keeper_gone_s() == float("inf")
    leases.renew([])
    monotonic[0] += 90.0
    assert leases.keeper_gone_s() == 90.0
    assert leases.count() == 0


def test_the_store_is_its_users_alone_and_a_folder_that_takes_nothing_is_an_os_error(leases, tmp_path):
    leases.take(lease())
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        HoldLeases(tmp_path / "file").take(lease())
