"""Fingerprint: a text that two fits share where they compute the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

__all__ = ["fingerprint"]


def fingerprint(*values: Any) -> str:
    """Return 32 hexadecimal digits that differ where the content of values does.

    Equal in every process and on every machine. Of functions and of objects that are
    nothing but Python's, the names and scikit-learn's parameters count: they cannot be
    compared further.

    Parameters
    ----------
    *values : None, bool, number, str, bytes, path, array, Tensor, device, dataclass, \
mapping, or list or tuple of them; function, object

    Examples
    --------
    >>> from skbert.fingerprint import fingerprint
    >>> fingerprint({"a": 1, "b": [2.5]}) == fingerprint({"b": [2.5], "a": 1})
    True
    >>> fingerprint("12", "3") == fingerprint("1", "23")
    False
    """
    digest = hashlib.sha256()
    for part in _parts(values):
        digest.update(part)
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
    elif hasattr(value, "__qualname__"):
        yield _tag(_name(value))
    else:
        params = value.get_params(deep=False) if hasattr(value, "get_params") else {}
        yield from _named(_name(type(value)), sorted(params.items()))


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


def _array_parts(array: np.ndarray) -> Iterator:
    if array.dtype.hasobject:
        yield from _listed(array.tolist())
        return
    yield _tag(f"array {array.dtype.str} {array.shape}")
    yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
