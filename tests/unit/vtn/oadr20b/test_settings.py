"""Settings of the bridges: the examples are what the code takes, and what would be unsafe refuses to start."""

import importlib.util
import sys
from pathlib import Path

import pytest

from vtn.errors import ConfigError
from vtn.oadr20b.downstream.settings import DownstreamSettings
from vtn.oadr20b.mapping import page
from vtn.oadr20b.upstream.settings import UpstreamSettings
from vtn.settings import load

ROOT = Path(__file__).parents[4]
VTN = '[vtn]\nurl = "http://127.0.0.1:1"\nclient_id = "b"\nclient_secret = "s"\n'
FILES = {"20b": DownstreamSettings, "20b-upstream": UpstreamSettings}


def read(model, tmp_path, text, **environ):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return load(model, path, prefix="X", environ=environ)


@pytest.mark.parametrize("name", FILES)
def test_the_example_names_every_setting_with_its_default(name, tmp_path):
    text = (ROOT / "config" / f"{name}.example.toml").read_text()
    found = read(FILES[name], tmp_path, text)
    minimal = VTN if name == "20b" else VTN + '[utilities.example]\nurl = "https://x.example"\nven_name = "v"\n'
    plain = read(FILES[name], tmp_path, minimal)
    named = {"vtn": found.vtn, "var": found.var}
    if name == "20b-upstream":
        given = found.utilities["example"]
        same = {"url": given.url, "ven_name": given.ven_name}
        named["utilities"] = {"example": plain.utilities["example"].model_copy(update=same)}
    assert found == plain.model_copy(update=named)


def test_the_page_of_the_mapping_is_what_the_tables_say():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert (ROOT / "docs" / "openadr20b-mapping.md").read_text() == page.page(), "run `make docs`"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[server]\nhost = "0.0.0.0"\n', "certificate"),
        ('[server]\ncertificate = "a"\nprivate_key = "b"\n', "client_ca"),
        ('[server]\ncertificate = "a"\n', "private_key"),
        ('[server]\necc_certificate = "a"\necc_private_key = "b"\n', "certificate"),
        ("sign = true\n", "sign needs certificate"),
        ("poll_s = 0\n", "poll_s"),
        ('reports_client_id = "x"\n', "go together"),
        ('[server]\npath = "x"\n', "path"),
    ],
)
def test_a_server_that_would_be_unsafe_refuses_to_start(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        read(DownstreamSettings, tmp_path, text + VTN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('url = "http://drms.example.org"\n', "https"),
        ('url = "ftp://x"\n', "http"),
        ('url = "https://x"\nsign = true\n', "sign needs"),
        ('url = "https://x"\ncertificate = "a"\n', "go together"),
        ('url = "https://x"\nopt_out_above = 0\n', "opt_out_above"),
        ('url = "https://x"\nopt = "maybe"\n', "opt"),
        ('url = "https://x"\ngranularity_s = 900\nreport_every_s = 60\n', "report_every_s"),
    ],
)
def test_a_utility_that_cannot_be_spoken_to_safely_is_refused(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        read(UpstreamSettings, tmp_path, f'{VTN}[utilities.u]\nven_name = "v"\n{text}')


def test_a_bridge_to_nobody_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="utilities"):
        read(UpstreamSettings, tmp_path, VTN)


def test_secrets_are_not_shown(tmp_path):
    assert "hush" not in repr(read(DownstreamSettings, tmp_path, VTN.replace('"s"', '"hush"')))


def test_the_table_of_protocols_names_tests_that_are_there():
    spec = importlib.util.spec_from_file_location("protocols", ROOT / "tests" / "interop" / "protocols.py")
    assert spec is not None
    assert spec.loader is not None
    protocols = importlib.util.module_from_spec(spec)
    sys.modules["protocols"] = protocols  # where its dataclass looks for its module
    spec.loader.exec_module(protocols)
    table = protocols.TABLE.search((ROOT / "README.md").read_text())[0]
    for row in protocols.ROWS:
        assert all((ROOT / "tests" / "interop" / name).is_file() for name in row.tests)
        assert f"| {row.protocol} | {row.role} | {row.peer} | " in table, "run `make matrix`"
