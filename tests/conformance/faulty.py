"""VTNs with one fault that many checks meet: the kit accuses it once, and goes on with what is left."""

from typing import Any

import pytest
from front import FrontAnswer, FrontRequest, ServerVariant, every_part, problem

from vtn.notifiers.webhooks.callbacks import Callbacks


class LosesTheClientOfResources(ServerVariant):
    """Resources never show their clientID."""

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Take it away."""
        if asked.collection == "resources" and told.is_object:
            for one in told.body if isinstance(told.body, list) else [told.body]:
                one.pop("clientID", None)


class LosesReportRequests(ServerVariant):
    """Events never show their report descriptors."""

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Take them away."""
        if asked.collection == "events" and told.is_object:
            every_part(told.body, lambda part: part.pop("reportDescriptors", None))


class NeverNotifies(ServerVariant):
    """Callbacks are challenged, and nothing is ever sent to them."""

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Take every notification, and send none."""

        async def nowhere(*_call: Any) -> None:
            return None

        patch.setattr(Callbacks, "post", nowhere)


class BreaksOnTheEndOfTime(ServerVariant):
    """Once an event that starts in the year 9999 is stored, no list of events can be read by anybody."""

    def __init__(self) -> None:
        self.stored: set[str] = set()

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Fail inside on a list of events; forget the event with its end."""
        if asked.method == "DELETE":
            self.stored.discard(asked.path)
        failing = asked.collection == "events" and asked.is_list and asked.role and self.stored
        return problem(500, "overflow") if failing else None

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Remember the event."""
        if asked.collection == "events" and asked.method == "POST" and told.is_object:
            start = (told.body.get("intervalPeriod") or {}).get("start", "")
            if start.startswith("9999"):
                self.stored.add(f"/events/{told.body['id']}")


class KnowsNoReads(ServerVariant):
    """READ is no operation that may be subscribed to, and a subscription has one to fifteen entries."""

    def ask(self, asked: FrontRequest) -> FrontAnswer | None:
        """Refuse it."""
        body = asked.body if asked.collection == "subscriptions" and asked.is_write and asked.role else None
        entries = body.get("objectOperations") if isinstance(body, dict) else None
        wanted = (
            [one.get("operations") for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
        )
        reads = any("READ" in one for one in wanted if isinstance(one, list))
        return problem(400) if reads or (isinstance(entries, list) and not 1 <= len(entries) <= 15) else None


class RefusesWithoutProblems(ServerVariant):
    """Refusals have no body."""

    def tell(self, asked: FrontRequest, told: FrontAnswer) -> None:
        """Take it away."""
        if asked.collection and told.status in {400, 401, 403, 404, 409}:
            told.body, told.content = None, b""
