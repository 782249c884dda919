"""The grid file: every fault at once, and nothing taken unless all is right."""

from pathlib import Path

import pytest

from ven_adapters.ven.fleet.grid import grid_file
from ven_adapters.ven.fleet.grid.grid_file import parse_grid, read_grid
from ven_adapters.ven.fleet.grid.grid_tree import NO_NODE, NodeKind, tree_of
from vtn.errors import ConfigError

GOOD = """
[[node]]
name = "F-12"
kind = "feeder"
import_limit_kw = 4000
default_import_kw = 2500.5

[[node]]
name = "T-1"
kind = "transformer"
parent = "F-12"
import_limit_kw = 75
export_limit_kw = 0
"""
BAD = """
[[node]]
name = "a"
kind = "feeder"
parent = "b"

[[node]]
name = "b"
kind = "feeder"
parent = "a"

[[node]]
name = "a"
kind = "site"

[[node]]
name = "c"
kind = "substation"
parent = "nowhere"
import_limit_kw = -1
export_limit_kw = nan
default_export_kw = true
colour = "green"

[[node]]
kind = "site"
import_limit_kw = 1e9

[extra]
"""


def test_nodes_are_read_in_their_order_with_what_limits_them():
    nodes, faults = parse_grid(GOOD)
    assert faults == []
    tree = tree_of(nodes)
    assert (tree.names, tree.kinds) == (("F-12", "T-1"), (NodeKind.FEEDER, NodeKind.TRANSFORMER))
    assert tree.parent.tolist() == [NO_NODE, 0]
    assert (tree.import_kw.tolist(), tree.export_kw.tolist()) == ([4000.0, 75.0], [float("inf"), 0.0])
    assert tree.default_import_kw.tolist() == [2500.5, float("inf")]
    assert tree.path(1) == ("T-1", "F-12")


def test_every_fault_is_named_at_once():
    _, faults = parse_grid(BAD)
    told = "\n".join(faults)
    for one in (
        "extra: is not a setting",
        "node[2].name: 'a' is named twice",
        "node[3].kind: must be one of site, transformer, feeder",
        "node[3].parent: 'nowhere' is not a node of this file",
        "node[3].import_limit_kw: must be a number of kW",
        "node[3].export_limit_kw: must be a number of kW",
        "node[3].default_export_kw: must be a number of kW",
        "node[3].colour: is not a setting",
        "node[4].name: must be a text",
        "node[4].import_limit_kw: must be a number of kW from 0 to",
        "a.parent: leads in a circle: a > b > a",
    ):
        assert one in told, one
    assert len(faults) == 11


def test_a_node_that_is_its_own_parent_is_a_circle():
    assert parse_grid('[[node]]\nname = "a"\nkind = "site"\nparent = "a"\n')[1] == [
        "a.parent: leads in a circle: a > a"
    ]


def test_a_path_has_so_many_nodes_and_no_more():
    text = '[[node]]\nname = "n0"\nkind = "feeder"\n'
    text += "".join(f'[[node]]\nname = "n{n}"\nkind = "feeder"\nparent = "n{n - 1}"\n' for n in range(1, 10))
    assert parse_grid(text)[1] == ["n8.parent: has more than 7 nodes above it"]


def test_too_many_nodes_are_refused(monkeypatch):
    monkeypatch.setattr(grid_file, "MOST_NODES", 1)
    assert parse_grid(GOOD)[1] == ["node: has 2 nodes, more than 1"]


@pytest.mark.parametrize("text", ["node = 3", "[node]\nname = 'x'", "[[node]"])
def test_what_is_no_list_of_nodes_is_refused(text):
    assert len(parse_grid(text)[1]) == 1


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"grid: .*none.toml: cannot be read"):
        read_grid(tmp_path / "none.toml")
    path = tmp_path / "grid.toml"
    path.write_text(BAD)
    with pytest.raises(ConfigError) as caught:
        read_grid(path)
    assert len(str(caught.value).splitlines()) == 11
    path.write_text(GOOD)
    assert [one.name for one in read_grid(path)] == ["F-12", "T-1"]


def test_the_example_of_the_config_folder_can_be_used():
    nodes = read_grid(Path(__file__).parents[4] / "config" / "grid.example.toml")
    assert [(one.name, one.parent) for one in nodes] == [("F-12", None), ("T-4711", "F-12"), ("home-0001", "T-4711")]
