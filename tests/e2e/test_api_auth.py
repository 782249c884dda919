"""Tokens, and the scope and role of all 45 operations (AUTH-01..27, SCO-01..12, SCO-O01..O45)."""

import base64
import json
import time
import urllib.parse

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey
from vtn_process import V310, V311, fresh

FORM = "application/x-www-form-urlencoded"
COLLECTIONS = ("programs", "events", "reports", "subscriptions", "vens", "resources")
WRITERS = {"programs": "bl", "events": "bl", "reports": "ven"}
BL_TOPICS = ("events", "reports", "subscriptions", "vens", "resources")
OPEN_TOPICS = ("programs", "programs/no-such-id", "programs/no-such-id/events", "vens/no-such-id")
OPEN_TOPICS += tuple(f"vens/no-such-id/{what}" for what in ("events", "programs", "resources"))


def operations():
    """Method, path and who may call it, for every operation that takes a token."""
    for collection in COLLECTIONS:
        who = WRITERS.get(collection, "both")
        one = f"/{collection}/no-such-id"
        yield from (("GET", f"/{collection}", "both"), ("GET", one, "both"))
        yield from (("POST", f"/{collection}", who), ("PUT", one, who), ("DELETE", one, who))
    yield "GET", "/notifiers", "both"
    for topic in (*BL_TOPICS, *OPEN_TOPICS):
        yield "GET", f"/notifiers/mqtt/topics/{topic}", "bl" if topic in BL_TOPICS else "both"


OPERATIONS = list(operations())
EVERY_OPERATION = pytest.mark.parametrize(
    ("method", "path", "who"), OPERATIONS, ids=[f"{m} {p}" for m, p, _ in OPERATIONS]
)


def test_the_table_holds_every_operation_with_a_token():
    assert len(OPERATIONS) == 45 - 2


@EVERY_OPERATION
async def test_no_token_no_answer_auth_18(nobody, method, path, who):
    answer = (await nobody.send(method, path, raw=b"{")).shows(401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@EVERY_OPERATION
async def test_the_wrong_role_is_forbidden_before_anything_else_is_judged_sco_o_err_14(bl, c1, method, path, who):
    for party, name in ((bl, "bl"), (c1, "ven")):
        answer = await party.send(method, path, raw=b"{" if method in {"POST", "PUT"} else None)
        if who in {"both", name}:
            assert answer.status not in {401, 403}, answer.content
            assert answer.status == 200 or answer.shows(answer.status)
        else:
            answer.shows(403)


READS = {
    "read_targets": ["/programs", "/events", "/programs/x", "/events/x"],
    "read_ven_objects": ["/vens", "/resources", "/reports", "/subscriptions", "/vens/x"],
}
WRITES = {
    "write_reports": ["/reports"],
    "write_subscriptions": ["/subscriptions"],
    "write_vens": ["/vens", "/resources"],
}


@pytest.mark.parametrize("scope", [*READS, *WRITES])
async def test_a_narrowed_token_opens_its_own_doors_only_sco_02_to_08(vtn, c1, scope):
    narrowed = c1.bearing(vtn.token("c1", scope=scope))
    for name, paths in READS.items():
        for path in paths:
            answer = await narrowed.get(path)
            assert (answer.status == 403) is (name != scope), (path, answer.content)
    for name, paths in WRITES.items():
        for path in paths:
            answer = await narrowed.post(path, {})
            assert answer.status == (400 if name == scope else 403), (path, answer.content)


@pytest.mark.parametrize("scope", ["write_programs", "write_events", "read_bl"])
async def test_a_ven_is_not_given_a_utilitys_scope_auth_12(vtn, nobody, scope):
    form = {"grant_type": "client_credentials", "client_id": "c1", "client_secret": vtn.secrets["c1"], "scope": scope}
    answer = (await ask(nobody, form)).shows(400)
    assert answer.json["error"] == "invalid_scope"


async def test_read_all_in_a_vens_token_does_not_make_it_a_utility_sco_12(vtn, bl, nobody):
    """The registration decides the role; here an operator gave a VEN the old scope of 3.0.1."""
    vtn.add_client("old-ven", "VEN", "--scope", "read_all", "--scope", "read_ven_objects", "--scope", "read_targets")
    ven = await bl.made("/vens", {"objectType": "BL_VEN_REQUEST", "clientID": fresh("c"), "venName": fresh("v")})
    old = nobody.bearing(vtn.token("old-ven"))
    assert (await old.get("/vens")).shows(200).json == []
    (await old.get(f"/vens/{ven['id']}")).shows(404)
    (await old.get("/notifiers/mqtt/topics/vens")).shows(403)


async def test_read_all_alone_reads_everything_for_business_logic_sco_10(vtn, bl):
    reader = bl.bearing(vtn.token("bl", scope="read_all"))
    for collection in COLLECTIONS:
        (await reader.get(f"/{collection}")).shows(200)
        (await reader.post(f"/{collection}", {})).shows(403)


@pytest.mark.parametrize("alias", ["write_vens_bl", "write_vens_ven", "write_subscriptions_ven"])
async def test_other_spellings_of_scopes_are_understood(vtn, c1, alias):
    token = vtn.token("c1", scope=alias)
    (await c1.bearing(token).post("/" + alias.split("_")[1], {})).shows(400)


# --- the token endpoint ----------------------------------------------------------------------------------------------


async def ask(party, form, **headers):
    raw = urllib.parse.urlencode(form, doseq=True).encode()
    return await party.send("POST", "/auth/token", raw=raw, headers={"Content-Type": FORM, **headers})


@pytest.fixture
def credentials(vtn):
    return {"grant_type": "client_credentials", "client_id": "c1", "client_secret": vtn.secrets["c1"]}


@pytest.mark.parametrize("base", [V310, V311])
async def test_the_whole_loop_from_discovery_to_data_auth_01_to_04_27(vtn, nobody, credentials, base):
    there = nobody.at(vtn.root + base)
    server = (await there.get("/auth/server")).shows(200).json
    assert server == {"tokenURL": f"{vtn.root}{base}/auth/token"}
    token = (await ask(there, credentials)).shows(200).json["access_token"]
    (await there.bearing(token).get("/programs")).shows(200)


async def test_the_token_answer_has_its_shape_auth_09_23(nobody, credentials):
    answer = (await ask(nobody, credentials)).shows(200)
    assert answer.json["token_type"] == "Bearer"
    assert 1 <= len(answer.json["access_token"]) <= 4096
    assert 0 < answer.json["expires_in"] <= 3600
    assert "read_targets" in answer.json["scope"].split()
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"client_id": None}, 400, "invalid_request"),
        ({"client_secret": None}, 400, "invalid_request"),
        ({"client_id": ""}, 400, "invalid_request"),
        ({"client_secret": "x" * 4097}, 400, "invalid_request"),
        ({"client_id": ["c1", "c1"]}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "stranger"}, 401, "invalid_client"),
        ({"scope": "no_such_scope"}, 400, "invalid_scope"),
        ({"scope": "read_targets write_events"}, 400, "invalid_scope"),
    ],
)
async def test_a_bad_token_request_satisfies_both_error_schemas_auth_06_to_14(
    nobody, credentials, change, status, error
):
    form = {key: value for key, value in {**credentials, **change}.items() if value is not None}
    answer = (await ask(nobody, form)).shows(status)
    assert answer.json["error"] == error
    assert answer.json["error_description"]


async def test_the_answer_to_a_wrong_secret_and_to_an_unknown_client_is_the_same(nobody, credentials):
    wrong = (await ask(nobody, {**credentials, "client_secret": "wrong"})).json
    unknown = (await ask(nobody, {**credentials, "client_id": "stranger"})).json
    assert {**wrong, "instance": ""} == {**unknown, "instance": ""}


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
async def test_the_token_request_is_form_encoded_only_auth_15(nobody, media_type):
    body = b'{"grant_type":"client_credentials"}'
    answer = await nobody.send("POST", "/auth/token", raw=body, headers={"Content-Type": media_type})
    assert answer.shows(400).json["error"] == "invalid_request"


async def test_http_basic_carries_the_credentials_too(vtn, nobody):
    basic = base64.b64encode(f"c1:{vtn.secrets['c1']}".encode()).decode()
    answer = await ask(nobody, {"grant_type": "client_credentials"}, Authorization=f"Basic {basic}")
    assert answer.shows(200).json["access_token"]


@pytest.mark.parametrize("text", ["!!!", "\u00ff\u00fe", "/zr/"])
async def test_what_is_no_http_basic_is_refused(nobody, text):
    broken = await ask(nobody, {"grant_type": "client_credentials"}, Authorization=f"Basic {text}")
    assert broken.shows(401).json["error"] == "invalid_client"


async def test_the_get_of_3_0_0_is_gone_auth_17(nobody):
    (await nobody.send("GET", "/auth/token", headers={"clientID": "c1", "clientSecret": "x"})).shows(405)


# --- bad tokens ------------------------------------------------------------------------------------------------------


@pytest.fixture
def forged(vtn):
    """Tokens with claims of our choice, signed with the server's own key, which only its operator can read."""
    key = OKPKey.import_key((vtn.var / "keys" / "tokens.pem").read_bytes())
    now_s = int(time.time())
    claims = {"iss": "evtn", "sub": "c1", "iat": now_s, "exp": now_s + 60, "scope": "read_targets"}

    def make(signing_key=key, algorithm="Ed25519", **change):
        final = {name: value for name, value in {**claims, **change}.items() if value is not None}
        return jwt.encode({"alg": algorithm}, final, signing_key, algorithms=[algorithm])

    return make


async def test_a_well_made_token_is_taken(c1, forged):
    (await c1.bearing(forged()).get("/programs")).shows(200)


@pytest.mark.parametrize(
    "change",
    [
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iss": "someone-else"},
        {"iss": None},
        {"sub": "stranger"},
        {"sub": None},
        {"iat": 1},
        {"iat": None},
        {"signing_key": OKPKey.generate_key("Ed25519")},
    ],
    ids=lambda change: "-".join(f"{k}={v}" if k != "signing_key" else k for k, v in change.items()),
)
async def test_expired_foreign_and_incomplete_tokens_are_refused_auth_19(c1, forged, change):
    (await c1.bearing(forged(**change)).get("/programs")).shows(401)


async def test_an_unsigned_token_is_refused_auth_19(c1, forged):
    header, claims, _ = forged().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for token in (f"{none}.{claims}.", f"{none}.{claims}", f"{header}.{claims}.", "garbage", "", "a.b.c", "x" * 5000):
        (await c1.send("GET", "/programs", headers={"Authorization": f"Bearer {token}"})).shows(401)


async def test_other_schemes_are_refused(vtn, c1):
    for header in (c1.token, f"Basic {c1.token}", f"bearer{c1.token}", "Bearer"):
        (await c1.send("GET", "/programs", headers={"Authorization": header})).shows(401)


async def test_an_unsent_scope_opens_nothing(c1, forged):
    (await c1.bearing(forged(scope=None)).get("/programs")).shows(403)


async def test_a_forged_utility_scope_does_not_change_the_role_auth_21(c1, forged):
    (await c1.bearing(forged(scope="write_programs read_bl")).post("/programs", {})).shows(403)


async def test_revocation_in_another_process_works_on_the_next_request(vtn, nobody):
    name = fresh("short-lived")
    vtn.add_client(name, "VEN")
    ven = nobody.bearing(vtn.token(name))
    (await ven.get("/programs")).shows(200)
    assert vtn.cli("client", "revoke", name).returncode == 0
    (await ven.get("/programs")).shows(401)
    form = {"grant_type": "client_credentials", "client_id": name, "client_secret": vtn.secrets[name]}
    assert (await ask(nobody, form)).shows(401).json["error"] == "invalid_client"


async def test_a_new_secret_kills_the_old_one_and_its_tokens(vtn, nobody):
    name = fresh("rotated")
    vtn.add_client(name, "VEN")
    old = nobody.bearing(vtn.token(name))
    (await old.get("/programs")).shows(200)
    done = vtn.cli("client", "rotate", name, "--json")
    secret = json.loads(done.stdout)["secret"]
    (await old.get("/programs")).shows(401)
    form = {"grant_type": "client_credentials", "client_id": name, "client_secret": vtn.secrets[name]}
    (await ask(nobody, form)).shows(401)
    token = (await ask(nobody, {**form, "client_secret": secret})).shows(200).json["access_token"]
    (await nobody.bearing(token).get("/programs")).shows(200)
