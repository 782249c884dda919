"""Vens: a VEN's own PUT keeps what only Business Logic may write, its owner and its targets (VEN-13, VEN-14)."""

from vtn.auth.tokens import Principal
from vtn.service.core import revised_record
from vtn.service.objects import ObjectKind
from vtn.storage.ports import Record
from vtn.wire import document
from vtn.wire.enumerations import ObjectType


def kept_from_vens(principal: Principal) -> frozenset[str]:
    """The fields of a ven or resource that a VEN's PUT leaves as Business Logic set them."""
    return frozenset() if principal.is_bl else frozenset({"targets"})


def _follow_owner(resource: Record, ven: Record) -> Record:
    """A ven that moves to another client takes its resources along (TR-11)."""
    content = document.parse(resource.body)
    return revised_record(resource, ven.modified, {**content, "clientID": ven.client_id}, ven.client_id)


VENS = ObjectKind(ObjectType.VEN, keep=kept_from_vens, follow=_follow_owner)
