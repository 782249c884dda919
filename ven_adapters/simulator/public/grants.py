"""An authorisation server's token end point, for owners' grants and for an application's own.

An owner's refresh token is good for one use: the next answer carries its successor, and one that comes twice is
`invalid_grant`, as with Tesla. An application's own grant (client credentials) is simply given again. Tokens are words
that a log can be searched for: all of them hold `MARK`.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from vtn.listening.http import same_secret

MARK = "synthetic-secret"
LIFETIME_S = {"owner": 28_800, "application": 3_600}


@dataclasses.dataclass(frozen=True, slots=True)
class App:
    """The application's registration at the vendor."""

    client_id: str
    client_secret: str = dataclasses.field(repr=False)


class Grants:
    """Every token that was given out. An owner is a name; the application's own tokens belong to nobody."""

    def __init__(self, app: App, owners: Sequence[str]) -> None:
        self._app = app
        self._numbers = itertools.count(1)
        self._access: dict[str, str | None] = {}
        self._refresh = {f"{MARK}-refresh-of-{owner}": owner for owner in owners}

    def refresh_token(self, owner: str) -> str:
        """The refresh token that is good now; KeyError for nobody."""
        return {name: token for token, name in self._refresh.items()}[owner]

    def knows(self, authorization: str) -> bool:
        """Whether a bearer token is good."""
        return authorization.removeprefix("Bearer ") in self._access

    def owner(self, authorization: str) -> str | None:
        """Whose token it is; None for the application's own."""
        return self._access.get(authorization.removeprefix("Bearer "))

    def owner_of(self, form: Mapping[str, str]) -> str | None:
        """Whose grant a form would renew."""
        return self._refresh.get(form.get("refresh_token", ""))

    def given(self, form: Mapping[str, str]) -> dict[str, Any] | None:
        """The answer to a token request; None for a grant that is none (any more)."""
        ours = form.get("client_id") == self._app.client_id
        if form.get("grant_type") == "client_credentials":
            proved = same_secret(form.get("client_secret"), self._app.client_secret)
            return self._new(None) if ours and proved else None
        owner = self._refresh.pop(form.get("refresh_token", ""), None) if ours else None
        return None if owner is None else self._new(owner)

    def _new(self, owner: str | None) -> dict[str, Any]:
        number = next(self._numbers)
        token = f"{MARK}-access-{number}"
        self._access[token] = owner
        kind = "application" if owner is None else "owner"
        answer: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME_S[kind]}
        if owner is not None:
            answer["refresh_token"] = f"{MARK}-refresh-{number}"
            self._refresh[answer["refresh_token"]] = owner
        return answer
