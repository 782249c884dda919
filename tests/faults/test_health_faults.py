"""Health tells the truth when a real part is gone, and again when it is back; so do the metrics."""

import asyncio
import contextlib
import os
import re
import signal
import sqlite3
from urllib.parse import urlsplit

import aiohttp
import pytest
from vtn_process import Party, Vtn, add_client

from vtn.notifiers.broker.process import LONGEST_RETRY_S, READY_WITHIN_S


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


def at_root(http, vtn):
    return Party(http, vtn.root, None)


async def health(party, wanted, *, status=None, within_s=30):
    """The answer, once its checks are as wanted, and the whole: another part may be slow to answer meanwhile."""
    async with asyncio.timeout(within_s):
        while True:
            answer = await party.get("/health")
            found = {name: answer.json["checks"][name]["state"] for name in wanted}
            if found == wanted and status in {None, answer.json["status"]}:
                return answer
            await asyncio.sleep(0.2)


async def kill_again_and_again(pid):
    """The server starts its broker again within moments; this keeps it away."""
    while True:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(pid.read_text()), signal.SIGKILL)
        await asyncio.sleep(0.05)


async def test_a_database_that_is_gone_is_503_until_it_is_back(postgres_url, postgres_server, tmp_path, http):
    settings = {"storage.url": postgres_url}
    secrets = {"bl": add_client(tmp_path / "var", "bl", "BL", settings=settings)}
    with Vtn(tmp_path / "var", settings, secrets) as vtn:
        party = at_root(http, vtn)
        assert (await health(party, {"database": "up"})).status == 200
        postgres_server.stop()
        try:
            answer = await health(party, {"database": "down"})
            assert answer.status == 503
            assert answer.json["status"] == "down"
            assert answer.json["checks"]["disk"]["state"] == "up"
            assert postgres_url not in answer.content.decode()
            assert b"evtn_database_up 0.0" in (await party.get("/metrics")).shows(200).content
        finally:
            postgres_server.ensure_postgres_running()
        assert (await health(party, {"database": "up"})).status == 200
        assert b"evtn_database_up 1.0" in (await party.get("/metrics")).shows(200).content


async def test_a_broker_that_is_gone_is_told_and_the_api_is_up(tmp_path, http):
    with Vtn(tmp_path / "var", {"mqtt.mode": "bundled", "mqtt.port": "0"}) as vtn:
        party = at_root(http, vtn)
        await health(party, {"broker": "up"})
        killing = asyncio.create_task(kill_again_and_again(tmp_path / "var" / "broker" / "pid"))
        answer = await health(party, {"broker": "late"}, status="late", within_s=120)
        killing.cancel()
        assert answer.status == 200
        # Each kill made the next start wait twice as long, up to `LONGEST_RETRY_S`: the more, the slower the machine.
        within_s = 2 * LONGEST_RETRY_S + READY_WITHIN_S + 30
        await health(party, {"broker": "up"}, status="up", within_s=within_s)


async def test_a_folder_that_takes_no_files_is_503(tmp_path, http):
    with Vtn(tmp_path / "var") as vtn:
        party = at_root(http, vtn)
        await health(party, {"disk": "up"})
        (tmp_path / "var").rename(tmp_path / "elsewhere")
        assert (await health(party, {"disk": "down"})).status == 503
        (tmp_path / "elsewhere").rename(tmp_path / "var")
        assert (await health(party, {"disk": "up"})).status == 200


async def test_deliveries_and_publications_are_counted_where_they_happen(tmp_path, http):
    secrets = {"bl": add_client(tmp_path / "var", "bl", "BL")}
    with Vtn(tmp_path / "var", {"mqtt.mode": "bundled", "mqtt.port": "0"}, secrets) as vtn:
        bl, party = Party(http, vtn.url, vtn.token("bl")), at_root(http, vtn)
        await bl.made("/programs", {"programName": "p"})
        async with asyncio.timeout(60):
            while True:
                text = (await party.get("/metrics")).content.decode()
                lag = re.findall(r"^evtn_relay_lag\{.*\} (\S+)$", text, re.MULTILINE)
                if lag == ["0.0", "0.0"]:
                    break
                await asyncio.sleep(0.1)
        assert re.search(r"^evtn_change_log_head 1\.0$", text, re.MULTILINE)
        assert float(re.search(r"^evtn_notifications_published_total (\S+)$", text, re.MULTILINE)[1]) > 0
        assert re.search(r'^evtn_tokens_total\{outcome="issued"\} 1\.0$', text, re.MULTILINE)


async def test_a_database_that_answers_and_takes_no_writes_is_503_until_it_does(tmp_path, http):
    with Vtn(tmp_path / "var", {"mqtt.mode": "off"}) as vtn:
        party = at_root(http, vtn)
        await health(party, {"writes": "up"})
        other = sqlite3.connect(tmp_path / "var" / "vtn.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = await health(party, {"writes": "down", "database": "up"})
        assert (answer.status, answer.json["status"]) == (503, "down")
        stranger = await party.send("GET", "/health", headers={"X-Forwarded-For": "192.0.2.1"})
        assert (stranger.status, stranger.json) == (503, {"status": "down"})
        other.execute("ROLLBACK")
        other.close()
        assert (await health(party, {"writes": "up"})).status == 200


async def test_a_database_that_has_become_read_only_is_503_until_it_is_not(
    postgres_url, postgres_server, tmp_path, http
):
    settings = {"storage.url": postgres_url, "mqtt.mode": "off"}
    name = urlsplit(postgres_url).path.strip("/")
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';"  # noqa: S608 - ours

    def read_only(word):
        postgres_server.psql(f"ALTER DATABASE {name} SET default_transaction_read_only = {word};")
        postgres_server.psql(cut)

    with Vtn(tmp_path / "var", settings) as vtn:
        party = at_root(http, vtn)
        await health(party, {"writes": "up"})
        read_only("on")
        assert (await health(party, {"writes": "down", "database": "up"})).status == 503
        read_only("off")
        assert (await health(party, {"writes": "up", "database": "up"})).status == 200
