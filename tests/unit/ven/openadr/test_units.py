"""Units in every spelling that is met, numbers in every form: read with the right factor, or told; never in silence."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ven_adapters.ven.openadr import units_page
from ven_adapters.ven.openadr.payload_types import PayloadContext, PayloadValue, binds, described, meaning
from ven_adapters.ven.openadr.units import (
    CURRENCIES,
    ENERGIES,
    MASSES,
    MONIES,
    POWERS,
    SHARES,
    Price,
    Quantity,
    emissions_g,
    energy_kwh,
    number,
    power_kw,
    price,
    quantity_of,
)
from vtn.wire.enumerations import EventPayload
from vtn.wire.values import EventPayloadDescriptor

PAGE = Path(__file__).parents[4] / "docs" / "units.md"


@pytest.mark.parametrize(
    ("units", "kw"),
    [
        (None, 10),
        ("  ", 10),
        ("KW", 10),
        ("kW", 10),
        ("kw", 10),
        (" k W ", 10),
        ("Kilowatts", 10),
        ("W", 0.01),
        ("watt", 0.01),
        ("MW", 10_000),
        ("mw", 10_000),
        ("Mega-Watt", 10_000),
        ("㎾", 10),
    ],
)
def test_a_power_is_read_in_its_spellings(units, kw):
    assert power_kw(10, units) == pytest.approx(kw)


@pytest.mark.parametrize(
    ("units", "currency", "expected"),
    [
        (None, "USD", Price(12, "USD")),
        ("KWH", "USD", Price(12, "USD")),
        ("kWh", " usd ", Price(12, "USD")),
        ("per kWh", None, Price(12, None)),
        ("$/kWh", None, Price(12, None)),
        ("$/kWh", "CAD", Price(12, "CAD")),
        ("USD/kWh", None, Price(12, "USD")),
        ("usd_per_kwh", "USD", Price(12, "USD")),
        ("€/kWh", None, Price(12, "EUR")),
        ("EUR/MWh", None, Price(0.012, "EUR")),
        ("EUR_PER_MWH", "EUR", Price(0.012, "EUR")),
        ("MWH", "EUR", Price(0.012, "EUR")),
        ("ct/kWh", None, Price(0.12, None)),
        ("ct/kWh", "EUR", Price(0.12, "EUR")),
        ("Cents per kW-h", "USD", Price(0.12, "USD")),
        ("¢/kWh", "USD", Price(0.12, "USD")),
        ("Eurocent/kWh", None, Price(0.12, "EUR")),
        ("p/kWh", "GBP", Price(0.12, "GBP")),
        ("öre/kWh", "SEK", Price(0.12, "SEK")),
        ("KWH", "ct", Price(0.12, None)),
        ("ct/kWh", "ct", Price(0.12, None)),
        ("GBP/kWh", "£", Price(12, "GBP")),
    ],
)
def test_a_price_is_read_in_its_spellings(units, currency, expected):
    found = price(12, units, currency)
    assert (found.per_kwh, found.currency) == (pytest.approx(expected.per_kwh), expected.currency)


@pytest.mark.parametrize(
    ("units", "currency", "says"),
    [
        ("kW", "USD", "units: 'kW' measures a power, not a price per energy"),
        ("g/kWh", None, "measures emissions"),
        ("THERMS", "USD", "units: 'THERMS' is not a unit that is known"),
        ("EUR/kWh", "USD", "currency: 'USD' contradicts units 'EUR/kWh'"),
        ("$/kWh", "EUR", "currency: 'EUR' contradicts"),
        ("€/kWh", "eurocent", "currency: 'eurocent' contradicts"),
        ("p/kWh", "ct", "currency: 'ct' contradicts"),
        ("KWH", "Taler", "currency: 'Taler' is not a currency of ISO 4217"),
        ("$/kW/h", "USD", "is not a unit that is known"),
        ("EUR/mWh", "EUR", "may be milliwatts or megawatts"),
    ],
)
def test_a_price_that_is_not_understood_names_the_field_and_the_rule(units, currency, says):
    found = price(12, units, currency)
    assert isinstance(found, str)
    assert says in found


@pytest.mark.parametrize(
    ("units", "grams"),
    [
        (None, 400),
        ("GHG", 400),
        ("KWH", 400),
        ("g/kWh", 400),
        ("G_PER_KWH", 400),
        ("g CO2-eq/kWh", 400),
        ("kg/MWh", 400),
        ("kgCO2e/kWh", 400_000),
        ("t/MWh", 400_000),
        ("lbs/MWh", 181.436948),
    ],
)
def test_emissions_are_read_in_their_spellings(units, grams):
    assert emissions_g(400, units) == pytest.approx(grams)


@pytest.mark.parametrize(
    ("told", "value"),
    [(10, 10), ("10", 10), ("1e3", 1000), (" -2.5 ", -2.5), ("+.5", 0.5), ("5.", 5), (0.1, 0.1), (-0.0, 0)],
)
def test_numbers_are_numbers_also_as_text(told, value):
    assert number(told) == value


NO_NUMBERS = [True, None, "", "ten", "10 kW", "0,5", "1_0", "0x10", "NaN", "inf", "1e999", "1e99999999", "\u0663"]


@pytest.mark.parametrize("told", [*NO_NUMBERS, 10**400, math.nan, math.inf, [1], {"x": 1, "y": 2}])
def test_what_is_no_number_is_told(told):
    assert number(told).startswith("values: ")


@pytest.mark.parametrize(
    ("kind", "values", "units", "says"),
    [
        ("IMPORT_CAPACITY_LIMIT", (10,), "kWh", "units: 'kWh' measures an energy, not a power"),
        ("IMPORT_CAPACITY_LIMIT", (10,), "mW", "units: 'mW' may be milliwatts or megawatts"),
        ("IMPORT_CAPACITY_LIMIT", (10,), "kVA", "units: 'kVA' is not a unit that is known"),
        ("IMPORT_CAPACITY_LIMIT", ("-1",), "kW", "values: may not be negative"),
        ("IMPORT_CAPACITY_LIMIT", ([1, 2],), "kW", "values: needs one number"),
        ("IMPORT_CAPACITY_LIMIT", (1e308,), "GW", "values: needs a finite number"),
        (
            "import_capacity_limit",
            (10,),
            "KW",
            "type: is not spelt as in the standard, which has IMPORT_CAPACITY_LIMIT",
        ),
        ("Simple", (3,), None, "which has SIMPLE"),
        ("alert grid emergency", ("now",), None, "which has ALERT_GRID_EMERGENCY"),
        ("SIMPLE", ("2.5",), None, "values: the level is not 0, 1, 2 or 3"),
        ("CHARGE_STATE_SETPOINT", (80,), " ", "units: are missing"),
        ("DISPATCH_SETPOINT", (5,), "USD/kWh", "measures a price"),
    ],
)
def test_an_order_that_is_not_understood_names_the_field_and_the_rule(kind, values, units, says):
    found = meaning(kind, values, described(kind, descriptors((kind, units, None)), ()))
    assert isinstance(found, str)
    assert says in found
    assert binds(kind)


def descriptors(*told):
    return [
        EventPayloadDescriptor(objectType="EVENT_PAYLOAD_DESCRIPTOR", payloadType=kind, units=units, currency=currency)
        for kind, units, currency in told
    ]


def test_the_event_describes_and_the_program_says_what_it_leaves_open():
    program = descriptors(("PRICE", "MWH", "EUR"))
    assert described("PRICE", [], program) == PayloadContext("MWH", "EUR")
    assert described("PRICE", descriptors(("PRICE", None, "USD")), program) == PayloadContext("MWH", "USD")
    assert described("PRICE", descriptors(("PRICE", "KWH", " ")), program) == PayloadContext("KWH", "EUR")
    assert described("GHG", [], program) == PayloadContext()


def test_a_descriptor_is_found_whatever_the_case_and_an_exact_one_first():
    assert described("PRICE", descriptors(("price", "MWH", None)), ()) == PayloadContext("MWH", None)
    two = descriptors(("price", "MWH", None), ("PRICE", "KWH", None))
    assert described("PRICE", two, ()) == PayloadContext("KWH", None)


def test_descriptors_that_contradict_each_other_are_not_understood():
    two = descriptors(("PRICE", "KWH", None), ("PRICE", "MWH", None))
    assert meaning("PRICE", (1,), described("PRICE", two, ())).startswith("payloadDescriptors: ")
    alike = descriptors(("PRICE", "KWH", None), ("PRICE", "kWh", None))
    assert isinstance(meaning("PRICE", (1,), described("PRICE", alike, ())), PayloadValue)


def _per_kwh(value, units):
    found = price(value, units, None)
    return found if isinstance(found, str) else found.per_kwh


# Every spelling of the tables: what it is, how much of it one is, and what reads it.
SPELT = [
    *((Quantity.POWER, one.factor, text, power_kw) for one in POWERS for text in one.spellings),
    *((Quantity.ENERGY, one.factor, text, energy_kwh) for one in ENERGIES for text in one.spellings),
    *(
        (Quantity.EMISSIONS, mass.factor / energy.factor, f"{text}{gas}{stroke}{per}", emissions_g)
        for mass in MASSES
        for text in mass.spellings
        for gas in ("", " CO2", "CO2-eq")
        for stroke in ("/", " per ", "_PER_")
        for energy in ENERGIES
        for per in energy.spellings[:1]
    ),
    *(
        (Quantity.MONEY, factor / energy.factor, f"{text}{stroke}{per}", _per_kwh)
        for factor, text in [*((one.factor, text) for one in MONIES for text in one.spellings), (1, "CHF"), (1, "JPY")]
        for stroke in ("/", " per ", "_PER_")
        for energy in ENERGIES
        for per in energy.spellings[:1]
    ),
]


@st.composite
def respelt(draw, text):
    """The same in another case, with spaces, underscores and hyphens anywhere between letters."""
    letters = [draw(st.sampled_from([one, one.upper(), one.lower()])) for one in text]
    letters = [one if len(one) == 1 else text[n] for n, one in enumerate(letters)]
    return "".join(one + draw(st.sampled_from(["", "", "", " ", "_", "-"])) for one in letters)


@given(st.data(), st.sampled_from(SPELT), st.floats(-1e9, 1e9))
def test_however_a_unit_is_spelt_it_is_read_with_its_factor_or_told(data, spelt, value):
    quantity, factor, text, read = spelt
    units = data.draw(respelt(text))
    found = read(value, units)
    if "mW" in units:
        assert "milliwatts or megawatts" in found
    else:
        assert found == pytest.approx(value * factor, rel=1e-9, abs=1e-300)
        assert quantity_of(units) is quantity


@given(st.text(max_size=12), st.sampled_from([power_kw, energy_kwh, emissions_g, _per_kwh]))
def test_any_text_is_a_unit_or_is_told(units, read):
    found = read(1.0, units)
    assert isinstance(found, float) or found.startswith("units: ")


NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.integers(-(10**6), 10**6))
FORMS = st.sampled_from([lambda n: n, str, lambda n: f" {n} ", lambda n: f"{n:e}", lambda n: f"{n:+.3f}"])
NONE = st.sampled_from([True, False, "x", "nan", "-inf", "1e400", "1,5", "", 10**309, math.inf, math.nan, {"x": 1}])


@given(
    st.sampled_from([*units_page.TAKES, "SIMPLE"]), st.one_of(st.tuples(NUMBERS, FORMS), NONE), st.sampled_from(SPELT)
)
def test_no_payload_is_passed_over_in_silence_or_read_with_a_wrong_factor(kind, told, spelt):
    quantity, factor, units, _ = spelt
    value = told[1](told[0]) if isinstance(told, tuple) else told
    found = meaning(kind, (value,), PayloadContext(units))
    if isinstance(found, str):
        field = found.split(": ", 1)[0]
        takes = kind == "SIMPLE" or quantity in units_page.TAKES[kind][0]
        assert field == "values" or (field == "units" and ("mW" in units or not takes or kind == "GHG"))
        return
    assert isinstance(told, tuple)
    if kind == "SIMPLE":
        assert found.value == float(value) in {0, 1, 2, 3}
        return
    per = quantity is Quantity.ENERGY and kind != "CHARGE_STATE_SETPOINT"
    assert found.value == pytest.approx(float(value) * (1 / factor if per else factor), rel=1e-9)


def test_every_type_takes_what_the_page_says_and_nothing_else():
    examples = {
        one: next(units for quantity, _, units, _ in SPELT if quantity is one) for one in Quantity if one != "fraction"
    }
    examples[Quantity.SHARE] = SHARES[0].spellings[0]
    energy_too = {Quantity.ENERGY: {"GHG"}}
    for kind, (quantities, _) in units_page.TAKES.items():
        for quantity, units in (examples | {Quantity.ENERGY: "KWH"}).items():
            understood = isinstance(meaning(kind, (1,), PayloadContext(units)), PayloadValue)
            assert understood is (quantity in quantities or kind in energy_too.get(quantity, ())), (kind, units)


def test_every_binding_type_of_the_standard_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    assert [kind for kind in EventPayload if binds(kind) and f"| `{kind}` |" not in text] == []


def test_the_page_of_units_is_the_one_that_the_tables_print():
    printed = units_page.page()
    assert PAGE.read_text(encoding="utf-8") == printed, "python -m ven_adapters.ven.openadr.units_page > docs/units.md"
    for one in (*POWERS, *ENERGIES, *SHARES, *MASSES, *MONIES):
        assert all(f"`{text}`" in printed for text in one.spellings)


def test_no_currency_is_a_spelling_of_something_else():
    assert not {text.upper() for one in MONIES for text in one.spellings} & CURRENCIES
