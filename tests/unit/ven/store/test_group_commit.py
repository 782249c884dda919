"""Written down before anything leaves: who waits shares a commit, and nobody acts on what the store did not take."""

import asyncio
import contextlib
import dataclasses

import pytest
from directive_cases import accepted, at, desire
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from ven_adapters.contract import (
    Ack,
    BackendError,
    Capability,
    Certainty,
    DirectiveKind,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    Known,
    Reading,
    Snapshot,
)
from ven_adapters.ven.directives.car_directives import CarDirectives
from ven_adapters.ven.directives.directive_rows import held_of, values_of
from ven_adapters.ven.directives.dispatcher import CallContext, Dispatcher
from ven_adapters.ven.directives.reconcile import Do, reconcile
from ven_adapters.ven.directives.registry import DirectiveRegistry
from ven_adapters.ven.store.database import AdapterStore, DirectiveRow, RowValues
from ven_adapters.ven.store.group_commit import GroupCommit, NotWritten

PATIENCE_S = 60.0


class Stored:
    """A store that keeps what it is told, one commit after another, each when it may."""

    def __init__(self) -> None:
        self.noted, self.commits, self.failures = [], [], []
        self.may = asyncio.Event()
        self.may.set()

    def note(self, rows):
        self.noted += rows

    async def flush(self):
        await self.may.wait()
        if self.failures:
            raise self.failures.pop()
        self.commits.append(self.noted)
        self.noted = []


def full():
    return OperationalError("INSERT", {}, Exception("database or disk is full"))


class Book:
    """A backend that writes down, with each call, how much the store had committed by then."""

    def __init__(self, stored, *answers) -> None:
        self.stored, self.answers, self.calls, self.cancelled = stored, list(answers), [], []

    def called(self, what, directive_id):
        rows = [row.values for commit in self.stored.commits for row in commit if row.model is DirectiveRow]
        known = [row for row in rows if row["directive_id"] == directive_id]
        self.calls.append((what, held_of(DirectiveRow(**known[-1])) if known else None))

    async def submit(self, directive, _capability, _snapshot):
        self.called("submit", directive.directive_id)
        if self.answers and (answer := self.answers.pop(0)) is not None:
            raise answer
        return Ack(directive.directive_id, DirectiveState.ACCEPTED)

    async def cancel(self, _ref, directive_id):
        self.called("cancel", directive_id)
        self.cancelled.append(directive_id)
        return Ack(directive_id, DirectiveState.CANCELLED)

    async def snapshot(self, ref, *, max_age_s):
        self.calls.append(("snapshot", max_age_s))
        return Snapshot(ref)


class Now:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at_s = 0

    def now(self):
        return at(self.at_s)


@pytest.fixture
async def parts():
    stored, registry, clock = Stored(), DirectiveRegistry(), Now()
    recovered = []
    group_commit = GroupCommit(stored, registry.drain, lambda: recovered.append(True))
    backend = Book(stored)
    given = {"at_once": 4, "seed": 1}
    context = CallContext(
        backend,
        clock,
        registry,
        {f"car-{n}": Capability("m", 1, 1) for n in range(9)} | {"car": Capability("m", 1, 1)},
        {},
        written=group_commit.written,
        **given,
    )
    yield context, Dispatcher(context), group_commit, stored
    await group_commit.close()


def ask(context, dispatcher, ref="car", **more):
    step = reconcile(desire(**more), context.registry.car(ref), None, context.clock.now())
    dispatcher.start(ref, step)
    return step.target


async def test_a_directive_and_its_plan_of_calls_are_durable_before_it_is_sent(parts):
    context, dispatcher, _, stored = parts
    stored.may.clear()
    target = ask(context, dispatcher)
    for _ in range(20):
        await asyncio.sleep(0)
    assert context.backend.calls == []
    stored.may.set()
    await dispatcher.settle(PATIENCE_S)
    (what, known) = context.backend.calls[0]
    assert what == "submit"
    assert (known.state, known.attempts, known.sent_at) == (DirectiveState.REQUESTED, 1, at(0))
    assert known.directive == target.directive


async def test_all_who_wait_share_one_commit(parts):
    context, dispatcher, _, stored = parts
    stored.may.clear()
    for number in range(9):
        ask(context, dispatcher, f"car-{number}")
        await asyncio.sleep(0)
    stored.may.set()
    await dispatcher.settle(PATIENCE_S)
    assert len(context.backend.calls) == 9
    assert all(known is not None for _, known in context.backend.calls)
    assert len([commit for commit in stored.commits if commit]) <= 3


async def test_without_the_store_nothing_is_sent_and_all_is_as_before(parts, caplog):
    context, dispatcher, group_commit, stored = parts
    stored.failures = [full()]
    before = ask(context, dispatcher)
    await dispatcher.settle(PATIENCE_S)
    car = context.registry.car("car")
    assert context.backend.calls == []
    assert (car.held.attempts, car.held.sent_at, car.calling, car.sends) == (0, None, False, ())
    assert "disk is full" in caplog.text
    assert group_commit.failing
    again = reconcile(desire(), car, None, at(0))
    assert (again.do, again.target.directive.key) == (Do.SUBMIT, before.directive.key)
    dispatcher.start("car", again)
    await dispatcher.settle(PATIENCE_S)
    assert [what for what, _ in context.backend.calls] == ["submit"]
    assert not group_commit.failing


async def test_a_store_that_is_away_keeps_no_car_from_being_given_back(parts):
    context, dispatcher, _, stored = parts
    context.registry.put("car", CarDirectives(accepted()))
    stored.failures = [full()]
    dispatcher.start("car", reconcile(None, context.registry.car("car"), None, at(5)))
    await dispatcher.settle(PATIENCE_S)
    assert [what for what, _ in context.backend.calls] == ["cancel"]
    assert context.registry.car("car").held is None


async def test_a_cancel_is_written_down_before_it_is_sent_and_made_again_until_it_is_taken(parts):
    context, dispatcher, _, _ = parts
    context.registry.put("car", CarDirectives(accepted()))
    dispatcher.start("car", reconcile(None, context.registry.car("car"), None, at(5)))
    await dispatcher.settle(PATIENCE_S)
    ((what, known),) = context.backend.calls
    assert (what, known.ending_at) == ("cancel", at(0))
    wanted_again = reconcile(desire(), CarDirectives(known), None, at(9))
    assert (wanted_again.do, wanted_again.target) == (Do.CANCEL, known)


async def test_what_an_unproven_replacement_was_to_replace_is_cancelled_with_it(parts):
    context, dispatcher, _, _ = parts
    newer = accepted(directive_id="newer", key="k-2", supersedes="older")
    for held, older, ids in (
        (newer, (), ["newer", "older"]),
        (dataclasses.replace(newer, confirmed_once=True), (), ["newer"]),
        (newer, (accepted(directive_id="older"),), ["newer"]),
    ):
        context.backend.cancelled = []
        context.registry.put("car", CarDirectives(held, older))
        dispatcher.start("car", reconcile(None, context.registry.car("car"), None, at(5)))
        await dispatcher.settle(PATIENCE_S)
        assert context.backend.cancelled == ids


async def test_what_waited_for_the_store_until_it_was_too_late_is_not_sent(parts):
    context, dispatcher, _, stored = parts
    stored.may.clear()
    target = ask(context, dispatcher)
    await asyncio.sleep(0)
    context.clock.at_s = 3541
    stored.may.set()
    await dispatcher.settle(PATIENCE_S)
    assert context.backend.calls == []
    assert context.registry.car("car").held is None
    last = [row.values for row in context.registry.drain() if row.model is DirectiveRow][-1]
    assert (last["directive_id"], last["state"]) == (target.directive.directive_id, "EXPIRED")


async def test_only_what_is_observed_after_the_call_left_can_show_its_effect(parts):
    context, dispatcher, _, stored = parts
    stored.may.clear()
    ask(context, dispatcher)
    await asyncio.sleep(0)
    context.clock.at_s = 30
    stored.may.set()
    await dispatcher.settle(PATIENCE_S)
    assert context.registry.car("car").held.sent_at == at(30)


async def test_a_sleeping_car_is_woken_once_for_a_directive_and_that_is_durable_before(parts):
    context, dispatcher, _, stored = parts
    context.backend.answers = [BackendError(ErrorCode.ASLEEP, "x", retry_after_s=10.0)] * 2
    ask(context, dispatcher)
    await dispatcher.settle(PATIENCE_S)
    assert [what for what, _ in context.backend.calls] == ["submit", "snapshot"]
    stored_now = held_of(
        DirectiveRow(**[row.values for commit in stored.commits for row in commit if row.model is DirectiveRow][-1])
    )
    assert stored_now.woken_at == at(0)
    context.clock.at_s = 400
    reborn = DirectiveRegistry()
    reborn.restore([DirectiveRow(**values) for values in [values_of(stored_now)]], (), at(400))
    held = reborn.car("car").held
    assert held.woken_at == at(0)
    ask(context, dispatcher)
    await dispatcher.settle(PATIENCE_S)
    assert [what for what, _ in context.backend.calls] == ["submit", "snapshot", "submit"]


async def test_a_car_is_not_woken_when_it_could_not_obey_in_time(parts):
    context, dispatcher, _, _ = parts
    context.backend.answers = [BackendError(ErrorCode.ASLEEP, "x", retry_after_s=3600.0)]
    ask(context, dispatcher)
    await dispatcher.settle(PATIENCE_S)
    assert [what for what, _ in context.backend.calls] == ["submit"]


async def test_after_the_end_nobody_waits_and_nothing_is_sent(parts):
    context, dispatcher, group_commit, _ = parts
    await group_commit.close()
    with pytest.raises(NotWritten):
        await group_commit.written()
    ask(context, dispatcher)
    with contextlib.suppress(TimeoutError):
        await dispatcher.settle(PATIENCE_S)
    assert context.backend.calls == []


async def test_a_full_disk_and_a_database_that_is_away_are_told_and_got_over(tmp_path, caplog):
    store = AdapterStore(f"sqlite+aiosqlite:///{tmp_path}/x.sqlite")
    await store.open()
    limit = "PRAGMA max_page_count = 1"
    event.listen(store._engine.sync_engine, "connect", lambda connection, _: connection.execute(limit))
    await store._engine.dispose()
    rows = [[RowValues(DirectiveRow, values_of(accepted(directive_id=f"d-{n}"))) for n in range(200)]]
    group_commit = GroupCommit(store, lambda: rows.pop() if rows else [], lambda: None)
    with pytest.raises(NotWritten):
        await group_commit.written()
    assert "disk is full" in caplog.text
    limit = "PRAGMA max_page_count = 100000"
    await store._engine.dispose()
    await group_commit.written()
    assert len((await store.load()).directives) == 200
    await group_commit.close()
    await store.close()


async def test_a_database_that_refuses_connections_lets_nobody_send():
    store = AdapterStore("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    group_commit = GroupCommit(store, lambda: [RowValues(DirectiveRow, values_of(accepted()))], lambda: None)
    with pytest.raises(NotWritten):
        await group_commit.written()
    await group_commit.close()
    await store._engine.dispose()


async def test_a_call_that_fails_as_no_backend_may_fail_is_read_before_anything_else(parts):
    context, dispatcher, _, _ = parts
    context.backend.answers = [KeyError("state")]
    ask(context, dispatcher)
    await dispatcher.settle(PATIENCE_S)
    car = context.registry.car("car")
    assert car.held.in_doubt
    assert reconcile(None, car, None, at(600)).do is Do.READ


async def in_line(context, dispatcher):
    """A directive that is written down and waits for its turn, and what lets it go on."""
    calls = [dispatcher._gate.acquire() for _ in range(context.at_once)]
    await asyncio.gather(*calls)
    ask(context, dispatcher, kind=DirectiveKind.SETPOINT, power_w=-5000)
    for _ in range(50):
        await asyncio.sleep(0)
    assert context.backend.calls == []
    return dispatcher._gate.release


async def test_what_the_backend_calls_overridden_while_it_waits_in_line_is_not_sent(parts):
    context, dispatcher, _, _ = parts
    go_on = await in_line(context, dispatcher)
    directive_id = context.registry.car("car").held.directive.directive_id
    overridden = DirectiveStatus(directive_id, "car", DirectiveState.OVERRIDDEN, Certainty.BACKEND_REPORTED)
    context.registry.told(overridden, at(1))
    go_on()
    await dispatcher.settle(PATIENCE_S)
    assert context.backend.calls == []
    assert not context.registry.car("car").calling


async def test_no_discharge_leaves_after_an_alarm_of_the_inverter(parts):
    context, dispatcher, _, _ = parts
    go_on = await in_line(context, dispatcher)
    context.snapshots["car"] = Snapshot("car", der_alarm=Reading(Known.YES, at(1), at(1)))
    go_on()
    await dispatcher.settle(PATIENCE_S)
    assert context.backend.calls == []
    assert not context.registry.car("car").calling


async def test_a_call_that_hangs_keeps_neither_its_car_nor_its_place_for_ever(parts, monkeypatch):
    monkeypatch.setattr("ven_adapters.ven.directives.dispatcher.LONGEST_CALL_S", 0.01)
    context, dispatcher, _, _ = parts
    monkeypatch.setattr(context.backend, "submit", lambda *_: asyncio.Event().wait())
    ask(context, dispatcher)
    await dispatcher.settle(PATIENCE_S)
    car = context.registry.car("car")
    assert (car.calling, car.held.in_doubt, dispatcher.calling) == (False, True, 0)
    monkeypatch.setattr(context.backend, "cancel", lambda *_: asyncio.Event().wait(), raising=False)
    context.registry.put("car", CarDirectives(accepted()))
    dispatcher.start("car", reconcile(None, context.registry.car("car"), None, at(5)))
    await dispatcher.settle(PATIENCE_S)
    assert (context.registry.car("car").calling, context.registry.car("car").held.ending_at) == (False, at(0))
