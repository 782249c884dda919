"""How a run goes on: unreadable answers, a server that goes away, time that is over, and evidence that shows it all."""

import contextlib
import dataclasses
import time

from mutants import MUTANTS
from ours import mutated, served, settings_for

from vtn.checking.verdict import Outcome
from vtn.conformance import report, runner
from vtn.conformance.check import ConformanceCheck
from vtn.conformance.requirements import Level
from vtn.conformance.runner import CheckRunner
from vtn.conformance.verdicts import NOT_READABLE, accused_once

QUIET = {"mqtt": {"mode": "off"}}


def a_check(run):
    return ConformanceCheck(run.__name__, "claim", ("GEN-01",), Level.SHALL, (), run)


async def stumbles(kit):
    """Reads a program, and then stumbles over something of its own."""
    await kit.program()
    raise TypeError("a number was expected")


async def reads(kit):
    """Reads programs."""
    (await kit.bl.get("/programs")).shows(200)


async def test_what_a_check_cannot_read_blocks_it_and_accuses_nobody(tmp_path):
    async with served(settings_for(tmp_path / "var", QUIET)) as plan, runner.opened(plan) as kit:
        checking = CheckRunner(kit, time.monotonic() + 60)
        result = await checking.make(a_check(stumbles))
        assert await kit.bl.all("/programs") == []
    assert (result.outcome, result.blocked_by) == (Outcome.BLOCKED, NOT_READABLE)
    assert "could not be tried" in result.reason
    assert "TypeError: a number was expected, after POST" in result.reason
    assert checking.left == []


async def test_a_server_that_goes_away_is_accused_once_and_no_longer_asked(tmp_path):
    calls = []

    async def counted(kit):
        calls.append(kit)
        await reads(kit)

    async with contextlib.AsyncExitStack() as kits:
        async with contextlib.AsyncExitStack() as servers:
            plan = await servers.enter_async_context(served(settings_for(tmp_path / "var", QUIET)))
            kit = await kits.enter_async_context(runner.opened(plan))
            checking = CheckRunner(kit, time.monotonic() + 600)
            assert (await checking.make(a_check(reads))).outcome is Outcome.PASSED
        for _ in range(6):
            await checking.make(a_check(counted))
    assert len(calls) == 3
    results = accused_once(checking.settled())
    assert [one.outcome for one in results[1:]] == [Outcome.FAILED, *[Outcome.BLOCKED] * 5]
    assert "cannot be read by anybody" in results[1].reason


async def test_a_run_ends_when_its_time_is_over(tmp_path):
    async with served(settings_for(tmp_path / "var", QUIET), only=("PAG",)) as plan:
        run = await runner.run(dataclasses.replace(plan, longest_s=0))
    assert {result.outcome for result in run.results} == {Outcome.BLOCKED}
    assert {result.blocked_by for result in run.results} == {"the time that a run may take"}
    assert run.failed(Level.SHALL) == []


async def test_a_failure_shows_the_notification_that_it_accuses(tmp_path):
    async with mutated(MUTANTS["notifications_name_http_methods"], tmp_path / "var") as plan:
        run = await runner.run(plan)
    failed = run.failed(Level.SHALL)
    assert failed
    assert any('"operation":"PUT"' in one.request_body for one in failed[0].exchanges if one.notification)
    assert "the VTN to the kit: POST /hook/" in report.junit(run).decode()
