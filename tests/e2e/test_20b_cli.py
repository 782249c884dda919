"""The commands `vtn 20b` as an operator runs them: provision, serve, list, cancel, remove; and a VEN of a utility."""

import contextlib
import json
import os
import re
import select
import subprocess
import time

import fork_server
import pytest
from vtn_process import PATIENCE_S, PROGRAM

READY = re.compile(r"ready(?: at)?:? (\S+)")


@pytest.fixture
def environ(vtn, tmp_path):
    """The variables of both bridges, beside whatever the tester has."""
    settings = {
        "OADR20B_VTN_VTN__URL": vtn.url,
        "OADR20B_VTN_VTN__CLIENT_ID": "bl",
        "OADR20B_VTN_VTN__CLIENT_SECRET": vtn.secrets["bl"],
        "OADR20B_VTN_VAR": str(tmp_path / "down"),
        "OADR20B_VTN_SERVER__PORT": "0",
        "OADR20B_VEN_VTN__URL": vtn.url,
        "OADR20B_VEN_VTN__CLIENT_ID": "bl",
        "OADR20B_VEN_VTN__CLIENT_SECRET": vtn.secrets["bl"],
        "OADR20B_VEN_VAR": str(tmp_path / "up"),
        "OADR20B_VEN_UTILITIES__U1__URL": "http://127.0.0.1:9/OpenADR2/Simple/2.0b",
        "OADR20B_VEN_UTILITIES__U1__VEN_NAME": "evtn",
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("EVTN_")} | settings


def command(environ, *words):
    return fork_server.run(PROGRAM, "20b", *words, env=environ, timeout=PATIENCE_S)


@contextlib.contextmanager
def running(environ, tmp_path, *words):
    """A bridge that runs for the length of a block; what it says when it is ready, and how it ended."""
    ended = []
    with (tmp_path / "errors").open("w") as errors:
        process = fork_server.start(PROGRAM, "20b", *words, env=environ, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout
    pipe, said, until_s = process.stdout.fileno(), "", time.monotonic() + PATIENCE_S
    while not (found := READY.search(said)):
        assert select.select([pipe], [], [], max(0.0, until_s - time.monotonic()))[0], (tmp_path / "errors").read_text()
        more = os.read(pipe, 65_536).decode()
        assert more, (tmp_path / "errors").read_text()
        said += more
    try:
        yield found[1], ended
    finally:
        process.terminate()
        ended.append(process.wait(PATIENCE_S))
        process.close()


def test_a_ven_is_provisioned_listed_cancelled_and_removed(environ):
    fingerprint = "17:3B:2F:00:11:22:33:44:55:66"
    made = command(environ, "ven", "add", "depot-1", "--fingerprint", fingerprint.lower(), "--target", "t", "--json")
    assert made.returncode == 0, made.stderr
    ven_id = json.loads(made.stdout)["venID"]
    again = command(environ, "ven", "add", "depot-2", "--fingerprint", fingerprint)
    assert again.returncode == 1
    assert "belongs to depot-1 already" in again.stderr
    bad = command(environ, "ven", "add", "x" * 129, "--fingerprint", "17:3B", "--client", "c")
    assert bad.returncode == 1
    assert all(word in bad.stderr for word in ("ven-name", "ten bytes", "go together"))
    (listed,) = json.loads(command(environ, "ven", "list", "--json").stdout)
    expected = {
        "venName": "depot-1",
        "venID": ven_id,
        "fingerprint": fingerprint,
        "client": "shared",
        "registered": "no",
    }
    assert listed == expected
    assert command(environ, "ven", "cancel", "depot-1").returncode == 0
    assert command(environ, "ven", "remove", "depot-1").returncode == 0
    gone = command(environ, "ven", "remove", "depot-1")
    assert gone.returncode == 1
    assert "no 2.0b VEN called depot-1" in gone.stderr


def test_a_vtn_for_vens_says_where_it_is_and_ends_when_it_is_told_to(environ, tmp_path):
    with running(environ, tmp_path, "serve") as (url, ended):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/OpenADR2/Simple/2\.0b", url)
        assert (tmp_path / "down").stat().st_mode & 0o077 == 0
    assert ended == [0]


def test_a_ven_of_a_utility_that_is_not_there_tries_on_and_ends_when_it_is_told_to(environ, tmp_path):
    with running(environ, tmp_path, "upstream") as (names, ended):
        assert names == "u1"
    assert ended == [0]


def test_a_fingerprint_is_printed_as_the_other_side_wants_it(environ, tmp_path):
    from authority import Authority
    from openleadr.utils import certificate_fingerprint

    pair = Authority(tmp_path).issue("ven")
    told = command(environ, "fingerprint", str(pair.pem))
    assert told.stdout.strip() == certificate_fingerprint(pair.certificate)
    refused = command(environ, "fingerprint", str(pair.key_file))
    assert refused.returncode == 2
    assert "holds no certificate" in refused.stderr


def test_a_setting_that_is_none_refuses_to_start_and_is_named(environ):
    refused = command({**environ, "OADR20B_VTN_POLLS": "1"}, "serve")
    assert refused.returncode == 2
    assert "OADR20B_VTN_POLLS: is not a setting" in refused.stderr
