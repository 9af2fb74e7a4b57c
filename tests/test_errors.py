"""Every error that the package makes is in the catalogue, and its message is asserted.

``error_messages.toml`` holds a message of each error and the test that asserts it. An
error that is new, or says something else, makes these tests fail: write a test of its
message, and then its entry.
"""

import re
import tomllib

import numpy as np
import pytest

from error_sites import TESTS, asserted_patterns, find_sites
from skbert import (
    ThresholdDisplay,
    TunedThresholdsClassifierCV,
    make_tfidf_baseline,
)
from skbert.outputs import check_thresholds

CATALOGUE = tomllib.loads((TESTS / "error_messages.toml").read_text(encoding="utf-8"))
ENTRIES = [
    (module, entry["message"], entry["test"])
    for module, entries in CATALOGUE.items()
    for entry in entries
]
SITES = find_sites()


@pytest.mark.parametrize("module", sorted({site.module for site in SITES}))
def test_every_error_has_an_entry(module):
    messages = [entry["message"] for entry in CATALOGUE.get(module, [])]
    missing = [
        f"skbert/{module}:{site.line}: {site.pattern}"
        for site in SITES
        if site.module == module
        and not any(re.fullmatch(site.pattern, message) for message in messages)
    ]
    assert not missing, "\n".join(["no entry in error_messages.toml for", *missing])


@pytest.mark.parametrize("module", CATALOGUE)
def test_every_entry_is_of_an_error(module):
    stale = [
        entry["message"]
        for entry in CATALOGUE[module]
        if not any(
            re.fullmatch(site.pattern, entry["message"])
            for site in SITES
            if site.module == module
        )
    ]
    assert not stale, "\n".join([f"skbert/{module} says nowhere", *stale])


@pytest.mark.parametrize("test", sorted({test for _, _, test in ENTRIES}))
def test_every_message_is_asserted_by(test):
    patterns = asserted_patterns(test)
    loose = [
        message
        for _, message, where in ENTRIES
        if where == test and not any(re.search(p, message) for p in patterns)
    ]
    assert not loose, "\n".join([f"{test} asserts nothing of", *loose])


SOURCE = """
SHOWN = "This is always said."

def why(name):
    message = f"{name} is wrong."
    if name:
        message += " Change it."
    return message

def refuse(name, other):
    if name:
        raise ValueError(f"{name} is wrong, {'not' if other else 'so'} right. " + other)
    if other:
        raise TypeError(SHOWN)
    raise KeyError
    raise LookupError(why(name))
    return OSError("It was returned.")
"""


@pytest.mark.parametrize(
    ("message", "is_there"),
    [
        ("X is wrong, so right. Do this.", True),
        ("X is wrong, so right.", False),
        ("This is always said.", True),
        ("This is never said.", False),
        ("X is wrong. Change it.", True),
        ("It was returned.", True),
        ("It was returned!", False),
    ],
)
def test_messages_are_found_in_the_source(message, is_there, tmp_path):
    (tmp_path / "module.py").write_text(SOURCE)
    patterns = [site.pattern for site in find_sites(tmp_path)]
    assert len(patterns) == 4
    assert any(re.fullmatch(p, message) for p in patterns) == is_there


# --- errors that the tests of their modules leave out ---------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: check_thresholds("half", 2, "threshold"),
            ValueError,
            "threshold must hold numbers: could not convert",
        ),
        (
            lambda: check_thresholds(np.nan, 2, "cuts", are_probabilities=False),
            ValueError,
            r"cuts holds NaN\.",
        ),
        (
            lambda: ThresholdDisplay.from_predictions([[1], [0]], [["a"], ["b"]]),
            ValueError,
            "must hold numbers: could not convert",
        ),
        (
            lambda: TunedThresholdsClassifierCV(make_tfidf_baseline()).n_features_in_,
            AttributeError,
            "TunedThresholdsClassifierCV has no n_features_in_ before it is fitted",
        ),
    ],
)
def test_the_error_says(call, error, message):
    with pytest.raises(error, match=message):
        call()
