"""Entries of a subscription keep their numbers while it is rewritten, and no number is given twice."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.rules.compat30 import side
from vtn.rules.entries import Numbering, first_numbering, host_of, renumbered

ENTRIES = st.builds(
    lambda url, kinds, operations: {"callbackUrl": url, "objects": kinds, "operations": operations},
    st.sampled_from([f"https://{letter}.example/" for letter in "abcd"]),
    st.lists(st.sampled_from(["EVENT", "PROGRAM", "VEN"]), min_size=1, unique=True).map(sorted),
    st.lists(st.sampled_from(["CREATE", "UPDATE"]), min_size=1, unique=True).map(sorted),
)
REWRITES = st.lists(st.lists(ENTRIES, max_size=6), min_size=2, max_size=5)


def entry(letter, *kinds, operations=("CREATE",)):
    return {"callbackUrl": f"https://{letter}.example/", "objects": list(kinds or ("EVENT",)), "operations": operations}


A, B, C = map(entry, "abc")


@pytest.mark.parametrize(
    ("before", "after", "numbers"),
    [
        ([A, B, C], [C, A, B], (2, 0, 1)),
        ([A, B, C], [B, C], (1, 2)),
        ([A, B], [C, A, B], (2, 0, 1)),
        ([A], [entry("a", "EVENT", "PROGRAM")], (0,)),
        ([A, B], [entry("b", operations=("UPDATE",)), A], (1, 0)),
        ([A, B], [C, B], (0, 1)),
        ([A, B], [B, C], (1, 0)),
        ([A], [entry("b", "PROGRAM")], (0,)),
        ([A, entry("a", "PROGRAM")], [entry("a", "PROGRAM"), A], (1, 0)),
        ([A, A], [A], (0,)),
        ([], [A], (0,)),
        ([A], [], ()),
    ],
    ids=str,
)
def test_an_entry_is_the_same_by_what_it_says_then_by_where_it_leads_then_by_its_wish(before, after, numbers):
    assert renumbered(before, first_numbering(len(before)), after).numbers == numbers


def test_the_number_of_an_entry_that_is_gone_goes_to_nobody():
    gone = renumbered([A, B], first_numbering(2), [A])
    assert renumbered([A], gone, [A, B]) == Numbering((0, 2), 3)


@given(REWRITES)
def test_numbers_are_unique_and_never_come_back(contents):
    numbering, seen = first_numbering(len(contents[0])), set(range(len(contents[0])))
    for before, after in pairwise(contents):
        fresh = renumbered(before, numbering, after)
        assert len(set(fresh.numbers)) == len(after)
        new = set(fresh.numbers) - set(numbering.numbers)
        assert not new & seen
        assert len(new) >= len(after) - len(before)
        seen |= new
        assert all(number < fresh.following for number in seen)
        numbering = fresh


@given(st.lists(ENTRIES, max_size=6), st.randoms(use_true_random=False))
def test_entries_that_are_only_moved_keep_their_numbers(entries, chance):
    moved = list(enumerate(entries))
    chance.shuffle(moved)
    numbers = renumbered(entries, first_numbering(len(entries)), [one for _, one in moved]).numbers
    assert [entries[number] for number in numbers] == [one for _, one in moved]


@given(REWRITES)
def test_what_is_remembered_beside_a_subscription_comes_back(contents):
    numbering = renumbered(contents[0], first_numbering(len(contents[0])), contents[1])
    text = side.write(side.Side(entries=numbering))
    assert side.numbering(text, len(contents[1])) == numbering


def test_positions_are_numbers_as_long_as_nothing_is_to_be_remembered():
    assert side.write(side.Side(entries=first_numbering(3))) is None
    assert side.numbering(None, 3) == first_numbering(3)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.Example/x?y", "a.example:443"),
        ("http://a.example", "a.example:80"),
        ("https://user@a.example:8443/", "a.example:8443"),
        ("https://[2001:DB8::1]/", "2001:db8::1:443"),
        ("https://a.example:99999/", "a.example:99999"),
    ],
)
def test_a_host_is_a_name_with_its_port(url, host):
    assert host_of(url) == host
