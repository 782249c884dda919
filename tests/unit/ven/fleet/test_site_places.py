"""Which node of the grid a car hangs from: by what enrolments say of homes."""

import numpy as np
import pytest
from agent_cases import enrolment
from grid_cases import FEEDER, SITE, node

from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE, tree_of


def fleet(*enrolments, nodes=()):
    made = FleetColumns()
    made.hang_from(tree_of(nodes))
    made.enrol(enrolments)
    return made


def hangs(made, ref):
    """The names from what a car hangs from up to the top."""
    leaf = int(made.read("node", np.array([made.row(ref)]))[0])
    return made.places.tree.path(leaf) if leaf != NO_NODE else ()


NODES = (node("F", kind=FEEDER), node("T1", "F", 75.0), node("T2", "F", 50.0))


def plain(ref, **more):
    return enrolment(ref, **{"permission": None} | more)


def test_a_car_hangs_from_the_node_that_its_enrolment_names():
    made = fleet(plain("a", site_id="s1", grid_node="T1"), plain("b", site_id="s2"), nodes=NODES)
    assert (hangs(made, "a"), hangs(made, "b")) == (("T1", "F"), ())


def test_a_home_with_a_limit_of_its_own_is_a_node_between():
    made = fleet(plain("a", site_id="s1", grid_node="T1", site_import_limit_w=11_000), nodes=NODES)
    assert hangs(made, "a") == ("s1", "T1", "F")
    assert made.places.tree.import_kw[3] == 11.0


def test_a_homes_limit_binds_all_its_cars_and_the_smallest_counts():
    first = plain("a", site_id="s1", site_import_limit_w=11_000, site_export_limit_w=7_000)
    made = fleet(first, plain("b", site_id="s1", site_import_limit_w=9_000), plain("c", site_id="s1"))
    assert hangs(made, "a") == hangs(made, "b") == hangs(made, "c") == ("s1",)
    assert (made.places.tree.import_kw[0], made.places.tree.export_kw[0]) == (9.0, 7.0)


def test_an_agreements_export_limit_is_that_of_the_home():
    """Two cars, two agreements, one home with 7 kW."""
    one, two = enrolment("a", site_id="s1"), enrolment("b", site_id="s1")
    assert fleet(one, two).places.tree.export_kw.tolist() == [7.0]
    assert len(fleet(one, enrolment("b", site_id="s2")).places.tree) == 0


def test_a_home_that_the_grid_file_names_is_that_node():
    nodes = (*NODES, node("s1", "T2", 20.0, kind=SITE))
    made = fleet(plain("a", site_id="s1", site_import_limit_w=9_000), nodes=nodes)
    assert hangs(made, "a") == ("s1", "T2", "F")
    assert made.places.tree.import_kw[3] == 9.0
    assert nodes[3].import_limit_kw == 20.0


def test_cars_of_a_home_that_name_different_nodes_hang_from_the_first():
    made = fleet(plain("a", site_id="s1", grid_node="T2"), plain("b", site_id="s1", grid_node="T1"), nodes=NODES)
    assert hangs(made, "a") == hangs(made, "b") == ("T1", "F")


def test_a_car_that_leaves_takes_its_claims_with_it():
    made = fleet(plain("a", site_id="s1", site_import_limit_w=5_000), plain("b", site_id="s1"))
    made.retire(["a"])
    assert hangs(made, "b") == ()


def test_a_node_that_the_file_does_not_have_is_counted():
    made = fleet(plain("a", grid_node="T9"), plain("b", grid_node="T9"), nodes=NODES)
    assert (made.places.strangers, made.places.unknown_nodes) == (2, ["T9"])
    made.enrol([plain("a", grid_node="T1"), plain("b")])
    assert made.places.strangers == 0


@pytest.mark.parametrize("count", [1, 30])
def test_cars_that_come_one_by_one_hang_as_those_that_come_together(count):
    several = [plain(f"c{n}", site_id=f"s{n % 7}", grid_node=["T1", "T2"][n % 2]) for n in range(count)]
    together, alone = fleet(*several, nodes=NODES), fleet(nodes=NODES)
    for one in several:
        alone.enrol([one])
    assert [hangs(together, one.vehicle_ref) for one in several] == [hangs(alone, one.vehicle_ref) for one in several]
