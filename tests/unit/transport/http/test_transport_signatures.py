import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.transport.http.signatures import answer, sign, verify

BODY = b'{"event_id":"e"}'
NOW_S = 1_782_900_000


def test_a_signature_is_the_hmac_of_timestamp_dot_body():
    assert sign("secret", 1_700_000_000, b"{}") == (
        "v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    )


@pytest.mark.parametrize("skew_s", [-300, 0, 300])
def test_a_fresh_genuine_body_is_taken(skew_s):
    assert verify("s", str(NOW_S), sign("s", NOW_S, BODY), BODY, now_s=NOW_S + skew_s) is None


@pytest.mark.parametrize(
    ("timestamp", "signature", "body", "now_s", "complaint"),
    [
        (str(NOW_S), sign("s", NOW_S, BODY), BODY, NOW_S + 301, "away"),
        (str(NOW_S), sign("s", NOW_S, BODY), BODY + b" ", NOW_S, "match"),
        (str(NOW_S + 1), sign("s", NOW_S, BODY), BODY, NOW_S, "match"),
        (str(NOW_S), sign("other", NOW_S, BODY), BODY, NOW_S, "match"),
        (str(NOW_S), "v1=é", BODY, NOW_S, "match"),
        (str(NOW_S), None, BODY, NOW_S, "missing"),
        (None, sign("s", NOW_S, BODY), BODY, NOW_S, "missing"),
        ("-5", sign("s", NOW_S, BODY), BODY, NOW_S, "number"),
        ("٣", sign("s", NOW_S, BODY), BODY, NOW_S, "number"),
    ],
)
def test_a_stale_or_forged_body_is_refused(timestamp, signature, body, now_s, complaint):
    assert complaint in verify("s", timestamp, signature, body, now_s=now_s)


def test_a_challenge_is_answered_only_with_the_same_secret():
    assert answer("a", "prove-it") != answer("b", "prove-it")


def test_an_answer_is_the_digest_of_its_own_domain():
    assert answer("secret", "prove-it") == hmac.new(b"secret", b"challenge:prove-it", hashlib.sha256).hexdigest()


@given(
    st.one_of(st.text(), st.binary().map(lambda body: f"{NOW_S}.{body.decode('latin-1')}"), st.just(f"{NOW_S}.{{}}"))
)
def test_no_answer_to_any_challenge_is_the_signature_of_a_body(challenge):
    given_out = answer("s", challenge.encode("utf-8", "replace").decode())
    timestamp, _, body = challenge.partition(".")
    for stamp in {timestamp, str(NOW_S)}:
        for told in (body, challenge):
            raw = told.encode("utf-8", "replace")
            assert verify("s", stamp, f"v1={given_out}", raw, now_s=NOW_S) is not None
