"""The 30 guarded operations of 3.0.1 and who may call them; `/auth/token`, the 31st, is open to all.

A token of either version serves: a read takes the scope that it has on 3.1, or `read_all`, which 3.0.1 gave VENs too.
That changes nothing of what they see: the role comes from the registration, and rows are filtered by it (SCO-12).
"""

import dataclasses

from vtn.rules.scopes import OPERATIONS, ApiOperation

BASE_PATH = "/openadr3/3.0.1"
READS_ALL = "read_all"
COLLECTIONS = frozenset({"programs", "reports", "events", "subscriptions", "vens", "resources"})


def _here(operation: ApiOperation) -> ApiOperation:
    """A 3.1 operation at its place on 3.0.1."""
    path = operation.path
    if path.startswith("/resources"):
        path = f"/vens/{{venID}}{path}"
    other = READS_ALL if operation.method == "GET" else None
    return dataclasses.replace(operation, path=path, or_scope=other)


OPERATIONS_301: tuple[ApiOperation, ...] = tuple(
    _here(operation) for operation in OPERATIONS if operation.path.split("/")[1] in COLLECTIONS
)
