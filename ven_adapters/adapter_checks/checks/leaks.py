"""Leaks: no token, secret, VIN or place in a log line, an error or a printed object."""

from collections.abc import Mapping

from ven_adapters.adapter_checks.bench import Bench
from ven_adapters.adapter_checks.check import Group, check
from ven_adapters.adapter_checks.traffic_log import secrets_in
from ven_adapters.transport.http.problems import VIN
from vtn.checking.verdict import Skipped, expect

PROVOKING = ("token_revoked", "rate_limited", "path_gone", "lost_answer/500_done", "asleep", "sentinel", "unplugged")


def secrets(bench: Bench, *, staged: bool) -> list[str]:
    """What may not be said: what the settings hold, and what the stage knows."""
    return [*secrets_in(bench.settings), *(bench.stage.secrets if staged else ())]


def expect_none(bench: Bench, first: int, words: list[str]) -> None:
    """Fail for the first thing that was said since and should not have been."""
    heard = bench.heard
    lines, heard.lines = heard.lines, heard.lines[first:]
    leaks = heard.leaks(words)
    heard.lines = lines
    expect(not leaks, f"{len(leaks)} leaks; the first is {leaks[0] if leaks else ''}")


@check(Group.LEAKS, "VehicleBackend", staged=False)
async def a_printed_adapter_tells_no_secret(bench: Bench) -> None:
    """repr() and str() of the adapter, and of the objects that hang on it, hold no secret."""
    first = len(bench.heard.lines)
    for name, value in {"adapter": bench.adapter, **getattr(bench.adapter, "__dict__", {})}.items():
        if not isinstance(value, (str, bytes, Mapping)):  # what holds a secret plainly says so by its name
            bench.heard.note(f"repr of {name}", f"{value!r} {value}")
    expect_none(bench, first, secrets(bench, staged=False))


@check(Group.LEAKS, "VehicleBackend", staged=False)
async def names_of_cars_are_no_vins(bench: Bench) -> None:
    """The names by which cars are listed are pseudonyms, never VINs."""
    refs = await bench.refs()
    expect(not any(VIN.search(ref) for ref in refs), "a car is listed by what looks like its VIN")


@check(Group.LEAKS, "VehicleBackend", staged=False)
async def a_wrong_token_is_not_repeated(bench: Bench) -> None:
    """A call with a wrong token fails without the token in the error or in a log line."""
    wrong = "kit-wrong-token-0123456789"
    if "token" not in bench.settings:
        raise Skipped("the adapter takes no token")
    first = len(bench.heard.lines)
    other = bench.another(token=wrong)
    try:
        ref = (await bench.refs())[0]
        await other.refused(other.adapter.snapshot(ref), "a reading with a wrong token")
    finally:
        await other.close()
    expect_none(bench, first, [wrong])


@check(Group.LEAKS, "Reading.validity")
async def errors_and_logs_tell_no_secret(bench: Bench) -> None:
    """While faults are provoked, neither errors nor log lines hold a token, a VIN or a place."""
    ref, first = await bench.pausable(), len(bench.heard.lines)
    for fault in PROVOKING:
        if fault.partition("/")[0] in bench.stage.cannot_play:
            continue
        await bench.stage.restore(ref)
        bench.stage.arm(fault, ref)
        await bench.refusal(bench.adapter.snapshot(ref))
        await bench.refusal(bench.submit(bench.directive(ref)))
        bench.stage.disarm()
    expect_none(bench, first, secrets(bench, staged=True))


@check(Group.LEAKS, "Reading.validity")
async def nothing_said_in_the_whole_run_tells_a_secret(bench: Bench) -> None:
    """No log line and no error of this whole run holds a token, a VIN or a place."""
    expect_none(bench, 0, secrets(bench, staged=True))
