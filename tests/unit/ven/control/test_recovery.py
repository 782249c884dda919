"""After a start, whoever is to be given back is: without a VTN, and whatever becomes of other cars."""

import asyncio
import contextlib

import pytest
from agent_cases import agent, enrolment
from directive_cases import T0, accepted

from ven_adapters.contract import BackendError, Certainty, DirectiveKind, DirectiveState, DirectiveStatus, ErrorCode
from ven_adapters.ven.control.recovery import recover, to_give_back
from ven_adapters.ven.directives.directive_rows import row_of
from ven_adapters.ven.store.database import ChoiceRow, StoredState

DISCHARGE = DirectiveKind.SETPOINT


def holds(ref, kind=DirectiveKind.CURTAIL, **more):
    return accepted(kind, directive_id=f"d-{ref}", key=f"k-{ref}", vehicle_ref=ref, **more)


def row(ref, kind=DirectiveKind.CURTAIL, **more):
    return row_of(holds(ref, kind, **more))


def chose(ref, choice, until=None):
    return ChoiceRow(vehicle_ref=ref, choice=choice, at=T0.isoformat(), until=until)


@contextlib.asynccontextmanager
async def started_anew(folder, monkeypatch, rows, choices=(), **enrolled):
    """An adapter as it is after a start, with a backend that answers for every car but "asleep"; its VTN is away."""
    made = agent(folder)
    given = {"asleep": {}, "usual": {}} | enrolled
    made.fleet_state.enrol([enrolment(ref, **more) for ref, more in given.items()], T0)

    async def status(ref, directive_id):
        if ref == "asleep":
            raise BackendError(ErrorCode.UNREACHABLE, "deep sleep")
        return DirectiveStatus(directive_id, ref, DirectiveState.ACCEPTED, Certainty.ACCEPTED)

    monkeypatch.setattr(made.ports.backend, "status", status, raising=False)
    await made.ports.store.open()
    made.fleet_state.restore(StoredState(directives=tuple(rows), choices=tuple(choices)), T0)
    running = asyncio.create_task(recover(made.fleet_state, made.dispatcher, made.clock, made.wake.first_retry_s))
    try:
        yield made
    finally:
        made.stop()
        running.cancel()
        await made.dispatcher.settle(2)
        await made.group_commit.close()
        await made.ports.store.close()
        made.statistics.close(T0, 0.0, {}, 0, ())


async def cancelled(made, *refs):
    async with asyncio.timeout(10):
        while set(made.ports.backend.cancelled) < {f"d-{ref}" for ref in refs}:  # noqa: ASYNC110 - watched from outside
            await asyncio.sleep(0.01)
    assert set(made.ports.backend.cancelled) == {f"d-{ref}" for ref in refs}


async def test_a_car_that_is_not_ours_any_more_is_given_back_though_another_cannot_be_asked(tmp_path, monkeypatch):
    rows = [row("asleep"), row("usual"), row("left", DISCHARGE)]
    async with started_anew(tmp_path, monkeypatch, rows) as made:
        await cancelled(made, "left")
        assert made.fleet_state.registry.unread() == ["asleep"]


@pytest.mark.parametrize("choice", ["OPT_OUT", "BOOST", "CONSENT_WITHDRAWN"])
async def test_what_a_driver_chose_before_we_were_killed_is_honoured_while_the_vtn_is_away(
    tmp_path, monkeypatch, choice
):
    choices = [chose("out", choice)]
    async with started_anew(tmp_path, monkeypatch, [row("asleep"), row("out")], choices, out={}) as made:
        await cancelled(made, "out")


async def test_a_discharge_ends_when_its_consent_ended_while_we_were_away(tmp_path, monkeypatch):
    rows = [row("asleep"), row("gives", DISCHARGE), row("paused")]
    without = {"gives": {"discharge_consent": False}, "paused": {"discharge_consent": False}}
    async with started_anew(tmp_path, monkeypatch, rows, **without) as made:
        await cancelled(made, "gives")


async def test_a_car_that_was_about_to_be_given_back_is(tmp_path, monkeypatch):
    async with started_anew(tmp_path, monkeypatch, [row("asleep"), row("usual")]) as made:
        made.fleet_state.registry.ending("usual", made.fleet_state.registry.car("usual").held, T0)
        assert to_give_back(made.fleet_state, T0) == ["usual"]


async def test_an_opt_out_that_is_over_gives_nothing_back(tmp_path, monkeypatch):
    choices = [chose("usual", "OPT_OUT", until=T0.isoformat())]
    async with started_anew(tmp_path, monkeypatch, [row("usual")], choices) as made:
        assert to_give_back(made.fleet_state, T0) == []
