"""What can be refused, in words: faults with JSON paths, nobody there, a conflict, nobody known."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus

import pydantic
from pydantic_core import ErrorDetails

from ven_adapters.enrolment_api.models import RequestFault

MOST_FAULTS = 50


class Refused(Exception):
    """A request that is refused on purpose: the HTTP status that says so, one sentence, and every fault."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        faults: Iterable[RequestFault] = (),
        *,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = tuple(faults)[:MOST_FAULTS]
        self.retry_after_s = retry_after_s


def unknown_car(ref: str) -> Refused:
    """No car is enrolled under this ref."""
    return Refused(HTTPStatus.NOT_FOUND, f"vehicle_ref: no car is enrolled as {ref!r}")


def conflict(detail: str, *faults: RequestFault) -> Refused:
    """What is asked contradicts what is on file."""
    return Refused(HTTPStatus.CONFLICT, detail, faults)


def rejected(faults: Sequence[RequestFault]) -> Refused:
    """The body is wrong; all of it is said at once."""
    return Refused(HTTPStatus.BAD_REQUEST, f"the request has {len(faults)} fault(s)", faults)


def faults_of(error: pydantic.ValidationError) -> list[RequestFault]:
    """Every fault of a body, with its JSON path; values are never repeated, they may be a driver's."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [RequestFault(path=_path(one["loc"]), rule=_rule(one)) for one in found]


def _rule(one: ErrorDetails) -> str:
    return "is not known" if one["type"] == "extra_forbidden" else one["msg"].removeprefix("Value error, ")


def _path(location: Sequence[int | str]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
