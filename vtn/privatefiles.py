"""Files and folders that only this user can read: made so, and closed where they were left open.

Databases with their write-ahead logs, keys, grants and journals lie in them. Used by the top node and by the adapters;
nothing here knows what a file holds.
"""

import os
import stat
from pathlib import Path

from vtn.errors import CannotStart

FOLDER, FILE = 0o700, 0o600
OTHERS = 0o077
BESIDE_SQLITE = ("", "-wal", "-shm", "-journal")


def private_folder(path: Path) -> Path:
    """Make a folder, and those above it that are missing, for this user alone; one that is there stays as it is."""
    for missing in (*reversed([parent for parent in path.parents if not parent.exists()]), path):
        missing.mkdir(mode=FOLDER, exist_ok=True)
    return path


def private_file(path: Path) -> Path:
    """Make an empty file for this user alone, or close the one that is there."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE))
    close(path)
    return path


def private_database(path: Path) -> Path:
    """Make or close a SQLite file before it is opened; what SQLite makes beside it gets the mode of the file."""
    private_folder(path.parent)
    private_file(path)
    for suffix in BESIDE_SQLITE:
        if (beside := path.with_name(path.name + suffix)).exists():
            close(beside)
    return path


def close(path: Path) -> None:
    """Take away what others may do with a file or folder; CannotStart when it is not ours to close."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or not found.st_mode & OTHERS:
        return
    if found.st_mode & stat.S_ISVTX:
        raise CannotStart(f"{path} is a folder that all users share; name one of its own")
    try:
        path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    except PermissionError:
        mode = stat.S_IMODE(found.st_mode)
        raise CannotStart(
            f"{path} is open to other users (mode {mode:03o}) and belongs to user {found.st_uid}: chmod go= it"
        ) from None


def closed_tree(folder: Path) -> Path:
    """Make a folder of our own, and close it and everything in it to others."""
    private_folder(folder)
    close(folder)
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                close(Path(where, name))
            except FileNotFoundError:  # another process at work here has just removed it
                continue
    return folder
