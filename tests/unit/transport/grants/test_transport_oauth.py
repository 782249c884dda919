import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from ven_adapters.contract import BackendError, ErrorCode
from ven_adapters.transport.grants import grants, oauth
from ven_adapters.transport.grants.grants import Folder, OwnerTokens, fetch, only_writer, store
from ven_adapters.transport.grants.oauth import Grant, OAuthRegistration, Prompt, TokenAnswer
from vtn.privatefiles import write_private

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
CLIENT = OAuthRegistration(
    "http://x/token", "us", "hush", "http://x/authorize", "http://back/", "http://x/device", {"audience": "there"}
)
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
TOLD = {"access_token": "a-1", "refresh_token": "r-1", "expires_in": 600, "scope": "x"}


def said(status, **body):
    return TokenAnswer(status, json.dumps(body).encode(), NOON)


def ended(flow, *answers):
    """Everything a flow asked, and the grant or error it came to."""
    asked, told = [next(flow)], None
    for answer in answers:
        try:
            asked.append(flow.send(answer))
        except StopIteration as done:
            told = done.value
        except BackendError as error:
            told = error
    return asked, told


def test_the_challenge_is_the_one_of_rfc_7636_appendix_b():
    assert oauth.challenge(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_consent_address_carries_the_challenge_and_never_the_verifier_or_the_secret():
    url = oauth.consent_url(CLIENT, scope="a b", state="s", verifier=VERIFIER)
    query = parse_qs(urlsplit(url).query)
    assert query["code_challenge"] == [oauth.challenge(VERIFIER)]
    assert query["scope"] == ["a b"]
    assert VERIFIER not in url
    assert "hush" not in url


def test_a_code_is_redeemed_with_its_verifier():
    asked, grant = ended(oauth.redeem_code(CLIENT, "c", VERIFIER), said(200, **TOLD))
    assert asked[0].form["code_verifier"] == VERIFIER
    assert asked[0].form["audience"] == "there"
    assert (grant.access_token, grant.refresh_token) == ("a-1", "r-1")
    assert grant.expires_at == NOON + timedelta(seconds=600)


def test_a_server_that_does_not_rotate_leaves_the_refresh_token_as_it_is():
    old = Grant("a-0", NOON, "r-0")
    _, grant = ended(oauth.refresh(CLIENT, old), said(200, access_token="a-1"))
    assert (grant.refresh_token, grant.spending) == ("r-0", False)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (said(400, error="invalid_grant"), ErrorCode.CONSENT_REVOKED),
        (said(401, error="invalid_client"), ErrorCode.REAUTH_REQUIRED),
        (said(200, nothing=1), ErrorCode.REAUTH_REQUIRED),
        (said(503), ErrorCode.BACKEND_TRANSIENT),
        (TokenAnswer(200, b"<html>"), ErrorCode.REAUTH_REQUIRED),
    ],
)
def test_a_refusal_tells_whose_matter_it_is(answer, code):
    _, error = ended(oauth.refresh(CLIENT, Grant("a", NOON, "r")), answer)
    assert error.code is code


def test_a_grant_without_a_refresh_token_needs_the_driver():
    with pytest.raises(BackendError) as caught:
        next(oauth.refresh(CLIENT, Grant("a", NOON)))
    assert caught.value.code is ErrorCode.REAUTH_REQUIRED


def test_the_device_flow_shows_the_code_and_slows_down_when_told():
    flow = oauth.device_code(CLIENT, scope="x", verifier=VERIFIER)
    asked, grant = ended(
        flow,
        said(200, device_code="d", user_code="ABCD", verification_uri="http://x/me", interval=3),
        None,
        said(400, error="authorization_pending"),
        said(400, error="slow_down"),
        said(200, **TOLD),
    )
    assert asked[1] == Prompt("ABCD", "http://x/me")
    assert [ask.wait_s for ask in asked[2:]] == [3.0, 3.0, 8.0]
    assert grant.access_token == "a-1"


def test_a_device_code_is_not_asked_for_after_its_end():
    asked = said(200, device_code="d", user_code="A", verification_uri="http://x", expires_in=60)
    late = oauth.TokenAnswer(400, b'{"error": "authorization_pending"}', NOON + timedelta(seconds=61))
    _, error = ended(oauth.device_code(CLIENT, scope="x", verifier=VERIFIER), asked, None, late)
    assert (error.code, "begin again" in error.detail) == (ErrorCode.REAUTH_REQUIRED, True)


@pytest.mark.parametrize(
    "lifetime", [1e300, -1e15, 10**400, "nan", "1e400", None, [], {}], ids=lambda given: f"{given!r:.9}"
)
def test_no_lifetime_that_a_server_claims_breaks_a_renewal(lifetime):
    answer = TokenAnswer(200, json.dumps({**TOLD, "expires_in": lifetime}).encode(), NOON)
    _, grant = ended(oauth.refresh(CLIENT, Grant("a", NOON, "r")), answer)
    assert grant.access_token == "a-1" if isinstance(grant, Grant) else grant.code is ErrorCode.REAUTH_REQUIRED


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_code": None},
        {"verification_uri": None},
        {"verification_uri": "file:///etc/passwd"},
        {"user_code": "\x1b[2J"},
        {"device_code": 7},
    ],
    ids=str,
)
def test_a_device_code_that_cannot_be_shown_is_none(wrong):
    told = {"device_code": "d", "user_code": "A", "verification_uri": "http://x", **wrong}
    _, error = ended(oauth.device_code(CLIENT, scope="x", verifier=VERIFIER), said(200, **told))
    assert error.code is ErrorCode.REAUTH_REQUIRED


@pytest.mark.parametrize(("interval", "wait_s"), [(None, 5.0), ("3", 3.0), (1e300, 300.0), (-1, 0.0), ("nan", 5.0)])
def test_the_pause_between_two_questions_is_bounded(interval, wait_s):
    told = {"device_code": "d", "user_code": "A", "verification_uri": "http://x", "interval": interval}
    asked, _ = ended(oauth.device_code(CLIENT, scope="x", verifier=VERIFIER), said(200, **told), None)
    assert asked[-1].wait_s == wait_s


def test_a_token_that_cannot_stand_in_a_header_is_none():
    _, error = ended(oauth.refresh(CLIENT, Grant("a", NOON, "r")), said(200, access_token="a\r\nX: y"))
    assert error.code is ErrorCode.REAUTH_REQUIRED


def test_a_driver_who_says_no_ends_the_device_flow():
    flow = oauth.device_code(CLIENT, scope="x", verifier=VERIFIER)
    _, error = ended(
        flow,
        said(200, device_code="d", user_code="A", verification_uri="http://x"),
        None,
        said(400, error="access_denied"),
    )
    assert error.code is ErrorCode.CONSENT_REVOKED


def test_no_secret_shows_in_a_printed_value():
    shown = repr((Grant("a-1", NOON, "r-1", "i-1", None, "g-1"), CLIENT, next(oauth.redeem_code(CLIENT, "c-1", "v-1"))))
    assert [word for word in ("a-1", "r-1", "i-1", "g-1", "hush", "c-1", "v-1") if word in shown] == []


# --- grants on disk ---------------------------------------------------------------------------------------------------


class Server:
    """A token end point that ends the whole grant when it sees a refresh token twice."""

    def __init__(self) -> None:
        self.spent = []
        self.how = "answers"
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def post(self, request):
        token = (await request.post()).get("refresh_token")
        self.spent.append(token)
        if self.how == "silent":
            request.transport.close()
            raise ConnectionResetError
        if self.how == "waits":
            self.asked.set()
            await self.go.wait()
        if self.how == "babbles":
            return web.Response(body=b" " * (9 * 1024 * 1024), content_type="application/json")
        if self.how == "refuses":
            return web.json_response({"error": "temporarily_unavailable"}, status=503)
        number = len(self.spent)
        return web.json_response({"access_token": f"a-{number}", "refresh_token": f"r-{number}", "expires_in": 3600})


@pytest.fixture
async def server():
    made = Server()
    app = web.Application()
    app.router.add_post("/token", made.post)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.client = OAuthRegistration(f"http://127.0.0.1:{runner.addresses[0][1]}/token", "us")  # type: ignore[attr-defined]
    yield made
    await runner.cleanup()


@pytest.fixture
def file(tmp_path):
    path = Folder(tmp_path / "grants").file("owner")
    store(path, Grant("a-0", NOON, "r-0"))
    return path


async def test_a_crowd_spends_a_refresh_token_once(server, file):
    found = await asyncio.gather(*(OwnerTokens(server.client, file).access(None) for _ in range(8)))
    assert server.spent == ["r-0"]
    assert {token for token, _ in found} == {"a-1"}


async def test_a_token_whose_answer_was_lost_is_not_sent_again(server, file):
    server.how = "silent"
    with pytest.raises(BackendError) as first:
        await OwnerTokens(server.client, file).access(None)
    server.how = "answers"
    with pytest.raises(BackendError) as second:
        await OwnerTokens(server.client, file).access(None)
    assert (first.value.code, second.value.code) == (ErrorCode.OUTCOME_UNKNOWN, ErrorCode.REAUTH_REQUIRED)
    assert server.spent == ["r-0"]


async def test_a_token_that_was_refused_by_a_server_in_trouble_is_tried_again(server, file):
    server.how = "refuses"
    with pytest.raises(BackendError) as caught:
        await OwnerTokens(server.client, file).access(None)
    server.how = "answers"
    assert caught.value.code is ErrorCode.BACKEND_TRANSIENT
    assert (await OwnerTokens(server.client, file).access(None))[0] == "a-2"


async def test_an_answer_beyond_all_measure_is_not_read(server, file):
    server.how = "babbles"
    with pytest.raises(BackendError) as caught:
        await OwnerTokens(server.client, file).access(None)
    assert caught.value.code is ErrorCode.OUTCOME_UNKNOWN


async def test_a_server_that_cannot_be_reached_spends_nothing(file):
    client = OAuthRegistration("http://127.0.0.1:1/token", "us")
    with pytest.raises(BackendError) as caught:
        await OwnerTokens(client, file).access(None)
    assert caught.value.code is ErrorCode.BACKEND_TRANSIENT
    assert not fetch(file).spending


async def test_a_grant_that_is_given_anew_outlives_a_renewal_of_the_old_one(server, file):
    server.how = "waits"
    renewing = asyncio.create_task(OwnerTokens(server.client, file).access(None))
    await server.asked.wait()
    keeping = asyncio.create_task(Folder(file.parent).keep("owner", Grant("a-new", NOON, "r-new")))
    forgetting = asyncio.create_task(Folder(file.parent).forget("nobody"))
    await forgetting
    server.go.set()
    assert (await renewing)[0] == "a-1"
    await keeping
    assert fetch(file).refresh_token == "r-new"


async def test_a_refused_token_is_renewed_although_it_had_not_ended(server, file):
    store(file, Grant("a-0", datetime.now(UTC) + timedelta(hours=1), "r-0"))
    tokens = OwnerTokens(server.client, file)
    assert (await tokens.access(None))[0] == "a-0"
    assert (await tokens.access("a-0"))[0] == "a-1"


def test_a_grant_is_for_our_eyes_only_and_replaced_whole(file):
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    store(file, Grant("a-9", NOON))
    assert fetch(file).access_token == "a-9"
    assert sorted(path.name for path in file.parent.iterdir()) == ["owner.json"]


def test_a_grant_is_sealed_where_it_lies_under_a_key_that_lies_apart(file):
    store(file, Grant("a-secret", NOON, "r-secret", "i-secret"))
    assert not [word for word in (b"a-secret", b"r-secret", b"i-secret") if word in file.read_bytes()]
    assert fetch(file).refresh_token == "r-secret"
    key = file.parent.with_name("grants.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32


def test_a_sealed_grant_opens_under_its_own_name_and_key_only(file):
    other = file.with_name("another.json")
    other.write_bytes(file.read_bytes())
    with pytest.raises(BackendError, match="damaged, or the key is another"):
        fetch(other)
    file.parent.with_name("grants.key").unlink()
    with pytest.raises(BackendError, match=r"key grants.key is missing; `ven-adapters link`"):
        fetch(file)


def test_a_grant_from_before_grants_were_sealed_is_read_and_sealed_at_its_next_renewal(file):
    plain = {"access_token": "a-0", "expires_at": NOON.isoformat(), "refresh_token": "r-0"}
    write_private(file, json.dumps(plain).encode())
    assert fetch(file).refresh_token == "r-0"
    store(file, fetch(file))
    assert b"r-0" not in file.read_bytes()


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"{", b'{"sealed": 1}', b'{"sealed": "AAAA"}'])
def test_a_damaged_grant_needs_the_driver(file, body):
    write_private(file, body)
    with pytest.raises(BackendError) as caught:
        fetch(file)
    assert caught.value.code is ErrorCode.REAUTH_REQUIRED


@pytest.mark.parametrize("name", ["../x", "", "a/b", "a" * 65])
def test_an_account_is_a_plain_word(tmp_path, name):
    with pytest.raises(BackendError) as caught:
        Folder(tmp_path).file(name)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


async def test_a_lock_that_stays_taken_is_not_waited_for_without_end(tmp_path):
    async with only_writer(tmp_path / "x"):
        with pytest.raises(BackendError) as caught:
            async with only_writer(tmp_path / "x", longest_s=0.05):
                pass
    assert caught.value.code is ErrorCode.BACKEND_TRANSIENT


async def test_an_app_asks_for_a_token_of_its_own(server):
    server.how = "refuses"
    with pytest.raises(BackendError):
        await grants.AppTokens(OAuthRegistration(server.client.token_url, "us", "hush")).access(None)
