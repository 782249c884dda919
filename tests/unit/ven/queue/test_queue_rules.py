"""The queue's pure rules: when a command may be begun, what travels and how large, which words subjects are made of."""

import dataclasses
from datetime import timedelta

import pytest
from directive_cases import T0, directive
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.contract import (
    Ack,
    BackendError,
    Capability,
    Certainty,
    DirectiveState,
    DirectiveStatus,
    ErrorCode,
    Rung,
    Setting,
    Snapshot,
)
from ven_adapters.ven.queue.messages import (
    LARGEST_BYTES,
    CallKind,
    CallOutcome,
    CallRefusal,
    CarQuestion,
    CarReply,
    Command,
    CommandRecord,
    Next,
    QueueNames,
    StoredRecord,
    next_for,
    place,
    read,
    read_command,
    token,
    write,
)

LEASE_S = 30.0
DONE = CallOutcome(ack=Ack("d-1", DirectiveState.ACCEPTED, Setting(Rung.PAUSE, 0)))
CAPABILITY = Capability("i4", 80_000, 11_000)


def kept(of, outcome=None):
    return StoredRecord(CommandRecord("c", of, "somebody", LEASE_S, outcome), mark=99, at=T0)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def submit(**more):
    given = {"directive": directive(), "capability": CAPABILITY, "snapshot": Snapshot("car")} | more
    return Command("c-1", CallKind.SUBMIT, "car", "d-1", "evtn.bmw.answers.p", **given)


@pytest.mark.parametrize(
    ("seq", "before", "now", "then"),
    [
        (5, None, None, Next.CARRY_OUT),
        (5, kept(4, DONE), None, Next.CARRY_OUT),
        (5, kept(5, DONE), None, Next.REPEAT),
        (5, kept(6, DONE), None, Next.DROP),
        (5, kept(6), at(LEASE_S), Next.DROP),
        (5, kept(4), None, Next.WAIT),
        (5, kept(5), at(LEASE_S - 0.001), Next.WAIT),
        (5, kept(5), at(LEASE_S), Next.TAKE_OVER),
        (5, kept(4), at(LEASE_S), Next.TAKE_OVER),
    ],
)
def test_a_command_is_begun_only_when_the_record_of_its_car_allows_it(seq, before, now, then):
    assert next_for(seq, before, now) is then


@given(seq=st.integers(0, 9), of=st.integers(0, 9), done=st.booleans(), age_s=st.floats(0, 100))
def test_nothing_is_begun_twice_nor_after_a_newer_command_nor_during_a_lease(seq, of, done, age_s):
    step = next_for(seq, kept(of, DONE if done else None), at(age_s))
    if step is Next.CARRY_OUT:
        assert done
        assert seq > of
    if step is Next.TAKE_OVER:
        assert not done
        assert seq >= of
        assert age_s >= LEASE_S


@pytest.mark.parametrize(
    "message",
    [
        submit(),
        Command("c-2", CallKind.CANCEL, "car", "d-1", "a"),
        CommandRecord("c-1", 7, "x", 27.0),
        CommandRecord("c-1", 7, "x", 27.0, DONE),
        CommandRecord("c-1", 7, "x", 27.0, CallOutcome(refusal=CallRefusal(ErrorCode.RATE_LIMITED, "slow down", 30.0))),
        CommandRecord(
            *("c-1", 7, "x", 27.0),
            CallOutcome(status=DirectiveStatus("d-1", "car", DirectiveState.IN_FORCE, Certainty.ACCEPTED, T0)),
        ),
        CarQuestion("car", snapshot=True, max_age_s=60),
        CarReply(capability=CAPABILITY),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_written_is_read_as_it_was(message):
    assert read(type(message), write(message), T0) == message


def test_a_refusal_is_raised_as_the_backend_raised_it():
    error = CallRefusal(ErrorCode.RATE_LIMITED, "slow down", 30.0).error()
    assert (error.code, error.detail, error.retry_after_s) == (ErrorCode.RATE_LIMITED, "slow down", 30.0)


def test_a_message_larger_than_any_honest_one_is_neither_written_nor_read():
    huge = CommandRecord("c-1", 7, "x", 27.0, CallOutcome(refusal=CallRefusal(ErrorCode.EXPIRED, "x" * LARGEST_BYTES)))
    with pytest.raises(BackendError, match="bytes"):
        write(huge)
    with pytest.raises(BackendError, match="bytes"):
        read(CommandRecord, b" " * (LARGEST_BYTES + 1), T0)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (submit(snapshot=None), "required to submit"),
        (submit(directive=directive(vehicle_ref="another")), "another one"),
        (submit(directive=directive(directive_id="d-2")), "another one"),
    ],
)
def test_a_command_that_is_not_whole_or_contradicts_itself_is_refused(command, says):
    with pytest.raises(BackendError, match=says):
        read_command(write(command), T0)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"act":"EXPLODE"}', b"\xff", write(CommandRecord("c", 1, "x", 1.0))])
def test_a_command_that_cannot_be_read_is_an_invalid_request(body):
    with pytest.raises(BackendError) as caught:
        read_command(body, T0)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@given(ref=st.text(min_size=1, max_size=40), oem=st.text(min_size=1, max_size=20))
def test_subjects_are_made_of_plain_words_whatever_cars_and_automakers_are_called(ref, oem):
    subject = QueueNames("EVTN", oem).command(place(ref))
    assert len(subject.split(".")) == 4
    assert all(part and part == token(part) for part in subject.split("."))


def test_two_cars_never_share_a_place_and_a_place_does_not_tell_its_car():
    places = {place(f"car-{number}") for number in range(10_000)}
    assert len(places) == 10_000
    assert place("car-1") == place("car-1")
    assert "car" not in place("car-1")


def test_a_command_knows_until_when_it_may_be_carried_out():
    assert submit().not_after == directive().not_after
    assert dataclasses.replace(submit(), act=CallKind.CANCEL, directive=None).not_after is None
