"""An asynchronous OpenADR 3.1 client, Business Logic and VEN, for any VTN: adapters, tools and users' own code.

It finds the token endpoint by `/auth/server`, renews tokens by itself, pages through lists, and remembers the ETag of
every list so that an unchanged poll costs a 304. It knows HTTP and JSON, and nothing of what our own server is made of.
"""

import asyncio
import dataclasses
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from vtn.limits import Recent
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

PAGE = 50
REMEMBERED_PAGES, REMEMBERED_BYTES = 256, 64 * 1_048_576
RENEW_BEFORE_S = 30.0
TIMEOUT = aiohttp.ClientTimeout(total=30.0, connect=5.0)
MOST_BYTES, MOST_VALUES = 4 * 1_048_576, 500_000
HEAVY_BYTES = 65_536
MOST_FOUND, MOST_FOUND_BYTES = 1_000_000, 512 * 1_048_576
USUAL_LIFETIME_S = 60.0
LONGEST_LIFETIME_S = 31_536_000.0
TOKEN = re.compile(r"[!-~]{1,16384}")

COLLECTIONS: Mapping[ObjectType, str] = {
    ObjectType.PROGRAM: "programs",
    ObjectType.EVENT: "events",
    ObjectType.REPORT: "reports",
    ObjectType.SUBSCRIPTION: "subscriptions",
    ObjectType.VEN: "vens",
    ObjectType.RESOURCE: "resources",
}

Json = dict[str, Any]
Query = Mapping[str, str | int | bool | Sequence[str]]


class VtnUnreachable(Exception):
    """The VTN did not answer; whether a write took effect is unknown."""


class VtnRefused(Exception):
    """The VTN answered with a problem: `status`, and the problem document in `problem`."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(f"{status}: {problem.get('detail') or problem.get('title') or problem}")
        self.status = status
        self.problem = problem


class VtnUnusable(VtnRefused):
    """The VTN answered, and well by its status, with what no VTN may answer; a write may have taken effect."""


class AnswerTooLarge(VtnUnusable):
    """An answer of more than `MOST_BYTES` or `MOST_VALUES`; of a list, fewer objects at a time may fit."""


@dataclasses.dataclass(slots=True)
class _Page:
    etag: str
    content: Any


class Client:
    """A session with one VTN at `url` (up to and with the version, such as http://127.0.0.1:8080/openadr3/3.1.0)."""

    def __init__(
        self, url: str, client_id: str, client_secret: str, *, scope: str = "", tls: ssl.SSLContext | bool = True
    ) -> None:
        self.url = url.rstrip("/")
        self.client_id = client_id
        self._secret = client_secret
        self._scope = scope
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._token_dies_s = 0.0
        self._token_url: str | None = None
        self._pages: Recent[str, _Page] = Recent(REMEMBERED_PAGES, REMEMBERED_BYTES)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- tokens --------------------------------------------------------------------------------------------------

    async def token(self) -> str:
        """A valid access token, renewed when it is about to die."""
        if time.monotonic() > self._token_dies_s - RENEW_BEFORE_S:
            await self._fetch_token()
        return self._token

    async def _fetch_token(self) -> None:
        if self._token_url is None:
            status, _, server = await self._send("GET", f"{self.url}/auth/server", {})
            if status != HTTPStatus.OK:
                raise VtnRefused(status, server if isinstance(server, dict) else {"title": str(server)[:200]})
            self._token_url = _token_url(_object(server).get("tokenURL"), self.url)
        form = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self._secret}
        if self._scope:
            form["scope"] = self._scope
        status, _, answer = await self._send("POST", self._token_url, {}, form=form)
        if status != HTTPStatus.OK:
            self._token_url = None  # it may have moved
            raise VtnRefused(status, answer if isinstance(answer, dict) else {"title": str(answer)[:200]})
        token, lifetime_s = _object(answer).get("access_token"), answer.get("expires_in", USUAL_LIFETIME_S)
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            raise _unusable("an access token that cannot stand in a header")
        self._token = token
        self._token_dies_s = time.monotonic() + _lifetime_s(lifetime_s)

    # --- objects -------------------------------------------------------------------------------------------------

    async def search(
        self,
        kind: ObjectType,
        *,
        most: int = MOST_FOUND,
        most_bytes: int = MOST_FOUND_BYTES,
        **query: str | int | bool | Sequence[str],
    ) -> list[Json]:
        """All objects of a kind that match, page by page; each has an `id` that is text, whatever else it holds.

        A page that is too large is asked for again in smaller ones. VtnUnusable for more than `most` objects or
        `most_bytes` of memory.
        """
        found: dict[str, Json] = {}
        skip, held_bytes, limit = 0, 0, PAGE
        while True:
            try:
                page = await self.get(f"/{COLLECTIONS[kind]}", {**query, "skip": skip, "limit": limit})
            except AnswerTooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)
                continue
            if not isinstance(page, list) or not all(_has_id(one) for one in page):
                raise _unusable("a list whose items are no objects with an id")
            fresh = {one["id"]: one for one in page if one["id"] not in found}
            found |= fresh
            skip += len(page)
            held_bytes += document.footprint(list(fresh.values()))
            if len(page) < limit or not fresh:  # a server that does not page answers the same for ever
                return list(found.values())
            if len(found) > most or held_bytes > most_bytes:
                raise _unusable(f"a list of more than {most} objects or {most_bytes} bytes")

    async def read(self, kind: ObjectType, object_id: str) -> Json:
        """One object; VtnRefused(404) when there is none for this client."""
        return _identified(await self.get(f"/{COLLECTIONS[kind]}/{object_id}", {}))

    async def create(self, kind: ObjectType, content: Mapping[str, Any]) -> Json:
        """Create an object and return it as stored."""
        return await self._write("POST", f"/{COLLECTIONS[kind]}", content)

    async def replace(self, kind: ObjectType, object_id: str, content: Mapping[str, Any]) -> Json:
        """Replace an object and return it as stored."""
        return await self._write("PUT", f"/{COLLECTIONS[kind]}/{object_id}", content)

    async def delete(self, kind: ObjectType, object_id: str) -> Json:
        """Delete an object and return what it was."""
        return await self._write("DELETE", f"/{COLLECTIONS[kind]}/{object_id}", None)

    # --- notifiers -----------------------------------------------------------------------------------------------

    async def notifiers(self) -> Json:
        """What notifiers the VTN offers."""
        return _object(await self.get("/notifiers", {}))

    async def topics(self, path: str) -> Mapping[str, str]:
        """The MQTT topics at `/notifiers/mqtt/topics/<path>`, by operation."""
        answer = _object(await self.get(f"/notifiers/mqtt/topics/{path}", {}))
        topics = answer.get("topics")
        if not isinstance(topics, dict) or not all(isinstance(one, str) for one in topics.values()):
            raise _unusable("topics that are no names by operation")
        return topics

    # --- the wire ------------------------------------------------------------------------------------------------

    async def get(self, path: str, query: Query) -> Any:
        """The answer to an authorised GET; an unchanged answer is remembered, not sent again."""
        url = str(URL(self.url + path).with_query(_flat(query)))
        page = self._pages.get(url)
        status, etag, answer = await self._authorised("GET", url, {"If-None-Match": page.etag} if page else {}, None)
        if status == HTTPStatus.NOT_MODIFIED and page:
            return page.content
        if etag:
            self._pages.keep(url, _Page(etag, answer), document.footprint(answer))
        return answer

    async def _write(self, method: str, path: str, content: Mapping[str, Any] | None) -> Json:
        body = None if content is None else document.render(content)
        _, _, answer = await self._authorised(method, self.url + path, {}, body)
        return _identified(answer)

    async def _authorised(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, str | None, Any]:
        for last in (False, True):
            bearer = {"Authorization": f"Bearer {await self.token()}"}
            status, etag, answer = await self._send(method, url, headers | bearer, body=body)
            if status == HTTPStatus.UNAUTHORIZED and not last:
                self._token_dies_s = 0.0
                continue
            if status >= HTTPStatus.BAD_REQUEST:
                raise VtnRefused(status, answer if isinstance(answer, dict) else {"title": str(answer)[:200]})
            return status, etag, answer
        raise AssertionError("unreachable")

    async def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        *,
        body: bytes | None = None,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, str | None, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        if body is not None:
            headers = headers | {"Content-Type": "application/json"}
        try:
            async with self._session.request(
                method, url, headers=headers, data=body if form is None else form, ssl=self._tls
            ) as response:
                content = await _whole(response)
                heavy = len(content) > HEAVY_BYTES
                told = await asyncio.to_thread(_content, content) if heavy else _content(content)
                return response.status, response.headers.get("ETag"), told
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise VtnUnreachable(f"{method} {url}: {error or type(error).__name__}") from error


def _content(body: bytes) -> Any:
    """The JSON value of a body, or its text. Each value but the first of a list or object follows a comma."""
    if sum(map(body.count, (b",", b"[", b"{", b":"))) > MOST_VALUES:
        raise AnswerTooLarge(
            HTTPStatus.BAD_GATEWAY, {"title": f"the VTN answered with more than {MOST_VALUES} JSON values"}
        )
    try:
        return document.parse(body) if body else None
    except ValueError:
        return body.decode(errors="replace")


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer, of at most `MOST_BYTES` once its coding is undone."""
    parts: list[bytes] = []
    left = MOST_BYTES
    async for part in response.content.iter_any():
        left -= len(part)
        if left < 0:
            raise AnswerTooLarge(
                HTTPStatus.BAD_GATEWAY, {"title": f"the VTN answered with more than {MOST_BYTES} bytes"}
            )
        parts.append(part)
    return b"".join(parts)


def _unusable(what: str) -> VtnUnusable:
    """What to raise for an answer that no VTN may give: the gateway's status, for it is not our request's fault."""
    return VtnUnusable(HTTPStatus.BAD_GATEWAY, {"title": f"the VTN answered with {what}"})


def _object(answer: Any) -> Json:
    if not isinstance(answer, dict):
        raise _unusable("something that is not an object")
    return answer


def _has_id(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("id"), str)


def _identified(answer: Any) -> Json:
    if not _has_id(answer):
        raise _unusable("an object without an id")
    return _object(answer)


def _token_url(told: Any, base: str) -> str:
    """Where tokens come from. A secret that may go to an https server is not sent in the clear because one says so."""
    try:
        url, own = URL(told if isinstance(told, str) else ""), URL(base)
    except ValueError:
        url, own = URL(""), URL(base)
    if url.scheme not in {"http", "https"} or not url.host:
        raise _unusable("a tokenURL that is no address")
    if own.scheme == "https" and url.scheme != "https":
        raise _unusable("a tokenURL that would send our secret in the clear")
    return str(url)


def _lifetime_s(told: Any) -> float:
    """The seconds that a token lasts; the usual when the answer's are no number that a clock can take."""
    if isinstance(told, (int, float)) and not isinstance(told, bool) and 0 <= told <= LONGEST_LIFETIME_S:
        return float(told)
    return USUAL_LIFETIME_S


def _flat(query: Query) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        elif isinstance(value, (str, int)):
            pairs.append((name, str(value)))
        else:
            pairs.extend((name, item) for item in value)
    return pairs
