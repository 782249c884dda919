"""Turns at hosts: in the order of coming, so many at once and in a second, one at a time to a host that is away."""

import asyncio
import random
import time

import pytest

from vtn.bounds import DeliveryBounds
from vtn.notifiers.webhooks import hosts as module
from vtn.notifiers.webhooks.hosts import Hosts

LONG_S = 30.0


def hosts_with(first_s=0.01, longest_s=0.02, now_s=time.monotonic, **bounds):
    return Hosts(DeliveryBounds(**bounds), first_s=first_s, longest_s=longest_s, chance=random.Random(1), now_s=now_s)


async def entered(hosts, *names):
    """A task for each name that has had the chance to come in."""
    tasks = [asyncio.create_task(hosts.enter(name, LONG_S)) for name in names]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_turns_are_given_in_the_order_of_coming_so_many_at_once():
    hosts = hosts_with(calls_per_host=2)
    tasks = await entered(hosts, *["a"] * 5, "b")
    assert [task.done() for task in tasks] == [True, True, False, False, False, True]
    hosts.leave("a", reached=True)
    async with asyncio.timeout(60):
        assert await tasks[2]
    assert [task.done() for task in tasks[3:5]] == [False, False]
    for task in tasks:
        task.cancel()


async def test_a_host_that_is_away_is_tried_by_one_at_a_time_until_it_is_reached():
    hosts = hosts_with(calls_per_host=3)
    first = await entered(hosts, *["a"] * 3)
    assert all(task.done() for task in first)
    waiting = await entered(hosts, *["a"] * 6)
    for _ in first:
        hosts.leave("a", reached=False, reason="cannot connect")
    assert hosts.of("a").failures == 1, "calls that fail together are one failure"
    for probe, failures in zip(waiting[:3], (1, 2, 3), strict=True):
        async with asyncio.timeout(60):
            assert await probe
        assert (hosts.of("a").calls, hosts.of("a").failures, hosts.away) == (1, failures, 1)
        if failures < 3:
            hosts.leave("a", reached=False, reason="no answer")
    assert not any(task.done() for task in waiting[3:])
    hosts.leave("a", reached=True)
    async with asyncio.timeout(60):
        assert await asyncio.gather(*waiting[3:]) == [True] * 3
    assert hosts.away == 0


async def test_a_host_that_is_away_to_one_client_is_well_to_another():
    """A hundred that wait to try it are passed by, and what one client fails at another has not failed at."""
    hosts = hosts_with(first_s=1e6, longest_s=1e9, calls_per_host=2)
    assert await hosts.enter("a", 0.0, "theirs")
    hosts.leave("a", "theirs", reached=False, reason="answered 503")
    theirs = [asyncio.create_task(hosts.enter("a", LONG_S, "theirs")) for _ in range(100)]
    await asyncio.sleep(0)
    for _ in range(5):
        assert await hosts.enter("a", 0.0, "mine")
        hosts.leave("a", "mine", reached=True)
    assert (hosts.of("a").to("mine").failures, hosts.of("a").to("theirs").failures) == (0, 1)
    for client_id in ("x", "y"):
        assert await hosts.enter("a", 0.0, client_id)
    assert not await hosts.enter("a", 0.0, "z"), "calls at once are counted for all together"
    for task in theirs:
        task.cancel()
    assert await asyncio.gather(*theirs, return_exceptions=True)


async def test_a_turn_that_is_not_used_says_nothing_and_goes_to_the_next():
    hosts = hosts_with(calls_per_host=1)
    first, second = await entered(hosts, "a", "a")
    assert first.done()
    hosts.leave("a", reached=False, reason="cannot connect")
    async with asyncio.timeout(60):
        assert await second
    third, fourth = await entered(hosts, "a", "a")
    hosts.leave("a", reached=None)
    async with asyncio.timeout(60):
        assert await third
    assert hosts.of("a").failures == 1
    fourth.cancel()


async def test_patience_ends_and_whoever_is_cancelled_takes_no_turn_along():
    hosts = hosts_with(calls_per_host=1)
    assert await hosts.enter("a", 0.0)
    assert not await hosts.enter("a", 0.01)
    cancelled, last = await entered(hosts, "a", "a")
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    hosts.leave("a", reached=True)
    async with asyncio.timeout(60):
        assert await last


async def test_a_turn_given_at_the_moment_of_a_cancellation_is_given_back():
    hosts = hosts_with(calls_per_host=1)
    assert await hosts.enter("a", 0.0)
    (waiting,) = await entered(hosts, "a")
    hosts.leave("a", reached=True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert hosts.of("a").calls == 0


async def test_so_many_calls_in_a_second_and_no_more():
    hosts = hosts_with(calls_per_host=512, calls_per_host_and_second=20)
    began_s = time.monotonic()
    async with asyncio.timeout(LONG_S):
        for _ in range(30):
            assert await hosts.enter("a", LONG_S)
            hosts.leave("a", reached=True)
    assert time.monotonic() - began_s >= 0.45


async def test_the_pace_of_a_host_follows_no_clock_that_is_set():
    """Pauses are between monotonic instants; the wall's time is not asked."""
    hosts = hosts_with()
    assert await hosts.enter("a", 0.0)
    hosts.leave("a", reached=False, reason="x")
    assert hosts.of("a").to("").due_s <= time.monotonic() + 0.02


async def test_hosts_that_nobody_calls_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(module, "MOST_HOSTS", 3)
    hosts = hosts_with()
    for number in range(10):
        assert await hosts.enter(f"idle-{number}", 0.0)
        hosts.leave(f"idle-{number}", reached=True)
    assert len(hosts._hosts) <= 3


@pytest.mark.parametrize("reached", [True, False, None])
async def test_a_host_that_was_never_called_is_well_and_one_that_was_left_has_no_calls(reached):
    hosts = hosts_with()
    assert (hosts.of("a").failures, hosts.of("a").calls) == (0, 0)
    assert await hosts.enter("a", 0.0)
    hosts.leave("a", reached=reached, reason="why")
    assert (hosts.of("a").failures, hosts.of("a").calls) == (int(reached is False), 0)
