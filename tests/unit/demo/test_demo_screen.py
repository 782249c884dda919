"""The table at the end of the demonstration fits a terminal of 80 columns, with large figures and long names."""

import io

from rich.console import Console

from ven_adapters.demo.screen import RESULTS, results_table

ROW = {
    "cars": 12_345,
    "asked_kwh": 123_456.0,
    "delivered_kwh": 123_456.0,
    "exported_kwh": 12_345.0,
    "tracking_error_pct": 100.0,
    "directives": 123_456,
    "late_though_feasible": 1_234,
    "honoured": 1_234,
    "opt_outs": 1_234,
}


def test_nothing_of_the_results_is_cut_off_in_80_columns():
    out = io.StringIO()
    Console(file=out, width=80).print(results_table({"by_oem": {"smartcar": ROW, "nissan": ROW}}))
    text = out.getvalue()
    assert "…" not in text
    for word in (*(word for name in RESULTS for word in name.split("\n")), "smartcar", "123,456", "1234/1234", "100.0"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80
