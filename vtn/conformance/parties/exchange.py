"""Raw HTTP with a VTN, recorded so that a failed check can show what was sent and what came; secrets are left out."""

import asyncio
import dataclasses
import json
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from vtn.checking.verdict import Cause, Failed, Skipped, expect
from vtn.conformance.bodies.members import COLLECTIONS, kind_at, read_json
from vtn.rules.scopes import OPERATIONS

Json = dict[str, Any]
Query = tuple[str, str]
PAGE = 50
OK, CREATED, TOO_MANY = 200, 201, 429
MOST_PATIENCE = 5
LONGEST_PAUSE_S = 5.0
RENEW_BEFORE_S, TOKEN_LIVES_S = 60.0, 3600
TIMEOUT_S, CONNECT_WITHIN_S = 60.0, 10.0
LONGEST_SHOWN = 4000
INSIDE = ("GEN-01", "ERR-12")
"""The requirements about an operation that fails inside the VTN."""
NOT_SERVED = "is not served"
WITHOUT_IDS = frozenset({"/auth/server", *(one.path for one in OPERATIONS if "{" not in one.path)})
NO_PROBLEM = Cause("refusals without a problem document", ("ERR-01",), general=True)
HIDDEN = re.compile(r'(client_secret=|access_token":\s*"|bearerToken":\s*"|clientKey":\s*")[^&"]+')


@dataclasses.dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back. `shows` and its companions fail the check when it is not what the standard wants."""

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes
    path: str = ""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode(errors="replace")

    @property
    def kind(self) -> str:
        """The kind of object that is at this path (`PROGRAM` ...); "" where it is none of the six."""
        return kind_at(self.path)

    @property
    def json(self) -> Any:
        """The body, read; Failed when it is not JSON."""
        try:
            return read_json(self.content, self.kind if self.status in {OK, CREATED} else "")
        except ValueError:
            words = f"{self.method} {self.url} answered {self.status} with a body that is not JSON"
            cause = Cause("bodies that are not JSON", ("GEN-02",), general=True)
            raise Failed(words, cause if self.status < HTTPStatus.BAD_REQUEST else NO_PROBLEM) from None

    @property
    def object(self) -> Json:
        """The body as a JSON object."""
        found: Json = self._shaped(dict, "object")
        return found

    @property
    def list(self) -> list[Json]:
        """The body as a JSON list."""
        found: list[Json] = self._shaped(list, "list")
        return found

    def _shaped(self, kind: type, words: str) -> Any:
        found = self.json
        cause = Cause(f"{self.method} {self._pattern} is no {words}", ("GEN-01", "GEN-02"), general=True)
        expect(isinstance(found, kind), f"{self.method} {self.url}: the body should be a JSON {words}", cause)
        return found

    def shows(self, *statuses: int) -> Self:
        """Itself, when the status is one of these."""
        wanted = " or ".join(map(str, statuses))
        words = f"{self.method} {self.url} should answer {wanted}, but answered {self.status}"
        expect(self.status in statuses, words, self.no_service)
        return self

    def problem(self, *statuses: int) -> Self:
        """Itself, when it is a refusal with one of these statuses and a problem document (ERR-01, ERR-02)."""
        self.shows(*statuses)
        try:
            content = self.json
        except Failed:
            content = None
        said = isinstance(content, dict) and {"title", "status"} & content.keys()
        expect(said, f"{self.method} {self.url}: the {self.status} should carry a problem document", NO_PROBLEM)
        other = Cause("problem.status is not the status", ("ERR-02",), general=True)
        expect(content.get("status", self.status) == self.status, "problem.status should equal the HTTP status", other)
        return self

    @property
    def _pattern(self) -> str:
        """The path with its ids left out, as the standard's table of operations has it."""
        first, _, rest = self.path.strip("/").partition("?")[0].partition("/")
        return f"/{first}/{{id}}" if rest and first in COLLECTIONS else f"/{first}" + (f"/{rest}" if rest else "")

    @property
    def no_service(self) -> Cause | None:
        """The cause of a status that says nothing of the request: the operation fails inside, or is not there."""
        if self.status == HTTPStatus.NOT_FOUND and self.path.partition("?")[0] in WITHOUT_IDS:
            return Cause(f"{self._pattern} {NOT_SERVED}", ("GEN-01",), general=True)
        if self.status in {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}:
            return Cause(f"{self.method} {self._pattern} {NOT_SERVED}", ("GEN-01", "ERR-13"), general=True)
        if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Cause(f"{self.method} {self._pattern} answers {self.status}", INSIDE, general=True)
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as reports show them."""

    method: str
    path: str
    request_body: str
    status: int
    answer_body: str
    who: str
    notification: bool = False


class Transcript:
    """The exchanges since it was last cleared, and every method and path that ever succeeded.

    `made` are the objects that were created and not yet deleted, `timeout_s` is how long an answer is waited for.
    """

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.answers: list[HttpAnswer] = []
        self.made: list[tuple[Party, str]] = []
        self.succeeded: set[tuple[str, str]] = set()
        self.requests = 0
        self.timeout_s = TIMEOUT_S

    def clear(self) -> None:
        """Begin a new check."""
        self.exchanges, self.answers = [], []

    def note(self, who: str, base: str, answer: HttpAnswer, sent: bytes) -> None:
        """Record an exchange."""
        path = answer.url.removeprefix(base)
        self.requests += 1
        if answer.status < 300:  # noqa: PLR2004 - an operation counts when it was once allowed to succeed
            self.succeeded.add((answer.method, path.partition("?")[0]))
        shown = (_shown(sent), answer.status, _shown(answer.content))
        self.answers.append(answer)
        self.exchanges.append(Exchange(answer.method, path, *shown, who))

    def note_arrival(self, who: str, method: str, place: str, body: bytes, status: int) -> None:
        """Record what the VTN sent to a callback or to a topic, and how it was answered (0: not at all)."""
        self.exchanges.append(Exchange(method, place, _shown(body), status, "", who, notification=True))

    def evidence(self, most: int) -> tuple[Exchange, ...]:
        """The last exchanges, and before them the last notifications that are not among them."""
        last = self.exchanges[-most:]
        earlier = [one for one in self.exchanges[:-most] if one.notification]
        return (*earlier[-most:], *last)


def _shown(body: bytes) -> str:
    return HIDDEN.sub(r"\1...", body[:LONGEST_SHOWN].decode(errors="replace"))


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """A client of the VTN."""

    client_id: str
    secret: str = dataclasses.field(repr=False)

    @classmethod
    def read(cls, text: str) -> Self:
        """From ID:SECRET; ValueError when it is not that."""
        client_id, colon, secret = text.partition(":")
        if not (client_id and colon and secret):
            raise ValueError("must be ID:SECRET")
        return cls(client_id, secret)


class Party:
    """Somebody who talks to the VTN at `url` (up to and with the version); without credentials, nobody."""

    def __init__(
        self,
        who: str,
        url: str,
        session: aiohttp.ClientSession,
        transcript: Transcript,
        credentials: Credentials | None = None,
    ) -> None:
        self.who = who
        self.url = url.rstrip("/")
        self.client_id = credentials.client_id if credentials else ""
        self._credentials = credentials
        self._session = session
        self._transcript = transcript
        self._token: str | None = None
        self._token_dies_s = 0.0

    def bearing(self, token: str | None, who: str = "another token") -> "Party":
        """Somebody with this very token instead, which is never renewed."""
        other = Party(who, self.url, self._session, self._transcript)
        other._token = token
        other._token_dies_s = float("inf")
        return other

    def at(self, url: str) -> "Party":
        """The same client at another base URL."""
        other = Party(self.who, url, self._session, self._transcript, self._credentials)
        other._token, other._token_dies_s = self._token, self._token_dies_s
        return other

    # --- tokens --------------------------------------------------------------------------------------------------

    async def token(self, *, renew: bool = False) -> str | None:
        """An access token, renewed when it is about to die; None for nobody."""
        if self._credentials is None:
            return self._token
        if renew or time.monotonic() > self._token_dies_s - RENEW_BEFORE_S:
            answer = (await self.ask_token({})).shows(200).object
            self._token = str(answer["access_token"])
            lifetime = answer.get("expires_in")
            self._token_dies_s = time.monotonic() + (lifetime if isinstance(lifetime, int) else TOKEN_LIVES_S)
        return self._token

    async def token_url(self) -> str:
        """Where `/auth/server` says that tokens come from."""
        answer = await self.send("GET", "/auth/server", headers={"Authorization": ""})
        return str(answer.shows(200).object["tokenURL"])

    async def ask_token(self, changes: Mapping[str, str | None]) -> HttpAnswer:
        """A client credentials request with these fields instead of the right ones; None leaves a field out."""
        own = self._credentials or Credentials("nobody", "nothing")
        form: dict[str, str | None] = {"grant_type": "client_credentials"}
        form |= {"client_id": own.client_id, "client_secret": own.secret, **changes}
        body = urlencode({name: value for name, value in form.items() if value is not None}).encode()
        return await self.ask_token_with(body)

    async def ask_token_with(self, form: bytes, media_type: str = "application/x-www-form-urlencoded") -> HttpAnswer:
        """A token request with exactly this body; Skipped when the endpoint has been asked too often."""
        headers = {"Authorization": "", "Content-Type": media_type}
        answer = await self.send("POST", await self.token_url(), raw=form, headers=headers, patient=False)
        if answer.status == TOO_MANY:
            raise Skipped("the token endpoint limits how often it may be asked (429); run this check alone later")
        return answer

    async def narrowed(self, scope: str) -> "Party":
        """The same client with a token of these scopes only; Skipped when the token endpoint cannot do that."""
        answer = await self.ask_token({"scope": scope})
        granted = set(str(answer.object.get("scope", scope)).split()) if answer.status == OK else set()
        if granted != set(scope.split()):
            raise Skipped(f"the token endpoint gives {self.who} no token that has just the scope {scope}")
        return self.bearing(str(answer.object["access_token"]), f"{self.who} with only {scope}")

    # --- requests ------------------------------------------------------------------------------------------------

    async def send(  # noqa: PLR0913 - what a request consists of
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Sequence[Query] = (),
        patient: bool = True,
    ) -> HttpAnswer:
        """One request; `body` is rendered as JSON, `raw` is sent as it is; a header set to "" is left out.

        Who is told to come again later (429) does so, unless the answer itself is what the check wants to see.
        """
        own = dict(headers or {})
        if "Authorization" not in own and (token := await self.token()):
            own["Authorization"] = f"Bearer {token}"
        data = raw if raw is not None else (b"" if body is None else json.dumps(body).encode())
        if body is not None:
            own.setdefault("Content-Type", "application/json")
        url = path if path.startswith("http") else self.url + path
        target = url + ("?" + urlencode(query) if query else "")
        used = {name: value for name, value in own.items() if value}
        where = "" if path.startswith("http") else path
        timeout = aiohttp.ClientTimeout(total=self._transcript.timeout_s, connect=CONNECT_WITHIN_S)
        for _ in range(MOST_PATIENCE if patient else 1):
            request = self._session.request(
                method,
                URL(target, encoded=True),
                data=data or None,
                headers=used,
                allow_redirects=False,
                timeout=timeout,
            )
            async with request as response:
                answer = HttpAnswer(
                    method, target, response.status, response.headers.copy(), await response.read(), where
                )
            if answer.status != TOO_MANY:
                break
            await asyncio.sleep(_pause_s(answer) if patient else 0)
        self._transcript.note(self.who, self.url, answer, data)
        self._keep(method, where, answer)
        return answer

    def _keep(self, method: str, path: str, answer: HttpAnswer) -> None:
        """Note what a POST created, whatever the check makes of it, so that it is deleted afterwards."""
        if method != "POST" or answer.status not in {OK, CREATED} or not answer.kind:
            return
        try:
            made = answer.json
        except Failed:
            return
        if isinstance(made, dict) and isinstance(made.get("id"), str):
            self._transcript.made.append((self, f"{path}/{made['id']}"))

    async def get(self, path: str, *query: Query) -> HttpAnswer:
        """Read."""
        return await self.send("GET", path, query=query)

    async def post(self, path: str, body: Any) -> HttpAnswer:
        """Create."""
        return await self.send("POST", path, body=body)

    async def put(self, path: str, body: Any) -> HttpAnswer:
        """Replace."""
        return await self.send("PUT", path, body=body)

    async def delete(self, path: str) -> HttpAnswer:
        """Delete."""
        return await self.send("DELETE", path)

    async def all(self, path: str, *query: Query) -> list[Json]:
        """A whole list, page by page."""
        found: list[Json] = []
        while True:
            page = (await self.get(path, *query, ("skip", str(len(found))), ("limit", str(PAGE)))).shows(200).list
            words = f"GET {path} shows the same page again instead of the next"
            expect(not page or page != found[-PAGE:], words, Cause("skip does nothing", ("PAG-01",), general=True))
            found += page
            if len(page) < PAGE:
                return found

    async def ids(self, path: str, *query: Query) -> list[str]:
        """The ids of a whole list."""
        return [str(item["id"]) for item in await self.all(path, *query)]


def _pause_s(answer: HttpAnswer) -> float:
    """How long a 429 asks to wait, within bounds."""
    told = answer.headers.get("Retry-After", "")
    return min(float(told), LONGEST_PAUSE_S) if told.isdigit() else 1.0


def session(*, tls: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    """A connection pool that keeps no cookies."""
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
