"""What a reading costs is what the automaker's own file says."""

import pytest

from ven_adapters.contract import ReadingPrice
from ven_adapters.oems import enode
from ven_adapters.registry import UnknownOem, reading_price


def test_a_file_names_its_price_and_one_that_names_none_takes_a_call():
    assert reading_price("enode") == ReadingPrice(calls=3)
    assert reading_price("tesla").usd > 0
    assert reading_price("bmw") == reading_price("nobody") == ReadingPrice()


def test_a_price_of_another_kind_is_not_passed_over(monkeypatch):
    monkeypatch.setattr(enode, "READING_PRICE", 0.002)
    with pytest.raises(UnknownOem, match="'enode': READING_PRICE must be a ReadingPrice"):
        reading_price("enode")
