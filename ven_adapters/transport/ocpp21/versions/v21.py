"""What a version of OCPP is to the rest of the central system, and OCPP 2.1, which needs no translation.

The registry of stations and the keeper of profiles work with the messages of 2.1. An older version turns what its
stations call into those, and what we ask of them into its own calls; what it has no message for is refused, or left out
of what its stations may call. Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol

from ven_adapters.transport.ocpp21.frames import VERSION, Payload

Handlers = Mapping[str, Callable[[Payload], Payload]]
Question = tuple[str, Payload]


class TransactionNumbers(Protocol):
    """What a version needs of the registry where the central system numbers the transactions."""

    def begin_transaction(self, station: str, evse: int, start: Payload) -> int:
        """A number for a transaction that begins, never given before; the same for the same `start` said again."""

    def running_transaction(self, station: str, evse: int) -> str | None:
        """The transaction that runs at an EVSE as far as is known."""

    def heard_trigger(self, station: str, evse: int) -> None:
        """An EVSE that was asked for its readings told them."""

    def now_text(self) -> str:
        """Our time, as OCPP writes it."""

    def age_s(self, at: str) -> float:
        """How long ago an instant was; ValueError for what is none."""


class OcppVersion:
    """OCPP 2.1. `reads_profiles`: its stations can list the charging profiles that they hold."""

    number: ClassVar[str] = VERSION
    reads_profiles: ClassVar[bool] = True

    def spoken(self, action: str) -> str:
        """What the version calls an action of ours."""
        return action

    def request(self, action: str, payload: Payload) -> Question:
        """The call by which the version says what 2.1 says by this one; BackendError NOT_SUPPORTED if it cannot."""
        return action, payload

    def answer(self, action: str, answer: Payload) -> Payload:
        """Its answer, as 2.1 would have it."""
        del action
        return answer

    def handlers(self, table: Handlers, station: str, numbers: TransactionNumbers) -> Handlers:
        """What its stations may call, by action, given what those of 2.1 may."""
        del station, numbers
        return table

    def after_greeting(
        self, variables: Iterable[Payload], evses: Iterable[int], say: Callable[[str], None]
    ) -> list[Question]:
        """What to ask a station further once it has told its variables; `say` tells its operator what is wrong."""
        del variables, evses, say
        return []


OCPP_21 = OcppVersion()


def without(payload: Mapping[str, Any], *keys: str) -> Payload:
    """A payload less some of its members."""
    return {key: value for key, value in payload.items() if key not in keys}
