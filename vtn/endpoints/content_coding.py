"""Content codings: answers compressed for clients that ask for it, compressed request bodies within their bound.

gzip only, which every client knows (GEN-31). A compressed answer has an ETag of its own, because a strong ETag names
bytes; a client that holds either form is told 304 as long as the text is the same (RFC 9110, 8.8.3 and 12.5.3).
"""

import asyncio
import functools
import re
import zlib

from vtn.errors import Fault, Rejected, TooLarge

GZIP = "gzip"
LEVEL = 3  # half the time of zlib's default for a sixth more bytes
GZIP_FORMAT = 31
IN_A_THREAD_FROM = 262_144
MARK = "-gzip"
NAMES = frozenset({"gzip", "x-gzip"})
MEMBER = re.compile(r"\s*([^\s;,]+)\s*(?:;\s*[qQ]=([01](?:\.\d{0,3})?)\s*)?", re.ASCII)
TAG = re.compile(r'(?:W/)?("[^"]*")')


@functools.lru_cache(maxsize=256)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether the client takes gzip, and does not prefer plain text; what cannot be read counts as refused."""
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        member = MEMBER.fullmatch(part)
        if member:
            weights[member[1].lower()] = float(member[2] or 1)
    named = [weights[name] for name in NAMES if name in weights]
    weight = max(named) if named else weights.get("*", 0.0)
    return weight > 0 and weight >= weights.get("identity", 0.0)


def gzip_tag(etag: str) -> str:
    """The ETag of the compressed form."""
    return f'{etag[:-1]}{MARK}"'


def held_tag(if_none_match: str, etag: str) -> str | None:
    """The tag by which a client says that it has this text already, in whatever form; None when it has not."""
    if if_none_match == etag:
        return etag
    ours = (etag, gzip_tag(etag))
    if if_none_match.strip() == "*":
        return etag
    return next((tag for tag in TAG.findall(if_none_match) if tag in ours), None)


async def gzipped(body: bytes) -> bytes:
    """The body compressed; a long one in a thread, so that nobody waits for it."""
    if len(body) < IN_A_THREAD_FROM:
        return zlib.compress(body, LEVEL, GZIP_FORMAT)
    return await asyncio.to_thread(zlib.compress, body, LEVEL, GZIP_FORMAT)


def plain_body(body: bytes, coding: str, longest: int) -> bytes:
    """A request body without its coding; TooLarge before it would grow beyond `longest` bytes."""
    if coding in {"", "identity"}:
        return body
    if coding not in NAMES:
        raise Rejected([Fault("header.Content-Encoding", "must be gzip, or left out")])
    inflater = zlib.decompressobj(GZIP_FORMAT)
    try:
        plain = inflater.decompress(body, longest + 1)
    except zlib.error:
        raise Rejected([Fault("$", "is not gzip, as Content-Encoding says it is")]) from None
    if len(plain) > longest:
        raise TooLarge(f"the body is larger than {longest} bytes when it is decompressed")
    if not inflater.eof or inflater.unused_data:
        raise Rejected([Fault("$", "is not one whole gzip member")])
    return plain
