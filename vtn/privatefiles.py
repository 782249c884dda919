"""Files and folders that only this user can read: made so, and closed where they were left open.

Databases with their write-ahead logs, keys, grants and journals lie in them. Used by the top node and by the adapters;
nothing here knows what a file holds.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from vtn.errors import CannotStart

FOLDER, FILE = 0o700, 0o600
OTHERS, OTHERS_WRITE = 0o077, 0o022
SQLITE_HEAD = b"SQLite format 3\0"
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
    """Make or close a SQLite file before it is opened; what SQLite makes beside it gets the mode of the file.

    CannotStart when it is a file of another kind, which is left as it is.
    """
    private_folder(path.parent)
    if path.is_file() and _head(path) not in {b"", SQLITE_HEAD}:
        raise CannotStart(f"{path} is not a database of SQLite")
    private_file(path)
    for suffix in BESIDE_SQLITE:
        if (beside := path.with_name(path.name + suffix)).exists():
            close(beside)
    return path


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(SQLITE_HEAD))


def close(path: Path) -> None:
    """Take away what others may do with a file or folder; CannotStart when it is not ours to close."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or not found.st_mode & OTHERS:
        return
    try:
        path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    except PermissionError:
        mode = stat.S_IMODE(found.st_mode)
        raise CannotStart(
            f"{path} is open to other users (mode {mode:03o}) and belongs to user {found.st_uid}: chmod go= it"
        ) from None


def closed_tree(folder: Path, own: Collection[str]) -> Path:
    """Make a folder, or close one that is there: whatever in it has a name of our `own` (with wildcards), whole.

    The folder itself is closed where it holds nothing else. Somebody else's files stay as they are, for a setting may
    name a home, a mounted disk or the folder of a project by mistake; CannotStart where others may write in it too.
    """
    private_folder(folder)
    folder = folder.resolve()
    mode = folder.stat().st_mode
    if mode & stat.S_ISVTX:
        raise CannotStart(f"{folder} is a folder that all users share; name one of its own")
    foreign = sorted(path.name for path in folder.iterdir() if not _is_own(path, own))
    if not foreign:
        close(folder)
    elif mode & OTHERS_WRITE:
        raise CannotStart(
            f"others may write in {folder}, which holds {foreign[0]} beside our files: chmod go-w it, or name another"
        )
    for path in folder.iterdir():
        if _is_own(path, own):
            _close_all(path)
    return folder


def _is_own(path: Path, own: Collection[str]) -> bool:
    return any(fnmatchcase(path.name, name) for name in own)


def _close_all(path: Path) -> None:
    """Close a file, or a folder and everything in it."""
    found = [path]
    if path.is_dir() and not path.is_symlink():
        found += [Path(where, name) for where, folders, files in os.walk(path) for name in (*folders, *files)]
    for one in found:
        with contextlib.suppress(FileNotFoundError):  # another process at work here has just removed it
            close(one)


def read_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of a key file, made on first use; whoever comes second keeps the key of the first."""
    if not path.exists():
        with _draft(path, make()) as draft, contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    close(path)
    return path.read_bytes()


def write_private(path: Path, body: bytes) -> None:
    """Replace the file in one step; after a crash at any instant it holds the old bytes or the new, never a part."""
    with _draft(path, body) as draft:
        draft.replace(path)
    _sync_folder(path.parent)


@contextlib.contextmanager
def _draft(path: Path, body: bytes) -> Iterator[Path]:
    """The body in a file of its own beside `path`, on disk; gone at the end of the block unless it was renamed."""
    private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """A rename lasts only once its folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
