"""Tries a check within a bound of time, makes a result of whatever comes out of it, and shows how far a run is."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vtn.checking.registry import C
from vtn.checking.verdict import Blocked, CheckResult, E, Failed, Outcome, Skipped

Behind = Callable[[Exception, bool], Failed | Blocked]
"""What lies behind an error that a check did not expect; the second argument is whether its time was over."""


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


@contextlib.contextmanager
def progress(total: int, console: Console) -> Iterator[Callable[[str], None]]:
    """A bar for a run of so many checks; what is yielded counts one more, and says which."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checks", total=total)
        yield lambda words: bar.update(task, advance=1, description=words)
