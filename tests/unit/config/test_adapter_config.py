"""The adapter's settings: the example loads, and what is wrong is named."""

from pathlib import Path

import pytest

from ven_adapters.config import AdapterSettings, read_executor_settings, read_settings
from vtn.clock import RealClock, SimulatedClock
from vtn.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "config" / "ven-adapter.example.toml"


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


def test_the_executors_example_loads_and_holds_no_word_of_the_vtn():
    settings = read_executor_settings(EXAMPLE.with_name("ven-executor.example.toml"), {})
    assert (settings.oem, settings.queue.url) == ("bmw", "nats://127.0.0.1:4222")
    assert settings.queue.at_once <= settings.queue.all_at_once
    assert not hasattr(settings, "vtn")


def test_a_planner_with_executors_needs_no_backend_of_its_own(tmp_path):
    text = EXAMPLE.read_text().replace("[backend]", "[unused]")
    path = written(tmp_path, text.split("[unused]")[0])
    with pytest.raises(ConfigError, match="backend: is required, or name executors"):
        read_settings(path, {})
    settings = read_settings(path, {"VEN_ADAPTER_QUEUE__URL": "nats://127.0.0.1:4222"})
    assert (settings.queue.stream, settings.backend) == ("EVTN", {})


def test_shards_share_the_enrolments_and_nothing_else(tmp_path):
    text = EXAMPLE.read_text() + '\n[enrolling]\napp_secret = "at-least-16-characters"\n'
    path = written(tmp_path, text)
    whole = read_settings(path, {})
    bay, rest = (read_settings(path, {"VEN_ADAPTER_SHARD": f'["{zone}"]'}) for zone in ("bay", "norcal"))
    assert len({whole.folder, bay.folder, rest.folder}) == len({whole.store(), bay.store(), rest.store()}) == 3
    assert whole.enrolment_store() == bay.enrolment_store() == rest.enrolment_store()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"QUEUE__URL": "mqtt://127.0.0.1"}, "pattern"),
        ({"QUEUE__URL": "nats://user:word@127.0.0.1:4222"}, "pattern"),
        ({"QUEUE__URL": "nats://nats.example:4222"}, "needs tls://"),
        ({"QUEUE__URL": "nats://127.0.0.1:4222", "QUEUE__USER": "planner"}, "user and password"),
        ({"QUEUE__URL": "nats://127.0.0.1:4222", "QUEUE__KEY": "k.pem"}, "certificate and key"),
        ({"QUEUE__URL": "nats://127.0.0.1:4222", "QUEUE__SPEED": "9"}, "is not a setting"),
        ({"QUEUE__URL": "nats://127.0.0.1:4222", "QUEUE__ACK_WAIT_S": "0"}, "greater than or equal to 1"),
        ({"SHARD": '["nowhere"]'}, "'nowhere' is not a zone"),
    ],
)
def test_a_queue_or_a_shard_that_cannot_be_used_is_named(given, says):
    with pytest.raises(ConfigError) as refused:
        read_settings(EXAMPLE, {f"VEN_ADAPTER_{key}": value for key, value in given.items()})
    assert says in str(refused.value)


@pytest.mark.parametrize("url", ["tls://nats.example:4222", "nats://127.0.0.1:1,nats://localhost:2", "wss://n.example"])
def test_a_queue_beyond_this_machine_is_reached_over_tls(url):
    settings = read_settings(EXAMPLE, {"VEN_ADAPTER_QUEUE__URL": url})
    assert settings.queue.secure is not url.startswith("nats://")


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
