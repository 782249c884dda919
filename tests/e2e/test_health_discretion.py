"""What a stranger learns of the server, and what Business Logic does; files that only the server's user can read."""

import stat

import pytest
from vtn_process import Party

PROXIED = {"X-Forwarded-For": "192.0.2.1"}


def root(party, vtn):
    return party.at(vtn.root)


@pytest.mark.parametrize("who", ["nobody", "c1", "forged"])
async def test_a_stranger_and_a_ven_learn_up_and_no_more(vtn, nobody, c1, who):
    party = {"nobody": nobody, "c1": c1, "forged": nobody.bearing("e30.e30.e30")}[who]
    answer = (await root(party, vtn).send("GET", "/health", headers=PROXIED)).shows(200)
    assert answer.json == {"status": "up"}
    (await root(party, vtn).send("GET", "/metrics", headers=PROXIED)).shows(404)


async def test_business_logic_reads_all_of_it_from_anywhere(vtn, bl):
    answer = (await root(bl, vtn).send("GET", "/health", headers=PROXIED)).shows(200)
    assert answer.json["checks"]["writes"]["state"] == "up"
    assert answer.json["checks"]["relay"]["words"].startswith(f"process {vtn.pid} on ")
    assert b"evtn_requests_total" in (await root(bl, vtn).send("GET", "/metrics", headers=PROXIED)).shows(200).content


async def test_this_machine_reads_all_of_it(vtn, nobody):
    assert "checks" in (await root(nobody, vtn).get("/health")).shows(200).json


async def test_everything_that_the_server_keeps_is_for_its_user_alone(launch, http):
    server = launch({"mqtt.mode": "bundled", "mqtt.port": "0"})
    theirs = {"secrets.json", "stderr.log"}
    server.var.chmod(0o755)
    (server.var / "vtn.db").chmod(0o644)
    with server:
        await Party(http, server.url, server.token("bl")).made("/programs", {"programName": "p"})
        paths = [path for path in server.var.rglob("*") if path.name not in theirs]
        found = {path: stat.S_IMODE(path.lstat().st_mode) for path in paths}
        names = {path.name for path in found}
        assert {"vtn.db", "vtn.db-wal", "vtn.db-shm", "keys", "tokens.pem", "broker", "broker.conf"} <= names
        assert {path.name: oct(mode) for path, mode in found.items() if mode & 0o077} == {}
