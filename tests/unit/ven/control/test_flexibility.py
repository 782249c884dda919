"""What zones can do and lack, as cycles find it: said in the log when it is news, worked out anew when it is old."""

import logging

import pytest
from agent_cases import COURSE, event, fleet_state
from directive_cases import T0, at

from ven_adapters.ven.control.zone_control import ZoneController

WATCH = "ven_adapters.ven.control.flexibility"


def order(kw, **more):
    return [event("DISPATCH_SETPOINT", [kw], start=T0.isoformat(), duration="PT2H", **more)]


@pytest.fixture
def controller():
    return ZoneController(fleet_state(), COURSE)


def said(caplog):
    found = [(record.levelno, record.getMessage()) for record in caplog.records if record.name == WATCH]
    caplog.clear()
    return found


def test_the_first_cycle_after_an_ask_says_the_band_and_what_is_short_and_why(controller, caplog):
    caplog.set_level(logging.INFO, WATCH)
    controller.steer("bay", order(-500), at(1))
    (warned, short), (told, band) = said(caplog)
    assert (warned, told) == (logging.WARNING, logging.INFO)
    assert short.startswith("zone bay, event e1: ")
    assert "kW of -500.0 kW asked are short (more is drawn than is asked at the least): 1 car" in short
    assert "feasible now from" in band
    assert "in the quarter hours of the coming day the least is" in band
    controller.steer("bay", order(-500), at(61))
    assert said(caplog) == []


def test_that_a_shortfall_is_over_is_said_once(controller, caplog):
    caplog.set_level(logging.INFO, WATCH)
    controller.steer("bay", order(-500), at(1))
    said(caplog)
    for second in (61, 121):
        controller.steer("bay", [], at(second))
    assert [message for _, message in said(caplog)] == ["zone bay: what is asked can be done again"]


def test_the_coming_day_is_worked_out_anew_for_another_ask_and_every_quarter_of_an_hour(controller):
    band = controller.flexibility.bands
    controller.steer("bay", [], at(1))
    first = band["bay"]
    controller.steer("bay", [], at(300))
    assert band["bay"] is first
    controller.steer("bay", order(5), at(360))
    assert band["bay"].start_s == at(360).timestamp()
    controller.steer("bay", order(5), at(1260))
    assert band["bay"].start_s == at(1260).timestamp()


def test_a_shortfall_that_begins_soon_is_known_before_it_begins(controller):
    soon = [event("DISPATCH_SETPOINT", [-500], start=at(200).isoformat(), duration="PT2H")]
    controller.steer("bay", soon, at(1))
    found = controller.flexibility.now["bay"]
    assert found.is_short
    assert found.at_s == at(200).timestamp()
