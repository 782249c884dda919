"""The stage of an adapter: its package's own by entry point, ours by name, else the vehicle-backend contract's."""

from importlib.metadata import EntryPoint

import pytest

from ven_adapters.adapter_checks import stages
from ven_adapters.adapter_checks.command import _shown
from ven_adapters.adapter_checks.stages import public


@pytest.fixture
def installed(monkeypatch):
    """Entry points that some package brings."""
    found = []
    monkeypatch.setattr(stages, "entry_points", lambda group: found if group == "ven_adapters.stages" else [])
    return found


def test_a_packages_own_stage_comes_first(installed):
    installed.append(EntryPoint("tesla", "ven_adapters.adapter_checks.stages.public:enode", stages.GROUP))
    assert stages.stage_of("tesla") is public.enode


def test_a_shipped_adapter_has_its_stage(installed):
    assert stages.stage_of("tesla") is public.tesla


def test_a_stage_that_cannot_be_loaded_is_named(installed):
    installed.append(EntryPoint("mine", "nowhere_at_all:stage", stages.GROUP))
    with pytest.raises(LookupError, match=r"the stage of 'mine' \(nowhere_at_all:stage\) cannot be loaded"):
        stages.stage_of("mine")


async def test_whoever_is_not_named_speaks_the_vehicle_backend_contract(installed):
    async with stages.stage_of("mine")(7) as stage:
        assert stage.settings["url"].startswith("http://127.0.0.1:")
        assert len(stage.refs) == 3


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hush@ev.example:8443/api", "https://ev.example:8443/api"),
        ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
    ],
)
def test_a_report_shows_no_credentials_of_a_url(url, shown):
    assert _shown(url) == shown
