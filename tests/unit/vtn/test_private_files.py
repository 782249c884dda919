"""Files of an installation are for its user alone: made so, and closed where they were left open."""

import os
import stat
from pathlib import Path

import pytest

from ven_adapters.enrolment_api.store import EnrolmentStore
from ven_adapters.ven.store.database import AdapterStore
from vtn.app import OWN_FILES
from vtn.errors import CannotStart
from vtn.privatefiles import (
    close,
    closed_tree,
    private_database,
    private_file,
    private_folder,
    read_or_make,
    write_private,
)
from vtn.storage.sql import open_store


@pytest.fixture(autouse=True)
def generous():
    """The umask of most machines, under which files are open to others."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder):
    return {path.relative_to(folder).as_posix(): stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}


def all_private(folder):
    return {name: oct(mode) for name, mode in modes(folder).items() if mode & 0o077} == {}


def test_folders_are_made_private_those_above_too(tmp_path):
    private_folder(tmp_path / "a" / "b" / "c")
    assert modes(tmp_path) == {"a": 0o700, "a/b": 0o700, "a/b/c": 0o700}


def test_a_folder_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "a").mkdir(mode=0o755)
    private_folder(tmp_path / "a" / "b")
    assert modes(tmp_path) == {"a": 0o755, "a/b": 0o700}


def test_a_file_is_made_private_or_closed_and_keeps_what_it_holds(tmp_path):
    (tmp_path / "old").write_text("held")
    for name in ("old", "new"):
        private_file(tmp_path / name)
    assert modes(tmp_path) == {"old": 0o600, "new": 0o600}
    assert (tmp_path / "old").read_text() == "held"


def test_what_a_database_left_open_beside_itself_is_closed(tmp_path):
    for name in ("x.db", "x.db-wal", "x.db-shm", "other"):
        (tmp_path / name).touch(mode=0o644)
    private_database(tmp_path / "x.db")
    assert modes(tmp_path) == {"x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600, "other": 0o644}


def test_a_tree_is_closed_whole_and_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.touch(mode=0o644)
    tree = tmp_path / "var"
    (tree / "broker").mkdir(parents=True, mode=0o755)
    (tree / "vtn.db-wal").touch(mode=0o755)
    (tree / "broker" / "keys").touch(mode=0o644)
    (tree / "broker" / "link").symlink_to(outside)
    closed_tree(tree, OWN_FILES)
    assert {name: mode for name, mode in modes(tree).items() if name != "broker/link"} == {
        "broker": 0o700,
        "vtn.db-wal": 0o700,
        "broker/keys": 0o600,
    }
    assert stat.S_IMODE(tree.stat().st_mode) == 0o700
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


def test_what_else_lies_in_a_folder_is_left_as_it_is(tmp_path):
    """A setting may name a home, or a folder of programs, by mistake."""
    (tmp_path / "keys").mkdir(mode=0o755)
    for name in ("keys/seal.key", "vtn.db", "program"):
        (tmp_path / name).touch(mode=0o755)
    (tmp_path / "project" / "keys").mkdir(parents=True, mode=0o755)
    tmp_path.chmod(0o755)
    closed_tree(tmp_path, OWN_FILES)
    ours = {"keys": 0o700, "keys/seal.key": 0o700, "vtn.db": 0o700}
    assert modes(tmp_path) == {**ours, "program": 0o755, "project": 0o755, "project/keys": 0o755}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_that_is_a_link_is_closed_where_it_leads(tmp_path):
    real, link = tmp_path / "disk", tmp_path / "var"
    real.mkdir(mode=0o755)
    link.symlink_to(real)
    closed_tree(link, OWN_FILES)
    assert modes(tmp_path)["disk"] == 0o700


@pytest.mark.parametrize(("mode", "words"), [(0o1777, "that all users share"), (0o777, "others may write in .* x ")])
def test_a_folder_that_others_may_write_in_is_refused_and_left_as_it_is(tmp_path, mode, words):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "x").touch(mode=0o644)
    shared.chmod(mode)
    with pytest.raises(CannotStart, match=words):
        closed_tree(shared, OWN_FILES)
    assert modes(tmp_path) == {"shared": mode, "shared/x": 0o644}


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path):
    other = tmp_path / "passwd"
    other.write_text("root:x:0:0:root:/root:/bin/bash")
    with pytest.raises(CannotStart, match="passwd is not a database"):
        private_database(other)
    assert modes(tmp_path) == {"passwd": 0o644}


def test_what_belongs_to_somebody_else_is_named(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    theirs.touch(mode=0o644)

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(CannotStart, match=r"theirs is open to other users \(mode 644\) and belongs to user"):
        close(theirs)


def test_a_key_that_was_left_open_is_closed_when_it_is_read(tmp_path):
    (tmp_path / "key").write_bytes(b"k")
    assert read_or_make(tmp_path / "key", bytes) == b"k"
    read_or_make(tmp_path / "keys" / "new", lambda: b"n")
    assert all_private(tmp_path)


async def test_the_database_of_the_top_node_and_all_beside_it_are_private(tmp_path):
    store = await open_store(f"sqlite:///{tmp_path}/db/vtn.db", shared_dir=tmp_path / "shared")
    await store.lead()
    names = set(modes(tmp_path))
    assert {"db/vtn.db", "db/vtn.db-wal", "db/vtn.db-shm", "db/vtn.db.lead"} <= names
    assert all_private(tmp_path)
    await store.close()


@pytest.mark.parametrize("make", [EnrolmentStore, AdapterStore])
async def test_the_databases_of_adapters_and_all_beside_them_are_private(tmp_path, make):
    kept = make(f"sqlite+aiosqlite:///{tmp_path}/db/adapter.sqlite")
    await kept.open()
    async with kept._engine.connect() as reading:
        await reading.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        assert {"db/adapter.sqlite", "db/adapter.sqlite-wal", "db/adapter.sqlite.migrate"} <= set(modes(tmp_path))
        assert all_private(tmp_path)
    await kept.close()


def test_grants_and_the_folders_that_were_made_for_them_are_private(tmp_path):
    write_private(tmp_path / "var" / "grants" / "owner-1", b"token")
    assert all_private(tmp_path)
