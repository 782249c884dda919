"""Every example of config/ that is an adapter's: it loads, its backend can be made, and its owners can be linked."""

from pathlib import Path

import pytest

from ven_adapters.config import read_settings
from ven_adapters.oems import tesla_settings
from ven_adapters.registry import UnknownOem, consent, factory
from ven_adapters.transport import consent as consents
from ven_adapters.transport import vendor_session
from ven_adapters.transport.http import settings as backend_settings
from ven_adapters.transport.ocpp21 import settings as ocpp_options

ROOT = Path(__file__).parents[3]
OTHERS = {"vtn.example.toml", "ven-executor.example.toml"}
EXAMPLES = sorted(path.name for path in (ROOT / "config").glob("*.example.toml") if path.name not in OTHERS)
LINKED = {"bmw-cardata", "enode", "ford-query", "smartcar", "tesla"}
GUIDE = (ROOT / "docs" / "automaker.md").read_text()


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
        with pytest.raises((UnknownOem, backend_settings.BackendError)):
            consent(settings.oem)(settings.backend, "owner-1")
        return
    asked = consent(settings.oem)(settings.backend, "owner-1")
    assert not asked.held()
    await asked.close()


KEYS = {
    *backend_settings._KINDS,
    *vendor_session._KINDS,
    *ocpp_options._KINDS,
    *ocpp_options._PLACE,
    *consents._TEXTS,
    "pkce",
    "cardata",
    "query",
    "stream",
    "stream_ca",
    "domain",
    "telemetry",
    *tesla_settings._KINDS,
}


@pytest.mark.parametrize("key", sorted(KEYS))
def test_the_guide_names_every_key_of_a_backend(key):
    assert f"`{key}`" in GUIDE
