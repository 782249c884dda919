"""The routes of OpenADR 3.0.1 beside those of 3.1: other paths and parameters, the same guard.

What 3.0.1 does not know (`/auth/server`, `/notifiers`, `/resources`) is not routed and so not found. Objects are read
and written by `service.compat30` and `service.compat30_vens`.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from multidict import MultiDict, MultiMapping

from vtn.auth.tokens import Principal
from vtn.endpoints.answer_cache import NEVER, AnswerMemo
from vtn.endpoints.content_coding import held_tag
from vtn.endpoints.guard import AiohttpHandler, Caller, Handler, HttpContext, guarded, json_answer, read_json
from vtn.endpoints.json_response import JsonAnswer
from vtn.endpoints.paging import LONGEST_NAME, QueryRules, as_filter, object_id, read_query
from vtn.errors import Fault, Rejected
from vtn.rules.privacy import Lens
from vtn.rules.scopes import BASE_PATH_301, OPERATIONS_301
from vtn.service import compat30, compat30_vens
from vtn.service.compat30 import Compat30Service
from vtn.storage.ports import ReportQuery
from vtn.wire.enumerations import ObjectType

KINDS = {
    "programs": (ObjectType.PROGRAM, "programID"),
    "events": (ObjectType.EVENT, "eventID"),
    "reports": (ObjectType.REPORT, "reportID"),
    "subscriptions": (ObjectType.SUBSCRIPTION, "subscriptionID"),
    "vens": (ObjectType.VEN, "venID"),
}
RESOURCES = "/vens/{venID}/resources"
UNKNOWN = frozenset({"targets", "active", "venID"})

Writer = Callable[[Compat30Service, Principal, bytes], Awaitable[bytes]]
Rewriter = Callable[[Compat30Service, Principal, str, bytes], Awaitable[bytes]]


def mount(
    add: Callable[[str, str, AiohttpHandler], None], context: HttpContext, face: Compat30Service, token: AiohttpHandler
) -> None:
    """Add the 31 operations of 3.0.1, each by method and path; `token` is the handler of 3.1, limits and all."""
    handlers = {**_collections(face), **_resources(face)}
    add("POST", f"{BASE_PATH_301}/auth/token", token)
    for operation in OPERATIONS_301:
        handler = guarded(context, operation, handlers[operation.method, operation.path])
        add(operation.method, BASE_PATH_301 + operation.path, handler)


def _collections(face: Compat30Service) -> dict[tuple[str, str], Handler]:
    found: dict[tuple[str, str], Handler] = {}
    memo = AnswerMemo()
    for collection, (kind, item) in KINDS.items():
        one = f"/{collection}/{{{item}}}"
        found |= {
            ("GET", f"/{collection}"): _search_reports(face)
            if kind is ObjectType.REPORT
            else _search(face, kind, memo),
            ("POST", f"/{collection}"): _create(face, _writer(kind)),
            ("GET", one): _read(face, kind, item),
            ("PUT", one): _replace(face, _rewriter(kind), item),
            ("DELETE", one): _delete(face, kind, item),
        }
    return found


def _resources(face: Compat30Service) -> dict[tuple[str, str], Handler]:
    one = f"{RESOURCES}/{{resourceID}}"
    return {
        ("GET", RESOURCES): _search(face, ObjectType.RESOURCE, AnswerMemo()),
        ("POST", RESOURCES): _create_resource(face),
        ("GET", one): _of_resource(face, compat30.read),
        ("PUT", one): _replace_resource(face),
        ("DELETE", one): _of_resource(face, compat30.delete),
    }


def _writer(kind: ObjectType) -> Writer:
    if kind is ObjectType.VEN:
        return compat30_vens.create
    return lambda face, principal, body: compat30.create(face, kind, principal, body)


def _rewriter(kind: ObjectType) -> Rewriter:
    if kind is ObjectType.VEN:
        return compat30_vens.replace
    return lambda face, principal, wanted, body: compat30.replace(face, kind, principal, wanted, body)


# --- queries -------------------------------------------------------------------------------------------------------


def read_old_query(
    kind: ObjectType, query: MultiMapping[str], rules: QueryRules
) -> tuple[dict[str, Any], Lens, str | None]:
    """The parameters of a 3.0.1 list: values by column, the targets asked for, and their type; Rejected with faults.

    `targetValues` are any of the wanted targets, as `targets` are on 3.1; parameters that 3.1 added mean nothing.
    """
    known = MultiDict((name, text) for name, text in query.items() if name not in UNKNOWN)
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    try:
        values, _ = read_query(kind, known, rules)
    except Rejected as refused:
        faults += refused.faults
    texts = query.getall("targetValues", [])
    asked = [item for text in texts for item in text.split(",")] if rules.split_commas else texts
    named = [("targetType", query["targetType"])] if "targetType" in query else []
    named += [(f"targetValues[{position}]", text) for position, text in enumerate(asked)]
    too_long = [name for name, text in named if not 1 <= len(text) <= LONGEST_NAME]
    faults += [Fault(f"query.{name}", "must have 1 to 128 characters") for name in too_long]
    if faults:
        raise Rejected(faults)
    return values, Lens(frozenset(asked) or None, rules.match, rules.strict_target_query), query.get("targetType")


def _search(face: Compat30Service, kind: ObjectType, memo: AnswerMemo) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        values, lens, wanted = read_old_query(kind, caller.request.query, caller.context.query_rules)
        if kind is ObjectType.RESOURCE:
            values["ven_id"] = (await compat30_vens.ven_of(face, caller.principal, _path_id(caller, "venID"))).id
        narrow = as_filter(values, face.core.clock.now)
        body = await compat30.search(face, kind, caller.principal, lens, narrow, wanted)
        text = await memo.put(("", ""), NEVER, body)
        asked = caller.request.headers.get("If-None-Match")
        if asked is not None and (held := held_tag(asked, text.etag)):
            return json_answer(None, HTTPStatus.NOT_MODIFIED, held)
        return JsonAnswer(text.body, etag=text.etag, text=text)

    return handle


def _search_reports(face: Compat30Service) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        values, _ = read_query(ObjectType.REPORT, caller.request.query, caller.context.query_rules)
        return json_answer(await compat30.search_all_reports(face, caller.principal, ReportQuery(**values)))

    return handle


# --- the rest ------------------------------------------------------------------------------------------------------


def _path_id(caller: Caller, item: str) -> str:
    return object_id(caller.request.match_info[item])


def _create(face: Compat30Service, write: Writer) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        body = await read_json(caller)
        return json_answer(await write(face, caller.principal, body), HTTPStatus.CREATED)

    return handle


def _read(face: Compat30Service, kind: ObjectType, item: str) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        return json_answer(await compat30.read(face, kind, caller.principal, _path_id(caller, item)))

    return handle


def _replace(face: Compat30Service, write: Rewriter, item: str) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        wanted = _path_id(caller, item)
        body = await read_json(caller)
        return json_answer(await write(face, caller.principal, wanted, body))

    return handle


def _delete(face: Compat30Service, kind: ObjectType, item: str) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        return json_answer(await compat30.delete(face, kind, caller.principal, _path_id(caller, item)))

    return handle


def _create_resource(face: Compat30Service) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        ven_id = _path_id(caller, "venID")
        body = await read_json(caller)
        made = await compat30_vens.create_resource(face, caller.principal, ven_id, body)
        return json_answer(made, HTTPStatus.CREATED)

    return handle


def _replace_resource(face: Compat30Service) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        ven_id, wanted = _path_id(caller, "venID"), _path_id(caller, "resourceID")
        body = await read_json(caller)
        return json_answer(await compat30_vens.replace_resource(face, caller.principal, ven_id, wanted, body))

    return handle


def _of_resource(
    face: Compat30Service, do: Callable[[Compat30Service, ObjectType, Principal, str], Awaitable[bytes]]
) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        ven_id, wanted = _path_id(caller, "venID"), _path_id(caller, "resourceID")
        await compat30_vens.ven_of(face, caller.principal, ven_id)
        await compat30_vens.resource_of(face, caller.principal, ven_id, wanted)
        return json_answer(await do(face, ObjectType.RESOURCE, caller.principal, wanted))

    return handle
