"""Which unit tests are laws, and how many examples hypothesis tried; `tests/conftest.py` says how many it tries."""

import collections
import gc

import pytest
from hypothesis import is_hypothesis_test

TRIED = pytest.StashKey[collections.Counter]()


def pytest_configure(config):
    config.stash[TRIED] = collections.Counter()


@pytest.hookimpl(tryfirst=True)  # before the marker's expression is applied
def pytest_collection_modifyitems(items):
    """Every property test gets the marker `laws`; the modules `test_*_laws.py` of planning set it for all they hold."""
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("laws")


def pytest_collection_finish():
    """Four thousand collected tests live until the end: the collector need not look at them again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Every example that a law tried, by the law's name (`law_cases.law` counts them)."""
    count = getattr(getattr(item, "function", None), "tried", None)
    before = count.total() if count is not None else 0
    try:
        return (yield)
    finally:
        if count is not None:
            item.config.stash[TRIED][item.function.__name__] += count.total() - before


def pytest_sessionfinish(session):
    """A process that tests were handed to tells what it tried to the one that handed them out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(session.config.stash[TRIED])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    node.config.stash[TRIED].update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter, config):
    tried = config.stash[TRIED]
    if tried:
        terminalreporter.write_line(f"laws: {tried.total():,} examples of {len(tried)} laws")
