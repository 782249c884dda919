"""Capacity limits whose targets name nodes of the grid, and what holds when the VTN is lost."""

import dataclasses
from datetime import timedelta

import numpy as np
import pytest
from grid_cases import node
from timeline_cases import DAY, HOUR, event, stamp

from ven_adapters.ven.fleet.grid.grid_tree import tree_of
from ven_adapters.ven.openadr.event_faults import NODE_RULE, beyond_nodes
from ven_adapters.ven.openadr.grid_limits import limits_of
from ven_adapters.ven.openadr.grid_requests import HeldEvent
from ven_adapters.ven.openadr.node_asks import NodeAsks
from ven_adapters.ven.openadr.understood_limits import UnderstoodLimits
from ven_adapters.ven.openadr.vtn_objects import ReadEvent, VtnObjects
from ven_adapters.ven.openadr.zone_requests import DEFAULT_LIMIT, read_requests

NOW = DAY + HOUR
TREE = tree_of([node("T1", import_kw=75.0, default_import_kw=30.0), node("T2", import_kw=50.0), node("T3")])


def held(kind="IMPORT_CAPACITY_LIMIT", value=40.0, *, nodes=("T1",), event_id="e1", length="PT4H", start_h=0):
    one = event(
        [{"type": kind, "values": [value]}],
        period={"start": stamp(DAY + start_h * HOUR), "duration": length},
        targets=list(nodes),
    )
    return HeldEvent(one.model_copy(update={"id": event_id}), DAY, nodes=tuple(nodes), of_zone=False)


def reading(*events, understood=None, now=NOW, **fields):
    return NodeAsks(understood or UnderstoodLimits(), "ven").read(TREE, events, now, **fields)


def test_a_limit_of_a_node_holds_at_that_node_while_it_lasts():
    found = reading(held())
    assert found.limits.import_kw.tolist() == [40.0, 50.0, np.inf]
    assert found.limits.asked[0].imports.event_id == "e1"
    assert found.next_change_s == (DAY + 4 * HOUR).timestamp()
    assert reading(held(), now=DAY + 5 * HOUR).limits.import_kw[0] == 75.0


def test_the_grids_own_limit_is_not_widened():
    assert reading(held(value=500.0)).limits.import_kw[0] == 75.0


def test_one_event_may_limit_many_nodes_and_several_one_node():
    found = reading(held(nodes=("T1", "T2", "T3")), held(value=20.0, nodes=("T2",), event_id="e2"))
    assert found.limits.import_kw.tolist() == [40.0, 20.0, 40.0]


def test_a_limit_to_come_is_known_beforehand():
    found = reading(held(start_h=3)).limits
    at_s = np.array([NOW.timestamp(), (DAY + 4 * HOUR).timestamp(), (DAY + 8 * HOUR).timestamp()])
    assert found.import_kw[0] == 75.0
    assert found.import_kw_at(at_s, np.array([0, 2])).tolist() == [[75.0, np.inf], [40.0, np.inf], [75.0, np.inf]]


def test_exports_are_limited_apart():
    found = reading(held("EXPORT_CAPACITY_LIMIT", 5.0)).limits
    assert (found.import_kw[0], found.export_kw[0]) == (75.0, 5.0)


def test_the_last_limit_that_was_understood_stays_while_a_later_one_is_not():
    understood = UnderstoodLimits()
    reading(held(value=33.0), understood=understood)
    assert reading(held(value="plenty"), understood=understood).limits.import_kw[0] == 33.0


def test_while_the_vtn_is_lost_a_limit_that_it_sent_counts_until_its_end_and_then_the_nodes_default():
    assert reading(held(), lost=True).limits.import_kw.tolist() == [40.0, 50.0, np.inf]
    assert reading(held(), now=DAY + 5 * HOUR, lost=True).limits.import_kw[0] == 30.0
    assert reading(now=DAY + 5 * HOUR).limits.import_kw[0] == 75.0
    assert reading(lost=True).limits.import_kw.tolist() == [30.0, 50.0, np.inf]


def test_while_the_vtn_is_lost_a_zones_default_holds_where_no_limit_that_it_sent_does():
    understood = UnderstoodLimits()
    understood.set_kw("bay", imports=60.0, exports=0.0)
    zone = dataclasses.replace(held(), nodes=(), of_zone=True)

    def asked(now, *events, lost=True):
        return read_requests("bay", events, now=now, seed="s", kept=understood.kept("bay", lost=lost))

    assert asked(NOW, zone).import_cap_kw.value == 40.0
    late = asked(DAY + 5 * HOUR, zone)
    assert (late.import_cap_kw.value, late.import_cap_kw.event_id, late.export_cap_kw.value) == (60.0, DEFAULT_LIMIT, 0)
    assert asked(DAY + 5 * HOUR, zone, lost=False).import_cap_kw is None
    subscribed = dataclasses.replace(
        held("IMPORT_CAPACITY_SUBSCRIPTION", 90.0, length="P9D", event_id="e3"), nodes=(), of_zone=True
    )
    assert asked(DAY + 5 * HOUR, zone, subscribed).import_cap_kw.value == 90.0


def test_a_part_of_a_limit_is_shared_out_and_what_is_endless_stays_so():
    found = limits_of(TREE, {}, np.array([0.5, 1.0, 0.0]))
    assert found.import_kw.tolist() == [37.5, 50.0, np.inf]
    assert found.import_kw_at(np.array([0.0]), np.array([0, 2])).tolist() == [[37.5, np.inf]]


def objects(targets, *, granted=()):
    made = VtnObjects(None, lambda _: None)
    made.nodes, made.ven_targets = frozenset(TREE.names), frozenset(granted)
    one = held(nodes=targets).event
    made.events[one.id] = ReadEvent(one, DAY, 0.0)
    return made


@pytest.mark.parametrize(
    ("targets", "granted", "nodes", "of_zone"),
    [
        (("T1",), ("T1",), ("T1",), False),
        (("T1", "bay"), ("T1", "bay"), ("T1",), True),
        (("bay",), ("bay",), (), True),
        ((), (), (), True),
    ],
)
def test_an_event_that_names_a_node_is_that_nodes_and_not_the_zones(targets, granted, nodes, of_zone):
    made = objects(targets, granted=granted)
    (one,) = made.events_for("bay")
    assert (one.nodes, one.of_zone) == (nodes, of_zone)
    assert made.names_nodes_alone(targets) is (bool(nodes) and not of_zone)


def test_a_nodes_limit_asks_nothing_of_the_zone():
    assert read_requests("bay", [held()], now=NOW, seed="s").quiet


def test_only_limits_can_be_asked_of_a_node_and_whoever_asks_more_is_told():
    faults = beyond_nodes(held("SIMPLE", 2).event)
    assert [(one.payload_type, one.rule, one.binds) for one in faults] == [("SIMPLE", NODE_RULE, True)]
    assert beyond_nodes(held().event) == ()


def test_the_vtn_is_lost_when_it_was_not_read_for_long():
    made = objects(())
    assert not made.is_lost(NOW, after_s=900)
    made.go_without([held(event_id="kept").event], NOW)
    assert "kept" in made.events
    assert not made.is_lost(NOW + timedelta(seconds=899), after_s=900)
    assert made.is_lost(NOW + timedelta(seconds=900), after_s=900)
