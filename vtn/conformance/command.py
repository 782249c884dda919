"""The command `vtn conformance`: judge any OpenADR 3.1 VTN from outside, and write what was found."""

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vtn.checking.report import cannot_run, write
from vtn.checking.runner import progress
from vtn.conformance import report, runner
from vtn.conformance.check import CHECKS
from vtn.conformance.parties.exchange import Credentials
from vtn.conformance.runner import CannotRun, Plan, Run
from vtn.errors import CannotStart, ConfigError
from vtn.settings import require_writable
from vtn.tls import ServerTls, trusting

EXAMPLE = (
    "Example: vtn conformance https://vtn.example.org/openadr3/3.1.0 --bl derms:SECRET --ven a:SECRET --ven2 b:SECRET "
    "--receiver https://me.example.org:9443 --receiver-certificate me.pem --receiver-key me.key --html report.html"
)


def conformance(  # noqa: PLR0913 - a command line has as many options as it has
    url: Annotated[str | None, typer.Argument(help="The VTN, up to and with the version.", show_default=False)] = None,
    bl: Annotated[str | None, typer.Option(metavar="ID:SECRET", help="A Business Logic client.")] = None,
    ven: Annotated[str | None, typer.Option(metavar="ID:SECRET", help="A VEN client that owns no ven.")] = None,
    ven2: Annotated[str | None, typer.Option(metavar="ID:SECRET", help="A second one.")] = None,
    *,
    only: Annotated[
        list[str] | None, typer.Option(help="Ids that begin so, or a check's name; repeat for more.")
    ] = None,
    insecure: Annotated[bool, typer.Option(help="Do not verify the VTN's certificate.")] = False,
    ca: Annotated[Path | None, typer.Option(help="Certificates to trust beside the system's.")] = None,
    receiver: Annotated[str | None, typer.Option(help="A URL at which the VTN reaches this machine.")] = None,
    receiver_listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where to listen for it.")] = None,
    receiver_certificate: Annotated[Path | None, typer.Option(help="Its certificate (https).")] = None,
    receiver_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one HTML page here.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Write the figures as JSON here.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the checks and stop.")] = False,
    coverage: Annotated[bool, typer.Option(help="List requirements without a check, and stop.")] = False,
) -> None:
    """Judge a VTN by the numbered requirements of OpenADR 3.1, from outside.

    Every check cites its requirements. It needs nothing but credentials: a Business Logic client and two VEN clients of
    its own, that own no ven. What it makes on the VTN it deletes. Exit code: 0, 1 (a SHALL failed), 2 (could not run).
    """
    console = Console()
    if listed or coverage:
        _tell(console, only or [], coverage=coverage)
        return
    try:
        plan = Plan(
            _given(url, "URL"),
            _credentials(bl, "--bl"),
            _credentials(ven, "--ven"),
            _credentials(ven2, "--ven2"),
            _client_tls(ca, insecure=insecure),
            receiver,
            receiver_listen,
            _server_tls(receiver_certificate, receiver_key),
            tuple(only or ()),
        )
        require_writable(junit, html, summary)
        run = _run(plan, Console(stderr=True))
    except (CannotRun, CannotStart, ConfigError) as error:
        cannot_run("vtn", str(error))
    report.show(run, console)
    write(run, {junit: report.junit, html: _page, summary: _figures})
    sys.exit(run.exit_code)


def _tell(console: Console, only: list[str], *, coverage: bool) -> None:
    checks = CHECKS.chosen(only)
    if coverage:
        report.show_coverage(console, as_json=False)
        return
    for check in checks:
        words = f"{' '.join(check.requirements)}  [{check.level}] {check.name}: {check.claim}"
        console.print(words, markup=False, highlight=False, soft_wrap=True)


def _given(text: str | None, name: str) -> str:
    if not text:
        raise CannotRun(f"{name} is needed; see vtn conformance --help")
    return text


def _credentials(text: str | None, name: str) -> Credentials:
    try:
        return Credentials.read(_given(text, name))
    except ValueError as error:
        raise CannotRun(f"{name} {error}") from None


def _client_tls(ca: Path | None, *, insecure: bool) -> ssl.SSLContext | bool:
    if insecure:
        return False
    if ca is None:
        return True
    try:
        return trusting(ca)
    except CannotStart as error:
        raise CannotRun(f"--ca: {error}") from None


def _server_tls(certificate: Path | None, key: Path | None) -> ServerTls | None:
    if certificate is None:
        return None
    try:
        return ServerTls(certificate, key or certificate)
    except CannotStart as error:
        raise CannotRun(f"--receiver-certificate: {error}") from None


def _run(plan: Plan, console: Console) -> Run:
    """The run, with its progress on standard error."""
    with progress(len(CHECKS.chosen(plan.only)), console) as advance:
        return asyncio.run(runner.run(plan, lambda result: advance(result.check.requirements[0])))


def _page(run: Run) -> bytes:
    return report.page(run).encode()


def _figures(run: Run) -> bytes:
    return json.dumps(report.summary(run), indent=2).encode() + b"\n"
