from datetime import UTC, datetime

import pytest

from ven_adapters.contract import DriverChoice, DriverChose, WriteDown
from ven_adapters.ven.control.fact_intake import FactIntake
from ven_adapters.ven.store.group_commit import NotWritten

CHOICE = DriverChose("v", DriverChoice.OPT_OUT, datetime(2026, 7, 1, 12, tzinfo=UTC))


class Pushing:
    """A backend that notes what it was asked for, and when its line was let go."""

    def __init__(self) -> None:
        self.noted = []

    async def events(self):
        try:
            yield CHOICE
            yield WriteDown()
            self.noted.append("answered for")
        finally:
            self.noted.append("let go")


class Intake(FactIntake):
    """What is taken is noted, and nothing follows from it."""

    def __init__(self, backend, written) -> None:
        super().__init__(None, None, None, None, None, written)
        self.backend = backend

    def take(self, event):
        self.backend.noted.append(event)


async def test_a_choice_is_written_before_its_push_is_answered_for():
    backend = Pushing()

    async def written():
        backend.noted.append("written")

    await Intake(backend, written)._take_until_it_ends(backend)
    assert backend.noted == [CHOICE, "written", "answered for", "let go"]


async def test_a_choice_that_cannot_be_written_is_not_answered_for():
    backend = Pushing()

    async def written():
        raise NotWritten

    with pytest.raises(NotWritten):
        await Intake(backend, written)._take_until_it_ends(backend)
    assert backend.noted == [CHOICE, "let go"]
