"""What every kit's checks have, and the list of them, filled by the modules of one package when they are imported."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar


class Check(Protocol):
    """A claim that is tried. `name` is unique in its kit, `claim` is one sentence."""

    @property
    def name(self) -> str: ...  # noqa: D102 - told above

    @property
    def claim(self) -> str: ...  # noqa: D102 - told above

    def matches(self, only: tuple[str, ...]) -> bool:
        """Whether one of these words (at least one is given) chooses the check."""
        ...


C = TypeVar("C", bound=Check)


class CheckRegistry(dict[str, C]):
    """Checks by name, in the order in which they were registered."""

    def __init__(self, package: str) -> None:
        super().__init__()
        self._package = package

    def register(self, check: C) -> C:
        """Add a check; ValueError for a name that is taken."""
        if check.name in self:
            raise ValueError(f"there are two checks named {check.name}")
        self[check.name] = check
        return check

    def chosen(self, only: Iterable[str] = ()) -> list[C]:
        """The checks that these words choose, all without words; the package's modules are imported first."""
        package, words = importlib.import_module(self._package), tuple(only)
        for module in pkgutil.walk_packages(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)
        return [check for check in self.values() if not words or check.matches(words)]


def claim_of(run: Callable[..., Any]) -> str:
    """What a check claims: the docstring of its function, in one line."""
    return " ".join((run.__doc__ or "").split())
