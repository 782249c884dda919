"""No module imports itself by way of others: whoever is imported first, a program starts."""

from house import circles, modules


def test_no_modules_import_each_other_in_a_circle():
    assert circles({name: one.imports for name, one in modules().items()}) == []
