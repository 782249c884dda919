"""What can go wrong, in words. Nothing here knows of HTTP; `endpoints/problems.py` gives each word its status."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Self


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: where (a JSON path, `query.limit`, `header.Content-Type`) and which rule."""

    path: str
    rule: str


class VtnError(Exception):
    """The root of everything the top node refuses on purpose."""


MOST_FAULTS = 100  # a small body can hold so many that telling all would keep the server from everybody else


class Rejected(VtnError):
    """The request is malformed; every fault found, at once, or the first of very many."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.path}: {fault.rule}" for fault in self.faults))


class FaultList(list[Fault]):
    """Faults as they are found. The last of `most` ends the search: Rejected, with all of them."""

    def __init__(self, most: int = MOST_FAULTS) -> None:
        super().__init__()
        self._most = most

    def append(self, fault: Fault) -> None:
        """Take one more."""
        super().append(fault)
        if len(self) >= self._most:
            raise Rejected(self)

    def __iadd__(self, faults: Iterable[Fault]) -> Self:  # type: ignore[override,misc]
        for fault in faults:
            self.append(fault)
        return self


class TooOften(VtnError):
    """The client asks for more than it may in this time: it has to wait `wait_s` seconds."""

    def __init__(self, reason: str, wait_s: float) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class TooLarge(VtnError):
    """The request is bigger than the configured bound."""


class TooSlow(VtnError):
    """The request did not arrive within the configured time."""


class Unauthenticated(VtnError):
    """No token, or one that is malformed, unknown, expired or revoked."""


class Forbidden(VtnError):
    """A valid token without the scope or role that the operation needs; `scope` where one would open it."""

    def __init__(self, detail: str, scope: str | None = None) -> None:
        super().__init__(detail)
        self.scope = scope


class NotFound(VtnError):
    """No such object, or none that this client may see: the two look the same from outside."""


class Conflict(VtnError):
    """A name is taken, or a reference points at nothing."""


class Moved(Conflict):
    """What a write rests on has changed since it was judged; judging it again may find it right."""


class OverQuota(VtnError):
    """The client keeps as much as it may already; the words name the bound and what can be done."""


class Unavailable(VtnError):
    """A part the request needs (the database) is out of reach; whether a write took effect is unknown."""


class ConfigError(VtnError):
    """A configuration that cannot be used: the file, the key and the reason."""


class CannotStart(VtnError):
    """A start that failed for a reason the operator can mend, in one sentence."""


def operators_sentence(error: BaseException) -> str | None:
    """What a command says of a failure that its operator can mend; None for a defect of ours.

    That is a wrong setting, a start that failed, or a file that the system would not give; of several, the first.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, (ConfigError, CannotStart)):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return None
