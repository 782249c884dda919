"""Every example of config/ that is an adapter's: it loads, its backend can be made, and its owners can be linked."""

from pathlib import Path
from typing import get_args, get_origin

import pytest

from ven_adapters.config import read_settings
from ven_adapters.contract import BackendError
from ven_adapters.oems.bmw_cardata import CarDataSettings
from ven_adapters.oems.enode import EnodeSettings
from ven_adapters.oems.ford_query import FordQuerySettings
from ven_adapters.oems.smartcar import SmartcarSettings
from ven_adapters.oems.tesla.settings import TeslaSettings
from ven_adapters.registry import UnknownOem, consent, factory, known
from ven_adapters.transport.http.settings import BackendSettings
from ven_adapters.transport.ocpp21.settings import CentralSettings
from vtn.settings import Section

ROOT = Path(__file__).parents[3]
OTHERS = {
    "vtn.example.toml",
    "ven-executor.example.toml",
    "20b.example.toml",
    "20b-upstream.example.toml",
    "grid.example.toml",
}
EXAMPLES = sorted(path.name for path in (ROOT / "config").glob("*.example.toml") if path.name not in OTHERS)
LINKED = {"bmw-cardata", "enode", "ford-query", "smartcar", "tesla"}
PAGE = (ROOT / "docs" / "settings.md").read_text()


def test_there_is_an_example_of_every_way_to_cars():
    names = {name.removesuffix(".example.toml") for name in EXAMPLES}
    assert names == {"ven-adapter", "enrolment", "ocpp", *LINKED}


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_makes_a_backend(name, tmp_path, monkeypatch):
    settings = read_settings(ROOT / "config" / name, {})
    monkeypatch.chdir(tmp_path)
    await factory(settings.oem)(settings.backend).close()


@pytest.mark.parametrize("name", EXAMPLES)
async def test_owners_are_linked_by_the_examples_that_say_so(name, tmp_path, monkeypatch):
    settings = read_settings(ROOT / "config" / name, {})
    monkeypatch.chdir(tmp_path)
    if name.removesuffix(".example.toml") not in LINKED:
        with pytest.raises((UnknownOem, BackendError)):
            consent(settings.oem)(settings.backend, "owner-1")
        return
    asked = consent(settings.oem)(settings.backend, "owner-1")
    assert not asked.held()
    await asked.close()


def keys_of(model, under):
    """Every key of a table and of the tables inside it, as settings.md writes it."""
    for name, field in model.model_fields.items():
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type)]
        inner = [one for one in inner if issubclass(one, Section)]
        dots = "*." if get_origin(field.annotation) is dict else ""
        yield from keys_of(inner[0], f"{under}{name}.{dots}") if inner else [f"{under}{name}"]


TABLES = {
    "[backend]` of bmw, ford, honda and nissan": (BackendSettings, "backend."),
    "[backend.cardata]` of bmw": (CarDataSettings, "backend.cardata."),
    "[backend.query]` of ford": (FordQuerySettings, "backend.query."),
    "[backend]` of tesla": (TeslaSettings, "backend."),
    "[backend]` of smartcar": (SmartcarSettings, "backend."),
    "[backend]` of enode": (EnodeSettings, "backend."),
    "[backend]` of ocpp": (CentralSettings, "backend."),
}


def test_the_page_of_settings_has_a_table_of_every_automaker():
    named = " ".join(title.partition("of ")[2] for title in TABLES)
    assert set(named.replace(",", "").split()) - {"and"} == set(known())


@pytest.mark.parametrize("title", TABLES)
def test_every_key_of_an_automakers_table_is_listed_with_words(title):
    model, under = TABLES[title]
    rows = PAGE.partition(f"## `{title}\n")[2].partition("\n## ")[0].splitlines()
    words = {row.split("`")[1]: row.rpartition(" | ")[2].strip(" |") for row in rows if row.startswith("| `")}
    assert set(words) == set(keys_of(model, under))
    assert all(words.values())
