"""The kit against VTNs that are not ours: honest ones break no SHALL, and a fault is accused once and not by all."""

import time
from collections import Counter

import pytest
from faulty import (
    BreaksOnTheEndOfTime,
    KnowsNoReads,
    LosesReportRequests,
    LosesTheClientOfResources,
    NeverNotifies,
    RefusesWithoutProblems,
)
from foreign import ALL_AT_ONCE, HONEST, RefusesPlainCallbacks
from front import served_with

from vtn.checking.verdict import Outcome
from vtn.conformance import report, runner
from vtn.conformance.requirements import Level


def accused(run, level=Level.SHALL):
    """The failed checks of a level, with their reasons."""
    return {result.check.name: result.reason for result in run.failed(level)}


def test_every_honest_variant_is_tried_and_says_what_it_uses():
    assert {one for group in ALL_AT_ONCE for one in group} | {RefusesPlainCallbacks} == set(HONEST.values())
    assert len(HONEST) >= 8
    assert [one.__name__ for one in HONEST.values() if not (one.__doc__ or "").partition("\n")[0].strip()] == []


@pytest.mark.parametrize("variants", ALL_AT_ONCE, ids=["first half", "second half"])
async def test_honest_vtns_break_no_shall(variants, tmp_path):
    async with served_with(tuple(one() for one in variants), tmp_path / "var") as plan:
        run = await runner.run(plan)
    assert accused(run) == {}
    outcomes = Counter(result.outcome for result in run.results)
    assert outcomes[Outcome.PASSED] > 450, outcomes
    assert all(result.reason and result.blocked_by for result in run.having(Outcome.BLOCKED))
    assert run.left_behind == ()


async def test_a_receiver_that_may_be_refused_is_done_without(tmp_path):
    only = ("SUB", "NOTIF", "HOOK", "GEN-0", "SCO-0")
    async with served_with((RefusesPlainCallbacks(),), tmp_path / "var", only=only) as plan:
        run = await runner.run(plan)
    assert accused(run) == {}
    assert run.having(Outcome.BLOCKED) == []
    reasons = {result.reason for result in run.having(Outcome.SKIPPED)}
    assert all("this VTN refuses http://127.0.0.1:" in reason for reason in reasons if "receiver" in reason)
    assert len(run.having(Outcome.SKIPPED)) > 50


async def test_a_missing_member_is_accused_once(tmp_path):
    async with served_with((LosesTheClientOfResources(),), tmp_path / "var", only=("RES", "GEN-0", "TGT")) as plan:
        run = await runner.run(plan)
    assert list(accused(run)) == ["BlResourceRequest_clientID_follows_its_schema"]
    assert accused(run, Level.READING) == {}
    assert {result.blocked_by.partition(" ")[0] for result in run.having(Outcome.BLOCKED)} == {"RES-F02"}
    assert len(run.having(Outcome.BLOCKED)) > 5
    others = {f"RES-F{number:02}" for number in range(1, 11) if number != 2}
    held = {result.check.requirements[0] for result in run.results if result.outcome is Outcome.PASSED}
    assert others <= held, "what is left of an object is judged"
    assert run.left_behind == ()


async def test_what_stands_inside_a_lost_member_is_blocked_by_it(tmp_path):
    async with served_with((LosesReportRequests(),), tmp_path / "var", only=("RDS", "EVT-F06")) as plan:
        run = await runner.run(plan)
    assert list(accused(run)) == ["eventRequest_reportDescriptors_follows_its_schema"]
    fields = [result for result in run.results if result.check.requirements[0].startswith("RDS-F")]
    assert {result.outcome for result in fields} == {Outcome.BLOCKED}


async def test_an_operation_that_is_not_known_is_accused_once(tmp_path):
    only = ("SUB-0", "SUB-1", "SUB-F", "ENUM-10", "NOTIF-13", "NOTIF-14")
    async with served_with((KnowsNoReads(),), tmp_path / "var", only=only) as plan:
        run = await runner.run(plan)
    assert list(accused(run)) == ["kinds_and_operations_are_those_of_the_schema"]
    assert accused(run, Level.READING) == {}
    assert {result.blocked_by for result in run.having(Outcome.BLOCKED)} == {
        "SUB-09 (kinds_and_operations_are_those_of_the_schema)"
    }


async def test_a_refusal_without_a_problem_document_is_accused_once(tmp_path):
    async with served_with((RefusesWithoutProblems(),), tmp_path / "var", only=("ERR", "PROG", "VEN-0")) as plan:
        run = await runner.run(plan)
    assert list(accused(run)) == ["every_refusal_is_a_problem_document"]
    assert len(run.having(Outcome.BLOCKED)) > 20


async def test_a_dead_channel_is_accused_once_and_waited_for_a_few_times(tmp_path):
    begun_s = time.monotonic()
    async with served_with((NeverNotifies(),), tmp_path / "var", only=("NOTIF", "HOOK", "SUB-2", "SUB-1")) as plan:
        run = await runner.run(plan)
    assert len(accused(run)) == 1, accused(run)
    assert accused(run, Level.READING) == {}
    assert len(run.having(Outcome.BLOCKED)) > 20
    assert time.monotonic() - begun_s < 90


async def test_what_the_kit_stores_may_break_a_vtn_and_the_kit_goes_on(tmp_path):
    async with served_with((BreaksOnTheEndOfTime(),), tmp_path / "var", only=("EVT",)) as plan:
        run = await runner.run(plan)
    broken = [result for result in run.results if "cannot be read by anybody" in result.reason]
    assert [result.check.name for result in broken] == ["infinity_does_not_overflow"]
    assert Counter(result.outcome for result in run.results)[Outcome.FAILED] == 1
    assert run.left_behind == ()
    assert "came: 500" in report.junit(run).decode()
