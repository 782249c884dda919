"""External OpenID providers: their keys, fetched and kept, and the verification of their tokens.

Keys come as a JWK set over HTTPS, bounded in size and time, and are looked at again every `refresh_s`. A provider that
does not answer, or answers nonsense, changes nothing: the keys that are known go on working. A token that names an
unknown key causes one more look, at most once in `shortest_refresh_s`, however many such tokens come. What a token's
claims mean stands in `claims`, how keys are read in `keyset`; who a client is knows the registry.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

import aiohttp
from joserfc import jws
from joserfc.errors import JoseError

from vtn.auth import keyset
from vtn.auth.claims import Claimed, Claims, read
from vtn.auth.keyset import SigningKey
from vtn.config import Issuer
from vtn.errors import Unauthenticated
from vtn.wire import document

log = logging.getLogger("vtn.auth")
FETCH_S = 3.0
MOST_BYTES = 262_144
LONGEST_TOKEN = 8000
TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
MALFORMED = "the access token is malformed, unknown or expired"

Fetch = Callable[[str], Awaitable[bytes]]
Withdrawn = Callable[[], None]


class NoKeys(Exception):
    """A provider's keys could not be had; the text says why."""


class KeyRing:
    """The keys of one issuer. `fetch` gets its JWK set or raises NoKeys; `now_s` is a monotonic clock."""

    def __init__(self, trusted: Issuer, fetch: Fetch, now_s: Callable[[], float]) -> None:
        self._trusted = trusted
        self._fetch = fetch
        self._now_s = now_s
        self._keys: tuple[SigningKey, ...] = ()
        self._may_look_at_s = -float("inf")
        self._looking = asyncio.Lock()
        self.withdrawn: Withdrawn | None = None

    async def key(self, kid: str | None, algorithm: str) -> SigningKey:
        """The key for a token; Unauthenticated when the issuer is not known to have it."""
        held = keyset.choose(self._keys, kid, algorithm)
        if held is None:
            await self.look()
            held = keyset.choose(self._keys, kid, algorithm)
        if held is None:
            raise Unauthenticated("the access token is signed with an unknown key")
        return held

    async def look(self) -> bool:
        """Fetch the keys, unless somebody just has; whether they came. A failure leaves the known keys as they are."""
        async with self._looking:
            if self._now_s() < self._may_look_at_s:
                return False
            self._may_look_at_s = self._now_s() + self._trusted.shortest_refresh_s
            try:
                keys = keyset.read_keys(await self._fetch(self._trusted.jwks_url))
            except (NoKeys, ValueError) as error:
                log.warning("the keys of %s were not renewed: their address %s", self._trusted.issuer, error)
                return False
            gone = set(self._keys) - set(keys)
            self._keys = keys
            if gone and self.withdrawn:
                self.withdrawn()
            return True

    async def keep_fresh(self) -> None:
        """Look every `refresh_s`, and again soon after a failure, until cancelled."""
        while True:
            fresh = await self.look()
            await asyncio.sleep(self._trusted.refresh_s if fresh else self._trusted.shortest_refresh_s)


class Issuers:
    """The external issuers of one top node; `withdrawn` is called when one of them takes back a key."""

    def __init__(self, trusted: Sequence[Issuer], fetch: Fetch, now_s: Callable[[], float] = time.monotonic) -> None:
        self._trusted: Mapping[str, Issuer] = {issuer.issuer: issuer for issuer in trusted}
        self._rings = {name: KeyRing(issuer, fetch, now_s) for name, issuer in self._trusted.items()}
        self._registries = {name: _registry(issuer) for name, issuer in self._trusted.items()}

    def on_withdrawn(self, withdrawn: Withdrawn) -> None:
        """Have this called whenever a key that tokens may have been verified with is gone."""
        for ring in self._rings.values():
            ring.withdrawn = withdrawn

    def rings(self) -> Sequence[KeyRing]:
        """The key rings, to be kept fresh."""
        return list(self._rings.values())

    async def verify(self, token: str) -> Claimed:
        """What a token says that one of the issuers signed for us; Unauthenticated otherwise."""
        signature, claims = _opened(token)
        name = claims.get("iss")
        trusted = self._trusted.get(name) if isinstance(name, str) else None
        if trusted is None:
            raise Unauthenticated(MALFORMED)
        algorithm, kid = _named_key(signature.headers(), trusted)
        held = await self._rings[trusted.issuer].key(kid, algorithm)
        try:
            genuine = jws.validate_compact(signature, held.key, registry=self._registries[trusted.issuer])
        except (JoseError, ValueError, TypeError):
            genuine = False
        if not genuine:
            raise Unauthenticated(MALFORMED)
        return read(claims, trusted, time.time())


def _opened(token: str) -> tuple[jws.CompactSignature, Claims]:
    """A token's parts and claims, nothing of it verified yet."""
    if len(token) > LONGEST_TOKEN:
        raise Unauthenticated("the access token is too long")
    try:
        signature = jws.extract_compact(token.encode())
        claims = document.parse(signature.payload)
    except (JoseError, ValueError, TypeError):
        raise Unauthenticated(MALFORMED) from None
    if not isinstance(claims, dict):
        raise Unauthenticated(MALFORMED)
    return signature, claims


def _named_key(header: Mapping[str, object], trusted: Issuer) -> tuple[str, str | None]:
    """The algorithm and the key id of a header that we accept; keys that the header itself brings are not looked at."""
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if algorithm not in trusted.algorithms or "crit" in header or not isinstance(kid, str | None):
        raise Unauthenticated(MALFORMED)
    if not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES:
        raise Unauthenticated("the token is no access token")
    return str(algorithm), kid


def _registry(trusted: Issuer) -> jws.JWSRegistry:
    """The algorithms of one issuer. Of the curves that `EdDSA` may mean (RFC 9864), only Ed25519 is meant here."""
    registry = jws.JWSRegistry(algorithms=list(trusted.algorithms), strict_check_header=False)
    registry.algorithms = {**jws.JWSRegistry.algorithms, "EdDSA": jws.JWSRegistry.algorithms["Ed25519"]}
    return registry


@contextlib.asynccontextmanager
async def running(trusted: Sequence[Issuer]) -> AsyncIterator[Issuers | None]:
    """The external issuers with their keys kept fresh, for the length of a block; None when there are none."""
    if not trusted:
        yield None
        return
    timeout = aiohttp.ClientTimeout(total=FETCH_S)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        issuers = Issuers(trusted, lambda url: fetch_keys(session, url))
        tasks = [asyncio.create_task(ring.keep_fresh()) for ring in issuers.rings()]
        try:
            yield issuers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def fetch_keys(session: aiohttp.ClientSession, url: str) -> bytes:
    """A provider's JWK set, of bounded size, from this URL and no other; NoKeys says why there is none."""
    try:
        async with session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as answer:
            if answer.status != HTTPStatus.OK:
                raise NoKeys(f"answers {answer.status}")
            content = bytearray()
            async for part in answer.content.iter_chunked(MOST_BYTES):
                content += part
                if len(content) > MOST_BYTES:
                    raise NoKeys(f"is longer than {MOST_BYTES} bytes")
            return bytes(content)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NoKeys(f"does not answer: {error or type(error).__name__}") from None
