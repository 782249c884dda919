"""Where the OpenAPI document is read: as JSON under every base path and at the root, and as a page."""

import dataclasses
import zlib
from collections.abc import Mapping, Sequence

from aiohttp import web

from vtn.endpoints import reader
from vtn.endpoints.coding import GZIP, GZIP_FORMAT, takes_gzip
from vtn.endpoints.door import AiohttpHandler, Hall, json_answer
from vtn.endpoints.openapi import Facts, document
from vtn.wire.document import render


def published_facts(hall: Hall, root_url: str, bases: Sequence[str]) -> Facts:
    """What the document says of this server, from its settings."""
    return Facts(
        root_url,
        bases,
        default_limit=hall.query_rules.default_limit,
        problem_media_type=hall.problem_media_type,
        strict_null=hall.core.strictness.strict_null,
        cascade=hall.core.cascade,
        own_tokens=hall.auth.own_tokens,
        anonymous_read=hall.auth.anonymous_read,
    )


def documents(facts: Facts, *, may_pack: bool) -> Mapping[str, AiohttpHandler]:
    """The handlers by path, rendered once; the page is compressed for who takes that and if it `may_pack`."""
    whole = document(facts, with_root=True)
    found = {"/openapi.json": _json(render(whole)), "/docs": _page(reader.page(whole).encode(), may_pack=may_pack)}
    for base in facts.bases:
        only = dataclasses.replace(facts, bases=(base,))
        found[f"{base}/openapi.json"] = _json(render(document(only, with_root=False)))
    return found


def _json(body: bytes) -> AiohttpHandler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return json_answer(body)

    return handle


def _page(body: bytes, *, may_pack: bool) -> AiohttpHandler:
    packed = zlib.compress(body, wbits=GZIP_FORMAT)

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {**reader.HEADERS, "Vary": "Accept-Encoding"}
        if may_pack and takes_gzip(request.headers.get("Accept-Encoding", "")):
            return web.Response(body=packed, headers={**headers, "Content-Encoding": GZIP})
        return web.Response(body=body, headers=headers)

    return handle
