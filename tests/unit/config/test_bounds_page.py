"""The table of bounds says what the code says, and every bound is a setting with a default that the words explain."""

import importlib.util
from pathlib import Path

import pytest

from vtn.bounds import Bounds

TABLES = Path(__file__).parents[3] / "docs" / "tables.py"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", TABLES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_bounds_is_what_the_code_says(tables):
    assert tables.BOUNDS.read_text() == tables.bounds(), f"docs/bounds.md is out of date: run `{tables.COMMAND}`"


def test_the_table_of_settings_is_what_the_code_says(tables):
    assert tables.SETTINGS.read_text() == tables.settings(), f"docs/settings.md is out of date: run `{tables.COMMAND}`"
    for key in ("storage.lease_s", "bounds.body.values", "zones.*.parent", "queue.ack_wait_s", "wake.listening.idle_s"):
        assert f"| `{key}` |" in tables.SETTINGS.read_text()


@pytest.mark.parametrize("group", list(Bounds.model_fields))
def test_every_bound_is_described(group):
    section = getattr(Bounds(), group)
    assert all(field.description for field in type(section).model_fields.values())
