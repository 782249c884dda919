"""A car that takes a part of what it is told: nothing of it is forgotten, and it is its driver's again at the end."""

import asyncio
import contextlib
import json
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
from ven_adapters.transport.windows.journal import Journal
from ven_adapters.transport.windows.window_backend import KeptBackend
from ven_adapters.transport.windows.windows import KeptWindow

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
