"""Lazy exports: a package offers names of its modules and imports them on first use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_exports"]


def lazy_exports(
    package: str, homes: Mapping[str, str], submodules: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package's `__init__.py`.

    Importing skbert must not cost the import of torch, so that a package imports a
    module only when one of its names is asked for.

    Parameters
    ----------
    package : str
        The `__name__` of the package.
    homes : mapping of str to str
        Public name to the module of the package that defines it.
    submodules : tuple of str, default=()
        Public modules and packages below the package.

    Returns
    -------
    tuple of callables
        For ``__getattr__, __dir__ = lazy_exports(...)``.

    Examples
    --------
    >>> from skbert.runtime.lazy import lazy_exports
    >>> get, names = lazy_exports("skbert.metrics", {"nan_f1_score": "counts"})
    >>> get("nan_f1_score").__name__
    'nan_f1_score'
    """

    def get(name: str) -> Any:
        if name in submodules:
            return import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *submodules})

    return get, names
