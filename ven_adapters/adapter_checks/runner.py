"""Runs checks one after the other against one adapter, and says of each whether it held, failed or was left out."""

import asyncio
import contextlib
import dataclasses
import enum
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from ven_adapters.adapter_checks.bench import Bench, Make
from ven_adapters.adapter_checks.check import AdapterCheck, Failed, Skipped, every
from ven_adapters.adapter_checks.stage import CloudStage, StageFactory
from ven_adapters.adapter_checks.traffic_log import Overheard, blot, overhearing
from ven_adapters.contract import BackendError
from vtn.errors import VtnError

CHECK_S = 120.0


class CannotCheck(VtnError):
    """The kit cannot judge this adapter as it was called; the text says what to change."""


class AdapterOutcome(enum.StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, slots=True)
class AdapterResult:
    """One check's outcome; `reason` says why it failed or was left out."""

    check: AdapterCheck
    outcome: AdapterOutcome
    reason: str = ""
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class AdapterRun:
    """A finished run."""

    name: str
    where: str
    results: tuple[AdapterResult, ...]

    def having(self, outcome: AdapterOutcome) -> list[AdapterResult]:
        """The results of one kind."""
        return [result for result in self.results if result.outcome is outcome]

    @property
    def exit_code(self) -> int:
        """0, or 1 when a check failed."""
        return 1 if self.having(AdapterOutcome.FAILED) else 0


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
    """Make a run; CannotRun when there is nothing to run, or the adapter cannot be made or finds no car."""
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
    return AdapterRun(plan.name, plan.where, tuple(results))


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


PORT = ("vehicles", "capabilities", "snapshot", "submit", "cancel", "status", "events", "close")


async def judge(
    one: AdapterCheck, make: Make, settings: Mapping[str, Any], stage: CloudStage | None, heard: Overheard
) -> AdapterResult:
    """Make one check with an adapter of its own, on cars that were put right."""
    begun_s = time.monotonic()
    missing = _missing(one, stage)
    if missing:
        return AdapterResult(one, AdapterOutcome.SKIPPED, missing)
    outcome, reason = await _tried(one, make, settings, stage, heard)
    return AdapterResult(one, outcome, blot(reason, _secrets(stage, settings), 600), time.monotonic() - begun_s)


def _missing(one: AdapterCheck, stage: CloudStage | None) -> str:
    """Why a check cannot be tried here; empty when it can."""
    if stage is None:
        return "needs a stage with ground truth and faults; run without --backend" if one.staged else ""
    return "" if one.fault is None else stage.cannot_play.get(one.fault, "")


async def _tried(
    one: AdapterCheck, make: Make, settings: Mapping[str, Any], stage: CloudStage | None, heard: Overheard
) -> tuple[AdapterOutcome, str]:
    bench = None
    try:
        async with asyncio.timeout(CHECK_S):
            if stage is not None:
                stage.disarm()
                await stage.cut()  # whoever listened in the check before is gone
                for ref in stage.refs:
                    await stage.restore(ref)
            bench = Bench(make, settings, stage=stage, heard=heard, run=uuid.uuid4().hex[:8])
            await one.run(bench)
    except Failed as failure:
        return AdapterOutcome.FAILED, str(failure)
    except Skipped as reason:
        return AdapterOutcome.SKIPPED, str(reason)
    except BackendError as error:
        return AdapterOutcome.FAILED, f"an unexpected refusal: {error}"
    except Exception as error:  # noqa: BLE001 - whatever an adapter does must not end the run
        return AdapterOutcome.FAILED, f"the answer makes no sense to this check: {type(error).__name__}: {error}"
    finally:
        await _cleared(bench, stage)
    return AdapterOutcome.PASSED, ""


async def _cleared(bench: Bench | None, stage: CloudStage | None) -> None:
    """End the check's adapter, whatever it was in the middle of."""
    if stage is not None:
        stage.disarm()
    if bench is not None:
        with contextlib.suppress(Exception):
            await bench.close()


def _secrets(stage: CloudStage | None, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Words that no report may repeat."""
    given = [str(settings[key]) for key in SECRET_KEYS if settings.get(key)]
    return (*given, *(stage.secrets if stage is not None else ()))


SECRET_KEYS = ("token", "client_secret", "webhook_secret", "pseudonym_secret", "password")
