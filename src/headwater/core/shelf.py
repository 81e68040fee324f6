"""Shelves: one extension is one file with one public class, found by its file's name without importing it.

Plugins installed elsewhere join through the entry-point group of the same name as the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from headwater.core.errors import UsageError, near_miss

__all__ = ["Shelf"]

T = TypeVar("T")


@dataclass(frozen=True)
class Shelf(Generic[T]):
    """The extensions of one kind. ``package`` is the folder, ``kind`` the word for one of them.

    >>> Shelf[object](package="headwater.models.ltv", kind="model").names()  # doctest: +ELLIPSIS
    ('average', ...)
    """

    package: str
    kind: str

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.package)}

    def names(self) -> tuple[str, ...]:
        """All names on the shelf, sorted; nothing is imported but the package itself."""
        folder = import_module(self.package).__path__
        own = {module.name for module in iter_modules(folder) if not module.name.startswith("_")}
        return tuple(sorted(own | set(self._plugins)))

    def load(self, name: str) -> type[T]:
        """The class of that name. Raises ``UsageError`` (``shelf.unknown``) with the near miss."""
        if name not in self.names():
            raise UsageError(
                "shelf.unknown",
                what=f"There is no {self.kind} named '{name}'.",
                why="Nothing was run.",
                do=near_miss(name, self.names()),
            )
        if name in self._plugins:
            loaded: Any = self._plugins[name].load()
            return loaded
        module = import_module(f"{self.package}.{name}")
        (public,) = module.__all__
        return getattr(module, public)
