"""The kit against our own VTN, whole, on both databases; and the kit's protocol."""

import json

import matrix
import pytest
from ours import KNOWN_GAPS, NOT_TRIED, judged, served, settings_for

from vtn.checking.verdict import Outcome
from vtn.conformance import report, requirements, runner
from vtn.conformance.check import CHECKS, uncovered
from vtn.conformance.parties.exchange import Credentials
from vtn.conformance.requirements import every
from vtn.conformance.runner import CannotRun


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    """The storage setting of an empty database."""
    return {} if request.param == "sqlite" else {"url": request.getfixturevalue("postgres_url")}


async def test_our_vtn_holds_every_check(database, tmp_path):
    run = await judged(tmp_path, database)
    failed = {result.check.name: result.reason for result in run.results if result.outcome is Outcome.FAILED}
    assert failed.keys() == KNOWN_GAPS, failed
    assert run.left_behind == ()
    assert len(run.operations) == 45
    assert len(run.results) >= 300
    skipped = {result.check.name for result in run.having(Outcome.SKIPPED)}
    if skipped == NOT_TRIED:  # a machine without multicast tries less
        assert matrix.matrix(run) == matrix.shown(), "`make conformance ARGS=--readme` writes the page's matrix"


def test_almost_every_requirement_has_a_check_and_the_others_a_reason():
    CHECKS.chosen(())
    without = uncovered(CHECKS.values())
    assert len(without) <= 30
    assert without.keys() == requirements.UNCHECKED.keys(), "each row without a check needs a reason, and no other"
    assert len(every()) == 629


async def test_wrong_credentials_cannot_run(tmp_path):
    async with served(settings_for(tmp_path / "var", {"mqtt": {"mode": "off"}})) as plan:
        with pytest.raises(CannotRun, match="log in"):
            await runner.run(type(plan)(plan.url, Credentials("bl", "wrong"), plan.ven, plan.ven2))


async def test_a_ven_client_that_owns_a_ven_is_left_alone(tmp_path):
    settings = settings_for(tmp_path / "var", {"mqtt": {"mode": "off"}})
    async with served(settings, only=("PAG-03",)) as plan, runner.opened(plan) as kit:
        await kit.ven_of(kit.ven)
        with pytest.raises(CannotRun, match="owns a ven already"):
            await runner.run(plan)
        await kit.clean()


async def test_a_server_that_is_not_there_cannot_run():
    nobody = Credentials("x", "y")
    with pytest.raises(CannotRun, match="cannot be reached"):
        await runner.run(runner.Plan("http://127.0.0.1:9/openadr3/3.1.0", nobody, nobody, nobody))


async def test_reports_show_no_secret_and_say_what_was_skipped(tmp_path):
    settings = settings_for(tmp_path / "var", {"mqtt": {"mode": "off"}})
    async with served(settings, only=("PAG-03", "MQTT-12", "AUTH-09")) as plan:
        run = await runner.run(plan)
    written = report.page(run) + report.junit(run).decode() + json.dumps(report.outcomes(run))
    assert run.having(Outcome.SKIPPED)
    assert all(result.reason for result in run.having(Outcome.SKIPPED))
    assert not any(client.secret in written for client in (plan.bl, plan.ven, plan.ven2))
