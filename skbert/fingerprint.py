"""Fingerprint: a text that two fits share where they compute the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch

__all__ = ["fingerprint"]


def fingerprint(*values: Any) -> str:
    """Return 32 hexadecimal digits that differ where the content of values does.

    Equal in every process and on every machine. Of functions and classes the names
    count, as pickle has it; of functions of the script itself, of lambdas and of inner
    functions also the code, the defaults and what they enclose. Of objects,
    scikit-learn's parameters, or else all that pickle would keep of them.

    Parameters
    ----------
    *values : None, bool, number, str, bytes, path, array, Tensor, device, dataclass, \
mapping, set, or list or tuple of them; function, object

    Raises
    ------
    TypeError
        If nothing can be told of a value: pickle would not take it, or it holds itself.

    Examples
    --------
    >>> from skbert.fingerprint import fingerprint
    >>> fingerprint({"a": 1, "b": [2.5]}) == fingerprint({"b": [2.5], "a": 1})
    True
    >>> fingerprint("12", "3") == fingerprint("1", "23")
    False
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(values):
            digest.update(part)
    except (TypeError, RecursionError) as error:
        raise TypeError(
            "It cannot be told whether two fits are the same, as one of their "
            f"parameters is nothing that pickle takes ({error}): a scorer or callback "
            "that holds a lock, an open file or itself?"
        ) from error
    return digest.hexdigest()[:32]


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    """Yield bytes that no other value has."""
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
        items = sorted((str(key), item) for key, item in value.items())
        yield from _named("mapping", items)
    elif isinstance(value, (list, tuple)):
        yield from _listed(value)
    elif hasattr(value, "__array__"):
        yield from _array_parts(np.asarray(value))
    elif is_dataclass(value) and not isinstance(value, type):
        content = [(field.name, getattr(value, field.name)) for field in fields(value)]
        yield from _named(_name(type(value)), content)
    elif isinstance(value, (set, frozenset)):  # in no order that lasts
        yield from _named("set", [("", sorted(map(fingerprint, value)))])
    elif isinstance(value, MethodType):
        yield from _listed([value.__func__, value.__self__])
    elif isinstance(value, FunctionType) and _needs_code(value):
        yield from _function_parts(value)
    elif isinstance(value, CodeType):
        names = [value.co_names, value.co_varnames, value.co_freevars]
        yield from _listed([value.co_code, value.co_consts, names])
    elif hasattr(value, "__qualname__") and hasattr(value, "__module__"):
        yield _tag(_name(value))
    elif hasattr(value, "get_params"):
        params = value.get_params(deep=False)
        yield from _named(_name(type(value)), sorted(params.items()))
    else:
        yield from _object_parts(value)


def _tag(text: str) -> bytes:
    # With its length, no text can pass for two.
    return f"{len(text)}:{text}".encode("utf-8", "surrogatepass")


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _named(kind: str, content: Iterable[tuple[str, Any]]) -> Iterator:
    yield _tag(kind)
    yield from _listed([part for pair in content for part in pair])


def _listed(content: list | tuple) -> Iterator:
    yield _tag(f"list of {len(content)}")
    for item in content:
        yield from _parts(item)


def _needs_code(function: FunctionType) -> bool:
    """Say whether another function may have the name, in the same versions."""
    return function.__module__ == "__main__" or "<" in function.__qualname__


def _function_parts(function: FunctionType) -> Iterator:
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    defaults = [function.__defaults__, function.__kwdefaults__]
    yield from _named(_name(function), [("", [function.__code__, defaults, cells])])


def _object_parts(value: Any) -> Iterator:
    """Yield what copy and pickle make an object of."""
    made_of = value.__reduce_ex__(4)
    if isinstance(made_of, str):  # the name of a constant
        made_of = (made_of,)
    items = [list(part) if isinstance(part, Iterator) else part for part in made_of]
    yield from _named("object", [(_name(type(value)), items)])


def _array_parts(array: np.ndarray) -> Iterator:
    if array.dtype.hasobject:
        yield from _listed(array.tolist())
        return
    yield _tag(f"array {array.dtype.str} {array.shape}")
    yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
