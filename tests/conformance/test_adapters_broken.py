"""The adapter kit is judged by broken adapters: the check that is aimed at what is wrong notices."""

import functools
import inspect

import pytest
import pytest_asyncio
from adapters_broken import BROKEN

from ven_adapters.adapter_checks import runner
from ven_adapters.adapter_checks.check import CHECKS, every
from ven_adapters.adapter_checks.stages.vehicle_backend import stage_for
from ven_adapters.adapter_checks.traffic_log import overhearing
from vtn.checking.verdict import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")
every()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stages():
    async with stage_for("nissan")(7) as nissan, stage_for("ford")(7) as ford:
        yield {"nissan": nissan, "ford": ford}


def maker(name, patch):
    make = BROKEN[name].make
    wants = len(inspect.signature(make).parameters)
    return functools.partial(make, patch=patch) if wants > 1 else make


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_the_check_that_is_aimed_at_it_fails(name, stages, monkeypatch):
    stage = stages[BROKEN[name].brand]
    with overhearing() as heard:
        check = CHECKS[BROKEN[name].check]
        result = await runner.judge(check, maker(name, monkeypatch), stage.settings, stage, heard)
    assert result.outcome is Outcome.FAILED, (BROKEN[name].words, result.outcome, result.reason)
    assert "makes no sense to this check" not in result.reason, result.reason


async def test_every_check_has_a_broken_adapter_that_it_is_aimed_at():
    assert {one.check for one in BROKEN.values()} == CHECKS.keys()
    assert len({one.words for one in BROKEN.values()}) == len(BROKEN) >= 90
