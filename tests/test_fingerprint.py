"""Fingerprints: equal where contents are, different where anything differs."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import EarlyStopping

from skbert.fingerprint import fingerprint


@dataclass
class Pair:
    first: object
    second: object


@dataclass
class Other:
    first: object
    second: object


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
    ],
)
def test_what_says_the_same_has_the_same(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_it_is_the_same_in_another_process():
    code = (
        "from skbert.fingerprint import fingerprint\n"
        "print(fingerprint('a', {'y': [2.5, None], 'x': 1}))"
    )
    found = subprocess.check_output(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": "1"}
    )
    expected = fingerprint("a", {"x": 1, "y": [2.5, None]})
    assert found.decode().strip() == expected
