"""The fault drill, small: 200 cars of two automakers, every fault at its field rate, one night, every promise kept."""

import orjson
import pytest
from night import CLOUD, KEYS, PROMISES, contradicted, drill, read_claims, read_night

from ven_adapters.contract import FINAL_STATES
from ven_adapters.simulator.faults.table import BY_NAME

OEMS = ("ford", "nissan")
SPEED = 1_800.0
MARGIN_S = 5_400.0
MOST_FAULTS = 15


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    return folder, drill(200, SPEED, 7, folder, oems=OEMS, margin_s=MARGIN_S, cloud=CLOUD, truth="mixture")


def test_the_result_is_written_with_every_promise_and_every_fault(played):
    folder, result = played
    written = orjson.loads((folder / "night.json").read_bytes())
    assert written.keys() == set(KEYS)
    assert orjson.loads((folder / "details.json").read_bytes()) == orjson.loads(orjson.dumps(result))
    assert {key: result[key] for key in written} == written
    assert written["by_fault"].keys() == BY_NAME.keys()


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_kept_under_every_fault_at_once(played, promise):
    assert played[1][promise] == 0


def test_the_night_was_a_bad_one(played):
    result = played[1]
    assert result["faults"] >= MOST_FAULTS
    assert result["directives"] > 100
    assert result["in_force_claims"] > 100


def test_every_directive_reached_a_final_state_but_those_under_way_when_the_night_ended(played):
    assert played[1]["directives_not_final"] <= 0.02 * played[1]["directives"]


def test_the_judge_finds_a_claim_that_the_truth_denies(played):
    folder, _ = played
    night = read_night(folder / "night" / "truth", "ford")
    claims = read_claims(folder / "night" / "ford" / "claims.jsonl")
    pauses = [one for one in claims if one["state"] == "IN_FORCE" and one["setting_w"] == 0]
    assert pauses
    turned = [one | {"kind": "CHARGE", "setting_w": None, "evidence": "power_w=7000"} for one in pauses]
    assert any(contradicted(one, night) for one in turned)
    assert {one["state"] for one in claims} >= {"ACCEPTED", "IN_FORCE"}
    assert any(one["state"] in {state.value for state in FINAL_STATES} for one in claims)
