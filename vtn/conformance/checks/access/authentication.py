"""Finding the token endpoint, getting a token, and bearing it (section AUTH); the fields are in `token_fields`."""

import base64
import json
from http import HTTPStatus
from urllib.parse import urlsplit

from vtn.checking.verdict import Skipped, expect
from vtn.conformance.bodies.valid_bodies import event_of
from vtn.conformance.check import Need, check
from vtn.conformance.kit import Kit
from vtn.conformance.parties.exchange import HttpAnswer
from vtn.conformance.requirements import Level
from vtn.conformance.stage import staged
from vtn.rules.scopes import OPERATIONS

TOKEN_PATH = "/auth/token"  # noqa: S105 - a path
A_DAY_S = 86_400
PUBLIC = ("/programs", "/events")
ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


async def own_tokens(kit: Kit) -> None:
    """Skip a check unless this VTN gives out its tokens itself (AUTH-04)."""
    if not urlsplit(await kit.nobody.token_url()).path.endswith(TOKEN_PATH):
        raise Skipped(f"needs {Need.OWN_TOKENS}")


def refused(answer: HttpAnswer) -> HttpAnswer:
    """A token request that is refused, whether in OAuth's words (RFC 6749, 5.2) or as a problem document.

    Clients that are not known may be answered 400 or 401; which words are used is judged by readings.
    """
    return answer.shows(400, 401)


def names(answer: HttpAnswer, error: str, *statuses: int) -> None:
    """A refusal with one of these statuses and OAuth's word for it."""
    content = answer.shows(*statuses).object
    expect(content.get("error") == error, f"the error should be {error}, but is {content.get('error')}")


# --- where tokens come from ------------------------------------------------------------------------------------------


@check("AUTH-01", "AUTH-03", "AUTH-02")
async def everybody_is_told_where_tokens_come_from(kit: Kit) -> None:
    """/auth/server needs no token and names an absolute tokenURL of 2 to 8000 characters, https when the VTN is."""
    url = await kit.nobody.token_url()
    parts = urlsplit(url)
    expect(parts.scheme in {"https", "http"} and parts.netloc, f"tokenURL should be an absolute URL, but is {url!r}")
    expect(kit.url.startswith("http:") or parts.scheme == "https", "tokenURL should be https")
    expect(2 <= len(url) <= 8000, "tokenURL should have 2 to 8000 characters")  # noqa: PLR2004 - of the schema


@check("AUTH-04")
async def an_own_token_endpoint_is_named_and_works(kit: Kit) -> None:
    """With a token service inside the VTN, /auth/server names its /auth/token, and that gives tokens."""
    await own_tokens(kit)
    answer = (await kit.ven.ask_token({})).shows(200)
    expect(answer.object.get("access_token"), f"{answer.url} should give a token")


@check("AUTH-05")
async def a_vtn_with_an_external_token_service_says_so(kit: Kit) -> None:
    """With a token service elsewhere, /auth/token is missing or answers 501 with a problem document."""
    if urlsplit(await kit.nobody.token_url()).path.endswith(TOKEN_PATH):
        raise Skipped("this VTN gives out its tokens itself")
    answer = (await kit.nobody.send("POST", TOKEN_PATH, raw=b"grant_type=client_credentials")).shows(501, 404)
    if answer.status == HTTPStatus.NOT_IMPLEMENTED:
        answer.problem(501)


@check("AUTH-06")
async def a_token_request_needs_its_three_fields(kit: Kit) -> None:
    """A form without grant_type, client_id or client_secret is refused."""
    await own_tokens(kit)
    for name in ("grant_type", "client_id", "client_secret"):
        refused(await kit.ven2.ask_token({name: None}))


@check("AUTH-10")
async def a_missing_or_repeated_field_is_an_invalid_request(kit: Kit) -> None:
    """A form without one of its three fields, or with one of them twice, is answered 400 invalid_request."""
    await own_tokens(kit)
    for name in ("grant_type", "client_id", "client_secret"):
        names(await kit.ven2.ask_token({name: None}), "invalid_request", 400)
    twice = b"grant_type=client_credentials&client_id=a&client_id=b&client_secret=c"
    names(await kit.nobody.ask_token_with(twice), "invalid_request", 400)


@check("AUTH-07")
async def only_client_credentials_are_granted(kit: Kit) -> None:
    """Another grant_type, such as a password, is refused."""
    await own_tokens(kit)
    for grant in ("password", "authorization_code", "CLIENT_CREDENTIALS"):
        refused(await kit.ven2.ask_token({"grant_type": grant}))


@check("AUTH-07", level=Level.READING)
async def another_grant_is_refused_in_oauths_words(kit: Kit) -> None:
    """Another grant_type is answered 400 unsupported_grant_type."""
    await own_tokens(kit)
    for grant in ("password", "authorization_code"):
        names(await kit.ven2.ask_token({"grant_type": grant}), "unsupported_grant_type", 400)


@check("AUTH-08")
async def a_scope_may_be_named_and_may_be_left_out(kit: Kit) -> None:
    """A token is given without a scope, and reads programs; for one of the standard's, it is given or refused."""
    for scope in (None, "read_targets"):
        answer = await kit.ven2.ask_token({"scope": scope})
        if scope is not None and answer.status == HTTPStatus.BAD_REQUEST:
            continue  # which scopes there are is defined by the application
        token = answer.shows(200).object["access_token"]
        (await kit.ven2.bearing(str(token)).get("/programs")).shows(200)


@check("AUTH-09")
async def a_token_is_of_the_type_bearer(kit: Kit) -> None:
    """A granted request answers 200 with an access_token of 1 to 4096 characters and the token_type `Bearer`."""
    content = (await kit.ven2.ask_token({})).shows(200).object
    token = content.get("access_token")
    expect(isinstance(token, str) and 1 <= len(token) <= 4096, "access_token should have 1 to 4096 characters")  # noqa: PLR2004 - of the schema
    expect(content.get("token_type") == "Bearer", f"token_type should be Bearer, but is {content.get('token_type')}")


@check("AUTH-11")
async def a_wrong_secret_and_an_unknown_client_look_alike(kit: Kit) -> None:
    """A wrong secret and an unknown client_id are answered 401 invalid_client, in the same words."""
    await own_tokens(kit)
    wrong = await kit.ven2.ask_token({"client_secret": kit.name("secret")})
    unknown = await kit.ven2.ask_token({"client_id": kit.name("client")})
    for answer in (wrong, unknown):
        names(answer, "invalid_client", 401)
    for words in ("detail", "error_description"):
        expect(wrong.object.get(words) == unknown.object.get(words), "the answers tell who is a client")


@check("AUTH-12")
async def a_scope_beyond_the_client_is_not_granted(kit: Kit) -> None:
    """A VEN that asks for write_programs gets invalid_scope, or a token that cannot write programs."""
    answer = await kit.ven.ask_token({"scope": "write_programs"})
    if answer.status != HTTPStatus.OK:
        names(answer, "invalid_scope", 400)
        return
    expect("write_programs" not in str(answer.object.get("scope")), "the scope should not be granted")
    writer = kit.ven.bearing(str(answer.object["access_token"]))
    await kit.refused(writer, "/programs", {"programName": kit.name("program")}, 403)


@check("AUTH-14")
async def token_refusals_speak_both_dialects(kit: Kit) -> None:
    """A refused token request carries OAuth's `error`, and a problem's `title` and a `status` equal to the answer's.

    The standard names both; a server that keeps to one of them is none the worse.
    """
    await own_tokens(kit)
    for changes in ({"grant_type": "password"}, {"client_id": None}, {"client_secret": kit.name("secret")}):
        content = (await kit.ven2.ask_token(changes)).problem(400, 401).object
        expect(content.get("error") in ERRORS, f"`error` should be one of OAuth's, but is {content.get('error')}")
        expect("title" in content and "status" in content, "a refusal should be a problem document too")


@check("AUTH-15")
async def token_requests_are_forms(kit: Kit) -> None:
    """A token request as JSON, or as plain text, is a bad request."""
    await own_tokens(kit)
    form = {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}
    for body, media_type in ((json.dumps(form), "application/json"), ("grant_type=client_credentials", "text/plain")):
        (await kit.nobody.ask_token_with(body.encode(), media_type)).shows(400, 415)


@check("AUTH-16")
async def no_token_request_breaks_the_endpoint(kit: Kit) -> None:
    """Garbage for a form is refused, and whatever is a 500 is a problem that shows no trace."""
    await own_tokens(kit)
    for form in (b"\xff\xfe\x00", b"%%%=%zz&&&;=", b"grant_type[]=x&client_id[a]=b", b"&" * 5000, b"client_id=\x00"):
        answer = (await kit.nobody.ask_token_with(form)).shows(400, 401, 413, 415, 422, 500)
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            answer.problem(500)
        expect("Traceback" not in answer.text, "a refusal should show no trace")


@check("AUTH-17")
async def tokens_are_not_read_with_get(kit: Kit) -> None:
    """GET /auth/token with credentials in headers, as in 3.0.0, is no operation any more."""
    headers = {"Authorization": "", "clientID": kit.ven.client_id, "clientSecret": "x"}
    (await kit.nobody.send("GET", TOKEN_PATH, headers=headers)).shows(404, 405, 501)


# --- bearing a token -------------------------------------------------------------------------------------------------


async def _public(kit: Kit) -> bool:
    """Whether the VTN answers reads without a token (AUTH-26)."""
    return (await kit.nobody.get("/programs")).shows(200, 401).status == HTTPStatus.OK


@check("AUTH-18")
async def every_operation_needs_a_token(kit: Kit) -> None:
    """Without a token every operation outside /auth is answered 401, but a public VTN may show programs and events."""
    public = await _public(kit)
    for operation in (one for one in OPERATIONS if kit.mqtt is not None or "mqtt" not in one.path):
        path = "/".join("none" if part.startswith("{") else part for part in operation.path.split("/"))
        answer = await kit.nobody.send(operation.method, path, body=None if operation.method in "GET DELETE" else {})
        open_to_all = public and operation.method == "GET" and operation.path.startswith(PUBLIC)
        answer.shows(200, 404) if open_to_all else answer.problem(401)


@check("AUTH-19")
async def a_token_that_is_none_opens_nothing(kit: Kit) -> None:
    """A missing, malformed, unknown or altered token is answered 401, also for an object that exists."""
    token = str(await kit.ven.token())
    spoilt = [_altered(token), *_forged(token)]
    headers = ["Bearer", "Bearer ", "Bearer garbage", f"Basic {token}", token, *(f"Bearer {one}" for one in spoilt)]
    path = f"/vens/{(await kit.ven_of(kit.ven))['id']}"
    (await kit.nobody.get(path)).problem(401)
    for header in headers:
        (await kit.nobody.send("GET", path, headers={"Authorization": header})).problem(401)
        (await kit.nobody.send("DELETE", path, headers={"Authorization": header})).problem(401)
    (await kit.ven.get(path)).shows(200)


def _altered(token: str) -> str:
    """The token with a character changed in the middle of its last part."""
    place = (token.rfind(".") + 1 + len(token)) // 2
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


def _forged(token: str) -> list[str]:
    """For a JWT: the same claims unsigned, and other claims under the old signature."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - head, claims, signature
        return []
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    claims = base64.urlsafe_b64encode(b'{"sub":"bl","role":"BL","scope":"read_all"}').rstrip(b"=").decode()
    return [f"{unsigned}.{parts[1]}.", f"{unsigned}.{parts[1]}.{parts[2]}", f"{parts[0]}.{claims}.{parts[2]}"]


@check("AUTH-20")
async def a_token_without_the_scope_is_forbidden(kit: Kit) -> None:
    """A VEN's POST /programs is answered 403, and so is a POST of a report by its token with read scopes only."""
    await kit.refused(kit.ven, "/programs", {"programName": kit.name("program")}, 403)
    reader = await kit.ven.narrowed("read_targets")
    event = await kit.event(await kit.program())
    (await reader.get(f"/events/{event['id']}")).shows(200)
    (await reader.get("/reports")).problem(403)
    await kit.refused(reader, "/reports", kit.report_on(event["id"]), 403)


@check("AUTH-21", "AUTH-22")
async def the_token_says_who_the_client_is(kit: Kit) -> None:
    """What a VEN creates belongs to the client of its token, whatever the body says, and to no other."""
    body = {"objectType": "VEN_VEN_REQUEST", "venName": kit.name("ven"), "clientID": kit.ven2.client_id}
    made = await kit.made(kit.ven, "/vens", body)
    expect(made["clientID"] == kit.ven.client_id, "the clientID should come from the token")
    expect(made["id"] in await kit.ven.ids("/vens"), "the VEN should see its own ven")
    expect(made["id"] not in await kit.ven2.ids("/vens"), "another VEN should not see it")


@check("AUTH-23")
async def tokens_are_short_lived(kit: Kit) -> None:
    """A token says when it dies, and that is within a day."""
    lifetime = (await kit.ven2.ask_token({})).shows(200).object.get("expires_in")
    expect(isinstance(lifetime, int) and 0 < lifetime <= A_DAY_S, f"expires_in should be within a day, is {lifetime}")


@check("AUTH-25")
async def a_bearer_token_alone_does_not_open_writes(kit: Kit) -> None:
    """A VEN's POST /events is answered 403, although its token is a valid bearer token."""
    await kit.refused(kit.ven, "/events", event_of((await kit.program())["id"]), 403)


@check("AUTH-26")
async def what_is_public_is_untargeted_and_read_only(kit: Kit) -> None:
    """A VTN that answers without a token shows untargeted programs and events only, and takes no writes."""
    if not await _public(kit):
        raise Skipped("this VTN answers nobody without a token")
    stage = await staged(kit, "P0", "P9", "E0", "E9")
    for collection, shown in (("programs", "P0"), ("events", "E0")):
        seen = await stage.listed(kit.nobody, collection)
        expect(seen == {shown: []}, f"without a token /{collection} should show {shown} only, shows {seen}")
        (await kit.nobody.delete(f"/{collection}/{stage.id(shown)}")).problem(401)
    (await kit.nobody.get(f"/events/{stage.id('E9')}")).problem(404, 401)


@check("AUTH-27")
async def the_whole_client_credentials_flow_works(kit: Kit) -> None:
    """From /auth/server over the tokenURL to a list of programs, with nothing known but the URL and the credentials."""
    token_url = (await kit.nobody.get("/auth/server")).shows(200).object["tokenURL"]
    granted = await kit.ven.ask_token({})
    expect(granted.url == token_url, "the token should come from the tokenURL")
    bearer = kit.nobody.bearing(str(granted.shows(200).object["access_token"]))
    listed = (await bearer.get("/programs", ("limit", "1"))).shows(200)
    expect(isinstance(listed.json, list), "GET /programs should answer a list")
