"""Which connection goes when there are too many: never a proven one, and the oldest unproven one of the greediest."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.bounds import ConnectionBounds
from vtn.listening.gate import ConnectionGate, network_of

SMALL = ConnectionBounds(connections=6, of_one_address=4, unproven=3, unproven_of_one_address=2)


class Port:
    """A gate, and who was cut off at it, oldest first."""

    def __init__(self, bounds=SMALL, **more) -> None:
        self.gate = ConnectionGate(bounds, **more)
        self.cut = []

    def admit(self, address, name="someone"):
        return self.gate.admit(address, lambda: self.cut.append(name))


def test_one_address_has_its_own_bound_and_its_oldest_goes():
    port = Port()
    for name in ("first", "second", "third"):
        assert port.admit("192.0.2.1", name)
    assert port.cut == ["first"]
    assert port.gate.displaced == 1


def test_all_together_have_a_bound_and_the_greediest_pays():
    port = Port()
    for address, name in (("192.0.2.1", "greedy 1"), ("192.0.2.1", "greedy 2"), ("192.0.2.2", "modest")):
        assert port.admit(address, name)
    assert port.admit("192.0.2.3", "new")
    assert port.cut == ["greedy 1"]


def test_proven_ones_stay_whatever_comes():
    port = Port()
    for number in range(4):
        port.admit(f"192.0.2.{number}", f"proven {number}").prove()
    for number in range(100):
        port.admit(f"198.51.100.{number}", f"silent {number}")
    assert not any(name.startswith("proven") for name in port.cut)
    assert port.gate.proven == 4


def test_when_all_are_proven_a_newcomer_is_refused():
    port = Port()
    for number in range(6):
        port.admit(f"192.0.2.{number}").prove()
    assert port.admit("192.0.2.9") is None
    assert port.gate.refused == 1
    assert port.cut == []


def test_proven_ones_of_one_address_are_bounded_too():
    port = Port()
    for _ in range(4):
        port.admit("192.0.2.1").prove()
    assert port.admit("192.0.2.1") is None
    assert port.admit("192.0.2.2")


def test_who_left_makes_room_and_may_leave_twice():
    port = Port()
    slots = [port.admit("192.0.2.1"), port.admit("192.0.2.1")]
    slots[0].prove()
    for slot in (*slots, *slots):
        slot.leave()
        slot.prove()
    assert (port.gate.proven, port.gate.unproven) == (0, 0)


def test_no_more_than_the_system_has_files_for():
    port = Port(ConnectionBounds(), files=40)
    slots = [port.admit(f"192.0.2.{number}") for number in range(100)]
    assert port.gate.unproven == 15
    for slot in filter(None, slots):
        slot.prove()
    slots = [port.admit(f"198.51.100.{number}") for number in range(100)]
    assert port.gate.proven + port.gate.unproven == 30


def test_room_is_made_when_the_process_has_no_files_left():
    port = Port()
    port.admit("192.0.2.1", "silent")
    assert port.gate.make_room()
    assert not port.gate.make_room()
    assert port.cut == ["silent"]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_customer_is_one_address(address, network):
    assert network_of(address) == network


STEPS = st.lists(st.tuples(st.sampled_from(["admit", "prove", "leave"]), st.integers(0, 5)), max_size=200)


@given(STEPS)
def test_bounds_hold_and_nobody_proven_is_cut_in_any_order_of_events(steps):
    gate, live, cut, numbers = ConnectionGate(SMALL), {}, [], itertools.count()
    for what, which in steps:
        if what == "admit":
            number = next(numbers)
            slot = gate.admit(f"192.0.2.{which}", lambda number=number: cut.append(number))
            if slot is not None:
                live[number] = slot
        elif live:
            number = sorted(live)[which % len(live)]
            live[number].prove() if what == "prove" else live.pop(number).leave()
        assert not any(live[number].proven for number in cut if number in live)
        live = {number: slot for number, slot in live.items() if number not in cut}
        unproven = [slot.address for slot in live.values() if not slot.proven]
        assert (gate.proven, gate.unproven) == (len(live) - len(unproven), len(unproven))
        assert gate.unproven <= 3
        assert gate.proven + gate.unproven <= 6
        assert all(unproven.count(address) <= 2 for address in unproven)
