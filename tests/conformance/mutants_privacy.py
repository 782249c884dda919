"""Mutations of object privacy, and of who may do what."""

import dataclasses
from http import HTTPStatus
from typing import Any

from aiohttp import web
from breaking import mutant, wrap

from vtn import errors
from vtn.endpoints import guard, oauth, problems, routes
from vtn.endpoints import objects as http_objects
from vtn.rules import admission, privacy
from vtn.rules.privacy import Lens
from vtn.service import objects
from vtn.storage.read_model import ReadModel
from vtn.wire.enumerations import ObjectType


@mutant("EVT-19")
def every_event_is_visible(patch):
    """Object privacy of events is forgotten."""
    patch.setattr(privacy, "event_visible", lambda *_: True)


@mutant("PROG-15")
def every_program_is_visible(patch):
    """Object privacy of programs is forgotten."""
    wrap(patch, ReadModel, "_visible", lambda f: lambda s, e, *r: e.record.kind is ObjectType.PROGRAM or f(s, e, *r))
    patch.setattr(ReadModel, "_candidates", lambda self, kind, *_rest: self._all[kind])


@mutant("EVT-20")
def events_ignore_their_program(patch):
    """Events of a hidden program are shown."""
    patch.setattr(privacy, "event_visible", lambda own, _program, *rest: privacy.targets_visible(own, *rest))


@mutant("VEN-19")
def every_ven_is_visible(patch):
    """Vens, resources and reports are shown to every client."""
    patch.setattr(privacy, "owned_visible", lambda *_: True)


@mutant("RPT-08")
def reports_are_shared(patch):
    """A VEN reads other VENs' reports in lists."""

    async def search(core_, _principal, query):
        return objects.json_list([record.body for record in await core_.store.reports(query)])

    patch.setattr(http_objects, "search_reports", search)


@mutant("TGT-14")
def hidden_is_forbidden(patch):
    """A hidden object is answered 403 where 404 belongs."""
    patch.setattr(objects, "not_found", lambda _kind: errors.Forbidden("not yours"))


@mutant("TGT-12")
def targets_are_not_cut(patch):
    """A VEN is shown targets that it was not granted."""
    patch.setattr(privacy, "shown_targets", lambda targets, *_: frozenset(targets))


@mutant("EVT-23")
def report_requests_are_not_cut(patch):
    """A VEN is shown report requests for targets that it was not granted."""
    patch.setattr(privacy, "_cut_descriptors", lambda descriptors, _through: list(descriptors))


@mutant("RES-15")
def resources_grant_nothing(patch):
    """The targets of resources are forgotten among a VEN's grants."""
    patch.setattr(ReadModel, "_targets_of", lambda self, ven: self._entries[ObjectType.VEN][ven.id].targets)


@mutant("TGT-05")
def asking_is_enough(patch):
    """A VEN sees what it asks for, granted or not."""

    def usable(viewer, lens):
        return viewer.grants if lens.asked is None else lens.asked

    patch.setattr(privacy, "usable_targets", usable)


@mutant("TGT-11")
def a_targets_query_keeps_untargeted_objects(patch):
    """Untargeted objects are listed when targets were asked for."""
    wrap(patch, privacy, "targets_visible", lambda f: lambda targets, *rest: not targets or f(targets, *rest))
    candidates = ReadModel._candidates
    patch.setattr(ReadModel, "_candidates", lambda s, k, v, _l, n: candidates(s, k, v, Lens(), n))


@mutant("TGT-07")
def nothing_without_a_targets_query(patch):
    """A VEN that names no targets sees no targeted object."""
    patch.setattr(privacy, "usable_targets", lambda viewer, lens: (lens.asked or frozenset()) & viewer.grants)


@mutant("TGT-20")
def pages_are_cut_before_privacy(patch):
    """skip and limit count objects that the client may not see."""

    def search(self, kind, viewer, lens, narrow):
        keys = list(self._all[kind])[narrow.skip : narrow.skip + narrow.limit]
        found = (self._entries[kind][object_id] for _, object_id in keys)
        kept = [e for e in found if self._visible(e, viewer, lens) and self._passes(e, narrow)]
        return [self._sight(entry, viewer, lens) for entry in kept]

    patch.setattr(ReadModel, "sights", search)


@mutant("TGT-16")
def grants_are_remembered_for_ever(patch):
    """A change of grants takes no effect."""
    grants = ReadModel.grants
    held: dict[str, Any] = {}
    patch.setattr(ReadModel, "grants", lambda self, client: held.setdefault(client, grants(self, client)))


@mutant("RPT-12")
def hidden_events_are_told_from_missing_ones(patch):
    """A report on a hidden event is refused in other words than one on an unknown event."""

    async def check(draft):
        known = draft.core.model.get(ObjectType.EVENT, draft.content["eventID"])
        if known is not None and not draft.core.model.visible(
            ObjectType.EVENT, known.id, draft.core.viewer(draft.principal)
        ):
            raise errors.Forbidden("this event is not for you")

    kind, item = http_objects.KINDS["reports"]
    patch.setitem(http_objects.KINDS, "reports", (dataclasses.replace(kind, check=check), item))


@mutant("SCO-05")
def scopes_are_not_checked(patch):
    """Any token may do anything."""
    patch.setattr(guard, "require", lambda *_args, **_kwargs: None)


@mutant("AUTH-19")
def a_bad_token_is_forbidden(patch):
    """A missing or broken token is answered 403."""
    patch.setitem(problems.STATUSES, errors.Unauthenticated, HTTPStatus.FORBIDDEN)


@mutant("AUTH-09")
def the_token_type_is_in_small_letters(patch):
    """token_type is `bearer`."""

    def change(granted):
        def altered(*args):
            text = granted(*args).body.replace(b'"Bearer"', b'"bearer"')
            return web.Response(body=text, headers={"Content-Type": "application/json"})

        return altered

    wrap(patch, oauth, "_granted", change)


@mutant("AUTH-02")
def the_token_url_is_relative(patch):
    """/auth/server names a path instead of a URL."""
    make = oauth.auth_server
    patch.setattr(routes, "auth_server", lambda *_: make("/auth/token"))


@mutant("AUTH-07")
def every_grant_type_is_taken(patch):
    """A password grant is answered like client credentials."""
    wrap(patch, oauth, "_complete", lambda f: lambda fields: f({**fields, "grant_type": "client_credentials"}))


@mutant("RPT-07")
def the_client_says_who_it_is(patch):
    """A clientID in a report's body is believed."""
    patch.setattr(admission, "SERVER_OWNED", admission.SERVER_OWNED - {"clientID"})


@mutant("VEN-14")
def a_ven_wipes_its_grants(patch):
    """A VEN's PUT loses the targets that Business Logic granted."""
    kind, item = http_objects.KINDS["vens"]
    forgetful = dataclasses.replace(kind, keep=lambda _principal: frozenset())
    patch.setitem(http_objects.KINDS, "vens", (forgetful, item))


@mutant("VEN-13")
def a_ven_grants_itself_targets(patch):
    """A VEN's targets on its own ven take effect."""
    a_ven_wipes_its_grants(patch)
    own = admission.VEN_VARIANTS[ObjectType.VEN]
    greedy = dataclasses.replace(own, not_its_own=own.not_its_own - {"targets"})
    patch.setitem(admission.VEN_VARIANTS, ObjectType.VEN, greedy)


@mutant("VEN-10")
def request_shapes_do_not_matter(patch):
    """Business Logic's shape is taken from a VEN."""
    patch.setattr(admission, "VEN_VARIANTS", admission.BL_VARIANTS)
