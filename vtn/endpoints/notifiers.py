"""`/notifiers` and the twelve MQTT topic endpoints: what this VTN offers, and where this caller may listen.

The names come from one table (`rules.topics`), the same that publishing and the broker's permissions use. Asking for
the topics of an object that the caller may not see is answered like asking for one that does not exist (MQTT-21..31).
Where the broker tells nobody apart (ANONYMOUS), only what everyone may hear has topics; of the rest MQTT is silent.
"""

import dataclasses
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from vtn.endpoints import request_id
from vtn.endpoints.guard import Caller, Handler, json_answer
from vtn.endpoints.json_response import MEDIA_TYPE
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
class NotifierEndpoints:
    """The MQTT binding that is offered: broker URLs and how to authenticate; no URLs means no MQTT.

    `certificate` makes what CERTIFICATE hands to one client: its certificate, its key and the broker's authority.
    """

    uris: tuple[str, ...] = ()
    authentication: str = "OAUTH2_BEARER_TOKEN"
    certificate: Callable[[str], Mapping[str, str] | None] = lambda _client_id: None

    @property
    def personal(self) -> bool:
        """Whether the answer holds a secret of one client (MQTT-09)."""
        return bool(self.uris) and self.authentication == "CERTIFICATE"

    @property
    def anonymous(self) -> bool:
        """Whether the broker tells nobody apart."""
        return self.authentication == "ANONYMOUS"

    def binding(self, client_id: str) -> dict[str, Any]:
        """The answer to this client's `GET /notifiers` (MQTT-01..10)."""
        offered: dict[str, Any] = {"WEBHOOK": True}
        proof = self._proof(client_id) if self.uris else None
        if proof is not None:
            method = {"method": self.authentication, **proof}
            offered["MQTT"] = {"URIS": list(self.uris), "serialization": "JSON", "authentication": method}
        return offered

    def _proof(self, client_id: str) -> Mapping[str, str] | None:
        """What a client shows the broker; a client with a token logs in as itself, the token its password (MQTT-08)."""
        if self.authentication == "CERTIFICATE":
            return self.certificate(client_id)
        return {} if self.anonymous else {"username": "{clientID}"}


def notifier_handlers(notifiers: NotifierEndpoints) -> dict[str, Handler]:
    """The handlers of all notifier operations, by operationId."""
    found: dict[str, Handler] = {"listAllNotifiers": _offered(notifiers)}
    for operation in OPERATIONS:
        if operation.path.startswith(TOPICS):
            endpoint = operation.path.removeprefix(TOPICS)
            found[operation.name] = _topics(endpoint, anonymous=notifiers.anonymous) if notifiers.uris else _no_mqtt
    return found


def _offered(notifiers: NotifierEndpoints) -> Handler:
    body = b"" if notifiers.personal else document.render(notifiers.binding(""))

    async def same(_caller: Caller) -> web.StreamResponse:
        return json_answer(body)

    async def personal(caller: Caller) -> web.StreamResponse:
        own = document.render(notifiers.binding(caller.principal.client_id))
        headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", request_id.HEADER: request_id.current()}
        return web.Response(status=HTTPStatus.OK, body=own, headers=headers)

    return personal if notifiers.personal else same


async def _no_mqtt(_caller: Caller) -> web.StreamResponse:
    raise NotFound("this VTN offers no MQTT")


def _topics(endpoint: str, *, anonymous: bool) -> Handler:
    async def handle(caller: Caller) -> web.StreamResponse:
        ids = {item: object_id(text) for item, text in caller.request.match_info.items()}
        for item, wanted in ids.items():
            if not caller.core.model.visible(ITEMS[item], wanted, caller.core.viewer(caller.principal)):
                raise not_found(ITEMS[item])
        names = _shared(caller, endpoint, ids) if anonymous else _own(caller, endpoint, ids)
        return json_answer(document.render({"topics": names}))

    return handle


def _own(caller: Caller, endpoint: str, ids: Mapping[str, str]) -> dict[str, str]:
    own = caller.core.model.ven_of(caller.principal.client_id)
    return topics.operations(
        endpoint,
        is_bl=caller.principal.is_bl,
        own_ven_id=own.id if own else None,
        program_id=ids.get("programID", ""),
        ven_id=ids.get("venID", ""),
    )


def _shared(caller: Caller, endpoint: str, ids: Mapping[str, str]) -> dict[str, str]:
    """The names that everyone may hear on, or NotFound where nothing would ever be heard."""
    names = topics.shared_operations(endpoint, program_id=ids.get("programID", ""))
    everyone = all(caller.core.model.visible(ITEMS[item], wanted, topics.EVERYONE) for item, wanted in ids.items())
    if names is None or not everyone:
        raise NotFound("this VTN tells nothing of it by MQTT, where it knows nobody by name; a subscription does")
    return names
