"""Scopes: the table has all 45 operations but the two of /auth, and roles outrank scopes."""

import pytest

from vtn.errors import Forbidden
from vtn.rules.scopes import BL_SCOPES, OPERATIONS, VEN_SCOPES, grantable, permits, require

BY_NAME = {operation.name: operation for operation in OPERATIONS}


def test_the_table_holds_every_operation_once():
    assert len(OPERATIONS) == len(BY_NAME) == 43


@pytest.mark.parametrize(
    ("name", "bl", "ven"),
    [
        ("searchAllPrograms", True, True),
        ("createProgram", True, False),
        ("updateEvent", True, False),
        ("createReport", False, True),
        ("deleteReport", False, True),
        ("searchAllReports", True, True),
        ("createSubscription", True, True),
        ("createVen", True, True),
        ("updateVenResource", True, True),
        ("listAllNotifiers", True, True),
        ("listAllMqttNotifierTopicsPrograms", True, True),
        ("listAllMqttNotifierTopicsEvents", True, False),
        ("listAllMqttNotifierTopicsVenEvents", True, True),
    ],
)
def test_each_role_may_do_what_the_standard_says(name, bl, ven):
    assert permits(BY_NAME[name], is_bl=True, scopes=BL_SCOPES) is bl
    assert permits(BY_NAME[name], is_bl=False, scopes=VEN_SCOPES) is ven


def test_a_ven_whose_token_carries_business_logic_scopes_is_still_a_ven():
    everything = {*BL_SCOPES, *VEN_SCOPES}
    assert not permits(BY_NAME["createEvent"], is_bl=False, scopes=everything)
    assert not permits(BY_NAME["listAllMqttNotifierTopicsEvents"], is_bl=False, scopes=everything)


def test_read_all_lets_business_logic_read_what_is_marked_for_vens():
    assert permits(BY_NAME["searchVens"], is_bl=True, scopes={"read_all"})
    assert not permits(BY_NAME["searchVens"], is_bl=False, scopes={"read_all"})


def test_a_missing_scope_is_named():
    with pytest.raises(Forbidden, match="write_programs"):
        require(BY_NAME["createProgram"], is_bl=True, scopes={"read_all"})


def test_other_spellings_of_scopes_are_understood():
    assert grantable(["write_vens_ven", "write_programs"], VEN_SCOPES) == (("write_vens",), ("write_programs",))
