"""Runs checks one after the other, each within a bound of time, and makes a result of whatever comes out of one."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterable

from vtn.checking.verdict import Blocked, C, CheckResult, E, Failed, Outcome, Skipped

Behind = Callable[[Exception, bool], Failed | Blocked]
"""What lies behind an error that a check did not expect; the second argument is whether its time was over."""


async def in_order(
    checks: Iterable[C],
    make: Callable[[C], Awaitable[CheckResult[C, E]]],
    done: Callable[[CheckResult[C, E]], None],
) -> tuple[CheckResult[C, E], ...]:
    """Make every check in this order; `done` gets each result as it comes."""
    results = []
    for check in checks:
        results.append(await make(check))
        done(results[-1])
    return tuple(results)


async def attempt(check: C, work: Awaitable[None], longest_s: float, behind: Behind) -> CheckResult[C, E]:
    """The result of one check, whose work is ended after `longest_s`; no error of the work ends the run."""
    begun_s = time.monotonic()
    result: CheckResult[C, E] = CheckResult(check, Outcome.PASSED)
    bound = asyncio.timeout(longest_s)
    try:
        async with bound:
            await work
    except Skipped as reason:
        result = CheckResult(check, Outcome.SKIPPED, str(reason))
    except Exception as error:  # noqa: BLE001 - whatever is judged must not end the run
        met = error if isinstance(error, Failed | Blocked) else behind(error, bound.expired())
        cause = met.cause if isinstance(met, Failed) else None
        result = CheckResult(check, Outcome.FAILED, str(met), cause=cause)
        result = result.blocked(met.by) if isinstance(met, Blocked) else result
    return dataclasses.replace(result, seconds=time.monotonic() - begun_s)
