"""What the queue promises, over a real NATS server and a real HTTP cloud: newest wins, one at a time, nothing late."""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import pytest
from queue_parts import (
    PATIENCE_S,
    NobodyComes,
    backend_of,
    eventually,
    executing,
    nats_server,
    planning,
    queue_settings,
    watched_cloud,
)

from ven_adapters.contract import (
    BackendError,
    Directive,
    DirectiveKind,
    DirectiveState,
    ErrorCode,
    Snapshot,
    SnapshotsSeen,
)
from ven_adapters.oems.ocpp import OcppBackend
from ven_adapters.transport.windows.window_backend import KeptBackend
from ven_adapters.ven.queue.backend_events import BackendListener, parts
from ven_adapters.ven.queue.connection import QueueConnection
from ven_adapters.ven.queue.executor import Executor
from ven_adapters.ven.queue.messages import CallOutcome, CallRefusal, CommandRecord, place, write
from vtn.auth.pki import make_development_certificates

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with nats_server(tmp_path_factory.mktemp("nats")) as made:
        yield made


@pytest.fixture
def settings(server):
    return queue_settings(server)


@pytest.fixture
async def cloud():
    async with watched_cloud(cars=60) as made:
        yield made


def directive(cloud, ref, *, not_after_s=600.0, kind=DirectiveKind.RELEASE):
    number, now = next(_numbers), cloud.clock.now()
    return Directive(
        directive_id=f"d-{number}",
        key=f"k-{number}",
        vehicle_ref=ref,
        kind=kind,
        start=now,
        end=now + timedelta(hours=1),
        not_after=now + timedelta(seconds=not_after_s),
        revision=number,
    )


def plugged(cloud):
    world = cloud.cloud.world
    return [ref for car, ref in enumerate(cloud.cloud.fleet.refs) if world.home[car] and world.plugged[car]]


async def submitted(remote, cloud, asked):
    capability = cloud.cloud.capability(cloud.cloud.car(asked.vehicle_ref))
    return await remote.submit(asked, capability, Snapshot(asked.vehicle_ref))


async def refused(call):
    with pytest.raises(BackendError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await call
    return caught.value


async def in_line(remote, cars):
    """Return when so many commands are in the stream."""
    stream = remote._link.names.stream
    async with asyncio.timeout(PATIENCE_S):
        while (await remote._link.streams.stream_info(stream)).state.messages < cars:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.02)


async def test_a_command_waits_for_an_executor_and_its_outcome_comes_back(cloud, settings):
    asked = directive(cloud, plugged(cloud)[0])
    async with planning(settings, cloud.clock) as remote:
        call = asyncio.create_task(submitted(remote, cloud, asked))
        await in_line(remote, 1)
        assert cloud.ledger.calls == []
        async with executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock):
            ack = await asyncio.wait_for(call, PATIENCE_S)
    assert (ack.directive_id, ack.state) == (asked.directive_id, DirectiveState.ACCEPTED)
    assert [call.method for call in cloud.ledger.of(asked.vehicle_ref)] == ["PUT"]


async def test_what_nobody_has_begun_is_replaced_by_the_newer_command_and_never_carried_out(cloud, settings):
    ref = plugged(cloud)[0]
    older, newer = directive(cloud, ref), directive(cloud, ref)
    async with planning(settings, cloud.clock) as remote:
        first = asyncio.create_task(submitted(remote, cloud, older))
        await in_line(remote, 1)
        second = asyncio.create_task(submitted(remote, cloud, newer))
        await eventually(lambda: remote.counts["handed_in"] == 2)
        async with executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock):
            assert (await asyncio.wait_for(second, PATIENCE_S)).directive_id == newer.directive_id
            assert (await refused(first)).code is ErrorCode.OUTCOME_UNKNOWN
    assert [call.directive_id for call in cloud.ledger.of(ref)] == [newer.directive_id]


async def test_a_read_is_answered_after_every_earlier_command_is_over(cloud, settings):
    ref = plugged(cloud)[0]
    asked = directive(cloud, ref)
    cloud.ledger.held = asyncio.Event()
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as one,
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as two,
        planning(settings, cloud.clock) as remote,
    ):
        submit = asyncio.create_task(submitted(remote, cloud, asked))
        await asyncio.wait_for(cloud.ledger.arrived.wait(), PATIENCE_S)
        read = asyncio.create_task(remote.status(ref, asked.directive_id))
        await eventually(lambda: one.counts["wait"] + two.counts["wait"] > 0)
        assert not read.done()
        cloud.ledger.held.set()
        assert (await asyncio.wait_for(submit, PATIENCE_S)).state is DirectiveState.ACCEPTED
        assert (await asyncio.wait_for(read, PATIENCE_S)).directive_id == asked.directive_id
    assert [call.method for call in cloud.ledger.of(ref)] == ["PUT", "GET"]
    assert cloud.ledger.overlaps == []


async def test_a_read_takes_a_command_out_of_the_line_and_says_that_it_never_arrived(cloud, settings):
    asked = directive(cloud, plugged(cloud)[0])
    async with planning(settings, cloud.clock) as remote:
        submit = asyncio.create_task(submitted(remote, cloud, asked))
        await in_line(remote, 1)
        read = asyncio.create_task(remote.status(asked.vehicle_ref, asked.directive_id))
        await eventually(lambda: remote.counts["handed_in"] == 2)
        async with executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock):
            assert (await refused(read)).code is ErrorCode.INVALID_REQUEST
            assert (await refused(submit)).code is ErrorCode.OUTCOME_UNKNOWN
    assert [call.method for call in cloud.ledger.calls] == ["GET"]


async def test_a_command_whose_time_has_passed_in_line_is_expired_and_not_carried_out(cloud, settings):
    asked = directive(cloud, plugged(cloud)[0], not_after_s=0.3)
    async with planning(settings, cloud.clock) as remote:
        call = asyncio.create_task(submitted(remote, cloud, asked))
        await in_line(remote, 1)
        await eventually(lambda: cloud.clock.now() > asked.not_after)
        async with executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock):
            assert (await refused(call)).code is ErrorCode.EXPIRED
    assert cloud.ledger.calls == []


async def test_the_executors_own_clock_decides_what_is_late(cloud, settings):
    asked = directive(cloud, plugged(cloud)[0], not_after_s=60.0)
    fast = dataclasses.replace(cloud.clock, start=cloud.clock.start + timedelta(seconds=61))
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, fast),
        planning(settings, cloud.clock) as remote,
    ):
        assert (await refused(submitted(remote, cloud, asked))).code is ErrorCode.EXPIRED
    assert cloud.ledger.calls == []


async def wishing(remote, cloud, wishes, gaps_s):
    """Hand in one car's wishes with gaps between them, each while the one before may be in line or under way."""
    calls = []
    for wish, gap_s in zip(wishes, gaps_s, strict=True):
        await asyncio.sleep(gap_s)
        calls.append(asyncio.create_task(submitted(remote, cloud, wish)))
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_competing_executors_never_overlap_on_a_car_and_leave_the_newest_wish_on_each(server):
    """Four wishes for each of 200 cars, some of which overtake others; two executors; the cloud keeps the ledger."""
    async with watched_cloud(cars=420) as cloud:
        settings, refs, dice = queue_settings(server, at_once=64), plugged(cloud)[:200], random.Random(7)
        cloud.ledger.takes_s = 0.05
        wishes = {ref: [directive(cloud, ref) for _ in range(4)] for ref in refs}
        async with (
            executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as one,
            executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as two,
            planning(settings, cloud.clock) as remote,
            asyncio.timeout(PATIENCE_S),
        ):
            of_cars = [wishing(remote, cloud, wishes[ref], [0.4 * dice.random() for _ in range(4)]) for ref in refs]
            outcomes = await asyncio.gather(*of_cars)
    assert len(refs) == 200
    assert cloud.ledger.overlaps == []
    assert one.counts["wait"] + two.counts["wait"] > 0
    assert min(one.counts["submits"], two.counts["submits"]) > 0
    assert [last.state for *_, last in outcomes] == [DirectiveState.ACCEPTED] * 200
    for ref, asked in wishes.items():
        arrived = [call.directive_id for call in cloud.ledger.of(ref)]
        order = [wish.directive_id for wish in asked]
        assert arrived == [wish for wish in order if wish in arrived]
        assert arrived[-1] == order[-1]


async def test_an_executor_that_read_the_record_too_early_loses_the_claim_and_calls_nobody(cloud, settings):
    asked = directive(cloud, plugged(cloud)[0])
    async with (
        planning(settings, cloud.clock) as remote,
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as executor,
    ):
        link, last = executor._link, executor._link.last

        async def last_just_before_another_claims(car):
            kept = await last(car)
            if kept is None:
                await link.record(car, CommandRecord("somebody-1", 1, "somebody", 1.0), after=0)
            return kept

        link.last = last_just_before_another_claims
        ack = await asyncio.wait_for(submitted(remote, cloud, asked), PATIENCE_S)
    assert ack.state is DirectiveState.ACCEPTED
    assert (executor.counts["claims_lost"], executor.counts["take_over"]) == (1, 1)
    assert [call.method for call in cloud.ledger.of(asked.vehicle_ref)] == ["GET", "PUT"]


async def test_an_executor_that_slept_past_its_lease_between_claim_and_call_calls_no_more(cloud, settings):
    short, asked = settings.model_copy(update={"ack_wait_s": 1.0}), directive(cloud, plugged(cloud)[0])
    async with (
        planning(settings, cloud.clock) as remote,
        executing(backend_of(cloud.url, cloud.clock), short, cloud.clock) as sleeper,
    ):
        link, record, awake = sleeper._link, sleeper._link.record, asyncio.Event()

        async def slowly(car, written, *, after):
            mark = await record(car, written, after=after)
            if written.outcome is None and written.of:
                await awake.wait()
            return mark

        link.record = slowly
        call = asyncio.create_task(submitted(remote, cloud, asked))
        await eventually(lambda: sleeper.counts["carry_out"])
        sleeper._turns = NobodyComes()
        await eventually(lambda: sleeper._turns.asked)  # type: ignore[attr-defined]
        async with executing(backend_of(cloud.url, cloud.clock), short, cloud.clock) as successor:
            assert (await asyncio.wait_for(call, PATIENCE_S)).state is DirectiveState.ACCEPTED
            awake.set()
            await eventually(lambda: sleeper.counts["taken_from_us"])
    assert (successor.counts["submits"], sleeper.counts["submits"]) == (1, 0)
    assert [call.method for call in cloud.ledger.of(asked.vehicle_ref)] == ["GET", "PUT"]


async def test_all_executors_together_make_no_more_calls_at_once_than_is_set(cloud, settings):
    few = settings.model_copy(update={"all_at_once": 3, "at_once": 8})
    cloud.ledger.takes_s = 0.02
    async with (
        executing(backend_of(cloud.url, cloud.clock), few, cloud.clock) as one,
        executing(backend_of(cloud.url, cloud.clock), few, cloud.clock) as two,
        planning(few, cloud.clock) as remote,
        asyncio.timeout(PATIENCE_S),
    ):
        await asyncio.gather(*(submitted(remote, cloud, directive(cloud, ref)) for ref in plugged(cloud)[:24]))
    assert one.counts["submits"] + two.counts["submits"] == 24
    assert cloud.ledger.most_at_once <= 3


async def test_an_outcome_that_nobody_asked_for_is_counted_and_ignored(cloud, settings):
    async with planning(settings, cloud.clock) as remote:
        await remote._listen()
        subject = remote._link.names.answers(remote._run)
        outcome = CallOutcome(refusal=CallRefusal(ErrorCode.EXPIRED, "made up"))
        for body in (write(CommandRecord("nobody-1", 1, "x", 1.0, outcome)), b"{", b"x" * 100_000):
            await remote._link.connection.publish(subject, body)
        await eventually(lambda: remote.counts["unasked_outcomes"] == 1)
        assert remote.health()["waiting"] == 0


async def test_an_outcome_that_was_not_heard_is_found_on_record(cloud, settings):
    asked = directive(cloud, plugged(cloud)[0])
    short = settings.model_copy(update={"ack_wait_s": 1.0, "call_s": 1.0})
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock),
        planning(short, cloud.clock) as remote,
    ):
        remote._take = lambda _record: None
        ack = await asyncio.wait_for(submitted(remote, cloud, asked), PATIENCE_S)
    assert (ack.directive_id, remote.counts["found_later"]) == (asked.directive_id, 1)


async def test_without_an_executor_the_outcome_is_unknown_and_a_question_is_to_be_asked_again(cloud, settings):
    short = settings.model_copy(update={"ack_wait_s": 1.0, "call_s": 1.0})
    async with planning(short, cloud.clock) as remote:
        asked = directive(cloud, "a-car")
        capability = cloud.cloud.capability(0)
        assert (await refused(remote.capabilities("a-car"))).code is ErrorCode.BACKEND_TRANSIENT
        error = await refused(remote.submit(asked, capability, Snapshot("a-car")))
        assert (error.code, error.may_have_happened) == (ErrorCode.OUTCOME_UNKNOWN, True)


async def test_a_queue_that_is_away_takes_nothing_and_nothing_is_sent_later(cloud, tmp_path):
    with nats_server(tmp_path) as server:
        settings = queue_settings(server)
        async with planning(settings, cloud.clock) as remote:
            server.kill()
            await eventually(lambda: not remote.health()["up"])
            error = await refused(submitted(remote, cloud, directive(cloud, plugged(cloud)[0])))
            assert (error.code, error.may_have_happened) == (ErrorCode.BACKEND_TRANSIENT, False)
            server.start()
            await eventually(lambda: remote.health()["up"])
            assert (await remote._link.streams.stream_info(remote._link.names.stream)).state.messages == 0


async def test_a_message_that_cannot_be_read_is_dropped_and_the_car_is_served_all_the_same(cloud, settings):
    asked = directive(cloud, plugged(cloud)[0])
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock) as executor,
        planning(settings, cloud.clock) as remote,
    ):
        await remote._link.publish(remote._link.names.command(place(asked.vehicle_ref)), b'{"act":"EXPLODE"}')
        await eventually(lambda: executor.counts["unreadable"] == 1)
        assert (await asyncio.wait_for(submitted(remote, cloud, asked), PATIENCE_S)).state is DirectiveState.ACCEPTED


async def test_a_command_that_breaks_the_contract_is_refused_at_once_as_a_backend_would(cloud, settings):
    asked = directive(cloud, plugged(cloud)[0])
    backwards = dataclasses.replace(asked, end=asked.start)
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock),
        planning(settings, cloud.clock) as remote,
    ):
        error = await refused(submitted(remote, cloud, backwards))
    assert (error.code, error.detail) == (ErrorCode.INVALID_REQUEST, "directive.end: must be after start")
    assert cloud.ledger.calls == []


async def test_no_pseudonym_of_a_car_stands_in_a_subject_or_in_the_log(cloud, settings, caplog):
    caplog.set_level(logging.DEBUG)
    asked = directive(cloud, plugged(cloud)[0])
    subjects = []

    async def overhear(message):
        subjects.append(message.subject)

    listening = await nats.connect(settings.url)
    await listening.subscribe(">", cb=overhear)
    async with (
        executing(backend_of(cloud.url, cloud.clock), settings, cloud.clock),
        planning(settings, cloud.clock) as remote,
    ):
        await asyncio.wait_for(submitted(remote, cloud, asked), PATIENCE_S)
        await eventually(lambda: any(place(asked.vehicle_ref) in subject for subject in subjects))
    await listening.close()
    told = [record.getMessage() for record in caplog.records if record.name.startswith("ven_adapters.ven.queue")]
    assert not [text for text in [*subjects, *told] if asked.vehicle_ref in text]


async def test_facts_reach_every_planner_once_also_one_that_was_away(cloud, settings):
    refs = plugged(cloud)[:5]
    event = SnapshotsSeen(tuple(Snapshot(ref) for ref in refs))

    async def first(remote):
        async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(remote.events()) as events:
            return await anext(events)

    link = QueueConnection(settings, "bmw")
    await asyncio.wait_for(link.ready(), PATIENCE_S)
    async with planning(settings, cloud.clock, name="first") as one:
        await BackendListener(backend_of(cloud.url, cloud.clock), link, "x")._publish(event)
        assert [snapshot.vehicle_ref for snapshot in (await first(one)).snapshots] == refs
    async with planning(settings, cloud.clock, name="second") as two:
        assert [snapshot.vehicle_ref for snapshot in (await first(two)).snapshots] == refs
    await link.close()


def test_a_large_fact_travels_in_parts():
    event = SnapshotsSeen(tuple(Snapshot(f"car-{number}") for number in range(450)))
    sizes = [len(part.snapshots) for part in parts(event)]
    assert sizes == [200, 200, 50]


async def test_one_executor_listens_to_the_backend_and_another_takes_its_place(cloud, settings):
    short = settings.model_copy(update={"ack_wait_s": 1.0})
    async with contextlib.AsyncExitStack() as first:
        one = await first.enter_async_context(executing(backend_of(cloud.url, cloud.clock), short, cloud.clock))
        await eventually(lambda: one.listener.listening)
        async with executing(backend_of(cloud.url, cloud.clock), short, cloud.clock) as two:
            assert not two.listener.listening
            await first.aclose()
            await eventually(lambda: two.listener.listening)


async def test_a_backend_that_keeps_things_on_its_machine_has_one_executor_and_others_stand_by(cloud, settings):
    short = settings.model_copy(update={"ack_wait_s": 1.0})
    asked = [directive(cloud, ref) for ref in plugged(cloud)[:10]]
    backends = [backend_of(cloud.url, cloud.clock) for _ in range(2)]
    for backend in backends:
        backend.works_alone = True
    async with contextlib.AsyncExitStack() as first, planning(short, cloud.clock) as remote:
        one = await first.enter_async_context(executing(backends[0], short, cloud.clock))
        await eventually(lambda: one.listener.listening)
        async with executing(backends[1], short, cloud.clock) as two:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(submitted(remote, cloud, wish) for wish in asked[:5]))
            assert (one.counts["submits"], two.counts["submits"]) == (5, 0)
            await first.aclose()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(submitted(remote, cloud, wish) for wish in asked[5:]))
            assert (one.counts["submits"], two.counts["submits"]) == (5, 5)


@pytest.mark.parametrize("backend", [OcppBackend, KeptBackend])
def test_the_shipped_backends_that_keep_windows_or_lines_say_that_they_work_alone(backend):
    assert backend.works_alone


async def test_an_executor_that_loses_the_right_to_work_alone_ends(cloud, settings):
    short = settings.model_copy(update={"ack_wait_s": 1.0})
    backend = backend_of(cloud.url, cloud.clock)
    backend.works_alone = True
    link = QueueConnection(short, "bmw", executes=True)
    executor = Executor(backend, link, cloud.clock)
    task = asyncio.create_task(executor.run())
    await eventually(lambda: executor.listener.listening)
    kept = await link.last("the-only-executor")
    await link.record("the-only-executor", dataclasses.replace(kept.record, executor="another"), after=kept.mark)
    async with asyncio.timeout(PATIENCE_S):
        await task


async def test_nothing_is_said_to_a_server_without_tls_where_tls_is_demanded(server, caplog):
    settings = queue_settings(server, url=server.url.replace("nats://", "tls://"), user="planner", password="hush-hush")
    link = QueueConnection(settings, "bmw")
    link.start()
    await eventually(lambda: "offers no TLS" in caplog.text)
    assert not link.up
    assert "hush-hush" not in caplog.text
    await link.close()


EXAMPLE = Path(__file__).parents[2] / "config" / "nats.example.conf"


@pytest.fixture
def guarded(tmp_path):
    """A server that runs the example's configuration, and the settings of its two users."""
    make_development_certificates(tmp_path, ["localhost"], datetime.now(UTC))
    config = tmp_path / "nats.conf"
    config.write_text(EXAMPLE.read_text().replace("certs/", f"{tmp_path}/").replace("var/nats", f"{tmp_path}/nats"))
    with nats_server(tmp_path / "nats", config) as server:
        common = {"url": f"tls://localhost:{server.port}", "stream": "EVTN", "ca": tmp_path / "ca.pem"}
        yield [
            queue_settings(server, **common, user=user, password=f"change-me-{number}")
            for number, user in ((1, "planner"), (2, "executor"))
        ]


async def test_the_examples_users_may_do_their_part_over_tls_and_a_planner_cannot_make_up_outcomes(
    cloud, guarded, caplog
):
    of_planner, of_executor = guarded
    asked = directive(cloud, plugged(cloud)[0])
    async with (
        executing(backend_of(cloud.url, cloud.clock), of_executor, cloud.clock) as executor,
        planning(of_planner, cloud.clock) as remote,
    ):
        async with asyncio.timeout(PATIENCE_S):
            assert (await submitted(remote, cloud, asked)).state is DirectiveState.ACCEPTED
            assert (await remote.snapshot(asked.vehicle_ref)).vehicle_ref == asked.vehicle_ref
        await eventually(lambda: executor.listener.listening)
        await BackendListener(None, executor._link, "x")._publish(SnapshotsSeen((Snapshot(asked.vehicle_ref),)))
        async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(remote.events()) as events:
            assert (await anext(events)).snapshots[0].vehicle_ref == asked.vehicle_ref
        assert "violation" not in caplog.text.lower()
        for subject in (remote._link.names.record(place(asked.vehicle_ref)), remote._link.names.answers("x")):
            caplog.clear()
            await remote._link.connection.publish(subject, b"{}")
            await eventually(lambda: "permissions violation" in caplog.text.lower())
    assert "change-me" not in caplog.text


async def test_wrong_credentials_are_said_loudly_and_never_shown(guarded, caplog):
    settings = guarded[0].model_copy(update={"password": "not-the-password"})
    link = QueueConnection(settings, "bmw")
    link.start()
    await eventually(lambda: "authorization" in caplog.text.lower())
    assert not link.up
    assert "not-the-password" not in caplog.text
    await link.close()
