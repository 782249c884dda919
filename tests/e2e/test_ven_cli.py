"""`ven-adapters`: every command has an example, and a wrong word is answered in a sentence."""

import os
import socket

import fork_server
import pytest

ENVIRONMENT = {**os.environ, "COLUMNS": "200", "VEN_SIMULATOR_TOKEN": "t"}


def said(*arguments):
    done = fork_server.run("ven_adapters", *arguments, timeout=60, env=ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", ["run", "execute", "simulate", "demo", "list", "check", "record"])
def test_help_shows_an_example(command):
    code, out, _ = said(command, "--help")
    assert code == 0
    assert f"ven-adapters {command}" in out


def test_the_four_automakers_are_listed():
    assert all(name in said("list")[1] for name in ("bmw", "ford", "honda", "nissan"))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("simulate", "edsel"), "edsel"),
        (("check", "edsel"), "'edsel' is not an automaker that is installed; known are bmw"),
        (("check",), "NAME is needed, one of bmw"),
        (("check", "bmw", "--config", "nowhere.toml"), "nowhere.toml: cannot be read"),
        (("check", "bmw", "--backend", "http://127.0.0.1:9", "--token", "t"), "cannot be asked for its cars"),
        (("record", "edsel", "--out", "nowhere"), "edsel"),
        (("simulate", "bmw", "--clock", "fast"), "START@REAL_START_S*SPEED"),
        (("simulate", "bmw", "--starts-at", "noon"), "noon"),
        (("simulate", "bmw", "--starts-at", "9999-12-31T23:59:59-14:00"), "out of range"),
        (
            ("explain", "x", "--at", "9999-12-31T23:59:59-14:00", "-c", "config/ven-adapter.example.toml"),
            "is no instant",
        ),
        (("simulate", "ocpp", "--url", "http://127.0.0.1:9310"), "is no address such as ws://"),
        (("demo", "--cars", "3"), "--cars"),
        (("run", "--config", "nowhere.toml"), "nowhere.toml: cannot be read"),
        (("run", "ford", "--config", "config/ven-adapter.example.toml"), "oem: is 'bmw'"),
        (("execute", "ford", "--config", "config/ven-executor.example.toml"), "oem: is 'bmw'"),
        (
            ("run", "--config", "config/ven-adapter.example.toml", "--executors", "nats://nats.example:4222"),
            "needs tls://",
        ),
        (("run", "--config", "config/ven-adapter.example.toml", "--shard", "bay,nowhere"), "'nowhere' is not a zone"),
    ],
)
def test_a_wrong_word_is_named_and_ends_with_code_2(arguments, word):
    code, _, complaint = said(*arguments)
    assert code == 2
    assert word in complaint
    assert "Traceback" not in complaint


def test_a_taken_port_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, complaint = said("simulate", "bmw", "--cars", "1", "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "cannot listen on 127.0.0.1" in complaint
    assert "Traceback" not in complaint


def settings_file(folder, backend, top=""):
    """An adapter's settings with this table of the backend; the rest can be used."""
    (folder / "cars.jsonl").write_text("")
    text = f"""oem = "ocpp"
client_name = "x"
enrolments = ["{folder}/cars.jsonl"]
var = "{folder}/var"
{top}
[vtn]
url = "http://127.0.0.1:9/openadr3/3.1.0"
client_id = "c"
client_secret = "s"
[backend]
{backend}
[backend.stations.CP-1]
password = "a-password-of-16+"
[backend.vehicles.car-1]
station = "CP-1"
usable_wh = 60000
max_charge_w = 11000
"""
    (folder / "adapter.toml").write_text(text)
    return str(folder / "adapter.toml")


def test_a_folder_of_the_backend_that_cannot_be_written_to_is_one_sentence(tmp_path):
    (tmp_path / "a-file").write_text("")
    code, _, complaint = said("run", "-c", settings_file(tmp_path, f'port = 0\nstate = "{tmp_path}/a-file"'))
    assert (code, len(complaint.splitlines())) == (2, 1)
    assert f"backend.state: {tmp_path}/a-file cannot be written to" in complaint


def test_a_story_from_a_store_that_is_none_is_refused_in_one_sentence(tmp_path):
    code, _, complaint = said(
        "explain", "car-1", "-c", settings_file(tmp_path, "port = 0", 'store_url = "mysql://x/y"')
    )
    assert (code, len(complaint.splitlines())) == (2, 1)
    assert "store_url: is no database that can be used" in complaint
