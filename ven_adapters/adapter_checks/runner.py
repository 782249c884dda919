"""Runs checks one after the other against one adapter, and says of each whether it held, failed or was left out."""

import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Never

from ven_adapters.adapter_checks.bench import Bench, Make
from ven_adapters.adapter_checks.check import AdapterCheck, every
from ven_adapters.adapter_checks.stage import CloudStage, StageFactory
from ven_adapters.adapter_checks.traffic_log import Overheard, blot, overhearing, secrets_in
from ven_adapters.contract import BackendError
from vtn.checking.runner import attempt
from vtn.checking.verdict import CheckResult, CheckRun, Failed, Outcome
from vtn.errors import VtnError

CHECK_S = 120.0
PORT = ("vehicles", "capabilities", "snapshot", "submit", "cancel", "status", "events", "close")

AdapterResult = CheckResult[AdapterCheck, Never]


class CannotCheck(VtnError):
    """The kit cannot judge this adapter as it was called; the text says what to change."""


@dataclasses.dataclass(frozen=True, slots=True)
class AdapterRun(CheckRun[AdapterCheck, Never]):
    """A finished run of the adapter `subject`; `where` says against what."""

    where: str

    @property
    def exit_code(self) -> int:
        """0, or 1 when a check failed."""
        return 1 if self.having(Outcome.FAILED) else 0


@dataclasses.dataclass(frozen=True, slots=True)
class AdapterPlan:
    """How a run was called: the adapter, and a stage or the settings of a real backend (`where` names it)."""

    name: str
    make: Make
    stage: StageFactory | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    where: str = "a simulated backend"
    only: tuple[str, ...] = ()
    seed: int = 7


async def run(plan: AdapterPlan, done: Callable[[AdapterResult], None] = lambda _result: None) -> AdapterRun:
    """Make a run; CannotCheck when there is nothing to run, or the adapter cannot be made or finds no car."""
    checks = every(plan.only)
    if not checks:
        raise CannotCheck(f"no check matches {', '.join(plan.only)}; `--list` shows them all")
    results = []
    with overhearing() as heard:
        async with _opened(plan) as stage:
            settings = plan.settings if stage is None else stage.settings
            await _begin(plan, stage, settings, heard)
            for one in checks:
                results.append(await judge(one, plan.make, settings, stage, heard))
                done(results[-1])
    return AdapterRun(plan.name, tuple(results), plan.where)


@contextlib.asynccontextmanager
async def _opened(plan: AdapterPlan) -> AsyncIterator[CloudStage | None]:
    if plan.stage is None:
        yield None
        return
    async with plan.stage(plan.seed) as stage:
        yield stage


async def _begin(plan: AdapterPlan, stage: CloudStage | None, settings: Mapping[str, Any], heard: Overheard) -> None:
    """See that the adapter can be made, is a `VehicleBackend`, and lists a car."""
    try:
        bench = Bench(plan.make, settings, stage=stage, heard=heard, run="begin")
    except Exception as error:  # noqa: BLE001 - whatever a factory raises, it cannot be judged
        reason = f"{type(error).__name__}: {blot(str(error), _secrets(stage, settings))}"
        raise CannotCheck(f"{plan.name}: the factory does not take the settings: {reason}") from None
    missing = [name for name in PORT if not callable(getattr(bench.adapter, name, None))]
    if missing:
        raise CannotCheck(f"{plan.name}: is no VehicleBackend, it lacks {', '.join(missing)}")
    try:
        if not await bench.refs():
            raise CannotCheck(f"{plan.name}: {plan.where} lists no car; the kit needs at least one")
    except (BackendError, Failed) as error:
        reason = blot(str(error), _secrets(stage, settings))
        raise CannotCheck(f"{plan.name}: {plan.where} cannot be asked for its cars: {reason}") from None
    finally:
        await bench.close()


async def judge(
    one: AdapterCheck, make: Make, settings: Mapping[str, Any], stage: CloudStage | None, heard: Overheard
) -> AdapterResult:
    """Make one check with an adapter of its own, on cars that were put right."""
    missing = _missing(one, stage)
    if missing:
        return AdapterResult(one, Outcome.SKIPPED, missing)

    async def tried() -> None:
        if stage is not None:
            stage.disarm()
            await stage.cut()  # whoever listened in the check before is gone
            for ref in stage.refs:
                await stage.restore(ref)
        bench = Bench(make, settings, stage=stage, heard=heard, run=uuid.uuid4().hex[:8])
        after.push_async_callback(_cleared, bench, stage)
        await one.run(bench)

    async with contextlib.AsyncExitStack() as after:
        result: AdapterResult = await attempt(one, tried(), CHECK_S, _behind)
    return dataclasses.replace(result, reason=blot(result.reason, _secrets(stage, settings), 600))


def _missing(one: AdapterCheck, stage: CloudStage | None) -> str:
    """Why a check cannot be tried here; empty when it can."""
    if stage is None:
        return "needs a stage with ground truth and faults; run without --backend" if one.staged else ""
    return "" if one.fault is None else stage.cannot_play.get(one.fault, "")


def _behind(error: Exception, _late: bool) -> Failed:  # noqa: FBT001 - as `vtn.checking.runner.Behind` has it
    """An error that a check did not expect, which is the adapter's."""
    if isinstance(error, BackendError):
        return Failed(f"an unexpected refusal: {error}")
    return Failed(f"the answer makes no sense to this check: {type(error).__name__}: {error}")


async def _cleared(bench: Bench, stage: CloudStage | None) -> None:
    """End the check's adapter, whatever it was in the middle of."""
    if stage is not None:
        stage.disarm()
    with contextlib.suppress(Exception):
        await bench.close()


def _secrets(stage: CloudStage | None, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Words that no report may repeat."""
    return (*secrets_in(settings), *(stage.secrets if stage is not None else ()))
