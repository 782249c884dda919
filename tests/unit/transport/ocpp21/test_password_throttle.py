"""Guessing passwords of charging stations: the central system slows it down."""

from datetime import UTC, datetime, timedelta

from ven_adapters.transport.ocpp21.listener import AT_ONCE, EVERY_S, REMEMBERED, Guesses

NOW = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)
WHO, OTHER = ("192.0.2.1", "CP-1"), ("192.0.2.1", "CP-2")


def guessed(times):
    guesses = Guesses()
    for _ in range(times):
        guesses.wrong(WHO, NOW)
    return guesses


def test_a_few_wrong_passwords_are_heard():
    assert guessed(int(AT_ONCE) - 1).wait_s(WHO, NOW) == 0


def test_too_many_are_not_and_the_wait_is_told():
    assert 0 < guessed(int(AT_ONCE)).wait_s(WHO, NOW) <= EVERY_S


def test_after_a_while_one_more_is_heard():
    guesses = guessed(int(AT_ONCE) + 5)
    later = NOW + timedelta(seconds=EVERY_S)
    assert guesses.wait_s(WHO, later) == 0
    guesses.wrong(WHO, later)
    assert guesses.wait_s(WHO, later) > 0


def test_another_station_at_the_same_address_is_not_touched():
    assert guessed(100).wait_s(OTHER, NOW) == 0


def test_what_is_remembered_is_bounded():
    guesses = guessed(100)
    for number in range(REMEMBERED):
        guesses.wrong((f"host-{number}", ""), NOW)
    assert len(guesses) <= REMEMBERED
