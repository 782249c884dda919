"""Every command, every file and every port: what is missing, unreadable or taken is one sentence and exit code 2."""

import contextlib
import gc
import io
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import ven_adapters.__main__
import vtn.__main__
from vtn.auth.pki import make_development_certificates

# aiosqlite leaves a connection that it could not open to the garbage collector, and warns of it there.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
ROOT = Path(__file__).parents[2]
WITHIN_S = 60
PROGRAMS = {"vtn": vtn.__main__.main, "ven-adapters": ven_adapters.__main__.main}
ADAPTER = """
oem = "bmw"
client_name = "a"
enrolments = ["{folder}/cars.jsonl"]
var = "{folder}/var"
{top}
[vtn]
url = "http://127.0.0.1:1/openadr3/3.1.0"
client_id = "c"
client_secret = "s"
{vtn}
[backend]
url = "http://127.0.0.1:1"
token = "t"
{backend}
[wake]
{wake}
[enrolling]
port = 0
{enrolling}
{more}
"""
EXECUTOR = """
oem = "bmw"
[backend]
url = "http://127.0.0.1:1"
token = "t"
{backend}
[queue]
url = "nats://127.0.0.1:1"
{queue}
"""
OCPP = """
oem = "ocpp"
client_name = "a"
enrolments = ["{folder}/cars.jsonl"]
var = "{folder}/var"
[vtn]
url = "http://127.0.0.1:1/openadr3/3.1.0"
client_id = "c"
client_secret = "s"
[backend]
{backend}
[backend.stations.CP-1]
password = "a-password-of-16+"
"""
PARTS = ("top", "vtn", "backend", "wake", "enrolling", "more", "queue")


class Surroundings:
    """A folder with good and bad files, and a port that somebody has."""

    def __init__(self, folder, taken) -> None:
        self.folder, self.taken = folder, taken
        make_development_certificates(folder, ["localhost"], datetime.now(UTC))
        (folder / "cars.jsonl").write_text("")
        (folder / "a folder").mkdir()
        (folder / "garbage").write_bytes(b"\xff\xfe\x00not what it should be")

    def file(self, form, **parts):
        path = self.folder / "settings.toml"
        path.write_text(form.format(folder=self.folder, **{name: parts.get(name, "") for name in PARTS}))
        return str(path)

    def bad(self, kind):
        return str(self.folder / {"missing": "nowhere", "a folder": "a folder", "garbage": "garbage"}[kind])


@pytest.fixture
def around(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield Surroundings(tmp_path, other.getsockname()[1])
    gc.collect()  # what is left over is counted here, and against nobody else


def refusal(program, *arguments, **environment):
    """The one sentence of a program that ends with code 2; anything that it raises instead fails the test."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("EVTN_", "VEN_"))]:
            patch.delenv(name)
        for name, value in ({"COLUMNS": "400", "VEN_SIMULATOR_TOKEN": "t"} | environment).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", [program, *arguments])
        patch.setattr(logging, "basicConfig", lambda **_: None)
        patch.chdir(ROOT)
        unheard = contextlib.redirect_stdout(io.StringIO())
        with contextlib.redirect_stderr(said), unheard, pytest.raises(SystemExit) as ended:
            _in_time(PROGRAMS[program])
    assert ended.value.code == 2, said.getvalue()
    assert "Traceback" not in said.getvalue()
    told = [line for line in said.getvalue().splitlines() if line.startswith(f"{program}: ")]
    assert len(told) == 1, said.getvalue()
    return told[0]


def _in_time(work):
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.alarm(WITHIN_S)
    try:
        work()
    finally:
        signal.alarm(0)


def _out_of_time(*_):
    raise AssertionError("it has started, or waits")


@pytest.mark.parametrize("module", ["vtn", "ven_adapters"])
def test_the_programs_themselves_end_so(module):
    command = [sys.executable, "-m", module, *(["serve"] if module == "vtn" else ["run"]), "--config", "nowhere.toml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "nowhere.toml: cannot be read: No such file or directory" in done.stderr


# --- the top node ----------------------------------------------------------------------------------------------------

FILES = ("missing", "a folder", "garbage")
SERVER_FILES = [
    {"SERVER__CERTIFICATE": "{bad}", "SERVER__PRIVATE_KEY": "{folder}/server.key"},
    {"SERVER__CERTIFICATE": "{folder}/server.pem", "SERVER__PRIVATE_KEY": "{bad}"},
    {
        "SERVER__CERTIFICATE": "{folder}/server.pem",
        "SERVER__PRIVATE_KEY": "{folder}/server.key",
        "SERVER__CLIENT_CA": "{bad}",
    },
    {"MQTT__MODE": "external", "MQTT__URL": "mqtts://127.0.0.1:1", "MQTT__CA": "{bad}"},
    {"MQTT__MODE": "bundled", "MQTT__CERTIFICATE": "{bad}", "MQTT__PRIVATE_KEY": "{folder}/server.key"},
    {"MQTT__MODE": "bundled", "MQTT__CERTIFICATE": "{folder}/server.pem", "MQTT__PRIVATE_KEY": "{bad}"},
]


def vtn_environment(around, given, bad=""):
    usual = {"SERVER__PORT": "0", "SERVER__VAR": str(around.folder / "var"), "MQTT__MODE": "off"}
    filled = {name: value.format(bad=bad, folder=around.folder, taken=around.taken) for name, value in given.items()}
    return {f"EVTN_{name}": value for name, value in (usual | filled).items()}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("given", SERVER_FILES, ids=lambda given: next(k for k, v in given.items() if v == "{bad}"))
def test_a_bad_file_of_the_server_is_named(around, given, kind):
    bad = around.bad(kind)
    assert bad in refusal("vtn", "serve", **vtn_environment(around, given, bad))


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"SERVER__PORT": "{taken}"}, "cannot listen on 127.0.0.1:{taken}: Address already in use"),
        ({"SERVER__HOST": "192.0.2.7", "SERVER__ALLOW_PLAIN_HTTP": "true"}, "cannot listen on 192.0.2.7:0"),
        ({"MQTT__MODE": "bundled", "MQTT__PORT": "{taken}"}, "127.0.0.1:{taken} is taken"),
        ({"SERVER__VAR": "{folder}/garbage"}, "{folder}/garbage"),
        ({"SERVER__VAR": "{folder}/garbage/deeper"}, "{folder}/garbage/deeper"),
        ({"STORAGE__URL": "sqlite:////proc/no/such.db"}, "/proc/no"),
        ({"STORAGE__URL": "sqlite:///{folder}/garbage"}, "{folder}/garbage"),
        ({"STORAGE__URL": "postgresql://u:hush@127.0.0.1:{taken}/x"}, "127.0.0.1:{taken}"),
    ],
)
def test_a_bad_port_folder_or_database_of_the_server_is_named(around, given, word):
    said = refusal("vtn", "serve", **vtn_environment(around, given))
    assert word.format(folder=around.folder, taken=around.taken) in said
    assert "hush" not in said


@pytest.mark.parametrize("name", ["tokens.pem", "seal.key", "webhooks.key"])
@pytest.mark.parametrize("kind", ["a folder", "garbage"])
def test_a_bad_key_file_of_the_server_is_named(around, name, kind):
    keys = around.folder / "var" / "keys"
    keys.mkdir(parents=True)
    if kind == "garbage":
        (keys / name).write_bytes(b"")
    else:
        (keys / name).mkdir()
    assert name in refusal("vtn", "serve", **vtn_environment(around, {}))


COMMANDS = [
    ("serve",),
    ("migrate",),
    ("dead-letters",),
    ("dead-letters", "list"),
    ("dead-letters", "broken"),
    ("dead-letters", "replay", "--all"),
    ("client", "add", "x", "--role", "BL"),
    ("client", "rotate", "x"),
    ("client", "revoke", "x"),
    ("client", "webhook-key", "x"),
    ("client", "list"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("kind", FILES)
def test_every_command_names_a_bad_settings_file(around, command, kind):
    assert around.bad(kind) in refusal("vtn", *command, "--config", around.bad(kind))


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_every_command_names_a_database_that_is_not_to_be_had(around, command):
    given = {"STORAGE__URL": "sqlite:////proc/no/such.db"}
    assert "/proc/no" in refusal("vtn", *command, **vtn_environment(around, given))


def test_certificates_that_cannot_be_written_are_named(around):
    assert around.bad("garbage") in refusal("vtn", "certs", "--folder", around.bad("garbage"))


CREDENTIALS = ("--bl", "a:b", "--ven", "c:d", "--ven2", "e:f")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--ca", "{nowhere}"), "{nowhere}"),
        (("--ca", "{garbage}"), "{garbage}"),
        (("--receiver-certificate", "{nowhere}", "--receiver-key", "{nowhere}"), "{nowhere}"),
        (("--receiver", "http://127.0.0.1:{taken}"), "127.0.0.1:{taken}"),
        (("--html", "{garbage}/x.html"), "{garbage}/x.html"),
        (("--junit", "{folder}"), "{folder}"),
        (("--summary", "/proc/no.json"), "/proc/no.json"),
    ],
)
def test_what_the_conformance_kit_cannot_use_is_named(around, arguments, word):
    names = {"nowhere": around.bad("missing"), "garbage": around.bad("garbage"), "taken": around.taken}
    names["folder"] = around.bad("a folder")
    filled = [one.format(**names) for one in arguments]
    url = "http://127.0.0.1:1/openadr3/3.1.0"
    assert word.format(**names) in refusal("vtn", "conformance", url, *CREDENTIALS, *filled)


# --- the adapters ----------------------------------------------------------------------------------------------------

ADAPTER_COMMANDS = [
    ("run",),
    ("execute",),
    ("explain", "bmw-1"),
    ("link", "bmw", "--account", "a"),
    ("enrol", "serve"),
    ("enrol", "import", "cars.jsonl"),
    ("enrol", "judge"),
    ("enrol", "list"),
    ("enrol", "erase", "bmw-1"),
    ("enrol", "key", "app"),
    ("check", "bmw"),
    ("record", "bmw", "--out", "nowhere"),
]


@pytest.mark.parametrize("command", ADAPTER_COMMANDS, ids=" ".join)
@pytest.mark.parametrize("kind", FILES)
def test_every_adapter_command_names_a_bad_settings_file(around, command, kind):
    assert around.bad(kind) in refusal("ven-adapters", *command, "--config", around.bad(kind))


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ({"vtn": 'ca = "{nowhere}"'}, "vtn.ca: the file {nowhere} cannot be read"),
        ({"vtn": 'ca = "{folder}"'}, "vtn.ca: the file {folder} cannot be read"),
        ({"vtn": 'ca = "{garbage}"'}, "vtn.ca: the file {garbage} holds no certificates"),
        ({"top": 'store_url = "sqlite+aiosqlite:////proc/no/such.db"'}, "store_url: the database cannot be opened"),
        ({"top": 'store_url = "sqlite+aiosqlite:///{garbage}"'}, "{garbage} is not a database of SQLite"),
        ({"top": 'store_url = "nonsense"'}, "store_url: is no database"),
        (
            {"top": 'store_url = "postgresql+asyncpg://u:hush@127.0.0.1:1/x"'},
            "store_url: the database cannot be opened",
        ),
        ({"enrolling": 'store_url = "sqlite+aiosqlite:////proc/no/such.db"'}, "enrolling.store_url: the database"),
        (
            {"backend": 'webhook_secret = "a-secret-of-16-and-more"\nwebhook_port = {taken}'},
            "backend.webhook_port: cannot",
        ),
        ({"wake": 'mode = "webhook"\nwebhook_port = {taken}'}, "wake.webhook_port: cannot listen on 127.0.0.1:{taken}"),
        ({"wake": 'mode = "webhook"\nwebhook_host = "192.0.2.9"'}, "wake.webhook_port: cannot listen on 192.0.2.9:0"),
        ({"more": '[queue]\nurl = "nats://127.0.0.1:1"\nca = "{nowhere}"'}, "queue: the file {nowhere}"),
        ({"more": '[queue]\nurl = "nats://127.0.0.1:1"\ncredentials = "{nowhere}"'}, "queue: the file {nowhere}"),
    ],
)
def test_what_an_adapter_cannot_use_is_named(around, parts, word):
    names = {"nowhere": around.bad("missing"), "garbage": around.bad("garbage"), "folder": around.bad("a folder")}
    names["taken"] = around.taken
    config = around.file(ADAPTER, **{part: text.format(**names) for part, text in parts.items()})
    said = refusal("ven-adapters", "run", "--config", config)
    assert word.format(**names) in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("part", "table", "setting"),
    [("top", "adapter_version", "store_url"), ("enrolling", "enrol_version", "enrolling.store_url")],
)
def test_a_store_that_a_newer_release_migrated_is_refused_with_what_to_do(around, part, table, setting):
    path = around.folder / "newer.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(f"CREATE TABLE {table} (version_num VARCHAR(32)); INSERT INTO {table} VALUES ('0099')")  # noqa: S608 - names of ours
    config = around.file(ADAPTER, **{part: f'store_url = "sqlite+aiosqlite:///{path}"'})
    said = refusal("ven-adapters", "run", "--config", config)
    assert f"{setting}: the database sqlite:///{path} has revision 0099 of a newer release" in said
    assert "start the newer release again, or restore the backup" in said


def test_a_folder_that_an_adapter_cannot_write_to_is_named(around):
    config = around.file(ADAPTER)
    said = refusal("ven-adapters", "run", "--config", config, VEN_ADAPTER_VAR=around.bad("garbage"))
    assert f"var: {around.bad('garbage')}" in said


def test_enrolments_that_are_missing_are_named(around):
    (around.folder / "cars.jsonl").unlink()
    config = around.file(ADAPTER.replace("[enrolling]\nport = 0\n", ""))
    assert "cars.jsonl" in refusal("ven-adapters", "run", "--config", config)


@pytest.mark.parametrize(
    ("backend", "word"),
    [
        ("port = {taken}", "backend.port: cannot listen on 127.0.0.1:{taken}"),
        (
            'security_profile = 2\ncertificate = "{nowhere}"\nprivate_key = "{folder}/server.key"',
            "certificate or private_key: the file {nowhere} cannot be read",
        ),
    ],
)
def test_what_a_central_system_cannot_use_is_named(around, backend, word):
    names = {"nowhere": around.bad("missing"), "taken": around.taken, "folder": around.folder}
    config = around.file(OCPP, backend=backend.format(**names))
    assert word.format(**names) in refusal("ven-adapters", "run", "--config", config)


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ({"queue": 'ca = "{nowhere}"'}, "queue: the file {nowhere} cannot be read"),
        ({"queue": 'certificate = "{nowhere}"\nkey = "{nowhere}"'}, "queue: the file {nowhere} cannot be read"),
        ({"queue": 'credentials = "{nowhere}"'}, "queue: the file {nowhere} cannot be read"),
        (
            {"backend": 'webhook_secret = "a-secret-of-16-and-more"\nwebhook_port = {taken}'},
            "backend.webhook_port: cannot",
        ),
    ],
)
def test_what_an_executor_cannot_use_is_named(around, parts, word):
    names = {"nowhere": around.bad("missing"), "taken": around.taken}
    config = around.file(EXECUTOR, **{part: text.format(**names) for part, text in parts.items()})
    assert word.format(**names) in refusal("ven-adapters", "execute", "--config", config)


@pytest.mark.parametrize(
    ("enrolling", "word"),
    [
        ('certificate = "{nowhere}"\nkey = "{folder}/server.key"', "enrolling.certificate: the file {nowhere} cannot"),
        ('certificate = "{folder}/server.pem"\nkey = "{nowhere}"', "enrolling.certificate: the file {nowhere} cannot"),
        ('certificate = "{folder}/server.pem"\nkey = "{garbage}"', "enrolling.certificate: the certificate"),
        ('store_url = "sqlite+aiosqlite:////proc/no/such.db"', "enrolling.store_url: the database cannot be opened"),
    ],
)
def test_what_the_enrolment_api_cannot_use_is_named(around, enrolling, word):
    names = {"nowhere": around.bad("missing"), "garbage": around.bad("garbage"), "folder": around.folder}
    config = around.file(ADAPTER, enrolling=enrolling.format(**names))
    assert word.format(**names) in refusal("ven-adapters", "enrol", "serve", "--config", config)


def test_a_taken_port_of_the_enrolment_api_is_named(around):
    said = refusal(
        "ven-adapters",
        *("enrol", "serve", "--config", around.file(ADAPTER)),
        VEN_ADAPTER_ENROLLING__PORT=str(around.taken),
    )
    assert f"enrolling.port: cannot listen on 127.0.0.1:{around.taken}: Address already in use" in said


@pytest.mark.parametrize("command", ADAPTER_COMMANDS[5:10], ids=" ".join)
def test_every_enrolment_command_names_a_store_that_is_not_to_be_had(around, command):
    config = around.file(ADAPTER, enrolling='store_url = "sqlite+aiosqlite:////proc/no/such.db"')
    with contextlib.chdir(around.folder):
        said = refusal("ven-adapters", *command, "--config", config)
    assert "enrolling.store_url: the database cannot be opened" in said


def test_a_file_of_cars_that_is_missing_is_named(around):
    config = around.file(ADAPTER)
    assert around.bad("missing") in refusal(
        "ven-adapters", "enrol", "import", around.bad("missing"), "--config", config
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("simulate", "bmw", "--cars", "1", "--port", "{taken}"), "--port: cannot listen on 127.0.0.1:{taken}"),
        (("simulate", "tesla", "--cars", "1", "--port", "{taken}"), "--port: cannot listen on 127.0.0.1:{taken}"),
        (("simulate", "bmw", "--cars", "1", "--truth", "{garbage}"), "{garbage}"),
        (("simulate", "tesla", "--cars", "1", "--state", "{garbage}"), "{garbage}"),
        (("simulate", "ocpp", "--cars", "1", "--state", "{garbage}"), "{garbage}"),
        (("check", "bmw", "--html", "{garbage}/x.html"), "{garbage}/x.html"),
        (("check", "bmw", "--json", "{folder}"), "{folder}"),
        (("record", "bmw", "--out", "{garbage}"), "{garbage}"),
        (("demo", "--var", "{garbage}/demo"), "{garbage}/demo"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_what_a_simulator_the_kit_or_the_demonstration_cannot_use_is_named(around, arguments, word):
    names = {"garbage": around.bad("garbage"), "folder": around.bad("a folder"), "taken": around.taken}
    assert word.format(**names) in refusal("ven-adapters", *(one.format(**names) for one in arguments))
