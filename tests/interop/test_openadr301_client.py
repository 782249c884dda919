"""A client of OpenADR 3.0.1 that integrators have works unchanged against the old face: every public member of it."""

import environments
import pytest
from party301 import V301

WHOLE = {"left_out": [], "idle_excuses": []}


@pytest.fixture(scope="module")
def vtn(launch, https):
    with launch({**https, "protocol.ven_clients": '{"ven-of-c1" = "c1"}'}) as server:
        yield server


def test_every_member_of_openadr3_client_works_in_its_301_mode(vtn, drive, subtests):
    url, url31 = vtn.root + V301, vtn.url
    *uses, last = drive(environments.OPENADR3, "openadr3_client_301.py", url, vtn.secrets, url31=url31)
    for use in uses:
        with subtests.test(use["method"]):
            assert use["ok"], use["detail"]
    assert {name: last[name] for name in WHOLE} == WHOLE
