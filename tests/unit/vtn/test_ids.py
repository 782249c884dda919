"""Identifiers are given by one source to the event loop and to the thread beside it."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vtn.ids import Ids, uuids

EACH = 50_000


@pytest.fixture
def threads_that_change_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("threads_that_change_often")
@pytest.mark.parametrize("source", [Ids(), uuids()])
def test_threads_that_take_ids_at_once_get_one_each_and_never_the_same(source):
    together = threading.Barrier(3)

    def taken(_number):
        together.wait()
        return [source() for _ in range(EACH)]

    with ThreadPoolExecutor(3) as pool:
        found = [one for ids in pool.map(taken, range(3)) for one in ids]
    assert len(set(found)) == 3 * EACH
