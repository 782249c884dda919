"""The kit is judged by breaking our own VTN, one thing at a time: the check that should notice does."""

import pytest
from mutants import MUTANTS
from run import noticed


@pytest.mark.parametrize("name", MUTANTS)
async def test_the_check_that_should_notice_does(name, tmp_path):
    assert await noticed(name, tmp_path / "var")
