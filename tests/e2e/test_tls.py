"""TLS as clients meet it: certificates that are renewed without a restart, and clients that show their own."""

import asyncio
import contextlib
import json
import ssl

import aiohttp
import pytest
from authority import Authority
from cryptography import x509
from vtn_process import Party, fresh


def trust(authority, pair=None):
    context = ssl.create_default_context(cafile=authority.file)
    if pair:
        context.load_cert_chain(pair.pem, pair.key_file)
    return context


@contextlib.asynccontextmanager
async def connected(authority, pair=None):
    connector = aiohttp.TCPConnector(ssl=trust(authority, pair))
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


# --- renewal ----------------------------------------------------------------------------------------------------------


async def shown(vtn, authority):
    """The serial number of the certificate that a new connection is shown."""
    port = int(vtn.root.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust(authority))
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return x509.load_der_x509_certificate(certificate).serial_number


def serial(pair):
    return x509.load_pem_x509_certificate(pair.certificate).serial_number


async def until_shown(vtn, authority, pair):
    async with asyncio.timeout(60):
        while await shown(vtn, authority) != serial(pair):
            pass


async def until_logged(vtn, words, times):
    async with asyncio.timeout(60):
        while vtn.log.count(words) < times:  # noqa: ASYNC110 - another process writes the log
            await asyncio.sleep(0.02)


@pytest.fixture
def renewing(launch, authority):
    first = authority.issue(fresh("server"), server=True)
    settings = {
        "server.certificate": str(first.pem),
        "server.private_key": str(first.key_file),
        "server.reload_s": "0.05",
    }
    with launch(settings, process=True) as server:
        yield server, first


async def test_new_files_are_shown_to_new_connections_and_old_ones_live_on_sec_02(renewing, authority):
    vtn, first = renewing
    async with connected(authority) as session:
        old = Party(session, vtn.url, None)
        (await old.get("/auth/server")).shows(200)
        assert await shown(vtn, authority) == serial(first)
        second = authority.issue(first.name, server=True)
        await until_shown(vtn, authority, second)
        (await old.get("/auth/server")).shows(200)
        [held] = [one for ones in session.connector._conns.values() for one, _ in ones]
        assert int(held.transport.get_extra_info("peercert")["serialNumber"], 16) == serial(first)


async def test_half_written_and_mismatching_files_change_nothing_but_the_log(renewing, authority):
    vtn, first = renewing
    second = authority.issue(fresh("second"), server=True)
    broken = {
        "half a certificate": (second.certificate[:200], first.key),
        "a certificate without its key": (second.certificate, first.key),
        "nothing": (b"", b""),
    }
    for count, (certificate, key) in enumerate(broken.values(), start=1):
        first.pem.write_bytes(certificate)
        first.key_file.write_bytes(key)
        await until_logged(vtn, "the certificate in use stays", count)
        assert await shown(vtn, authority) == serial(first)
    first.pem.write_bytes(second.certificate)
    first.key_file.write_bytes(second.key)
    await until_shown(vtn, authority, second)


async def test_files_that_are_gone_change_nothing(renewing, authority):
    vtn, first = renewing
    first.key_file.unlink()
    await until_logged(vtn, "the certificate in use stays", 1)
    assert await shown(vtn, authority) == serial(first)


# --- clients' certificates --------------------------------------------------------------------------------------------

CLIENTS = {"derms.example": "bl", "urn:ven:1": "c1", "gone.example": "nobody-here", "other-1.example": "c2"}


@pytest.fixture(scope="module")
def vtn(launch, authority):
    pair = authority.issue("mutual", server=True)
    clients = ", ".join(f"{json.dumps(name)} = {json.dumps(client)}" for name, client in CLIENTS.items())
    settings = {
        "server.certificate": str(pair.pem),
        "server.private_key": str(pair.key_file),
        "server.client_ca": str(authority.file),
        "auth.certificate_clients": f"{{{clients}}}",
    }
    with launch(settings, process=True) as server:
        yield server


@pytest.fixture
async def tokens(vtn, authority):
    """Tokens of two clients, by the token endpoint over TLS."""
    found = {}
    async with connected(authority) as session:
        for name in ("bl", "c1"):
            form = {"grant_type": "client_credentials", "client_id": name, "client_secret": vtn.secrets[name]}
            async with session.post(f"{vtn.url}/auth/token", data=form) as answer:
                found[name] = (await answer.json())["access_token"]
    return found


@pytest.fixture
def pairs(authority):
    return {
        "bl": authority.issue("derms.example"),
        "c1": authority.issue("some ven", x509.UniformResourceIdentifier("urn:ven:1")),
        "unmapped": authority.issue("stranger.example"),
        "unregistered": authority.issue("gone.example"),
        "double": authority.issue("two", x509.DNSName("derms.example"), x509.DNSName("other-1.example")),
    }


@contextlib.asynccontextmanager
async def visitor(vtn, authority, pair, token=None):
    async with connected(authority, pair) as session:
        yield Party(session, vtn.url, token)


async def test_a_mapped_certificate_is_its_client_with_its_registered_scopes(vtn, authority, pairs):
    async with visitor(vtn, authority, pairs["bl"]) as bl:
        (await bl.post("/programs", {"programName": fresh("program")})).shows(201)
        (await bl.get("/vens")).shows(200)
    async with visitor(vtn, authority, pairs["c1"]) as c1:
        (await c1.get("/programs")).shows(200)
        (await c1.post("/programs", {"programName": fresh("program")})).shows(403)


async def test_a_certificate_that_is_not_mapped_says_nothing(vtn, authority, pairs, tokens):
    async with visitor(vtn, authority, pairs["unmapped"]) as stranger:
        (await stranger.get("/programs")).shows(401)
        (await stranger.bearing(tokens["c1"]).get("/programs")).shows(200)


async def test_certificates_are_optional(vtn, authority, tokens):
    async with visitor(vtn, authority, None) as plain:
        (await plain.get("/programs")).shows(401)
        (await plain.bearing(tokens["c1"]).get("/programs")).shows(200)


async def test_a_token_must_be_that_of_the_certificates_client(vtn, authority, pairs, tokens):
    async with visitor(vtn, authority, pairs["c1"]) as c1:
        (await c1.bearing(tokens["c1"]).get("/programs")).shows(200)
        (await c1.bearing(tokens["bl"]).get("/programs")).shows(401)
        (await c1.bearing("garbage").get("/programs")).shows(401)


@pytest.mark.parametrize("name", ["unregistered", "double"])
async def test_a_certificate_of_no_client_or_of_two_opens_nothing(vtn, authority, pairs, name):
    async with visitor(vtn, authority, pairs[name]) as nobody:
        (await nobody.get("/programs")).shows(401)


async def test_a_certificate_of_another_authority_does_not_get_in(vtn, authority, tmp_path):
    forged = Authority(tmp_path, "forger").issue("derms.example")
    async with visitor(vtn, authority, forged) as forger:
        with pytest.raises(aiohttp.ClientError):
            await forger.get("/programs")


async def test_a_servers_certificate_is_no_clients(vtn, authority):
    async with visitor(vtn, authority, authority.issue("derms.example", server=True)) as server:
        with pytest.raises(aiohttp.ClientError):
            await server.get("/programs")


async def test_revocation_of_the_client_works_on_the_next_request(vtn, authority):
    async with visitor(vtn, authority, authority.issue("other-1.example")) as c2:
        (await c2.get("/programs")).shows(200)
        assert vtn.cli("client", "revoke", "c2").returncode == 0
        (await c2.get("/programs")).shows(401)


async def test_renewed_files_keep_asking_for_clients_certificates(launch, authority, pairs, tmp_path):
    """Of the authorities that are in `client_ca` now."""
    first = authority.issue(fresh("server"), server=True)
    accepted = tmp_path / "clients.pem"
    accepted.write_bytes(authority.file.read_bytes())
    settings = {
        "server.certificate": str(first.pem),
        "server.private_key": str(first.key_file),
        "server.client_ca": str(accepted),
        "server.reload_s": "0.05",
        "auth.certificate_clients": '{"derms.example" = "bl", "new.example" = "c1"}',
    }
    with launch(settings, process=True) as server:
        await until_shown(server, authority, authority.issue(first.name, server=True))
        async with visitor(server, authority, pairs["bl"]) as bl:
            (await bl.get("/vens")).shows(200)
        another = Authority(tmp_path, "another")
        accepted.write_bytes(another.file.read_bytes())
        await until_shown(server, authority, authority.issue(first.name, server=True))
        async with visitor(server, authority, another.issue("new.example")) as c1:
            (await c1.get("/vens")).shows(200)
        async with visitor(server, authority, pairs["bl"]) as bl:
            with pytest.raises(aiohttp.ClientError):
                await bl.get("/vens")
