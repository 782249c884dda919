"""`/notifiers` and the twelve MQTT topic endpoints: what this VTN offers, and where this caller may listen.

The names come from one table (`rules.topics`), the same that publishing and the broker's permissions use. Asking for
the topics of an object that the caller may not see is answered like asking for one that does not exist (MQTT-21..31).
"""

import dataclasses
from typing import Any

from aiohttp import web

from vtn.endpoints.door import Caller, Handler, json_answer
from vtn.endpoints.paging import object_id
from vtn.errors import NotFound
from vtn.rules import topics
from vtn.rules.scopes import OPERATIONS
from vtn.service.objects import not_found
from vtn.wire import document
from vtn.wire.enumerations import ObjectType

TOPICS = "/notifiers/mqtt/topics/"
ITEMS = {"programID": ObjectType.PROGRAM, "venID": ObjectType.VEN}


@dataclasses.dataclass(frozen=True, slots=True)
class Notifiers:
    """The MQTT binding that is offered: broker URLs and how to authenticate; no URLs means no MQTT."""

    uris: tuple[str, ...] = ()
    authentication: str = "OAUTH2_BEARER_TOKEN"

    def binding(self) -> dict[str, Any]:
        """The answer to `GET /notifiers` (MQTT-01..09); a client logs in as itself, its token the password."""
        offered: dict[str, Any] = {"WEBHOOK": True}
        if self.uris:
            method: dict[str, str] = {"method": self.authentication}
            if self.authentication == "OAUTH2_BEARER_TOKEN":
                method["username"] = "{clientID}"
            offered["MQTT"] = {"URIS": list(self.uris), "serialization": "JSON", "authentication": method}
        return offered


def notifier_handlers(notifiers: Notifiers) -> dict[str, Handler]:
    """The handlers of all notifier operations, by operationId."""
    body = document.render(notifiers.binding())

    async def offered(_caller: Caller) -> web.StreamResponse:
        return json_answer(body)

    found: dict[str, Handler] = {"listAllNotifiers": offered}
    for operation in OPERATIONS:
        if operation.path.startswith(TOPICS):
            endpoint = operation.path.removeprefix(TOPICS)
            found[operation.name] = _topics(endpoint) if notifiers.uris else _no_mqtt
    return found


async def _no_mqtt(_caller: Caller) -> web.StreamResponse:
    raise NotFound("this VTN offers no MQTT")


def _topics(endpoint: str) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        ids = {item: object_id(text) for item, text in caller.request.match_info.items()}
        for item, wanted in ids.items():
            if not caller.core.model.visible(ITEMS[item], wanted, caller.core.viewer(caller.principal)):
                raise not_found(ITEMS[item])
        own = caller.core.model.ven_of(caller.principal.client_id)
        names = topics.operations(
            endpoint,
            is_bl=caller.principal.is_bl,
            own_ven_id=own.id if own else None,
            program_id=ids.get("programID", ""),
            ven_id=ids.get("venID", ""),
        )
        return json_answer(document.render({"topics": names}))

    return handle
