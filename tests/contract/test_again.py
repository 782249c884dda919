"""Tests that failed beside others are run again alone, once, and named."""

import again
import pytest

UNSTEADY = """
from pathlib import Path

def test_unsteady():
    seen = Path(__file__).with_name("seen")
    before = seen.exists()
    seen.touch()
    assert before
"""
WRONG = "def test_wrong():\n    assert 1 == 2\n"
RIGHT = "def test_right():\n    assert True\n"
MANY = "import pytest\n\n@pytest.mark.parametrize('number', range(9))\ndef test_many(number):\n    assert 1 == 2\n"


@pytest.mark.parametrize(
    ("modules", "code", "runs", "named"),
    [
        ([RIGHT], 0, 1, []),
        ([RIGHT, UNSTEADY], 0, 2, ["test_unsteady"]),
        ([WRONG, UNSTEADY], 1, 2, ["test_unsteady"]),
        ([MANY], 1, 1, []),
        (["import nothing_of_the_kind\n"], 2, 1, []),
    ],
)
def test_what_fails_beside_others_must_pass_alone(tmp_path, capfd, modules, code, runs, named):
    for number, text in enumerate(modules):
        (tmp_path / f"test_{number}.py").write_text(text)
    assert again.main(["-q", "-c", "/dev/null", "--rootdir", str(tmp_path), "-p", "no:asyncio", str(tmp_path)]) == code
    said = capfd.readouterr().out
    assert said.count("again alone") == runs - 1
    unsteady = [line for line in said.splitlines() if line.startswith("UNSTEADY")]
    assert [line.rpartition("::")[2] for line in unsteady] == named
