"""What caches and pages of other origins may do with an answer, as header lines.

An answer to a client is private and looked at anew each time. An answer to nobody, where public data is read without a
token, may be shared for a short while; because the same URL then answers a client with more, both say that they vary by
`Authorization` (RFC 9110, 12.5.5; RFC 9111, 3.5). Pages of other origins may read what is public, and only where
`server.cors_origins` names them (WHATWG Fetch, 3.2).
"""

import dataclasses
from collections.abc import Mapping

PUBLIC_S = 10
DOCUMENT_S = 300
PRIVATE = "Cache-Control: private, no-cache\r\n"
PRIVATE_OF_TWO = f"{PRIVATE}Vary: Authorization\r\n"
PUBLIC_OF_TWO = f"Cache-Control: public, max-age={PUBLIC_S}\r\nVary: Authorization\r\n"
DOCUMENT = f"Cache-Control: public, max-age={DOCUMENT_S}\r\n"
READS = frozenset({"GET", "HEAD"})
ANY_ORIGIN = "*"
PREFLIGHT_S = 600


@dataclasses.dataclass(frozen=True, slots=True)
class CrossOrigin:
    """The origins whose pages may read what is public; `*` is all of them, none is the default."""

    origins: frozenset[str] = frozenset()

    def allowed(self, origin: str | None) -> str | None:
        """What `Access-Control-Allow-Origin` says to a page of this origin; None: nothing, so that it may not read."""
        if ANY_ORIGIN in self.origins:
            return ANY_ORIGIN
        return origin if origin in self.origins else None

    def lines(self, origin: str | None) -> str:
        """The header lines of a public answer."""
        if not self.origins:
            return ""
        allowed = self.allowed(origin)
        varies = "" if allowed == ANY_ORIGIN else "Vary: Origin\r\n"
        if allowed is None:
            return varies
        return f"Access-Control-Allow-Origin: {allowed}\r\nAccess-Control-Expose-Headers: ETag\r\n{varies}"

    def preflight(self, origin: str | None, method: str | None) -> Mapping[str, str]:
        """The headers that answer a page which asks whether it may read."""
        allowed = self.allowed(origin) if origin is not None and method in READS else None
        if allowed is None:
            return {"Vary": "Origin"} if self.origins else {}
        return {
            "Access-Control-Allow-Origin": allowed,
            "Access-Control-Allow-Methods": ", ".join(sorted(READS)),
            "Access-Control-Allow-Headers": "If-None-Match",
            "Access-Control-Max-Age": str(PREFLIGHT_S),
            "Vary": "Origin",
        }


def headers_of(lines: str) -> list[tuple[str, str]]:
    """Header lines as pairs, for an answer whose head is written by the HTTP library."""
    pairs = (line.partition(": ") for line in lines.splitlines())
    return [(name, value) for name, _, value in pairs]
