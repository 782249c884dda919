"""The five operations on each of the six collections, one handler each; kinds differ by tables, not by code."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from vtn.endpoints.answer_cache import NEVER, AnswerMemo, Text
from vtn.endpoints.content_coding import held_tag
from vtn.endpoints.guard import Caller, Handler, json_answer, read_json
from vtn.endpoints.json_response import JsonAnswer
from vtn.endpoints.paging import as_filter, object_id, read_query
from vtn.rules.scopes import OPERATIONS
from vtn.service import objects
from vtn.service.kinds import EVENTS, PROGRAMS, REPORTS, RESOURCES, VENS, search_reports
from vtn.service.objects import ObjectKind
from vtn.service.subscriptions import SUBSCRIPTIONS
from vtn.storage.ports import ReportQuery

KINDS: Mapping[str, tuple[ObjectKind, str]] = {
    "programs": (PROGRAMS, "programID"),
    "events": (EVENTS, "eventID"),
    "reports": (REPORTS, "reportID"),
    "subscriptions": (SUBSCRIPTIONS, "subscriptionID"),
    "vens": (VENS, "venID"),
    "resources": (RESOURCES, "resourceID"),
}


def _search(kind: ObjectKind, memo: AnswerMemo) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        key = (caller.principal.client_id, caller.request.raw_path)
        version = caller.core.model.catalogue
        heard = kind.type in caller.core.model.read_by  # then every answer is to be told of, object by object
        known = None if heard else memo.get(key, version)
        text = known or await _render(kind, memo, caller, key, version)
        asked = caller.request.headers.get("If-None-Match")
        if asked is not None and (held := held_tag(asked, text.etag)):
            return json_answer(None, HTTPStatus.NOT_MODIFIED, held)
        return JsonAnswer(text.body, etag=text.etag, text=text)

    return handle


async def _render(kind: ObjectKind, memo: AnswerMemo, caller: Caller, key: tuple[str, str], version: int) -> Text:
    """Render a list; one that depends on the hour (`active`) is remembered for nobody."""
    values, lens = read_query(kind.type, caller.request.query, caller.context.query_rules)
    narrow = as_filter(values, caller.core.clock.now)
    body = await objects.search(caller.core, kind, caller.principal, lens, narrow)
    return await memo.put(key, version if narrow.active_at is None else NEVER, body)


async def _search_reports(caller: Caller) -> web.StreamResponse:
    values, _ = read_query(REPORTS.type, caller.request.query, caller.context.query_rules)
    return json_answer(await search_reports(caller.core, caller.principal, ReportQuery(**values)))


def _create(kind: ObjectKind) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        body = await read_json(caller)
        return json_answer(await objects.create(caller.core, kind, caller.principal, body), HTTPStatus.CREATED)

    return handle


def _read(kind: ObjectKind, item: str) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        wanted = object_id(caller.request.match_info[item])
        return json_answer(await objects.read(caller.core, kind, caller.principal, wanted))

    return handle


def _replace(kind: ObjectKind, item: str) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        wanted = object_id(caller.request.match_info[item])
        body = await read_json(caller)
        return json_answer(await objects.replace(caller.core, kind, caller.principal, wanted, body))

    return handle


def _delete(kind: ObjectKind, item: str) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        wanted = object_id(caller.request.match_info[item])
        return json_answer(await objects.delete(caller.core, kind, caller.principal, wanted))

    return handle


def handlers(memo: AnswerMemo) -> dict[str, Handler]:
    """The handler of every operation on objects, by operationId; `memo` remembers their lists."""
    found: dict[str, Handler] = {}
    for collection, (kind, item) in KINDS.items():
        by_route = {
            ("GET", f"/{collection}"): _search_reports if kind is REPORTS else _search(kind, memo),
            ("POST", f"/{collection}"): _create(kind),
            ("GET", f"/{collection}/{{{item}}}"): _read(kind, item),
            ("PUT", f"/{collection}/{{{item}}}"): _replace(kind, item),
            ("DELETE", f"/{collection}/{{{item}}}"): _delete(kind, item),
        }
        found |= {op.name: by_route[op.method, op.path] for op in OPERATIONS if (op.method, op.path) in by_route}
    return found
