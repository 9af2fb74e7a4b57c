"""Fingerprint: a text that two fits share where they compute the same."""

from __future__ import annotations

import copyreg
import dis
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from pickle import PicklingError
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

__all__ = ["fingerprint"]

# Also what a script is in the processes that multiprocessing spawns.
_SCRIPT = ("__main__", "__mp_main__")

# What objects raise that pickle is not to take. RuntimeError: those of C++, and what is
# too deep.
_NOT_PICKLED = (AttributeError, PicklingError, RuntimeError, TypeError, ValueError)

# What of a function's code decides on what it does.
_CODE = (
    *("co_code", "co_exceptiontable", "co_consts", "co_flags"),
    *("co_argcount", "co_posonlyargcount", "co_kwonlyargcount"),
    *("co_names", "co_varnames", "co_freevars", "co_cellvars"),
)


def fingerprint(*values: Any) -> str:
    """Return 32 hexadecimal digits that differ where the content of values does.

    Equal in every process and on every machine. Of functions and classes the names
    count, as pickle has it; of functions of the script itself, of lambdas and of inner
    functions, decorated ones among them, also the code, the defaults and what they
    enclose, and of the script's also the global variables that they read. Of objects,
    scikit-learn's parameters, or else all that pickle would keep of them.

    Parameters
    ----------
    *values : None, bool, number, str, bytes, path, array, Tensor, device, dataclass, \
mapping, set, or list or tuple of them; function, module, object

    Raises
    ------
    TypeError
        If nothing can be told of a value: pickle would not take it.

    Examples
    --------
    >>> from skbert.runtime.fingerprint import fingerprint
    >>> fingerprint({"a": 1, "b": [2.5]}) == fingerprint({"b": [2.5], "a": 1})
    True
    >>> fingerprint("12", "3") == fingerprint("1", "23")
    False
    """
    try:
        return _Walk().digest(values).hex()[:32]
    except _NOT_PICKLED as error:
        raise TypeError(
            "It cannot be told whether two fits are the same, as one of their "
            f"parameters is nothing that pickle takes ({error}): a scorer or callback "
            "that holds or reads a lock or an open file?"
        ) from error


class _Walk:
    """A walk through values: once through what is shared, and not in circles."""

    def __init__(self) -> None:
        self._digests: dict[int, bytes] = {}  # by id, of
        self._walked: list[Any] = []  # which no other object gets while this one lives
        self._levels: dict[int, int] = {}  # by id, of what is being walked through
        self._highest = 0  # level that something below refers to

    def digest(self, value: Any) -> bytes:
        """Return 32 bytes that no other value has."""
        key, level = id(value), len(self._levels)
        if key in self._levels:
            self._highest = min(self._highest, self._levels[key])
            back = _tag(f"{level - self._levels[key]} levels up")
            return hashlib.sha256(back).digest()
        if key in self._digests:
            return self._digests[key]
        digest = hashlib.sha256()
        before, self._highest = self._highest, level
        self._levels[key] = level
        for part in self._parts(value):
            digest.update(part)
        del self._levels[key]
        if self._highest == level:  # elsewhere, other things may be so many levels up
            self._walked.append(value)
            self._digests[key] = digest.digest()
        self._highest = min(self._highest, before)
        return digest.digest()

    def _parts(self, value: Any) -> Iterator[bytes | memoryview]:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if value is None or isinstance(value, (bool, np.bool_, str, bytes)):
            yield _tag(repr(value.item() if isinstance(value, np.bool_) else value))
        elif isinstance(value, Integral):
            yield _tag(repr(int(value)))
        elif isinstance(value, Real):
            yield _tag(repr(float(value)))
        elif isinstance(value, torch.device):
            yield _tag(f"device {value.type}")
        elif isinstance(value, torch.Tensor):
            yield _tag(f"tensor {value.dtype} {tuple(value.shape)}")
            # NumPy has no bfloat16: bytes do.
            raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            yield raw.numpy().data
        elif isinstance(value, Mapping):
            yield from self._unordered("mapping", value.items())
        elif isinstance(value, (list, tuple)):
            yield from self._listed("list", value)
        elif hasattr(value, "__array__"):
            yield from self._array_parts(np.asarray(value))
        elif is_dataclass(value) and not isinstance(value, type):
            content = {f.name: getattr(value, f.name) for f in fields(value)}
            yield from self._listed(f"dataclass {_name(type(value))}", [content])
        elif isinstance(value, (set, frozenset)):
            yield from self._unordered("set", value)
        elif isinstance(value, MethodType):
            yield from self._listed("method", [value.__func__, value.__self__])
        elif isinstance(value, FunctionType) and _needs_code(value):
            yield from self._listed(f"function {_name(value)}", _content(value))
        elif isinstance(value, CodeType):
            yield from self._listed("code", [getattr(value, name) for name in _CODE])
        elif isinstance(value, (FunctionType, type)):
            yield _tag(_name(value))
        elif isinstance(value, ModuleType):
            yield _tag(f"module {value.__name__}")
        elif hasattr(value, "get_params"):
            params = value.get_params(deep=False)
            yield from self._listed(f"parameters of {_name(type(value))}", [params])
        else:
            yield from self._listed(f"object {_name(type(value))}", _reduced(value))

    def _array_parts(self, array: np.ndarray) -> Iterator[bytes | memoryview]:
        if array.dtype.hasobject:
            yield from self._listed("list", array.tolist())
            return
        yield _tag(f"array {array.dtype.str} {array.shape}")
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data

    def _listed(self, kind: str, values: Iterable[Any]) -> Iterator[bytes]:
        yield _tag(kind)
        yield from map(self.digest, values)

    def _unordered(self, kind: str, values: Iterable[Any]) -> Iterator[bytes]:
        yield _tag(kind)
        yield from sorted(map(self.digest, values))


def _tag(text: str) -> bytes:
    # With its length, no text can pass for two.
    return f"{len(text)}:{text}".encode("utf-8", "surrogatepass")


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _needs_code(function: FunctionType) -> bool:
    """Say whether another function may have the name, in the same versions."""
    # The code's own name: a decorated function has the name of what it decorates.
    return _is_of_script(function) or "<" in function.__code__.co_qualname


def _is_of_script(function: FunctionType) -> bool:
    return function.__globals__.get("__name__") in _SCRIPT


def _content(function: FunctionType) -> Iterator[Any]:
    """Yield what decides on what a function does."""
    yield function.__code__
    yield [function.__defaults__, function.__kwdefaults__]
    yield [_enclosed(cell) for cell in function.__closure__ or ()]
    if _is_of_script(function):
        known = function.__globals__
        names = _global_names(function.__code__)
        yield {name: known[name] for name in names if name in known}


def _enclosed(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # it is empty
        return ()


def _global_names(code: CodeType) -> set[str]:
    """Return the names that code, or what is defined in it, looks up as globals."""
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return names.union(*map(_global_names, inner))


def _reduced(value: Any) -> Iterator[Any]:
    """Yield what copy and pickle make an object of."""
    reduce = copyreg.dispatch_table.get(type(value))
    made_of = reduce(value) if reduce else value.__reduce_ex__(4)
    if isinstance(made_of, str):  # the name of a constant, or of what is wrapped
        yield from (getattr(value, "__module__", None), made_of)
        yield getattr(value, "__wrapped__", None)
        return
    for part in made_of:
        yield list(part) if isinstance(part, Iterator) else part
