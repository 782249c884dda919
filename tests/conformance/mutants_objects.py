"""Mutations of how objects are taken, kept and refused."""

import dataclasses
import itertools
from http import HTTPStatus

from aiohttp import web
from breaking import mutant, on_body, on_stored, wrap

from vtn import errors
from vtn.endpoints import guard, problems
from vtn.endpoints import objects as http_objects
from vtn.rules import admission
from vtn.service import kinds, objects
from vtn.wire import document
from vtn.wire.enumerations import ObjectType


@mutant("GEN-03")
def creation_is_answered_200(patch):
    """POST answers 200 instead of 201."""

    def create(kind):
        async def handle(caller):
            body = await guard.read_json(caller)
            return guard.json_answer(await objects.create(caller.core, kind, caller.principal, body))

        return handle

    patch.setattr(http_objects, "_create", create)


@mutant("GEN-04")
def deletion_is_answered_without_the_object(patch):
    """DELETE answers an empty object."""

    def change(delete):
        async def altered(*args):
            await delete(*args)
            return b"{}"

        return altered

    wrap(patch, objects, "delete", change)


@mutant("GEN-08")
def a_replaced_object_is_born_again(patch):
    """PUT gives an object a new createdDateTime."""
    wrap(
        patch,
        objects,
        "revised_record",
        lambda f: lambda held, at, *rest, **more: f(dataclasses.replace(held, created=at), at, *rest, **more),
    )


@mutant("GEN-09")
def a_replaced_object_looks_unmodified(patch):
    """PUT leaves modificationDateTime where it was."""
    wrap(
        patch,
        objects,
        "revised_record",
        lambda f: lambda held, _at, *rest, **more: f(held, held.modified, *rest, **more),
    )


@mutant("GEN-10")
def a_replaced_object_keeps_what_was_left_out(patch):
    """PUT merges: attributes that the body leaves out stay."""
    sticky = dataclasses.replace(kinds.PROGRAMS, keep=lambda _principal: frozenset({"attributes"}))
    patch.setitem(http_objects.KINDS, "programs", (sticky, "programID"))


@mutant("GEN-11")
def a_missing_name_is_made_up(patch):
    """A program without programName is stored under a name of the server's."""
    numbers = itertools.count()
    on_body(patch, lambda body: {"programName": f"unnamed-{next(numbers)}", **body} if isinstance(body, dict) else body)


@mutant("GEN-15")
def nulls_are_emitted(patch):
    """An event is returned with null where only absence is allowed."""
    on_stored(patch, ObjectType.EVENT, lambda content: {"duration": None, "intervals": None, **content})


@mutant("GEN-16")
def null_is_refused_everywhere(patch):
    """A null that the schema allows is refused."""

    def refuse(body):
        if isinstance(body, dict) and None in body.values():
            raise errors.Rejected([errors.Fault("$", "must not be null")])
        return body

    on_body(patch, refuse)


@mutant("GEN-18")
def unknown_properties_are_refused(patch):
    """A private extension makes a request fail."""

    def refuse(body):
        known = {"programName", "intervalPeriod", "programDescriptions", "payloadDescriptors", "attributes", "targets"}
        if isinstance(body, dict) and "programName" in body and body.keys() - known:
            raise errors.Rejected([errors.Fault("$", "is not known here")])
        return body

    on_body(patch, refuse)


@mutant("GEN-20")
def wrong_types_are_mended(patch):
    """A number is taken for a name."""

    def mend(body):
        named = isinstance(body, dict) and isinstance(body.get("programName"), int)
        return {**body, "programName": str(body["programName"])} if named else body

    on_body(patch, mend)


@mutant("GEN-30")
def numbers_become_text(patch):
    """Payload values lose their JSON type."""

    def change(content):
        for interval in content.get("intervals") or ():
            for payload in interval["payloads"]:
                payload["values"] = [str(value) for value in payload["values"]]
        return content

    on_stored(patch, ObjectType.EVENT, change)


@mutant("EVT-26")
def absent_durations_are_filled_in(patch):
    """An event without a duration is returned with PT0S."""
    on_stored(patch, ObjectType.EVENT, lambda content: {"duration": "PT0S", **content})


@mutant("INT-06")
def now_is_returned_as_it_was_spelt(patch):
    """The start 0001-01-01 comes back as no valid date-time."""
    patch.setattr(admission, "_spell_now", lambda _node: None)


@mutant("INT-07")
def infinity_is_written_otherwise(patch):
    """P9999Y comes back in another spelling."""

    def change(content):
        period = content.get("intervalPeriod")
        if period and period.get("duration") == "P9999Y":
            content["intervalPeriod"] = {**period, "duration": "P9999Y0M"}
        return content

    on_stored(patch, ObjectType.EVENT, change)


@mutant("VEN-18")
def vens_are_returned_as_requests(patch):
    """A ven's objectType is BL_VEN_REQUEST."""
    wrap(
        patch,
        objects,
        "json_list",
        lambda f: (
            lambda bodies: f([b.replace(b'"objectType":"VEN"', b'"objectType":"BL_VEN_REQUEST"') for b in bodies])
        ),
    )


@mutant("PROG-07")
def a_taken_name_is_a_bad_request(patch):
    """A conflict is answered 400."""
    patch.setitem(problems.STATUSES, errors.Conflict, HTTPStatus.BAD_REQUEST)


@mutant("ERR-15")
def a_refused_write_leaves_a_trace(patch):
    """An event with a bad body is refused, and stored and notified without what was bad."""

    def change(create):
        async def altered(core_, kind, principal, body):
            try:
                return await create(core_, kind, principal, body)
            except errors.Rejected:
                sent = document.parse(body)
                if kind.type is ObjectType.EVENT and isinstance(sent, dict) and "programID" in sent:
                    await create(core_, kind, principal, document.render({"programID": sent["programID"]}))
                raise

        return altered

    wrap(patch, objects, "create", change)


@mutant("ERR-01")
def refusals_are_plain_text(patch):
    """A refusal carries a sentence instead of a problem document."""
    patch.setattr(guard, "refusal", lambda error, **_: web.Response(status=problems.STATUSES[type(error)], text="no"))


@mutant("ERR-02")
def problems_name_another_status(patch):
    """problem.status is not the HTTP status."""

    def change(refusal):
        def altered(error, **rest):
            answer = refusal(error, **rest)
            content = {**document.parse(answer.body), "status": 500}
            return web.Response(status=answer.status, body=document.render(content), headers=answer.headers)

        return altered

    wrap(patch, guard, "refusal", change)


@mutant("GEN-02", settings={"protocol": {"problem_media_type": "application/problem+json"}})
def problems_have_their_own_media_type(_patch):
    """Errors are sent as application/problem+json."""
