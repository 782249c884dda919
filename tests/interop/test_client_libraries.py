"""Clients that integrators already have work unchanged against a running VTN: every public member of each library.

The libraries run in environments of their own; what each member was asked and how it went is printed by the drives.
"""

import json
import ssl
import urllib.parse
import urllib.request
from typing import Any

import environments
import openadr_spec
import pytest
from vtn_process import V311

WHOLE = {"left_out": [], "idle_excuses": []}


def went_as_expected(lines: list[dict[str, Any]], subtests: pytest.Subtests) -> None:
    """Each use in its own subtest; the last line says that nothing of the library was left out."""
    *uses, last = lines
    for use in uses:
        with subtests.test(use["method"]):
            assert use["ok"], use["detail"]
    assert {name: last[name] for name in WHOLE} == WHOLE


def test_every_member_of_openadr3_client_works(vtn, certified_vtn, drive, subtests):
    vtn.add_client("readme", "VEN")
    more = {"certified": certified_vtn.url, "certified_secrets": certified_vtn.secrets}
    went_as_expected(drive(environments.OPENADR3, "drive_openadr3_client.py", vtn.url, vtn.secrets, **more), subtests)


def test_every_member_of_python_oa3_client_works(vtn, open_vtn, drive, subtests):
    spec = openadr_spec.FOLDER / "openadr3.yaml"
    more = {"open": open_vtn.url, "open_secrets": open_vtn.secrets, "spec": str(spec) if spec.exists() else None}
    went_as_expected(drive(environments.OA3, "drive_oa3.py", vtn.root + V311, vtn.secrets, **more), subtests)


def test_a_token_names_its_scopes_as_the_client_spelt_them(vtn, certificates):
    form = {"grant_type": "client_credentials", "client_id": "c1", "client_secret": vtn.secrets["c1"]}
    form["scope"] = "write_vens_ven read_targets"
    trust = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    request = urllib.request.Request(f"{vtn.url}/auth/token", urllib.parse.urlencode(form).encode())  # noqa: S310
    with urllib.request.urlopen(request, context=trust, timeout=30) as answer:  # noqa: S310 - our own server
        assert json.load(answer)["scope"] == form["scope"]
