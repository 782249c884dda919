"""Tasks that swallow a cancellation are ended all the same."""

import asyncio
import signal

import pytest

from vtn import tasks
from vtn.tasks import cancel_tasks, run_until_signalled


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch):
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)


async def swallows(count):
    """Work that loses so many cancellations, as a library may."""
    for _ in range(count):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()


async def test_a_task_that_loses_cancellations_is_ended():
    made = [asyncio.create_task(swallows(count)) for count in range(4)]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await cancel_tasks(made)
    assert all(task.cancelled() for task in made)


async def test_whoever_is_cancelled_while_ending_tasks_ends_them_first_and_is_cancelled_then():
    inner = asyncio.create_task(swallows(3))
    outer = asyncio.create_task(cancel_tasks([inner]))
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await cancel_tasks([outer])
    assert inner.cancelled()
    assert outer.cancelled()


async def test_what_is_over_already_is_left_as_it_is():
    failed = asyncio.create_task(asyncio.sleep(0, result=7))
    await failed
    await cancel_tasks([failed])
    assert failed.result() == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_program_runs_until_a_signal_and_leaves_its_tasks_to_their_owner(number):
    work = asyncio.create_task(asyncio.Event().wait())
    running = asyncio.create_task(run_until_signalled(work))
    await asyncio.sleep(0)
    signal.raise_signal(number)
    await running
    assert not work.done()
    await cancel_tasks([work])


async def test_a_program_ends_with_the_first_of_its_tasks():
    await run_until_signalled(asyncio.create_task(asyncio.sleep(0)), waiting := asyncio.create_task(asyncio.sleep(60)))
    assert not waiting.done()
    await cancel_tasks([waiting])
