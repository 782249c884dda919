import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ven_adapters.contract import (
    BackendError,
    ChargeState,
    Directive,
    DirectiveKind,
    DirectiveState,
    ErrorCode,
    Known,
    OnEnd,
    Reading,
    Rung,
    Setting,
    Snapshot,
)
from ven_adapters.lifecycle.transitions import Trigger
from ven_adapters.transport.call_costs import CallCosts
from ven_adapters.transport.vendor_settings import Pseudonyms
from ven_adapters.transport.windows import journal
from ven_adapters.transport.windows import window_store as books
from ven_adapters.transport.windows.journal import Journal
from ven_adapters.transport.windows.window_store import WindowStore
from ven_adapters.transport.windows.windows import KeptWindow, WindowVerdict, judge, restoration, steps

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
CHARGING, STOPPED, UNKNOWN = ChargeState.CHARGING, ChargeState.STOPPED, ChargeState.UNKNOWN
PAUSE, RESUME, LOW = Setting(Rung.PAUSE, 0), Setting(Rung.RESUME, 7_000), Setting(Rung.CURRENT, 2_380, current_a=10)


def directive(kind=DirectiveKind.CURTAIL, **more):
    return Directive("d", "k", "v", kind, NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=1), **more)


def seen(state=CHARGING, at=NOON, **more):
    values = {"charge_state": state} | more
    return Snapshot("v", **{name: Reading(value, at, at) for name, value in values.items()})


def window(setting=PAUSE, *, kind=DirectiveKind.CURTAIL, before=None, sent_at=NOON, **more):
    return KeptWindow(directive(kind), setting, before=before or seen(limit_current_a=32.0), sent_at=sent_at, **more)


@given(st.integers(-7_200, 0), st.sampled_from(list(ChargeState)), st.sampled_from(list(Known)))
@settings(max_examples=200)
def test_nothing_older_than_the_send_says_anything(age_s, state, plugged):
    old = seen(state, NOON + timedelta(seconds=age_s), plugged=plugged, limit_current_a=10.0)
    assert judge(window(), old)[0] is WindowVerdict.NOTHING
    assert judge(window(LOW), old)[0] is WindowVerdict.NOTHING


@pytest.mark.parametrize(
    ("setting", "reading", "after_s", "verdict"),
    [
        (PAUSE, seen(STOPPED), 1, WindowVerdict.CONFIRMED),
        (PAUSE, seen(CHARGING), 59, WindowVerdict.NOTHING),
        (PAUSE, seen(CHARGING), 60, WindowVerdict.CONTRADICTED),
        (PAUSE, seen(UNKNOWN), 600, WindowVerdict.NOTHING),
        (RESUME, seen(CHARGING), 1, WindowVerdict.CONFIRMED),
        (RESUME, seen(ChargeState.COMPLETE), 1, WindowVerdict.CONFIRMED),
        (RESUME, seen(STOPPED), 600, WindowVerdict.CONTRADICTED),
        (LOW, seen(limit_current_a=10.0), 1, WindowVerdict.CONFIRMED),
        (LOW, seen(limit_current_a=32.0), 600, WindowVerdict.CONTRADICTED),
        (LOW, seen(STOPPED), 600, WindowVerdict.NOTHING),
        (PAUSE, seen(STOPPED, plugged=Known.NO), 1, WindowVerdict.MAYBE_UNPLUGGED),
        (PAUSE, seen(STOPPED, power_w=7_000.0), 60, WindowVerdict.CONTRADICTED),
        (PAUSE, seen(STOPPED, power_w=0.0), 1, WindowVerdict.CONFIRMED),
        (RESUME, seen(CHARGING, power_w=0.0), 60, WindowVerdict.CONTRADICTED),
        (LOW, seen(limit_current_a=10.0, power_w=7_140.0), 60, WindowVerdict.CONTRADICTED),
        (LOW, seen(limit_current_a=10.0, power_w=2_500.0), 1, WindowVerdict.CONFIRMED),
    ],
)
def test_a_newer_reading_is_judged_by_what_was_asked(setting, reading, after_s, verdict):
    moved = {
        field.name: Reading(value.value, at := NOON + timedelta(seconds=after_s), at)
        for field in dataclasses.fields(reading)
        if isinstance(value := getattr(reading, field.name), Reading)
    }
    assert judge(window(setting), dataclasses.replace(reading, **moved))[0] is verdict


def test_the_cable_is_out_only_when_seen_twice_a_minute_apart():
    out = seen(STOPPED, NOON + timedelta(seconds=90), plugged=Known.NO)
    first = window(unplugged_at=NOON + timedelta(seconds=40))
    assert judge(first, out)[0] is WindowVerdict.MAYBE_UNPLUGGED
    assert (
        judge(dataclasses.replace(first, unplugged_at=NOON + timedelta(seconds=30)), out)[0] is WindowVerdict.UNPLUGGED
    )


@pytest.mark.parametrize(
    ("found", "setting", "given_back"),
    [
        (seen(CHARGING), PAUSE, (Setting(Rung.RESUME),)),
        (seen(UNKNOWN), PAUSE, (Setting(Rung.RESUME),)),
        (Snapshot("v"), PAUSE, (Setting(Rung.RESUME),)),
        (seen(STOPPED), PAUSE, ()),
        (seen(ChargeState.WAITING_SCHEDULE), PAUSE, ()),
        (seen(CHARGING, limit_current_a=32.0), LOW, (Setting(Rung.CURRENT, current_a=32),)),
        (seen(ChargeState.WAITING_SCHEDULE), RESUME, (PAUSE,)),
        (seen(CHARGING), RESUME, ()),
    ],
)
def test_a_car_is_given_back_as_it_was_found(found, setting, given_back):
    assert restoration(window(setting, before=found)) == given_back


def test_a_car_is_left_as_it_is_when_the_directive_says_so():
    left = dataclasses.replace(window(), directive=directive(on_end=OnEnd.LEAVE))
    assert restoration(left) == ()


def test_a_car_that_was_unplugged_is_not_started():
    assert restoration(window(state=DirectiveState.INTERRUPTED, error=ErrorCode.NOT_PLUGGED)) == ()


@pytest.mark.parametrize(
    ("older", "newer", "told"),
    [
        (None, PAUSE, (PAUSE,)),
        (PAUSE, LOW, (LOW, Setting(Rung.RESUME))),
        (LOW, PAUSE, (PAUSE, Setting(Rung.CURRENT, current_a=32))),
        (PAUSE, RESUME, (RESUME,)),
        (LOW, RESUME, (RESUME, Setting(Rung.CURRENT, current_a=32))),
    ],
)
def test_a_newer_window_undoes_what_only_the_older_did(older, newer, told):
    assert steps(window(newer), None if older is None else window(older)) == told


def test_a_car_that_stands_as_asked_is_told_nothing():
    assert steps(window(), window(been_in_force=True)) == ()
    assert steps(window(), window(been_in_force=False)) == (PAUSE,)


def test_a_release_tells_an_untouched_car_nothing():
    assert steps(window(RESUME, kind=DirectiveKind.RELEASE), None) == ()


# --- what survives a crash --------------------------------------------------------------------------------------------


@pytest.fixture
def reopened(tmp_path):
    """Opens the same journal as often as it is called, as one process after another would."""
    opened = []

    def once():
        opened.append(WindowStore(Journal(tmp_path / "windows.jsonl", KeptWindow)))
        return opened[-1], opened[-1].open(NOON)

    yield once
    for book in opened:
        book.close()


def test_what_was_written_down_is_there_after_a_crash(reopened):
    book, _ = reopened()
    kept = book.keep(window(LOW, sends=2, action="act"))
    book.hold(kept)
    again, names = reopened()
    assert names == ("d",)
    assert dataclasses.replace(again.window("d"), before=None) == dataclasses.replace(kept, before=None)
    assert again.window("d").before.limit_current_a.value == 32.0
    assert again.holding("v") == again.window("d")
    assert again.seen(directive()) == again.window("d")


def test_a_journal_that_cannot_be_shortened_goes_on_being_written(reopened, monkeypatch, caplog):
    book, _ = reopened()
    monkeypatch.setattr(journal, "LINES", 0)
    monkeypatch.setattr(journal, "write_private", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    book.keep(window())
    book._journal.shorten([])
    kept = book.keep(window(sends=3))
    assert "could not be shortened" in caplog.text
    monkeypatch.undo()
    again, _ = reopened()
    assert again.window("d").sends == kept.sends


def test_half_a_last_line_is_dropped(reopened, tmp_path):
    book, _ = reopened()
    book.keep(window())
    book.close()
    with (tmp_path / "windows.jsonl").open("ab") as file:
        file.write(b'{"directive": {"dir')
    again, names = reopened()
    assert (names, again.window("d").setting) == (("d",), PAUSE)


def test_final_and_forgotten_windows_are_not_taken_up_but_a_key_keeps_its_first_answer(reopened):
    book, _ = reopened()
    book.move(book.keep(window()), DirectiveState.RELEASED, Trigger.TIME)
    other = dataclasses.replace(directive(), directive_id="e", key="l")
    book.keep(dataclasses.replace(window(), directive=other))
    book.forget(other)
    again, names = reopened()
    assert names == ()
    assert again.seen(directive()).state is DirectiveState.RELEASED
    assert again.seen(other) is None


def test_a_long_journal_is_rewritten_short_and_loses_nothing(reopened, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "LINES", 20)
    monkeypatch.setattr(books, "REMEMBERED", 5)
    book, _ = reopened()
    live = dataclasses.replace(window(), directive=dataclasses.replace(directive(), directive_id="live", key="live"))
    book.keep(live)
    for number in range(30):
        named = dataclasses.replace(directive(), directive_id=f"d-{number}", key=f"k-{number}")
        book.move(book.keep(dataclasses.replace(window(), directive=named)), DirectiveState.RELEASED, Trigger.TIME)
    assert len((tmp_path / "windows.jsonl").read_bytes().splitlines()) <= 30
    assert reopened()[1] == ("live",)


def test_a_month_that_is_spent_refuses_and_a_restart_does_not_forget_it(tmp_path):
    path = tmp_path / "spent.json"
    CallCosts(0.01, path).pay(9_000, NOON)
    again = CallCosts(0.01, path)
    with pytest.raises(BackendError) as caught:
        again.pay(1_000, NOON)
    assert caught.value.code is ErrorCode.QUOTA_EXHAUSTED
    again.pay(1_000, NOON, command=True)
    with pytest.raises(BackendError):
        again.pay(1_000, NOON, command=True)
    again.pay(1_000, NOON + timedelta(days=31))
    assert again._spent == 1_000


def test_a_damaged_purse_is_not_taken_for_an_empty_one(tmp_path):
    (tmp_path / "spent.json").write_text("{")
    with pytest.raises(BackendError) as caught:
        CallCosts(1.0, tmp_path / "spent.json")
    assert "spent.json" in caught.value.detail


def test_a_pseudonym_depends_on_the_secret_and_is_turned_back_only_for_listed_cars():
    one, other = Pseudonyms("t", "a"), Pseudonyms("t", "b")
    ref = one.ref("SYNTHETICVIN00001")
    assert ref != other.ref("SYNTHETICVIN00001")
    assert "SYNTHETIC" not in ref
    assert one.native(ref) == "SYNTHETICVIN00001"
    with pytest.raises(BackendError):
        other.native(ref)
