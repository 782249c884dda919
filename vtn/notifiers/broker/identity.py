"""Who connects to the bundled broker: the client behind a token or a certificate, or nobody in particular.

One way for each authentication method of the standard (MQTT-07..09). What a visitor may hear is not decided here.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from vtn.auth import pki
from vtn.auth.pki import ClientAuthority
from vtn.errors import Unauthenticated
from vtn.notifiers.audience import Audience, Standing

NOBODY = Standing(is_bl=False, ven_id=None, since_s=0.0)
PUBLISHER_LIFETIME = timedelta(days=3650)
Question = Mapping[str, Any]


class BrokerPrincipal(Protocol):
    """Who a token speaks for; `auth.tokens.Principal` is one."""

    @property
    def client_id(self) -> str:
        """The client."""
        ...

    @property
    def expires_at_s(self) -> float:
        """When its token dies, in real Unix seconds."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Visitor:
    """A client that may come in, what it is today, and when its proof dies; nobody has no clientID and never dies."""

    client_id: str
    standing: Standing
    expires_at_s: float | None


ANYBODY = Visitor("", NOBODY, None)
Identify = Callable[[Question], Awaitable[Visitor]]


class ByToken:
    """User name is the clientID, password the access token (MQTT-08); `authenticate` raises Unauthenticated."""

    def __init__(self, audience: Audience, authenticate: Callable[[str], Awaitable[BrokerPrincipal]]) -> None:
        self._audience = audience
        self._authenticate = authenticate

    async def __call__(self, question: Question) -> Visitor:
        """The visitor, or Unauthenticated, which says to the operator what is wrong."""
        user, token = (str(question["connect_opts"].get(part) or "") for part in ("user", "pass"))
        principal = await self._authenticate(token)
        standing = self._audience.standing(user)
        if principal.client_id != user or standing is None:
            raise Unauthenticated("the user name is not the clientID of the token, or that client is revoked")
        return Visitor(user, standing, principal.expires_at_s)


class ByCertificate:
    """A certificate that `Certificates` made and the broker verified; user name and password are not read."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience

    async def __call__(self, question: Question) -> Visitor:
        """The visitor, or Unauthenticated: also when the client has been given a new secret since."""
        chains = question.get("client_tls", {}).get("verified_chains") or [[""]]
        try:
            holder = pki.holder(chains[0][0])
        except ValueError:
            raise Unauthenticated("no client certificate of this VTN") from None
        standing = self._audience.standing(holder.client_id)
        if standing is None or holder.generation != _generation(standing.since_s):
            raise Unauthenticated("the certificate's client is revoked, or has had a new secret since")
        return Visitor(holder.client_id, standing, holder.expires_at_s)


async def anybody(_question: Question) -> Visitor:
    """Whoever connects hears what everyone may hear (MQTT-07); names and passwords are not looked at."""
    return ANYBODY


def by_method(method: str, audience: Audience, authenticate: Callable[[str], Awaitable[BrokerPrincipal]]) -> Identify:
    """How visitors are told apart under an authentication method of the standard."""
    if method == "ANONYMOUS":
        return anybody
    return ByCertificate(audience) if method == "CERTIFICATE" else ByToken(audience, authenticate)


class Certificates:
    """Makes the certificates by which the broker knows its clients and the VTN itself."""

    def __init__(
        self, authority: ClientAuthority, broker_ca: str, lifetime: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._authority = authority
        self._broker_ca = broker_ca
        self._lifetime = lifetime
        self._now = now

    @property
    def path(self) -> Path:
        """The authority's own certificate, for the broker to trust."""
        return self._authority.path

    def binding(self, client_id: str, since_s: float) -> dict[str, str]:
        """What `/notifiers` hands to this client and nobody else: a new key, and the certificate for it (MQTT-09)."""
        issued = self._authority.issue(client_id, _generation(since_s), self._now(), self._lifetime)
        return {"caCert": self._broker_ca, "clientCert": issued.certificate, "clientKey": issued.key}

    def publisher(self, name: str) -> str:
        """The VTN's own certificate and key; it admits nobody, because the VTN's name needs its password too."""
        issued = self._authority.issue(name, "publisher", self._now(), PUBLISHER_LIFETIME)
        return issued.certificate + issued.key


def _generation(since_s: float) -> str:
    """Which of a client's secrets a certificate goes with: the one it has had since then."""
    return repr(since_s)
