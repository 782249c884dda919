"""The command line, as an operator meets it: starts, refusals in one sentence, clients, certificates, settings."""

import json
import os
import socket
import ssl
import subprocess
import warnings
from pathlib import Path

import aiohttp
import pytest
from vtn_process import QUIET, VTN, Party, Vtn, add_client, copy_of, environment, fresh, run_cli

from vtn.app import running
from vtn.config import Mqtt, Server, Settings, Storage
from vtn.errors import CannotStart, ConfigError
from vtn.settings import load

EXAMPLE = Path(__file__).parents[2] / "config" / "vtn.example.toml"
QUIET_START = {"server.port": "0", **QUIET}


@pytest.fixture
def taken_port():
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture
def free_port():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one sentence of a command that would not."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    said = [line for line in done.stderr.splitlines() if line.startswith("vtn: ")]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return said[0]


# --- settings --------------------------------------------------------------------------------------------------------

BROKEN = {
    "an unknown key": ("[server]\nport = 1\nprot = 2\n", ":3: server.prot: is not a setting"),
    "an unknown section": ("[sever]\nport = 1\n", ":1: sever: is not a setting"),
    "a wrong type": ('[server]\nport = "many"\n', ":2: server.port: "),
    "a number out of range": ("[protocol]\n\ndefault_limit = 51\n", ":3: protocol.default_limit: "),
    "a word that is not on the list": ('[protocol]\non_delete = "maybe"\n', ":2: protocol.on_delete: "),
    "tokens that live too long": ("[auth]\ntoken_s = 86400\n", ":2: auth.token_s: "),
    "no TOML": ("[server\nport = 1\n", ": is not TOML: "),
    "a port beyond 65535": ("[mqtt]\nport = 70000\n", ":2: mqtt.port: "),
    "plain HTTP for everyone": ('[server]\nhost = "0.0.0.0"\n', ":1: server: "),
    "half a certificate": ('[server]\ncertificate = "x.pem"\n', ":1: server: "),
    "an external broker without its URL": ('[mqtt]\nmode = "external"\n', ":1: mqtt: "),
}


@pytest.mark.parametrize("what", BROKEN)
def test_every_broken_settings_file_names_line_key_and_reason(tmp_path, what):
    text, expected = BROKEN[what]
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(Settings, path, prefix="EVTN", environ={})
    assert str(error.value).startswith(f"{path}{expected}")


@pytest.mark.parametrize("what", ["an unknown key", "no TOML"])
def test_a_broken_settings_file_is_exit_code_2_and_one_line(tmp_path, what):
    text, expected = BROKEN[what]
    path = tmp_path / "broken.toml"
    path.write_text(text)
    done = subprocess.run(
        [VTN, "serve", "--config", path], capture_output=True, text=True, timeout=30, check=False, env=_clean()
    )
    assert refused(done, 2).startswith(f"vtn: {path}{expected}")
    assert len(done.stderr.splitlines()) == 1


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("EVTN_")}


def test_a_settings_file_that_is_not_there(tmp_path):
    done = run_cli("serve", "--config", str(tmp_path / "no.toml"), var=tmp_path)
    assert "no.toml: cannot be read" in refused(done, 2)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("SERVER__PORT", "70000"),
        ("SERVER__PROT", "1"),
        ("SERVER__CLOCK", "yesterday"),
        ("NONSENSE", "1"),
        ("PROTOCOL__MATCH_TARGETS", "some"),
    ],
)
def test_a_broken_variable_is_named(setting, value):
    with pytest.raises(ConfigError, match=f"^environment: EVTN_{setting}: "):
        load(Settings, None, prefix="EVTN", environ={f"EVTN_{setting}": value})


def test_the_example_file_is_every_setting_at_its_default(tmp_path):
    """A server starts with the file as it stands; only port, folder and broker are this test's own."""
    assert load(Settings, EXAMPLE, prefix="EVTN", environ={}) == Settings()
    with subprocess.Popen(
        [VTN, "serve", "--config", EXAMPLE],
        env=environment(tmp_path, QUIET_START),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout
        assert any(line.startswith("vtn is ready at ") for line in server.stdout)
        server.terminate()
        assert server.wait(30) == 0


# --- starts that cannot be -------------------------------------------------------------------------------------------


def test_a_taken_port_is_a_sentence(tmp_path, taken_port):
    done = run_cli("serve", var=tmp_path, settings={**QUIET_START, "server.port": str(taken_port)})
    assert f"127.0.0.1:{taken_port}" in refused(done, 2)


def test_a_taken_broker_port_is_a_sentence(tmp_path, taken_port):
    settings = {**QUIET_START, "mqtt.mode": "bundled", "mqtt.port": str(taken_port)}
    done = run_cli("serve", var=tmp_path, settings=settings)
    assert str(taken_port) in refused(done, 2)


def test_a_database_out_of_reach_is_a_sentence_without_its_password(tmp_path, free_port):
    url = f"postgresql://evtn:s3cret@127.0.0.1:{free_port}/evtn"
    done = run_cli("serve", var=tmp_path, settings={**QUIET_START, "storage.url": url})
    assert f"127.0.0.1:{free_port}" in refused(done, 2)
    assert "s3cret" not in done.stderr


async def never(settings: Settings) -> str:
    """Why a server with these settings does not start."""
    with pytest.raises(CannotStart) as refusal:
        async with running(settings):
            pass
    return str(refusal.value)


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite://", "sqlite:////proc/no/such/vtn.db"])
async def test_a_database_that_cannot_be_is_a_sentence(tmp_path, url):
    said = await never(Settings(server=Server(var=tmp_path), storage=Storage(url=url)))
    assert "database" in said


async def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    var = tmp_path / "file" / "var"
    assert str(var) in await never(Settings(server=Server(var=var)))


async def test_a_certificate_that_cannot_be_used_is_a_sentence(tmp_path):
    certificate = tmp_path / "x.pem"
    certificate.write_text("not a certificate")
    server = Server(var=tmp_path / "var", port=0, certificate=certificate, private_key=certificate)
    assert str(certificate) in await never(Settings(server=server, mqtt=Mqtt(mode="off")))


# --- starts and stops ------------------------------------------------------------------------------------------------


def test_the_first_start_makes_a_client_and_shows_its_secret_once(tmp_path):
    def serve() -> str:
        with subprocess.Popen(
            [VTN, "serve"],
            env=environment(tmp_path / "var", QUIET_START),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as server:
            assert server.stdout
            said = ""
            for line in server.stdout:
                said += line
                if line.startswith("vtn is ready at "):
                    break
            found = said.split()
            if "secret" in found:
                vtn = Vtn(tmp_path / "var", secrets={"business-logic": found[found.index("secret") + 1]})
                vtn.url = found[-1]
                assert vtn.token("business-logic")
            server.terminate()
            assert server.wait(30) == 0
        return said

    assert "business-logic" in serve()
    assert "secret" not in serve()


def test_sigterm_ends_it_cleanly_and_its_port_is_free_at_once(launch):
    with launch(process=True) as server:
        port = int(server.root.rpartition(":")[2])
        assert server.stop() == 0
        with socket.socket() as next_one:
            next_one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            next_one.bind(("127.0.0.1", port))


async def test_https_with_the_development_certificates(launch, tmp_path, http):
    done = run_cli("certs", "--folder", str(tmp_path / "certs"), "--host", "127.0.0.1", var=tmp_path)
    assert done.returncode == 0, done.stderr
    files = {path.name: path for path in (tmp_path / "certs").iterdir()}
    certificate, key = files["server.pem"], files["server.key"]
    assert key.stat().st_mode & 0o077 == 0
    authority = next(path for name, path in files.items() if "ca" in name and path.suffix == ".pem")
    trust = ssl.create_default_context(cafile=authority)
    with launch({"server.certificate": str(certificate), "server.private_key": str(key)}, process=True) as server:
        assert server.url.startswith("https://")
        async with http.get(f"{server.url}/auth/server", ssl=trust) as answer:
            assert (await answer.json())["tokenURL"] == f"{server.url}/auth/token"
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(f"{server.url}/auth/server")
        old = ssl.create_default_context(cafile=authority)
        with warnings.catch_warnings(action="ignore"):
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(f"{server.url}/auth/server", ssl=old)


async def test_the_public_url_is_what_clients_are_told(launch, http, free_port):
    """Behind a proxy the server listens here and is known as there."""
    settings = {"server.public_url": "https://vtn.example.org/", "server.port": str(free_port)}
    with launch(settings, process=True) as server:
        assert server.url == "https://vtn.example.org/openadr3/3.1.0"
        nobody = Party(http, f"http://127.0.0.1:{free_port}/openadr3/3.1.1", None)
        told = (await nobody.get("/auth/server")).json["tokenURL"]
        assert told == "https://vtn.example.org/openadr3/3.1.1/auth/token"


# --- clients ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def office(template, tmp_path_factory) -> Vtn:
    """A folder with the four clients and no server: the command line needs none."""
    return Vtn(copy_of(template, tmp_path_factory.mktemp("office") / "var"))


def test_clients_are_listed_without_their_secrets_and_revoked_ones_as_such(office, template):
    assert office.cli("client", "revoke", "c3").returncode == 0
    done = office.cli("client", "list", "--json")
    rows = {row["clientID"]: row for row in json.loads(done.stdout)}
    assert {name: row["role"] for name, row in rows.items()} == {"bl": "BL", "c1": "VEN", "c2": "VEN", "c3": "VEN"}
    assert {name for name, row in rows.items() if row["revoked"]} == {"c3"}
    assert "read_targets" in rows["c1"]["scopes"].split()
    assert "write_programs" in rows["bl"]["scopes"].split()
    for secret in json.loads((template / "secrets.json").read_text()).values():
        assert secret not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("client", "add", "c1", "--role", "VEN"), ["c1"]),
        (("client", "add", "x" * 129, "--role", "ADMIN", "--scope", "nonsense"), ["role", "clientID", "nonsense"]),
        (("client", "add", "", "--role", "VEN", "--scope", "write_events"), ["clientID", "write_events"]),
    ],
)
def test_what_cannot_be_done_with_clients_is_a_sentence(office, arguments, says):
    sentence = refused(office.cli(*arguments), 1)
    assert all(word in sentence for word in says)


COMMANDS = [("rotate",), ("webhook-key",), ("revoke",)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_client_that_nobody_registered_is_refused_by_every_command(office, command):
    assert "no client named 'stranger'; `vtn client list` shows them" in refused(
        office.cli("client", *command, "stranger"), 1
    )


@pytest.mark.parametrize("options", [(), ("--external",), ("--issuer", "https://login.example")], ids=str)
def test_a_revoked_client_stays_out_until_it_is_added_anew(office, options):
    name = fresh("gone")
    trusted = {"auth.issuers": '[{issuer = "https://login.example", jwks_url = "https://login.example/keys"}]'}
    first = add_client(office.var, name, "VEN", *options, settings=trusted)
    for _ in range(2):
        assert office.cli("client", "revoke", name).returncode == 0, "once more changes nothing"
    for command in ("rotate", "webhook-key"):
        sentence = refused(office.cli("client", command, name), 1)
        again = " ".join(("vtn client add", name, "--role VEN", *options))
        assert f"the client '{name}' was revoked; `{again}` lets it in again with its objects" in sentence
    other_role = refused(office.cli("client", "add", name, "--role", "BL"), 1)
    assert "add it with --role VEN, or choose another name" in other_role
    second = add_client(office.var, name, "VEN", *options, settings=trusted)
    assert first != second or options
    rows = {row["clientID"]: row for row in json.loads(office.cli("client", "list", "--json").stdout)}
    assert rows[name]["revoked"] is False
    assert office.cli("client", "rotate", name).returncode == 0
    assert office.cli("client", "webhook-key", name).returncode == 0


async def test_a_client_added_beside_a_running_server_is_known_at_once(vtn, http):
    name = fresh("late")
    vtn.add_client(name, "VEN")
    (await Party(http, vtn.url, vtn.token(name)).get("/programs")).shows(200)


def test_dead_letters_and_migrate_answer(office):
    assert json.loads(office.cli("dead-letters", "--json").stdout) == []
    assert "ready" in office.cli("migrate").stdout


def test_help_names_every_command(tmp_path):
    said = run_cli("--help", var=tmp_path).stdout
    for command in ("serve", "migrate", "certs", "client", "dead-letters"):
        assert command in said
