"""Print the README's table of protocols from the tests that speak them: `make matrix`.

Every row names a protocol, our part in it, and the peer; its tests are run, and what they came to is what is printed.
When a test of a row fails, or all are skipped, nothing is written.
"""

import dataclasses
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TABLE = re.compile(r"(<!-- protocols -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD = "| Protocol | We are | Spoken with | Tests |\n|---|---|---|---|\n"


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table, and the tests that are its proof."""

    protocol: str
    role: str
    peer: str
    tests: tuple[str, ...]


ROWS = (
    Row("OpenADR 3.1", "VTN", "python-oa3-client 0.5.0, openadr3-client 2.4.2", ("test_client_libraries.py",)),
    Row("OpenADR 3.0.1", "VTN", "openadr3-client 2.4.2 in its words of 3.0.1", ("test_openadr301_client.py",)),
    Row("OpenADR 2.0b", "VEN of a utility", "openleadr 0.5.36 `OpenADRServer`: plain, TLS with RSA and ECC, signed",
        ("test_20b_upstream.py",)),
    Row("OpenADR 2.0b", "VEN of a utility", "messages by hand: odd identifiers, EiOpt, status, history",
        ("test_20b_raw_utility.py",)),
    Row("OpenADR 2.0b", "VTN", "openleadr 0.5.36 `OpenADRClient`: plain, TLS with RSA and ECC, signed",
        ("test_20b_downstream.py",)),
    Row("OpenADR 2.0b", "VTN", "messages by hand: codes, EiOpt, push, both suites, attacks", ("test_20b_raw_ven.py",)),
    Row("OpenADR 2.0b", "VTN, lenient", "pyoadr-ven 0.6.0 of the VOLTTRON line", ("test_20b_pyoadr.py",)),
    Row("OpenADR 2.0b", "both", "openleadr above and below, cars of an automaker between; kills at every step",
        ("test_20b_chain.py", "test_20b_killed.py")),
)  # fmt: skip


class Outcomes:
    """Counts how the tests of one run ended."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed += 1
        elif report.skipped:
            self.skipped += 1
        elif report.when == "call":
            self.passed += 1


def line(row: Row) -> str:
    """The row, once its tests have passed; SystemExit when they have not."""
    outcomes = Outcomes()
    files = [str(Path(__file__).with_name(name)) for name in row.tests]
    pytest.main(["-q", "--tb=short", *files], plugins=[outcomes])
    if outcomes.failed or not outcomes.passed:
        raise SystemExit(f"{row.peer}: {outcomes.failed} failed, {outcomes.passed} passed")
    skipped = f", {outcomes.skipped} skipped" if outcomes.skipped else ""
    return f"| {row.protocol} | {row.role} | {row.peer} | {outcomes.passed} passed{skipped} |"


def main() -> int:
    """Run every row's tests and write the table."""
    lines = [line(row) for row in ROWS]
    lines.append("| OpenADR 2.0a | | not spoken: [`DIVERGENCES.md`](DIVERGENCES.md) | |")
    text = README.read_text()
    README.write_text(TABLE.sub(lambda found: found[1] + HEAD + "\n".join(lines) + "\n" + found[2], text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
