"""The judge of `make stress`, small: it passes cars that are as told, and it can fail."""

from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
from stress.closed_loop import ClosedLoop, PerfectCloud
from stress.run import main
from stress.truth import NOON_S, QUICK, STEP_S, ChargingCurve, StressCell, matrix, true_cars
from stress.verdict import judged, measures, oracle

from ven_adapters.contract import Directive, DirectiveKind
from ven_adapters.ven.fleet.pace import Pace
from ven_adapters.ven.planning.charging_need import PlanSettings

CARS, SEED = 40, 3
AS_TOLD = StressCell(efficiency=0.9, power=1.0, knee_pct=80.0, end_share=0.2, step_pct=1)
NOW = datetime.fromtimestamp(NOON_S, UTC)


@pytest.fixture(scope="module")
def well_told():
    cars = true_cars(AS_TOLD, CARS, SEED)
    return cars, ClosedLoop(cars, PlanSettings(), SEED).run()


def test_nobody_is_late_and_little_is_charged_dear_where_cars_are_as_told(well_told):
    found = measures(judged(*well_told), gives=False)
    assert (found["late_first"], found["late_third"], found["below_reserve"]) == (0.0, 0.0, 0.0)
    # Nobody knows in the first night how fast they charge, nor in the third at levels that they never came to.
    assert 0.0 <= found["off_peak_third_points"] < min(6.0, found["off_peak_points"])


def test_a_car_that_leaves_with_less_than_it_could_have_had_is_late(well_told):
    cars, books = well_told
    before = judged(cars, books)[0].late
    books.left_pct[0, 0] -= 1.5
    late = judged(cars, books)[0]
    books.left_pct[0, 0] += 1.5
    assert late.late == before + 1


def test_no_night_of_any_car_draws_less_in_dear_hours_than_the_oracle(well_told):
    cars, books = well_told
    for night in range(3):
        cheap_kwh, drawn_kwh = oracle(cars, night)
        assert books.drawn_kwh[night] == pytest.approx(drawn_kwh, abs=0.01)
        assert (books.cheap_kwh[night] <= cheap_kwh + 0.01).all()


def test_a_taper_takes_as_long_as_its_integral():
    curve = ChargingCurve(80.0, 0.2)
    assert curve.points(np.array([80.0]))[0] == pytest.approx(80.0, abs=1e-3)
    assert curve.points(np.array([100.0]))[0] - 80.0 == pytest.approx(20 / 0.8 * np.log(1 / 0.2), rel=1e-3)
    assert curve.level(curve.points(np.array([93.0])))[0] == pytest.approx(93.0)


def test_levels_are_told_in_steps_downwards_or_upwards():
    levels = np.array([49.9, 50.0, 97.2])
    assert StressCell(step_pct=1).told_pct(levels).tolist() == [49.0, 50.0, 97.0]
    assert StressCell(step_pct=5).told_pct(levels).tolist() == [50.0, 50.0, 100.0]


def order(number, kind, from_s, to_s, power_w=None):
    start, end = (NOW + timedelta(seconds=one) for one in (from_s, to_s))
    return Directive(str(number), str(number), "car", kind, start, end, end, power_w)


def test_the_cloud_carries_orders_out_to_the_second_and_revives_none():
    cloud = PerfectCloud(1)
    cloud.submit(0, order(1, DirectiveKind.CURTAIL, 0, 3600), NOW)
    cloud.submit(0, order(2, DirectiveKind.SETPOINT, 100, 200, -5000), NOW)
    seconds, kw = cloud.seconds(NOON_S, NOON_S + STEP_S)
    assert seconds[0, :2].tolist() == [100.0, 100.0]
    assert kw[0, :2].tolist() == [0.0, -5.0]
    assert [cloud.kw_at(NOON_S + at_s)[0] for at_s in (50, 150)] == [0.0, -5.0]
    assert np.isnan(cloud.kw_at(NOON_S + 250.0)[0])
    cloud.cancel(0, "2")
    assert cloud.kw_at(NOON_S + 250.0)[0] == 0.0


def test_the_matrix_has_every_truth_once():
    cells = list(matrix())
    assert len(cells) == len({cell.name for cell in cells}) == 3 * 3 * 5 * 2 * 2
    assert set(QUICK) <= set(cells)


def test_a_planner_that_is_too_optimistic_is_noticed_told_and_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr(Pace, "tell", lambda _self, _rows: None)  # as if every car were as its data sheet
    out = tmp_path / "summary.json"
    asked = ["--cells", "eff=85", "power=50", "taper=80:20", "step=1", "early=0"]
    assert main([*asked, "--cars", str(CARS), "--workers", "1", "--margin", "0", "--out", str(out)]) == 1
    written = orjson.loads(out.read_bytes())
    ((name, cell),) = written["cells"].items()
    assert written["missed_by_all"][:2] == ["late_first", "late_third"]
    assert written["missed_by_cells"] == {"late_first": [name], "late_third": [name]}
    assert max(night["worst_short_pct"] for night in cell["nights"]) > 5.0
