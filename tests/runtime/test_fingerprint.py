"""Fingerprints: equal where contents are, different where anything differs."""

import copy
import os
import pickle
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import cache, partial, update_wrapper, wraps
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer, recall_score
from skorch.callbacks import EarlyStopping

from skbert.runtime.fingerprint import fingerprint


@dataclass
class Pair:
    first: object
    second: object


@dataclass
class Other:
    first: object
    second: object


class Plain:
    """An object of Python, and nothing more."""

    def __init__(self, value):
        self.value = value

    def method(self):
        return self.value


def functions(n):
    """Return functions of one name each, which do something else for each n."""
    names = {}
    for name, body in {
        "enclosing": "def make(x):\n def f(): return x\n return f\nf = make({n})",
        "with_default": "def f(x={n}): return x",
        "with_constant": "f = lambda: {n}",
        "with_name": "def f(): return name_{n}",
        "with_global": "x = {n}\ndef f(): return x",
        "with_helper": "def g(): return {n}\ndef f(): return [g() for _ in 'a']",
        "of_helpers": "def g(): return {n} + f()\ndef f(): return g()",
        "of_itself": "def f(): return {n} + f()",
    }.items():
        exec(body.format(n=n), namespace := {"__name__": "__main__"})
        names[name] = namespace["f"]
    return names


def times(n):
    """Return a decorator as modules have them."""

    def decorate(function):
        @wraps(function)
        def decorated(*args):
            return n * function(*args)

        return decorated

    return decorate


class Times:
    """A decorator that is an object."""

    def __init__(self, n, function):
        self.n = n
        update_wrapper(self, function)


def score(estimator, X, y):
    return 0.5


def recursive(n):
    def function():
        return n and function()

    return function


def not_yet_enclosing():
    def function():
        return later

    if False:
        later = 1
    return function


def cycle(n):
    """Return two objects that hold each other, and a number."""
    one, other = Plain([n]), Plain(n)
    one.other, other.other = other, one
    return one


DIFFERENT = [
    None,
    True,
    1,
    0,
    0.5,
    float("nan"),
    "1",
    "None",
    b"1",
    "12",
    "",
    "\ud800",
    [],
    [1],
    ["1"],
    [[1], 2],
    [[1, 2]],
    [1, 2],
    {},
    {"a": 1},
    {"a": 2},
    {"b": 1},
    {"a": {"b": 1}},
    {1: 1},
    {"1": 1},
    {1: 1, "1": {}},
    {1: {}, "1": 1},
    np.zeros(2),
    np.zeros(2, np.float32),
    np.zeros((2, 1)),
    np.zeros((1, 2)),
    np.zeros(0),
    np.array(["a", None], dtype=object),
    np.array([True, False]),
    torch.zeros(2),
    torch.zeros(2, dtype=torch.bfloat16),
    torch.ones(2),
    torch.tensor(0.0),
    torch.device("cpu"),
    torch.device("cuda:0"),
    Pair(1, 2),
    Pair(2, 1),
    Other(1, 2),
    Pair,
    os.path.join,
    len,
    partial(len, []),
    partial(len, [1]),
    partial(sorted, key=len),
    make_scorer(f1_score, average="macro"),
    make_scorer(f1_score, average="micro"),
    make_scorer(recall_score, average="micro"),
    make_scorer(f1_score, average="micro", response_method="predict_proba"),
    functions(1)["enclosing"],
    functions(2)["enclosing"],
    functions(1)["with_default"],
    functions(2)["with_default"],
    functions(1)["with_constant"],
    functions(2)["with_constant"],
    functions(1)["with_name"],
    functions(2)["with_name"],
    functions(1)["with_global"],
    functions(2)["with_global"],
    functions(1)["with_helper"],
    functions(2)["with_helper"],
    functions(1)["of_helpers"],
    functions(2)["of_helpers"],
    functions(1)["of_itself"],
    functions(2)["of_itself"],
    lambda a, b: b,
    lambda a, *b: b,
    lambda a, *, b: b,
    score,
    times(1)(score),
    times(2)(score),
    Times(1, score),
    Times(2, score),
    cache(times(1)(score)),
    cache(times(2)(score)),
    recursive(1),
    recursive(2),
    not_yet_enclosing(),
    cycle(1),
    cycle(2),
    cycle(1).other,
    {1: 2}.get,
    {1: 3}.get,
    {1: 2}.pop,
    dict.fromkeys,
    np.mean,
    np.add,
    np.subtract,
    np,
    re.compile("a"),
    re.compile("b"),
    Plain(1).method,
    Plain(2).method,
    Plain(1),
    Plain(2),
    Plain.method,
    {1, 2},
    {1, 3},
    frozenset(),
    Ellipsis,
    1j,
    LogisticRegression(),
    LogisticRegression(C=2.0),
    EarlyStopping(patience=3),
    EarlyStopping(patience=4),
]


def test_what_differs_has_another_fingerprint():
    assert len({fingerprint(value) for value in DIFFERENT}) == len(DIFFERENT)
    assert len({fingerprint(Pair(value, 0)) for value in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, np.int64(1)),
        (0.5, np.float64(0.5)),
        (True, np.bool_(True)),
        ((1, 2), [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("a/b", Path("a/b")),
        (np.arange(6).reshape(2, 3).T, np.ascontiguousarray([[0, 3], [1, 4], [2, 5]])),
        (np.array([1.0, 2.0]), pd.Series([1.0, 2.0])),
        (torch.arange(6).view(2, 3).T, torch.tensor([[0, 3], [1, 4], [2, 5]])),
        (torch.device("cuda:0"), torch.device("cuda:1")),
        (LogisticRegression(C=1), LogisticRegression(C=1)),
        (EarlyStopping(), EarlyStopping()),
        (partial(len, [1]), partial(len, [1])),
        (make_scorer(f1_score, average="micro"),) * 2,
        (
            make_scorer(f1_score, zero_division=0),
            make_scorer(f1_score, zero_division=0),
        ),
        (functions(1)["enclosing"], functions(1)["enclosing"]),
        (functions(1)["with_constant"], functions(1)["with_constant"]),
        (Plain([1]).method, Plain([1]).method),
        (Plain({1, "a"}), Plain({"a", 1})),
        (times(1)(score), times(1)(score)),
        (functions(1)["with_helper"], functions(1)["with_helper"]),
        (functions(1)["of_helpers"], functions(1)["of_helpers"]),
        (recursive(1), recursive(1)),
        (cycle(1), pickle.loads(pickle.dumps(cycle(1)))),
        ([cycle(1)] * 2, [cycle(1), cycle(1)]),
        ([Plain(1)] * 2, [Plain(1), Plain(1)]),
    ],
)
def test_what_says_the_same_has_the_same(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_it_is_the_same_in_another_process():
    code = (
        "from sklearn.metrics import f1_score, make_scorer\n"
        "from skbert.runtime.fingerprint import fingerprint\n"
        "words = {'a', 'b', 'c', 'd', 'e', 'f'}\n"
        "print(fingerprint('a', {'y': [2.5, None], 'x': words}, make_scorer(f1_score)))"
    )
    found = subprocess.check_output(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": "1"}
    )
    expected = fingerprint(
        "a", {"x": set("abcdef"), "y": [2.5, None]}, make_scorer(f1_score)
    )
    assert found.decode().strip() == expected


def test_what_many_hold_is_walked_through_once():
    value = Plain(1)
    for _ in range(60):
        value = Plain([value, value])
    assert fingerprint(value) == fingerprint(copy.deepcopy(value))


class Refusing:
    """What pybind11 makes of C++ refuses so."""

    def __reduce__(self):
        raise RuntimeError("it is not pickleable")


def nested(n):
    value = []
    for _ in range(n):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [threading.Lock(), (i for i in ()), nested(10_000), Refusing()]
)
def test_what_cannot_be_compared_is_refused(value):
    with pytest.raises(TypeError, match="whether two fits are the same"):
        fingerprint(value)
