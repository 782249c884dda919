"""The commands `ven-adapters check` and `ven-adapters record`: what they are given, in words and in exit codes."""

import asyncio
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vtn.checking.report import cannot_run, write
from vtn.checking.runner import progress
from vtn.checking.verdict import Outcome
from vtn.errors import VtnError
from vtn.settings import require_writable

if TYPE_CHECKING:
    from ven_adapters.adapter_checks.runner import AdapterPlan, AdapterRun

CHECK_EXAMPLE = "Example: ven-adapters check bmw --html report.html"
RECORD_EXAMPLE = "Example: ven-adapters record bmw --backend https://ev.example.org --token TOKEN --out recordings"

Name = Annotated[str, typer.Argument(help="An installed automaker; `ven-adapters list` shows them.")]
BackendUrl = Annotated[str | None, typer.Option(help="A real test backend's URL; without it a simulated one is used.")]
Token = Annotated[str | None, typer.Option(envvar="VEN_ADAPTERS_TOKEN", help="The backend's bearer token.")]
Config = Annotated[
    Path | None, typer.Option(help="A settings file whose [backend] table is used, as `ven-adapters run` uses it.")
]


def check(  # noqa: PLR0913 - a command line has as many options as it has
    name: Annotated[str | None, typer.Argument(help="An installed automaker; `ven-adapters list` shows them.")] = None,
    *,
    backend: BackendUrl = None,
    token: Token = None,
    config: Config = None,
    only: Annotated[list[str] | None, typer.Option(help="A group, a fault or a check's name; repeat for more.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the scorecard as one HTML page here.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the scorecard as JSON here.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Draws the simulated cars.")] = 7,
    listed: Annotated[bool, typer.Option("--list", help="List the checks and stop.")] = False,
) -> None:
    """Judge an automaker's adapter: reads, V1G, V2G, the 26 field faults, budgets, leaks, a whole adapter.

    Without --backend a simulated cloud with cars and physics is started on this machine, and every check is tried. With
    a real test backend only the checks that need neither ground truth nor faults are. Exit code: 0 green, 1 a check
    failed, 2 it could not run.
    """
    from ven_adapters.adapter_checks import report
    from ven_adapters.adapter_checks.check import every

    if listed:
        for one in every(only or ()):
            words = f"{one.group.value:8} {one.cites:26} {one.name}: {one.claim}"
            Console().print(words, markup=False, highlight=False, soft_wrap=True)
        return
    try:
        plan = _plan(_required(name), _given(backend, token, config), tuple(only or ()), seed)
        require_writable(html, json, junit)
        run = _judged(plan, len(every(plan.only)))
    except (VtnError, LookupError) as error:
        cannot_run("ven-adapters", str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error))
    report.show(run, Console())
    write(run, {html: lambda done: report.page(done).encode(), json: report.as_json, junit: report.junit})
    sys.exit(run.exit_code if run.having(Outcome.PASSED) else 1)


def record(  # noqa: PLR0913 - a command line has as many options as it has
    name: Name,
    *,
    out: Annotated[Path, typer.Option(help="The folder for the recordings.")],
    backend: BackendUrl = None,
    token: Token = None,
    config: Config = None,
    commands: Annotated[
        bool, typer.Option(help="Send one car a command that changes nothing, too, and cancel it.")
    ] = False,
    keep: Annotated[list[str] | None, typer.Option(help="A key whose value is safe to keep; repeat for more.")] = None,
) -> None:
    """Write a backend's real answers as fixtures, with everything that identifies a car or a person replaced.

    Only values of known keys and forms are kept; all others become made-up ones, the same for the same. Exit code: 0, 1
    (an answer could not be recorded), 2 (could not run).
    """
    from ven_adapters.adapter_checks.recording import Take, record_answers

    try:
        plan = _plan(name, _given(backend, token, config), (), 7)
        out.mkdir(parents=True, exist_ok=True)
        done = asyncio.run(record_answers(Take(plan, out, frozenset(keep or ()), commands=commands)))
    except (VtnError, LookupError) as error:
        cannot_run("ven-adapters", str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error))
    console = Console(highlight=False, soft_wrap=True)
    for path in done.written:
        console.print(str(path), markup=False)
    if done.replaced:
        console.print(f"replaced by made-up values: {', '.join(done.replaced)}; --keep KEY keeps one", markup=False)
    for problem in done.problems:
        console.print(f"not recorded: {problem}", style="yellow", markup=False)
    sys.exit(1 if done.problems or not done.written else 0)


def _required(name: str | None) -> str:
    from ven_adapters.adapter_checks.runner import CannotCheck
    from ven_adapters.registry import known

    if not name:
        raise CannotCheck(f"NAME is needed, one of {', '.join(known())}; see ven-adapters check --help")
    return name


def _given(backend: str | None, token: str | None, config: Path | None) -> dict[str, Any]:
    """The settings of a real backend; empty when none is named."""
    from ven_adapters.adapter_checks.runner import CannotCheck

    given = _table(config)
    given |= {"url": backend} if backend else {}
    given |= {"token": token} if token else {}
    if token and "url" not in given and config is None:
        raise CannotCheck("--token belongs to a backend: give --backend URL, too")
    return given


def _table(config: Path | None) -> dict[str, Any]:
    from ven_adapters.adapter_checks.runner import CannotCheck

    if config is None:
        return {}
    try:
        table = tomllib.loads(config.read_text(encoding="utf-8")).get("backend")
    except OSError as error:
        raise CannotCheck(f"{config}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CannotCheck(f"{config}: is not TOML: {error}") from None
    if not isinstance(table, dict):
        raise CannotCheck(f"{config}: has no [backend] table")
    return table


def _plan(name: str, settings: Mapping[str, Any], only: tuple[str, ...], seed: int) -> "AdapterPlan":
    from ven_adapters.adapter_checks.runner import AdapterPlan
    from ven_adapters.adapter_checks.stages import stage_of
    from ven_adapters.registry import factory

    make = factory(name)
    if settings:
        where = _shown(str(settings.get("url") or "the backend of its settings"))
        return AdapterPlan(name, make, settings=settings, where=where, only=only, seed=seed)
    return AdapterPlan(name, make, stage_of(name), only=only, seed=seed)


def _shown(url: str) -> str:
    """A URL without the credentials that some people put into one."""
    scheme, slashes, rest = url.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"


def _judged(plan: "AdapterPlan", checks: int) -> "AdapterRun":
    """The run, with its progress on standard error."""
    from ven_adapters.adapter_checks import runner

    with progress(checks, Console(stderr=True)) as advance:
        return asyncio.run(runner.run(plan, lambda result: advance(f"{result.check.group.value}: {result.check.name}")))
