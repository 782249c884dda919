"""The adapter's store on every database it may stand on: what was flushed is there, what failed is not forgotten."""

import pytest
import sqlalchemy
from directive_store_cases import T0, choice, held, read_event

from ven_adapters.contract import DirectiveState
from ven_adapters.ven.roster import held_of, row_of, values_of
from ven_adapters.ven.store import DirectiveRow, EnergyRow, ExportRow, ReportRow, Store, Values, parse_at, print_at


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """A fresh database of each make."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url").replace("postgresql://", "postgresql+asyncpg://")
    return f"sqlite+aiosqlite:///{tmp_path}/folder/adapter.sqlite"


@pytest.fixture
async def opened(url):
    """Opens stores on the one database and closes them."""
    stores = []

    async def another():
        store = Store(url)
        await store.open()
        stores.append(store)
        return store

    yield another
    for store in stores:
        await store.close()


async def test_a_new_store_remembers_nothing(opened):
    remembered = await (await opened()).load()
    assert (remembered.choices, remembered.directives, remembered.energy, remembered.exports) == ((), (), (), ())
    assert (dict(remembered.events), remembered.reports) == ({}, frozenset())


async def test_what_was_flushed_is_there_after_a_restart(opened):
    store = await opened()
    rows = [
        choice("car-1", "OPT_OUT", until=print_at(T0)),
        row_of(held("d-1")),
        read_event("e-1@1"),
        ReportRow(key="e-1/1", event_id="e-1", report_id="r-1", at=print_at(T0)),
        EnergyRow(zone="bay", bucket=495_000, document='{"imported_wh":[1.5],"exported_wh":[0.0]}'),
        ExportRow(vehicle_ref="car-1", year=2026, year_wh=10.5, event_id="e-1", event_wh=2.5, counter_wh=99.0),
    ]
    store.note(rows)
    assert await store.flush() == len(rows)
    again = await (await opened()).load()
    assert again.choices == (choice("car-1", "OPT_OUT", until=print_at(T0)),)
    assert [held_of(row) for row in again.directives] == [held("d-1")]
    assert again.events == {"e-1@1": T0}
    assert again.reports == {"e-1/1"}
    assert [(row.zone, row.bucket) for row in again.energy] == [("bay", 495_000)]
    assert again.exports[0].year_wh == 10.5


async def test_plain_values_are_stored_as_their_row_would_be_and_the_newest_wins(opened):
    store = await opened()
    older = {**values_of(held("d-1")), "state": "REQUESTED"}
    store.note([Values(DirectiveRow, older), Values(DirectiveRow, values_of(held("d-1")))])
    assert await store.flush() == 1
    assert [held_of(row) for row in (await (await opened()).load()).directives] == [held("d-1")]


async def test_nothing_is_written_before_the_flush(opened):
    store = await opened()
    store.note([read_event("e-1@1")])
    assert (await (await opened()).load()).events == {}
    await store.flush()
    assert await store.flush() == 0


async def test_the_newest_row_of_a_key_wins_within_and_across_flushes(opened):
    store = await opened()
    store.note([choice("car-1", "OPT_OUT", until=None), choice("car-1", "OPT_OUT", until=print_at(T0))])
    assert await store.flush() == 1
    store.note([choice("car-1", "OPT_OUT", until="later")])
    await store.flush()
    assert [row.until for row in (await store.load()).choices] == ["later"]


async def test_directives_that_are_over_are_kept_and_not_taken_up_again(opened):
    store = await opened()
    store.note([row_of(held("d-1")), row_of(held("d-2", state=DirectiveState.RELEASED, confirmed_once=True))])
    await store.flush()
    assert [row.directive_id for row in (await store.load()).directives] == ["d-1"]
    assert await store.totals() == {"confirmed": 1, "REQUESTED": 1, "RELEASED": 1}


async def test_a_flush_of_many_rows_is_one_transaction(opened):
    store = await opened()
    store.note([choice(f"car-{number}", "BOOST") for number in range(1200)])
    assert await store.flush() == 1200
    assert len((await store.load()).choices) == 1200


async def test_a_flush_that_fails_forgets_nothing_and_writes_nothing(opened):
    store = await opened()
    bad = read_event("e-1@1")
    bad.read_at = None
    store.note([choice("car-1", "BOOST"), bad])
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        await store.flush()
    assert (await store.load()).choices == ()
    store.note([read_event("e-1@1")])
    assert await store.flush() == 2
    assert len((await store.load()).choices) == 1


async def test_instants_come_back_to_the_microsecond(opened):
    store = await opened()
    at = T0.replace(microsecond=123456)
    store.note([read_event("e-1@1", at)])
    await store.flush()
    assert (await store.load()).events["e-1@1"] == at
    assert parse_at(print_at(at)) == at
