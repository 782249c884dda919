"""What answers beside the table of operations: HEAD, OPTIONS, other methods; what caches and other origins may do."""

import base64
import json
import re
import urllib.parse

import pytest
from vtn_process import V310, Party, fresh

V301 = "/openadr3/3.0.1"
FORM = "application/x-www-form-urlencoded"
PAGE = "https://grid.example"
BL_RESOURCE = {"objectType": "BL_RESOURCE_REQUEST"}


@pytest.fixture(scope="module")
def open_vtn(launch):
    """A server that lets everyone read public data, listen, and read in the pages of one origin."""
    settings = {
        "mqtt.mode": "bundled",
        "mqtt.port": "0",
        "mqtt.authentication": "ANONYMOUS",
        "auth.anonymous_read": "true",
        "server.cors_origins": f'["{PAGE}"]',
    }
    with launch(settings) as server:
        yield server


@pytest.fixture
def everyone(open_vtn, http):
    return Party(http, open_vtn.url, None)


def varies(answer):
    lines = [value for name, value in answer.headers.items() if name == "Vary"]
    return {one.strip() for line in lines for one in line.split(",")}


# --- methods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/programs", "/auth/server", "/notifiers", "/events?limit=1", "/reports", "/programs/x"]
)
async def test_head_is_get_without_a_body(bl, path):
    whole, head = await bl.get(path), await bl.send("HEAD", path)
    assert (head.status, head.content) == (whole.status, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
        if name != "Content-Length" or whole.status == 200:
            assert head.headers.get(name) == whole.headers.get(name), name


async def test_head_needs_a_token_where_get_does(nobody):
    assert (await nobody.send("HEAD", "/programs")).status == 401


@pytest.mark.parametrize("root", [V310, V301])
@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/programs", "GET, HEAD, OPTIONS, POST"),
        ("/events/x", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/auth/token", "OPTIONS, POST"),
    ],
)
async def test_another_method_on_a_known_path_is_405_and_names_those_there_are(nobody, vtn, root, path, methods):
    there = nobody.at(vtn.root + root)
    for method in ("PATCH", "TRACE", "PROPFIND"):
        answer = (await there.send(method, path)).shows(405)
        assert answer.headers["Allow"] == methods
        assert method in answer.json["detail"]
    asked = (await there.send("OPTIONS", path)).shows(204)
    assert asked.headers["Allow"] == methods
    assert not any(name.startswith("Access-Control") for name in asked.headers)


async def test_an_unknown_path_stays_unknown_to_every_method(nobody):
    for method in ("GET", "HEAD", "OPTIONS", "PATCH", "POST"):
        assert (await nobody.send(method, "/no/such/thing")).status == 404


async def test_the_pages_at_the_root_have_methods_too(nobody, vtn):
    at_root = nobody.at(vtn.root)
    for path in ("/health", "/openapi.json", "/docs"):
        assert (await at_root.send("HEAD", path)).content == b""
        assert (await at_root.send("DELETE", path)).shows(405).headers["Allow"] == "GET, HEAD, OPTIONS"


# --- schemes have no case --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_of_a_token_has_no_case(bl, scheme):
    headers = {"Authorization": f"{scheme} {bl.token}"}
    (await bl.send("GET", "/programs", headers=headers)).shows(200)


@pytest.mark.parametrize("header", ["Bearerx y", "Bear er", "Bearer", "bearer ", "Basic eA==", "", "Bearer\tx"])
async def test_what_is_no_bearer_token_is_401(bl, header):
    (await bl.send("GET", "/programs", headers={"Authorization": header})).shows(401)


async def ask(party, form, **headers):
    raw = urllib.parse.urlencode(form).encode()
    return await party.send("POST", "/auth/token", raw=raw, headers={"Content-Type": FORM, **headers})


def basic(scheme, name, secret):
    return {"Authorization": f"{scheme} {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_the_scheme_of_a_client_has_no_case(nobody, vtn, scheme):
    form = {"grant_type": "client_credentials"}
    (await ask(nobody, form, **basic(scheme, "c1", vtn.secrets["c1"]))).shows(200)


async def test_a_wrong_secret_is_challenged_by_the_scheme_that_was_used(nobody):
    form = {"grant_type": "client_credentials"}
    in_header = (await ask(nobody, form, **basic("Basic", "c1", "wrong"))).shows(401)
    assert in_header.json["error"] == "invalid_client"
    assert re.fullmatch(r'Basic realm="[^"]+", charset="UTF-8"', in_header.headers["WWW-Authenticate"])
    in_form = (await ask(nobody, {**form, "client_id": "c1", "client_secret": "wrong"})).shows(401)
    assert in_form.json["error"] == "invalid_client"
    assert "WWW-Authenticate" not in in_form.headers
    broken = (await ask(nobody, form, Authorization="Basic %%%")).shows(401)
    assert broken.headers["WWW-Authenticate"].startswith("Basic ")


async def test_a_refusal_names_the_scope_that_is_missing(c1):
    answer = (await c1.post("/programs", {"programName": fresh("p")})).shows(403)
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="write_programs"'
    assert "write_programs" in answer.json["detail"]
    assert "read_targets" in answer.json["detail"]


async def test_a_client_with_fixed_scopes_gets_them_whatever_it_asks_for(vtn, nobody):
    names = {fixed: fresh("v") for fixed in (False, True)}
    vtn.add_client(names[False], "VEN")
    vtn.add_client(names[True], "VEN", "--fixed-scopes")
    body = {"objectType": "VEN_VEN_REQUEST", "venName": fresh("ven")}
    form = {"grant_type": "client_credentials", "scope": "read_all"}
    tokens = {}
    for fixed, name in names.items():
        answer = await ask(nobody, {**form, "client_id": name, "client_secret": vtn.secrets[name]})
        tokens[fixed] = answer.shows(200).json["access_token"]
        assert answer.json["scope"] == "read_all"
    assert "write_vens" in (await nobody.bearing(tokens[False]).post("/vens", body)).shows(403).json["detail"]
    (await nobody.bearing(tokens[True]).post("/vens", body)).shows(201)
    unknown = {**form, "scope": "everything", "client_id": names[True], "client_secret": vtn.secrets[names[True]]}
    (await ask(nobody, unknown)).shows(200)
    listed = {row["clientID"]: row["fixedScopes"] for row in json.loads(vtn.cli("client", "list", "--json").stdout)}
    assert (listed[names[False]], listed[names[True]]) == (False, True)


# --- caches and other origins ----------------------------------------------------------------------------------------


async def test_answers_to_somebody_are_private_and_refusals_are_not_kept(bl, nobody, program):
    for path in ("/programs", f"/programs/{program['id']}", "/reports", "/notifiers"):
        assert (await bl.get(path)).headers["Cache-Control"] == "private, no-cache"
    tag = (await bl.get("/programs")).headers["ETag"]
    unchanged = (await bl.send("GET", "/programs", headers={"If-None-Match": tag})).shows(304)
    assert unchanged.headers["Cache-Control"] == "private, no-cache"
    for answer in (await nobody.get("/programs"), await bl.get("/programs/x"), await nobody.get("/nowhere")):
        assert answer.headers["Cache-Control"] == "no-store"


async def test_public_answers_may_be_shared_and_say_that_a_token_changes_them(open_vtn, everyone, http):
    bl = Party(http, open_vtn.url, open_vtn.token("bl"))
    hidden = await bl.made("/programs", {"programName": fresh("hidden"), "targets": ["g1"]})
    to_nobody, to_somebody = await everyone.get("/programs"), await bl.get("/programs")
    assert hidden["id"] not in to_nobody.ids
    assert hidden["id"] in to_somebody.ids
    assert re.fullmatch(r"public, max-age=\d{1,2}", to_nobody.headers["Cache-Control"])
    assert to_somebody.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization"} <= varies(to_nobody) & varies(to_somebody)
    assert (await bl.get("/vens")).headers["Cache-Control"] == "private, no-cache"


async def test_whoever_may_listen_may_learn_where(open_vtn, everyone, http):
    bl = Party(http, open_vtn.url, open_vtn.token("bl"))
    shown, hidden = [
        (await bl.made("/programs", {"programName": fresh("p"), "targets": targets}))["id"] for targets in ([], ["g1"])
    ]
    assert (await everyone.get("/notifiers")).shows(200).json["MQTT"]["authentication"] == {"method": "ANONYMOUS"}
    for path in ("programs", f"programs/{shown}", f"programs/{shown}/events"):
        assert (await everyone.get(f"/notifiers/mqtt/topics/{path}")).shows(200).json["topics"]
    (await everyone.get(f"/notifiers/mqtt/topics/programs/{hidden}")).shows(404)
    for path in ("events", "vens", "reports"):
        (await everyone.get(f"/notifiers/mqtt/topics/{path}")).shows(401)
    (await everyone.post("/programs", {"programName": fresh("p")})).shows(401)


async def test_where_only_clients_may_listen_a_token_is_needed_to_learn_where(launch, http):
    with launch({"auth.anonymous_read": "true"}) as server:
        nobody = Party(http, server.url, None)
        (await nobody.get("/programs")).shows(200)
        (await nobody.get("/notifiers")).shows(401)


async def test_pages_of_a_named_origin_read_what_is_public_and_no_others_do(open_vtn, everyone):
    named, other = {"Origin": PAGE}, {"Origin": "https://elsewhere.example"}
    for party, path in ((everyone, "/programs"), (everyone.at(open_vtn.root), "/openapi.json")):
        answer = (await party.send("GET", path, headers=named)).shows(200)
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Origin" in varies(answer)
        refused = (await party.send("GET", path, headers=other)).shows(200)
        assert "Access-Control-Allow-Origin" not in refused.headers
        assert "Origin" in varies(refused)
    preflight = {**named, "Access-Control-Request-Method": "GET"}
    asked = (await everyone.send("OPTIONS", "/programs", headers=preflight)).shows(204)
    assert asked.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Authorization" not in asked.headers["Access-Control-Allow-Headers"]
    write = {**named, "Access-Control-Request-Method": "POST"}
    assert "Access-Control-Allow-Origin" not in (await everyone.send("OPTIONS", "/programs", headers=write)).headers


async def test_no_origin_is_named_until_a_setting_does(bl, vtn):
    answer = await bl.at(vtn.root).send("GET", "/openapi.json", headers={"Origin": PAGE})
    assert "Access-Control-Allow-Origin" not in answer.shows(200).headers


# --- a resource belongs to its ven's client --------------------------------------------------------------------------


async def test_business_logic_need_not_name_the_owner_of_a_resource(bl, c1):
    for ven in (await bl.get("/vens")).json:
        await bl.delete(f"/vens/{ven['id']}")
    ven = await bl.made("/vens", {"objectType": "BL_VEN_REQUEST", "clientID": "c1", "venName": fresh("v")})
    body = {**BL_RESOURCE, "resourceName": fresh("r"), "venID": ven["id"], "targets": ["g1"]}
    made = await bl.made("/resources", body)
    assert made["clientID"] == "c1"
    path = f"/resources/{made['id']}"
    assert (await c1.get(path)).shows(200).json["id"] == made["id"]
    assert (await bl.put(path, {**body, "targets": ["g2"]})).shows(200).json["clientID"] == "c1"
    assert (await bl.put(path, {**body, "clientID": "c2"})).shows(400).paths() == ["$.clientID"]
