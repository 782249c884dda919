"""Signed webhooks: what a receiver accepts, and what it does not."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtn.auth.installation_keys import WebhookKeys, client_key, signature, verify
from vtn.errors import CannotStart

KEY = client_key(b"master", "c1")
BODY = b'{"objectType":"EVENT"}'
NOW_S = 1_784_131_200


@given(st.binary(max_size=200), st.text(max_size=20), st.integers(0, 10**11))
def test_what_was_signed_is_verified(body, client_id, at_s):
    key = client_key(b"master", client_id)
    assert verify(key, signature(key, body, at_s), body, now_s=at_s)


def test_the_recipe_is_the_documented_one():
    wanted = hmac.new(KEY.encode(), b"1784131200." + BODY, hashlib.sha256).hexdigest()
    assert signature(KEY, BODY, NOW_S) == f"t=1784131200,v1={wanted}"


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_body_changed_in_one_place_is_refused(position, change):
    changed = bytearray(BODY)
    changed[position] ^= change
    assert not verify(KEY, signature(KEY, BODY, NOW_S), bytes(changed), now_s=NOW_S)


@pytest.mark.parametrize(("late_s", "accepted"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_a_signature_counts_for_a_bounded_time(late_s, accepted):
    assert verify(KEY, signature(KEY, BODY, NOW_S), BODY, now_s=NOW_S + late_s) is accepted
    assert verify(KEY, signature(KEY, BODY, NOW_S), BODY, now_s=NOW_S + late_s, tolerance_s=1000)


def test_a_signature_with_another_time_written_into_it_is_refused():
    header = signature(KEY, BODY, NOW_S).replace(str(NOW_S), str(NOW_S + 1))
    assert not verify(KEY, header, BODY, now_s=NOW_S)


def test_the_key_of_another_client_is_refused():
    assert not verify(client_key(b"master", "c2"), signature(KEY, BODY, NOW_S), BODY, now_s=NOW_S)


@pytest.mark.parametrize(
    "header",
    ["", "t=,v1=", "v1=" + "0" * 64, f"t={NOW_S}", f"t={NOW_S},v1=", f"t={NOW_S},v1={'0' * 63}", "t=x,v1=" + "0" * 64],
)
def test_what_is_no_signature_is_refused_and_no_crash(header):
    assert not verify(KEY, header, BODY, now_s=NOW_S)
    assert not verify(KEY, signature(KEY, BODY, NOW_S) + header + " ", BODY, now_s=NOW_S)


def test_each_client_has_a_key_of_its_own_that_stays_the_same(tmp_path):
    keys, again = WebhookKeys(tmp_path / "keys" / "w"), WebhookKeys(tmp_path / "keys" / "w")
    assert keys.of("c1") == again.of("c1") != keys.of("c2")
    assert len(keys.of("c1")) == 64


def test_the_master_key_is_this_users_only_and_alone_in_its_folder(tmp_path):
    WebhookKeys(tmp_path / "w")
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    assert (tmp_path / "w").stat().st_mode & 0o777 == 0o600


def test_another_installation_has_other_keys(tmp_path):
    assert WebhookKeys(tmp_path / "a").of("c1") != WebhookKeys(tmp_path / "b").of("c1")


def test_a_file_that_holds_no_key_is_refused(tmp_path):
    (tmp_path / "w").write_bytes(b"short")
    with pytest.raises(CannotStart, match="does not hold a key"):
        WebhookKeys(tmp_path / "w")
