"""A car that takes a part of what it is told: nothing of it is forgotten, and it is its driver's again at the end."""

import asyncio
import contextlib
import dataclasses
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from ven_adapters.contract import (
    FINAL_STATES,
    BackendError,
    Capability,
    ChargeState,
    Directive,
    DirectiveKind,
    DirectiveState,
    ErrorCode,
    Known,
    Reading,
    Rung,
    Setting,
    Snapshot,
)
from ven_adapters.transport.windows.hold_leases import HoldLeases
from ven_adapters.transport.windows.journal import Journal
from ven_adapters.transport.windows.window_backend import KeptBackend
from ven_adapters.transport.windows.windows import KeptWindow
from vtn.clock import SimulatedClock

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
CAPABILITY = Capability("a car", 60_000, 11_000)


class Standing:
    """A clock that stands."""

    def now(self):
        return NOON

    def real_seconds_until(self, _at):
        return 3600.0


class Cars:
    """One car that charges at 32 A, and refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.told, self.refuses = [], {}

    async def read(self, _ref, _max_age_s):
        return found()

    def achieve(self, directive, _capability, _snapshot):
        if directive.kind is DirectiveKind.CURTAIL:
            return Setting(Rung.PAUSE, 0)
        return Setting(Rung.CURRENT, directive.power_w, current_a=6)

    async def tell(self, _ref, setting):
        if (code := self.refuses.get(setting.rung)) is not None:
            raise BackendError(code, "not now")
        self.told.append((setting.rung, setting.current_a))

    def overridden(self, _ref):
        return False

    async def pushes(self):
        for event in ():
            yield event

    async def close(self):
        pass


def found():
    def seen(value):
        return Reading(value, NOON, NOON, "car")

    return Snapshot(
        "car-1",
        plugged=seen(Known.YES),
        at_site=seen(Known.YES),
        charge_state=seen(ChargeState.CHARGING),
        limit_current_a=seen(32.0),
    )


def order(name, kind, power_w=None):
    until, latest = NOON + timedelta(hours=1), NOON + timedelta(minutes=9)
    return Directive(name, name, "car-1", kind, NOON, until, latest, power_w)


async def test_what_a_car_took_before_it_refused_the_rest_is_given_back_at_the_end(tmp_path):
    cars = Cars()
    kept = KeptBackend(cars, Standing(), Journal(tmp_path / "windows.jsonl", KeptWindow))
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    cars.refuses = {Rung.RESUME: ErrorCode.RATE_LIMITED}
    with pytest.raises(BackendError, match=ErrorCode.OUTCOME_UNKNOWN):
        await kept.submit(order("d-2", DirectiveKind.CAP, 4_000), CAPABILITY, found())
    assert cars.told == [(Rung.PAUSE, None), (Rung.CURRENT, 6)]
    await kept.close()

    cars.refuses = {}
    again = KeptBackend(cars, Standing(), Journal(tmp_path / "windows.jsonl", KeptWindow))
    assert (await again.cancel("car-1", "d-2")).state is DirectiveState.CANCELLED
    await again.close()
    assert set(cars.told[2:]) == {(Rung.CURRENT, 32), (Rung.RESUME, None)}


async def test_what_a_car_still_owes_is_told_to_it_by_the_next_window_too():
    cars = Cars()
    kept = KeptBackend(cars, Standing(), Journal(None, KeptWindow))
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    cars.refuses = {Rung.RESUME: ErrorCode.RATE_LIMITED}
    with contextlib.suppress(BackendError):
        await kept.submit(order("d-2", DirectiveKind.CAP, 4_000), CAPABILITY, found())
    cars.refuses = {}
    await kept.submit(order("d-3", DirectiveKind.CAP, 4_000), CAPABILITY, found())
    await kept.close()
    assert cars.told[2:] == [(Rung.CURRENT, 6), (Rung.RESUME, None)]


class Running(Standing):
    """A clock that goes on by twenty seconds whenever it is read."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self):
        self.at += timedelta(seconds=20)
        return self.at

    def real_seconds_until(self, _at):
        return 0.0


async def test_a_car_whose_vendor_answers_in_another_shape_is_given_back_all_the_same():
    class Strange(Cars):
        async def read(self, _ref, _max_age_s):
            return json.loads("null")["charge_state"]

    cars = Strange()
    kept = KeptBackend(cars, Running(), Journal(None, KeptWindow))
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    async with asyncio.timeout(60):
        await anext(event async for event in kept.events() if event.statuses[0].state in FINAL_STATES)
    await kept.close()
    assert cars.told == [(Rung.PAUSE, None), (Rung.RESUME, None)]


async def test_an_answer_to_a_command_in_another_shape_says_nothing_of_the_car():
    class Strange(Cars):
        async def tell(self, _ref, _setting):
            return json.loads("[]")["result"]

    kept = KeptBackend(Strange(), Standing(), Journal(None, KeptWindow))
    with pytest.raises(BackendError, match=ErrorCode.OUTCOME_UNKNOWN):
        await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    await kept.close()


def full(_):
    raise OSError(28, "No space left on device")


async def test_a_car_is_given_back_at_the_end_though_the_disk_is_full(tmp_path, monkeypatch, caplog):
    cars = Cars()
    kept = KeptBackend(cars, Running(), Journal(tmp_path / "windows.jsonl", KeptWindow))
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    monkeypatch.setattr("os.fsync", full)
    async with asyncio.timeout(20):
        await anext(event async for event in kept.events() if event.statuses[0].state in FINAL_STATES)
    assert cars.told == [(Rung.PAUSE, None), (Rung.RESUME, None)]
    assert sum("cannot be written down" in record.getMessage() for record in caplog.records) == 1
    monkeypatch.undo()
    await kept.close()


async def test_no_car_is_told_what_cannot_be_written_down(tmp_path, monkeypatch):
    cars = Cars()
    kept = KeptBackend(cars, Standing(), Journal(tmp_path / "windows.jsonl", KeptWindow))
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        await kept.submit(order("d-2", DirectiveKind.CAP, 4_000), CAPABILITY, found())
    assert cars.told == [(Rung.PAUSE, None)]
    monkeypatch.undo()
    assert (await kept.cancel("car-1", "d-1")).state is DirectiveState.CANCELLED
    await kept.close()


def guarded(cars, clock, folder):
    return KeptBackend(cars, clock, Journal(folder / "windows.jsonl", KeptWindow), leases=HoldLeases(folder))


def looked_at(folder, monkeypatch, *, later_s):
    """What a guard finds due after so many seconds in which nobody renewed anything."""
    leases, now_s = HoldLeases(folder), time.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: now_s + later_s)
        found = leases.due()
    leases.close()
    return found


async def test_a_lease_is_on_disk_before_its_car_is_held(tmp_path, monkeypatch):
    class Dying(Cars):
        async def tell(self, _ref, _setting):
            (found,) = looked_at(tmp_path, monkeypatch, later_s=1_300)
            self.told.append((found.directive_id, found.give_back))

    cars = Dying()
    kept = guarded(cars, Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    await kept.close()
    assert cars.told == [("d-1", (Setting(Rung.RESUME),))]


async def test_a_lease_is_renewed_while_its_car_is_being_told(tmp_path, monkeypatch):
    class Slow(Cars):
        async def tell(self, _ref, _setting):
            kept._keeper.leases.renew()
            self.told += [due.directive_id for due in looked_at(tmp_path, monkeypatch, later_s=1_300)]

    cars = Slow()
    kept = guarded(cars, Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    kept._keeper.leases.renew()
    assert len(looked_at(tmp_path, monkeypatch, later_s=1_300)) == 1
    await kept.close()
    assert cars.told == ["d-1"]


async def test_a_slice_is_twenty_minutes_and_a_shorter_window_is_no_longer(tmp_path, monkeypatch):
    kept = guarded(Cars(), Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    assert looked_at(tmp_path, monkeypatch, later_s=1_190) == ()
    assert len(looked_at(tmp_path, monkeypatch, later_s=1_201)) == 1
    short = dataclasses.replace(order("d-2", DirectiveKind.CURTAIL), end=NOON + timedelta(minutes=10))
    await kept.submit(short, CAPABILITY, found())
    assert looked_at(tmp_path, monkeypatch, later_s=770) == ()
    assert len(looked_at(tmp_path, monkeypatch, later_s=790)) == 1
    await kept.close()


async def test_a_lease_names_all_that_was_changed_in_a_car(tmp_path, monkeypatch):
    kept = guarded(Cars(), Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CAP, 4_000), CAPABILITY, found())
    await kept.submit(order("d-2", DirectiveKind.CURTAIL), CAPABILITY, found())
    (due,) = looked_at(tmp_path, monkeypatch, later_s=1_300)
    assert set(due.give_back) == {Setting(Rung.RESUME), Setting(Rung.CURRENT, current_a=32)}
    await kept.close()


async def test_a_car_that_refused_or_was_given_back_has_no_lease(tmp_path, monkeypatch):
    cars = Cars()
    kept = guarded(cars, Standing(), tmp_path)
    cars.refuses = {Rung.PAUSE: ErrorCode.RATE_LIMITED}
    with pytest.raises(BackendError):
        await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    assert looked_at(tmp_path, monkeypatch, later_s=9_999) == ()
    cars.refuses = {}
    await kept.submit(order("d-2", DirectiveKind.CURTAIL), CAPABILITY, found())
    assert len(looked_at(tmp_path, monkeypatch, later_s=9_999)) == 1
    await kept.cancel("car-1", "d-2")
    assert looked_at(tmp_path, monkeypatch, later_s=9_999) == ()
    await kept.close()


async def test_a_car_that_is_to_charge_next_has_a_lease_no_more(tmp_path, monkeypatch):
    cars = Cars()
    kept = guarded(cars, Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    await kept.submit(order("d-2", DirectiveKind.RELEASE), CAPABILITY, found())
    assert looked_at(tmp_path, monkeypatch, later_s=9_999) == ()
    await kept.close()


async def test_a_newer_directive_that_is_refused_leaves_the_older_ones_lease(tmp_path, monkeypatch):
    cars = Cars()
    kept = guarded(cars, Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    cars.refuses = {Rung.CURRENT: ErrorCode.RATE_LIMITED}
    with pytest.raises(BackendError):
        await kept.submit(order("d-2", DirectiveKind.CAP, 4_000), CAPABILITY, found())
    (due,) = looked_at(tmp_path, monkeypatch, later_s=9_999)
    assert due.directive_id == "d-1"
    await kept.close()


async def test_what_the_guard_gave_back_has_ended_and_is_not_sent_again(tmp_path, monkeypatch):
    cars = Cars()
    kept = guarded(cars, Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    await kept.close()
    give_back(tmp_path, monkeypatch)

    again = guarded(cars, Standing(), tmp_path)
    assert (await again.status("car-1", "d-1")).state is DirectiveState.EXPIRED
    await again.submit(order("d-2", DirectiveKind.CURTAIL), CAPABILITY, found())
    assert cars.told == [(Rung.PAUSE, None), (Rung.PAUSE, None)]
    await again.close()


def give_back(folder, monkeypatch):
    """Say of every car that the guard gave it back."""
    now_s = time.monotonic()
    leases = HoldLeases(folder)
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: now_s + 9_999)
        for due in leases.due():
            assert leases.claim(due)
            leases.returned(due)
    leases.close()


async def test_no_car_is_held_without_a_lease(tmp_path, monkeypatch):
    cars = Cars()
    kept = guarded(cars, Standing(), tmp_path)
    await kept.snapshot("car-1")
    monkeypatch.setattr(HoldLeases, "take", lambda _self, _lease: full(0))
    with pytest.raises(OSError, match="No space"):
        await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    assert cars.told == []
    await kept.close()


class Ending(Cars):
    """A car that ends a pause by itself."""

    async def end_at(self, _ref, setting, at):
        self.told.append(("end", setting.rung, at - NOON))
        return setting.rung is Rung.PAUSE

    async def forget_end(self, _ref):
        self.told.append(("forget",))


async def test_a_car_that_ends_its_pause_by_itself_is_told_so_first_and_needs_a_guard_after_its_end_only(
    tmp_path, monkeypatch
):
    cars = Ending()
    kept = guarded(cars, Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    assert cars.told == [("end", Rung.PAUSE, timedelta(hours=1)), (Rung.PAUSE, None)]
    kept._keeper.leases.renew()
    assert looked_at(tmp_path, monkeypatch, later_s=3_600) == ()
    assert len(looked_at(tmp_path, monkeypatch, later_s=3_800)) == 1
    await kept.cancel("car-1", "d-1")
    assert cars.told[2:] == [(Rung.RESUME, None), ("forget",)]
    await kept.close()


async def test_a_car_that_is_capped_next_forgets_the_end_of_its_pause(tmp_path):
    cars = Ending()
    kept = guarded(cars, Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    await kept.submit(order("d-2", DirectiveKind.CAP, 4_000), CAPABILITY, found())
    assert cars.told[2:] == [
        ("end", Rung.CURRENT, timedelta(hours=1)),
        (Rung.CURRENT, 6),
        (Rung.RESUME, None),
        ("forget",),
    ]
    await kept.close()


async def test_what_is_renewed_for_longer_is_told_its_new_end_and_not_paused_again(tmp_path):
    cars = Ending()
    kept = guarded(cars, Standing(), tmp_path)
    await kept.submit(order("d-1", DirectiveKind.CURTAIL), CAPABILITY, found())
    kept._store.keep(dataclasses.replace(kept._store.window("d-1"), been_in_force=True))
    longer = dataclasses.replace(order("d-2", DirectiveKind.CURTAIL), end=NOON + timedelta(hours=2))
    await kept.submit(longer, CAPABILITY, found())
    assert cars.told[2:] == [("end", Rung.PAUSE, timedelta(hours=2))]
    await kept.close()


class CachedCars(Cars):
    """A car whose newest reading is old: a look that accepts it costs no call."""

    def __init__(self, clock) -> None:
        super().__init__()
        self.clock, self.calls = clock, 0
        self.last = found()

    async def read(self, _ref, max_age_s):
        if max_age_s is not None and (self.clock.now() - NOON).total_seconds() > max_age_s:
            self.calls += 1
            now = self.clock.now()
            self.last = dataclasses.replace(self.last, charge_state=Reading(ChargeState.CHARGING, now, now, "car"))
        return self.last


async def test_the_calls_for_readings_that_nobody_asked_for_are_counted_and_told_once(tmp_path):
    clock = SimulatedClock(NOON, time.time(), 600.0)
    cars = CachedCars(clock)
    backend = KeptBackend(cars, clock, Journal(tmp_path / "windows.jsonl", KeptWindow))
    end = NOON + timedelta(hours=8)
    directive = Directive("d", "k", "car", DirectiveKind.CURTAIL, NOON, end, end)
    try:
        await backend.submit(directive, CAPABILITY, found())
        async with asyncio.timeout(60.0):
            while cars.calls < 2:  # noqa: ASYNC110 - the window's own task looks
                await asyncio.sleep(0.01)
        counted = backend.take_looks()
        assert counted == {"car": cars.calls}
        assert backend.take_looks() == {}
    finally:
        await backend.close()
