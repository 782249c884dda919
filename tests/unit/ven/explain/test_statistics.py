"""The adapter's own account is bounded, and a disk that is full costs its lines and nothing else."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from agent_cases import enrolment
from directive_cases import T0

from ven_adapters.ven.directives.rung_powers import RungPowers
from ven_adapters.ven.explain import statistics as accounts
from ven_adapters.ven.explain.statistics import AdapterStatistics
from ven_adapters.ven.fleet.event_burden import fairness_of
from ven_adapters.ven.fleet.fleet import FleetColumns
from ven_adapters.ven.fleet.metering import Sample
from ven_adapters.ven.openadr.event_faults import MOST_SHOWN, EventFault, EventFaults, EventFindings
from ven_adapters.ven.openadr.notifications import LONGEST_NAME, WakeSignal
from ven_adapters.ven.planning.flexibility.feasible_band import FeasibleBand
from ven_adapters.ven.planning.flexibility.shortfall import Binding, Flexibility, Obstacle


@pytest.fixture
def account(tmp_path):
    return AdapterStatistics(tmp_path, RungPowers())


def lines(folder):
    return [orjson.loads(line) for line in (folder / "progress.jsonl").read_bytes().splitlines() if line]


def test_events_and_payloads_that_nobody_knows_are_counted_in_bounded_room(account, monkeypatch):
    monkeypatch.setattr(accounts, "MOST_EVENTS", 3)
    monkeypatch.setattr(accounts, "MOST_UNKNOWN", 3)
    for number in range(9):
        account.read(f"e{number}", "1", 0.0)
        account.puzzled(f"e{number}", 0, "X")
    account.sent("e8", 1.0)
    account.sent("e0", 1.0)
    assert list(account.events) == ["e6", "e7", "e8"]
    assert account.unknown["X"] == 3
    account.close(T0, 0.0, {}, 0, ())


def test_a_full_disk_costs_progress_and_summary_and_nothing_else(account, tmp_path, caplog):
    account.line(T0, 1.0, {}, {})
    usable = account._lines
    with Path("/dev/full").open("ab", buffering=0) as account._lines:
        for _ in range(3):
            account.line(T0, 2.0, {}, {})
    account._lines = usable
    account.line(T0, 3.0, {}, {})
    assert [line["real_s"] for line in lines(tmp_path)] == [1.0, 3.0]
    assert sum("no progress is written" in record.getMessage() for record in caplog.records) == 1
    account._summary = Path("/dev/full/summary.json")
    account.close(T0, 4.0, {}, 0, ())
    assert "no summary is written" in caplog.text


def test_a_line_of_progress_shows_a_bounded_part_of_all_alarms():
    faults = EventFaults()
    bad = (EventFault(0, "PRICE", "values: needs one number", binds=True),)
    faults.judge([EventFindings(f"e{number}", f"e{number}@1", bad) for number in range(500)])
    told = faults.plain()
    assert (len(told["alarms"]), told["alarms_in_all"]) == (MOST_SHOWN, 500)


def test_what_is_kept_of_a_notification_is_bounded():
    wake_signal = WakeSignal()
    event = {"id": "x" * 100_000, "modificationDateTime": "y" * 100_000}
    wake_signal.hear(orjson.dumps({"objectType": "EVENT", "operation": "CREATE", "object": event}))
    (heard,) = wake_signal.heard
    assert (len(heard.object_id), len(heard.modified)) == (LONGEST_NAME, LONGEST_NAME)


def test_how_even_the_burden_is_stands_in_every_line_and_in_the_summary(account, tmp_path):
    fleet = FleetColumns()
    fleet.enrol([enrolment(ref) for ref in ("one", "two", "three", "gone")])
    fleet.note_burden(np.arange(4), np.array([0.0, 2.0, 4.0, 50.0]))
    fleet.retire(["gone"])
    account.fairness = lambda: fairness_of(fleet)
    account.line(T0, 1.0, {}, {})
    account.close(T0, 0.0, {}, 0, ())
    figures = {"cars": 3, "borne_kwh": 6.0, "borne_gini": round(4 / 9, 4)}
    assert [line["fairness"] for line in lines(tmp_path)] == [figures] * 2
    assert orjson.loads((tmp_path / "summary.json").read_bytes())["fairness"] == figures


def test_a_line_of_progress_has_what_a_zone_can_do_what_is_short_and_its_coming_day_once(account, tmp_path):
    binds = (Binding(Obstacle.DEPARTURE, 12, 80.0),)
    account.flexibility = {"bay": Flexibility(0.0, 10.0, 80.0, 80.0, 200.0, 70.0, binds, "e1")}
    account.bands = {"bay": FeasibleBand(T0.timestamp(), np.full(96, 80.0), np.full(96, 200.0))}
    for _ in range(2):
        account.line(T0, 1.0, {"bay": Sample(T0.timestamp())}, {})
    first, second = (line["zones"]["bay"] for line in lines(tmp_path))
    assert (first["least_kw"], first["most_kw"], first["shortfall_kw"]) == (80.0, 200.0, 70.0)
    assert first["binds"] == [{"obstacle": "DEPARTURE", "cars": 12, "kw": 80.0}]
    assert first["band"]["least_kw"] == [80.0] * 96
    assert "band" not in second
    account.abandon()
