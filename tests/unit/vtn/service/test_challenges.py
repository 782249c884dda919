"""Challenges are calls that a client has made wherever it likes: bounded before the first, and all of them count."""

import types

import pytest

from vtn.bounds import ClientQuotas, DeliveryBounds
from vtn.errors import Rejected, TooOften
from vtn.service.objects import Write
from vtn.service.subscriptions import SUBSCRIPTIONS, ChallengeLimits

BOUNDS = DeliveryBounds(
    challenges_per_request=5, challenges_per_client_and_minute=10, challenges_per_host_and_minute=15
)


@pytest.fixture
def watch():
    return [0.0]


@pytest.fixture
def limits(watch):
    return ChallengeLimits(BOUNDS, lambda: watch[0])


def urls(count, host="a.example", start=0):
    return [f"https://{host}/{number}" for number in range(start, start + count)]


def test_too_many_in_one_request_are_malformed_and_cost_nothing(limits):
    with pytest.raises(Rejected, match="6 new callback URLs; at most 5 in one request"):
        limits.admit("c1", urls(6))
    limits.admit("c1", urls(5))
    limits.admit("c1", urls(5))


def test_a_client_has_so_many_a_minute_and_is_told_when_to_come_again(limits, watch):
    for host in ("a", "b"):
        limits.admit("c1", urls(5, host))
    with pytest.raises(TooOften) as caught:
        limits.admit("c1", urls(1, "c"))
    assert caught.value.wait_s == pytest.approx(6.0, abs=0.01)
    limits.admit("c2", urls(1, "c"))
    watch[0] += caught.value.wait_s
    limits.admit("c1", urls(1, "c"))


def test_a_host_is_led_to_so_often_by_all_clients_together(limits):
    for number in range(3):
        limits.admit(f"c{number}", urls(5))
    with pytest.raises(TooOften, match=r"lead to a.example:443"):
        limits.admit("c9", urls(1))
    limits.admit("c9", urls(1, "b.example"))


def test_a_request_of_the_largest_size_can_always_come_through():
    with pytest.raises(ValueError, match="challenges_per_host_and_minute must not be below challenges_per_request"):
        DeliveryBounds(challenges_per_host_and_minute=49)


async def test_one_subscription_calls_each_distinct_url_once_and_nobody_when_it_may_not():
    called, asked = [], []

    async def challenge(url, _token):
        called.append(url)

    def admit(client_id, new):
        asked.append((client_id, sorted(new)))
        if len(asked) > 1:
            raise TooOften("too many", 1.0)

    core = types.SimpleNamespace(
        quotas=ClientQuotas(), challenge=challenge, admit_challenges=admit, viewer=lambda _principal: None
    )
    entries = [{"callbackUrl": url} for url in (*urls(2), *urls(3)) * 10]
    draft = Write(core, types.SimpleNamespace(client_id="c1"), {"objectOperations": entries}, None)
    await SUBSCRIPTIONS.check(draft)
    assert called == urls(3)
    with pytest.raises(TooOften):
        await SUBSCRIPTIONS.check(draft)
    assert called == urls(3)
    assert asked == [("c1", urls(3))] * 2
