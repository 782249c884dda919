"""The half years over which patience and burdens are counted. Pure."""

from datetime import datetime

SUMMER = (5, 10)


def season_of(at: datetime) -> str:
    """The half year that the calendar of `at` is in: summers from May to October, as tariffs have them."""
    return f"{at.year} summer" if SUMMER[0] <= at.month <= SUMMER[1] else f"{at.year - (at.month < SUMMER[0])} winter"
