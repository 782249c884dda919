"""Settings: strict, and every refusal names the file, the line, the key and the reason."""

import re
from pathlib import Path

import pytest

from vtn.config import Settings
from vtn.errors import ConfigError
from vtn.settings import Section, load

EXAMPLE = Path(__file__).parents[3] / "config" / "vtn.example.toml"


def read(tmp_path, text, **environ):
    path = tmp_path / "vtn.toml"
    path.write_text(text)
    return load(Settings, path, prefix="EVTN", environ=environ)


def test_no_configuration_at_all_is_a_configuration():
    settings = load(Settings, None, prefix="EVTN", environ={})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)


def test_the_example_file_says_what_the_defaults_are():
    assert load(Settings, EXAMPLE, prefix="EVTN", environ={}) == Settings()


def names_of(section, under):
    """Every setting of a section and of the tables inside it, as (table, key)."""
    for key, value in section:
        if isinstance(value, Section):
            yield from names_of(value, f"{under}{key}.")
        else:
            yield under.rstrip("."), key


def test_the_example_file_names_every_setting():
    text = EXAMPLE.read_text()
    every = set(names_of(Settings(), ""))
    lines = {name: rf"^(# )?(\[+{re.escape(name[0])}\.)?{name[1]}(\]| =)" for name in every}
    assert {name for name, line in lines.items() if re.search(line, text, re.MULTILINE)} == every


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server]\nprot = 1\n", r"vtn\.toml:2: server\.prot: is not a setting"),
        ("[sever]\nport = 1\n", r"vtn\.toml:1: sever: is not a setting"),
        ("\n[server]\nport = 70000\n", r"vtn\.toml:3: server\.port: .*65535"),
        ("[server]\nport = 'x'\n", r"vtn\.toml:2: server\.port: .*integer"),
        ("[server\n", r"vtn\.toml: is not TOML"),
        ("[server]\nhost = '0.0.0.0'\n", r"vtn\.toml:1: server: .*certificate"),
        ("[server]\npublic_url = 'vtn.example.org'\n", r"vtn\.toml:2: server\.public_url: must be an absolute"),
        ("[storage]\nprune_at = '03:00:00+02:00'\n", r"vtn\.toml:2: storage\.prune_at: is an hour of UTC"),
    ],
)
def test_a_broken_file_names_the_line_the_key_and_the_reason(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load(Settings, tmp_path / "nowhere.toml", prefix="EVTN", environ={})


def test_the_environment_outranks_the_file(tmp_path):
    settings = read(tmp_path, "[server]\nport = 1\n", EVTN_SERVER__PORT="2", EVTN_MQTT__MODE="off")
    assert (settings.server.port, settings.mqtt.mode) == (2, "off")


def test_an_unknown_variable_is_refused_by_its_name(tmp_path):
    with pytest.raises(ConfigError, match="EVTN_SERVER__PROT: is not a setting"):
        read(tmp_path, "", EVTN_SERVER__PROT="2")


def test_a_variable_inside_of_another_that_is_no_table_is_refused_by_its_name(tmp_path):
    with pytest.raises(ConfigError, match="EVTN_SERVER__PORT: server is set to a single value already"):
        read(tmp_path, "", EVTN_SERVER="x", EVTN_SERVER__PORT="2")
