"""What both bridges want of the OpenADR 3 VTN: objects that are there once, whatever died in between.

A create is looked for by its name first, so that one whose answer was lost is not repeated; a delete of what is gone is
done.
"""

from http import HTTPStatus
from typing import Any

from vtn.client import Client, VtnRefused
from vtn.errors import CannotStart
from vtn.oadr20b.settings import Vtn
from vtn.tls import trusting
from vtn.wire.enumerations import ObjectType

Json = dict[str, Any]


def vtn_client(vtn: Vtn, client_id: str | None = None, secret: str | None = None) -> Client:
    """A session with the VTN, as the bridge's own client or as another; CannotStart names a bad file."""
    tls = trusting(vtn.ca) if vtn.ca is not None else True
    if not vtn.url.startswith(("http://", "https://")):
        raise CannotStart("vtn.url must be an http or https URL")
    return Client(vtn.url, client_id or vtn.client_id, secret or vtn.client_secret, tls=tls)


async def ensure_program(client: Client, content: Json) -> str:
    """The id of the program with this name, which is made where there is none and changed where it differs."""
    name = content["programName"]
    for found in await client.search(ObjectType.PROGRAM):
        if found.get("programName") == name:
            if any(found.get(key) != value for key, value in content.items()):
                await client.replace(ObjectType.PROGRAM, found["id"], {**_own(found), **content})
            return str(found["id"])
    return str((await client.create(ObjectType.PROGRAM, content))["id"])


async def ensure_event(client: Client, content: Json, known_id: str | None) -> str:
    """Have an event stand as it should: replaced where it is known or found by its name, made otherwise; its id."""
    object_id = known_id or await find_event(client, content["programID"], content["eventName"])
    if object_id is not None:
        try:
            return str((await client.replace(ObjectType.EVENT, object_id, content))["id"])
        except VtnRefused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
    return str((await client.create(ObjectType.EVENT, content))["id"])


async def find_event(client: Client, program_id: str, name: str) -> str | None:
    """The id of a program's event with this name."""
    for found in await client.search(ObjectType.EVENT, programID=program_id):
        if found.get("eventName") == name:
            return str(found["id"])
    return None


async def exists(client: Client, kind: ObjectType, object_id: str) -> bool:
    """Whether an object is there."""
    try:
        await client.read(kind, object_id)
    except VtnRefused as refused:
        if refused.status == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


async def ensure_deleted(client: Client, kind: ObjectType, object_id: str) -> None:
    """Delete an object; one that is gone is fine."""
    try:
        await client.delete(kind, object_id)
    except VtnRefused as refused:
        if refused.status != HTTPStatus.NOT_FOUND:
            raise


def _own(found: Json) -> Json:
    """An object without what the VTN adds to it."""
    added = {"id", "createdDateTime", "modificationDateTime", "objectType"}
    return {key: value for key, value in found.items() if key not in added and value is not None}


async def ensure_ven(client: Client, client_id: str, name: str, targets: frozenset[str]) -> None:
    """Have the ven of a client stand in the VTN with at least these targets; what it is granted besides stays."""
    for found in await client.search(ObjectType.VEN):
        if found.get("clientID") == client_id:
            granted = frozenset(found.get("targets") or ())
            if not targets <= granted:
                content = {**_own(found), "objectType": "BL_VEN_REQUEST", "targets": sorted(granted | targets)}
                await client.replace(ObjectType.VEN, found["id"], content)
            return
    content = {"objectType": "BL_VEN_REQUEST", "clientID": client_id, "venName": name, "targets": sorted(targets)}
    await client.create(ObjectType.VEN, content)
