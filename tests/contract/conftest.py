"""The databases that every behaviour of the store is tested on."""

import pytest

from vtn.storage.sql import open_store


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path):
    """The URL of a fresh database, of each make in turn."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/vtn.db"


@pytest.fixture
async def opened(store_url, tmp_path):
    """Opens stores on the one database; each has a shared directory on "this host" unless told otherwise."""
    stores = []

    async def open_another(*, host="this host", **options):
        store = await open_store(store_url, shared_dir=tmp_path / host, timeout_s=5, **options)
        stores.append(store)
        return store

    yield open_another
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opened):
    """One store on a fresh database."""
    return await opened()
