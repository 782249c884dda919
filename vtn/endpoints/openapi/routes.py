"""Where the OpenAPI document is read: as JSON under every base path and at the root, and as a page."""

import dataclasses
import zlib
from collections.abc import Mapping, Sequence

from aiohttp import web
from multidict import CIMultiDict

from vtn.endpoints.cache_headers import DOCUMENT, CrossOrigin, headers_of
from vtn.endpoints.content_coding import GZIP, GZIP_FORMAT, takes_gzip
from vtn.endpoints.guard import AiohttpHandler, HttpContext
from vtn.endpoints.json_response import JsonAnswer
from vtn.endpoints.openapi import docs_page
from vtn.endpoints.openapi.document import ServerFacts, document
from vtn.wire.document import render


def published_facts(context: HttpContext, root_url: str, bases: Sequence[str]) -> ServerFacts:
    """What the document says of this server, from its settings."""
    return ServerFacts(
        root_url,
        bases,
        default_limit=context.query_rules.default_limit,
        problem_media_type=context.problem_media_type,
        strict_null=context.core.strictness.strict_null,
        cascade=context.core.cascade,
        own_tokens=context.auth.own_tokens,
        anonymous_read=context.auth.anonymous_read,
    )


def documents(facts: ServerFacts, cross_origin: CrossOrigin, *, may_pack: bool) -> Mapping[str, AiohttpHandler]:
    """The handlers by path, rendered once; the page is compressed for who takes that and if it `may_pack`."""
    whole = document(facts, with_root=True)
    page = _page(docs_page.page(whole).encode(), cross_origin, may_pack=may_pack)
    found = {"/openapi.json": _json(render(whole), cross_origin), "/docs": page}
    for base in facts.bases:
        only = dataclasses.replace(facts, bases=(base,))
        found[f"{base}/openapi.json"] = _json(render(document(only, with_root=False)), cross_origin)
    return found


def _json(body: bytes, cross_origin: CrossOrigin) -> AiohttpHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        answer = JsonAnswer(body)
        answer.shared = DOCUMENT + cross_origin.lines(request.headers.get("Origin"))
        return answer

    return handle


def _page(body: bytes, cross_origin: CrossOrigin, *, may_pack: bool) -> AiohttpHandler:
    packed = zlib.compress(body, wbits=GZIP_FORMAT)

    async def handle(request: web.Request) -> web.StreamResponse:
        lines = DOCUMENT + cross_origin.lines(request.headers.get("Origin"))
        headers = CIMultiDict({**docs_page.HEADERS, "Vary": "Accept-Encoding"})
        headers.extend(headers_of(lines))
        if may_pack and takes_gzip(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = GZIP
            return web.Response(body=packed, headers=headers)
        return web.Response(body=body, headers=headers)

    return handle
