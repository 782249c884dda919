"""Resources hang on a ven and share its owner (RES-11..13, RES-23)."""

from vtn.errors import Fault, NotFound, Rejected
from vtn.service.core import Json
from vtn.service.objects import ObjectKind, Write
from vtn.service.vens import kept_from_vens
from vtn.wire.enumerations import ObjectType


async def _hangs_on_a_ven(draft: Write) -> None:
    """A foreign ven looks like a missing one; Business Logic names the ven's own client."""
    viewer = draft.core.viewer(draft.principal)
    ven = draft.core.model.get(ObjectType.VEN, draft.content["venID"])
    if ven is None or not draft.core.model.visible(ObjectType.VEN, ven.id, viewer):
        raise NotFound("no ven with this venID")
    if draft.principal.is_bl and draft.content.get("clientID", ven.client_id) != ven.client_id:
        raise Rejected([Fault("$.clientID", "must be the clientID of the ven; it may be left out")])


def _of_its_vens_client(content: Json, draft: Write) -> Json:
    """The owner of a resource that Business Logic writes is the ven's, whether or not it says so."""
    ven = draft.core.model.get(ObjectType.VEN, content["venID"])
    if not draft.principal.is_bl or "clientID" in content or ven is None or ven.client_id is None:
        return content
    return {**content, "clientID": ven.client_id}


RESOURCES = ObjectKind(ObjectType.RESOURCE, check=_hangs_on_a_ven, prepare=_of_its_vens_client, keep=kept_from_vens)
