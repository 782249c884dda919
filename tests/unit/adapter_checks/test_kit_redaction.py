"""Redaction keeps what is harmless, replaces the rest by the same for the same, and lets nothing planted through."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.adapter_checks.redaction import Redactor, answer, printed

VIN, PLACE, MAIL, NAME = "1ZZZZ9ZZ9Z1000042", 37.774931, "jo.doe@mail.example.org", "Josephine"
TOKEN = "eyJhbGciOi.secret-token"
PLANTED = (VIN, "37.774931", "37.77", MAIL, NAME, TOKEN, "Elm Street 7", "car-of-josephine", "4155550100")


def redacted(body, keep=frozenset(), headers=None):
    redactor = Redactor(keep)
    return json.loads(printed(redactor, answer(redactor, 200, headers or {}, json.dumps(body).encode())))


def test_measurements_states_and_instants_are_kept():
    body = {
        "soc_pct": {"value": 48, "observed_at": "2026-07-02T04:00:00Z", "validity": "OK"},
        "chargingState": "Charging",
        "power_w": -4000.5,
        "plugged": True,
        "limit": None,
    }
    assert redacted(body)["body"] == body


def test_nothing_that_was_planted_comes_through():
    body = {
        "vehicle_ref": "car-of-josephine",
        "vin": VIN,
        VIN: {"state": "CHARGING"},
        "detail": f"vehicle {VIN} of {MAIL} at {PLACE}",
        "location": {"latitude": PLACE, "level": PLACE, "state": NAME},
        "owner": {"first_name": NAME, "email": MAIL, "phone": "4155550100", "status": NAME},
        "items": [{"value": PLACE}, TOKEN, "Elm Street 7"],
        "source": NAME,
        "nested": {"deep": {"value": PLACE}, "car-of-josephine": 1},
        "level": PLACE * 1.0,
    }
    text = json.dumps(redacted({**body, "level": 48.25}, headers={"Set-Cookie": TOKEN, "X-Vin": VIN}))
    assert [word for word in PLANTED if word in text] == []


def test_the_same_becomes_the_same_over_all_answers():
    redactor = Redactor()
    first = answer(redactor, 200, {}, b'{"ref": "car-7"}')
    second = answer(redactor, 200, {}, b'{"ref": "car-7", "other": "car-8"}')
    assert first["body"]["ref"] == second["body"]["ref"] != second["body"]["other"]


def test_forms_that_mean_something_are_kept():
    body = {"vin": VIN, "mail": MAIL, "link": "https://me.example/x", "id": "c0ffee00-1234-4abc-8def-0123456789ab"}
    told = redacted(body)["body"]
    assert told["vin"].startswith("SYNTHETICVIN")
    assert len(told["vin"]) == 17
    assert told["mail"].endswith("@example.invalid")
    assert told["link"].startswith("https://example.invalid/")
    assert told["id"].startswith("00000000-")


def test_a_key_that_the_author_vouches_for_is_kept_but_no_vin():
    assert redacted({"flavour": "blue and white", "n": 5}, frozenset({"flavour", "n"}))["body"] == {
        "flavour": "blue and white",
        "n": 5,
    }
    assert VIN not in json.dumps(redacted({"flavour": VIN}, frozenset({"flavour"})))


def test_only_the_headers_that_say_how_to_behave_are_kept():
    assert redacted({}, headers={"Retry-After": "30", "Date": "x", "Server": "y"})["headers"] == {"Retry-After": "30"}


def test_a_page_for_humans_is_recorded_without_its_text():
    redactor = Redactor()
    assert answer(redactor, 410, {}, b"<html>Dear Josephine</html>") == {"status": 410, "headers": {}, "body": None}


@given(
    st.recursive(
        st.one_of(st.just("{secret}"), st.integers(), st.booleans(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["a", "name", "ref", "data"]), inner, max_size=3),
        ),
        max_leaves=8,
    ),
    st.sampled_from([VIN, MAIL, TOKEN, "Elm Street 7", "car-of-josephine"]),
)
def test_a_secret_is_found_wherever_it_stands(tree, secret):
    body = json.loads(json.dumps(tree).replace("{secret}", secret))
    assert secret not in json.dumps(redacted({"body": body}))
