"""A clock on the wall that tests set."""

from freezegun import freeze_time

# Freezing looks through every module that is imported; these read no clock on the wall that a frozen test asks about.
READ_NO_CLOCK = [
    *(
        "_plotly_utils",
        "aiosqlite",
        "alembic",
        "amqtt",
        "anyio",
        "argon2",
        "asyncpg",
        "dateutil",
        "highspy",
        "hypothesis",
    ),
    *("idna", "jinja2", "mako", "markupsafe", "multidict", "narwhals", "nats", "numpy", "ocpp", "orjson", "plotly"),
    *("pydantic", "pydantic_core", "pydantic_settings", "pygments", "referencing", "rich", "sqlalchemy", "sqlmodel"),
    *("typer", "websockets", "yarl", "zeroconf"),
]


def wall_at(at, **more):
    """`freeze_time`, quicker."""
    return freeze_time(at, ignore=READ_NO_CLOCK, **more)
