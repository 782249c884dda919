"""The adapter's settings: the example loads, and what is wrong is named."""

from pathlib import Path

import pytest

from ven_adapters.config import AdapterSettings, read_settings
from vtn.clock import RealClock, SimulatedClock
from vtn.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config" / "ven-adapter.example.toml"


def written(tmp_path, *lines):
    path = tmp_path / "adapter.toml"
    path.write_text("\n".join(lines))
    return path


def changed(tmp_path, old, new):
    text = EXAMPLE.read_text()
    assert old in text
    return written(tmp_path, text.replace(old, new))


def test_the_example_file_loads_and_names_every_setting_that_has_no_default():
    settings = read_settings(EXAMPLE, {})
    assert (settings.oem, settings.smallest_group, settings.wake.mode) == ("bmw", 10, "mqtt")
    assert settings.zones["bay"].parent == "norcal"
    assert settings.shared_clock() == RealClock()
    required = {name for name, field in AdapterSettings.model_fields.items() if field.is_required()}
    assert required <= settings.model_fields_set


def test_the_store_is_sqlite_in_the_adapters_folder_unless_a_url_is_set(tmp_path):
    assert read_settings(EXAMPLE, {}).store() == "sqlite+aiosqlite:///var/bmw/adapter.sqlite"
    url = "postgresql+asyncpg://db/adapter"
    assert read_settings(EXAMPLE, {"VEN_ADAPTER_STORE_URL": url}).store() == url


def test_a_variable_overrides_the_file():
    settings = read_settings(EXAMPLE, {"VEN_ADAPTER_VTN__CLIENT_SECRET": "other", "VEN_ADAPTER_WAKE__MODE": "timer"})
    assert (settings.vtn.client_secret, settings.wake.mode) == ("other", "timer")


def test_a_simulated_clock_is_read():
    clock = read_settings(EXAMPLE, {"VEN_ADAPTER_CLOCK": "2026-07-15T22:00:00+00:00@1000.0*540.0"}).shared_clock()
    assert isinstance(clock, SimulatedClock)
    assert clock.speed == 540.0


def test_secrets_are_not_shown():
    assert "change-me" not in repr(read_settings(EXAMPLE, {}))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("smallest_group = 10 ", "smalest_group = 10 ", "smalest_group: is not a setting"),
        ("smallest_group = 10 ", "smallest_group = 0 ", "smallest_group"),
        ("cycle_s = 300 ", "cycle_s = 1 ", "cycle_s"),
        ('clock = "real" ', 'clock = "fast" ', "clock"),
        ('mode = "mqtt" ', 'mode = "pigeon" ', "wake.mode"),
        ('parent = "norcal"', 'parent = "socal"', "'socal' is not a zone"),
        ('enrolments = ["var/bmw/enrolments.jsonl"]', "enrolments = []", "enrolments"),
        ('url = "http://127.0.0.1:8080/openadr3/3.1.0"', 'url = "127.0.0.1"', "vtn.url"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, old, new, says):
    with pytest.raises(ConfigError, match=r"adapter\.toml") as refused:
        read_settings(changed(tmp_path, old, new), {})
    assert says in str(refused.value)
