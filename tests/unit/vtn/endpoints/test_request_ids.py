"""The id of a request: ours, one for each, and the caller's own only where it is harmless."""

import asyncio
import itertools
import logging
import uuid
from http import HTTPStatus

import pytest

from vtn.endpoints import request_id
from vtn.endpoints.problems import problem
from vtn.wire import document


def given(headers=request_id.NOBODY):
    request_id.begin(headers)
    return request_id.current()


async def test_an_id_is_a_uuid_and_never_given_twice():
    ids = [given() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(str(uuid.UUID(one)) == one and uuid.UUID(one).version == 4 for one in ids)


async def test_ids_tell_nothing_of_how_many_requests_there_were():
    """No part of an id is shared with the one before it or rises with it, but for the marks of a random UUID."""
    ids = [uuid.UUID(given()).int for _ in range(2000)]
    ones = [sum(one >> bit & 1 for one in ids) for bit in range(128)]
    fixed = {bit for bit, count in enumerate(ones) if count in {0, len(ids)}}
    assert fixed == {76, 77, 78, 79, 62, 63}, "version and variant alone are the same in all"
    assert all(abs(count - 1000) < 200 for bit, count in enumerate(ones) if bit not in fixed)
    steps = {later - earlier for earlier, later in itertools.pairwise(ids)}
    assert len(steps) == len(ids) - 1


async def test_requests_that_run_side_by_side_keep_their_own_ids():
    async def request():
        mine = given()
        await asyncio.sleep(0)
        assert request_id.current() == mine
        return mine

    assert len(set(await asyncio.gather(*(request() for _ in range(50))))) == 50


async def test_a_problem_is_named_by_the_request_that_had_it():
    mine = given()
    answer = problem(HTTPStatus.NOT_FOUND, "nothing here")
    assert document.parse(answer.body)["instance"] == f"urn:uuid:{mine}"
    assert answer.headers["X-Request-Id"] == mine


async def test_outside_of_requests_nothing_is_marked():
    assert request_id.mark() == ""


async def test_a_log_line_carries_the_id_also_from_another_thread():
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    keep = Keep()
    keep.setFormatter(logging.Formatter("%(request)s%(message)s"))
    keep.addFilter(request_id.Marked())
    log = logging.getLogger("test_request_ids")
    log.addHandler(keep)
    mine = given({"X-Request-Id": "theirs-1"})
    log.warning("here")
    await asyncio.to_thread(log.warning, "there")
    log.removeHandler(keep)
    assert lines == [f"[{mine} theirs-1] here", f"[{mine} theirs-1] there"]


@pytest.mark.parametrize("theirs", ["", "x" * 65, "a b", "a\nINFO forged", "ä", "Bearer secret", "1;2"])
async def test_an_id_of_a_caller_that_is_not_plain_does_not_reach_the_log(theirs):
    mine = given({"X-Request-Id": theirs})
    assert request_id.mark() == f"[{mine}] "
