"""Every public name shows how it is used, in an example that the doctests run."""

import doctest
import inspect
from importlib import import_module

import pytest

import skbert

# The modules that users import from. What the others have is skbert's own, or public as
# a name of skbert itself.
MODULES = (
    "skbert",
    "skbert.baseline",
    "skbert.classifier",
    "skbert.comparison",
    "skbert.datasets",
    "skbert.exceptions",
    "skbert.metrics",
    "skbert.model_selection",
    "skbert.plotting",
    "skbert.search",
    "skbert.thresholds",
)


def public_objects():
    """Return the public classes and functions, under the names of their homes."""
    found = {}
    for module in map(import_module, MODULES):
        for value in (getattr(module, name) for name in module.__all__):
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


OBJECTS = public_objects()


@pytest.mark.parametrize("name", OBJECTS)
def test_there_is_an_example_of(name):
    doc = inspect.getdoc(OBJECTS[name]) or ""
    examples = doctest.DocTestParser().get_examples(doc)
    run = [e for e in examples if not e.options.get(doctest.SKIP)]
    assert run, f"{name} has no example that runs"
    own = OBJECTS[name].__name__
    assert any(own in example.source for example in run), f"none of them uses {own}"


def test_the_modules_are_those_that_hold_the_names_of_skbert():
    homes = {f"skbert.{home}" for home in skbert._HOME_OF.values()}
    assert homes == set(MODULES) - {"skbert"}
