"""What `import skbert` gives, and what it costs."""

import ast
import os
import subprocess
import sys

import pytest

import skbert

SUBMODULES = [
    "datasets",
    "metrics",
    "model_selection",
    "plotting",
    "search",
    "thresholds",
]

# These need a model; nothing else may import what runs one.
WITH_A_MODEL = {
    "CrossValidationObjective",
    "TransformerMultiLabelClassifier",
}


def imported_by(code):
    """Return the packages outside the standard library that a new process imports."""
    script = (
        "import sys; before = set(sys.modules)\n"
        f"{code}\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - sys.stdlib_module_names))"
    )
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    process = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return set(ast.literal_eval(process.stdout))


def test_importing_skbert_and_listing_its_names_imports_nothing_else():
    assert imported_by("import skbert; dir(skbert)") == {"skbert"}


def test_only_what_runs_a_model_imports_torch():
    names = ", ".join(sorted(set(skbert.__all__) - WITH_A_MODEL))
    imported = imported_by(f"from skbert import {names}")
    assert imported & {"torch", "transformers", "skorch", "matplotlib"} == set()
    assert "sklearn" in imported


def test_what_runs_a_model_imports_torch():
    """If one does no more, it belongs to the others above."""
    without = "sys.modules['torch'] = None"  # an ImportError for who asks for it
    for name in sorted(WITH_A_MODEL):
        without += (
            f"\ntry: from skbert import {name}"
            "\nexcept ModuleNotFoundError as error: assert error.name == 'torch'"
            f"\nelse: raise AssertionError('{name} did without torch')"
        )
    imported_by(without)


@pytest.mark.parametrize("name", SUBMODULES)
def test_a_submodule_is_loaded_when_it_is_first_named(name):
    imported = imported_by(
        "import skbert\n"
        f"assert {name!r} in dir(skbert)\n"
        f"assert 'skbert.{name}' not in sys.modules\n"
        f"assert skbert.{name} is sys.modules['skbert.{name}']"
    )
    assert "torch" not in imported
    assert "matplotlib" not in imported


def test_public_names_are_found_and_others_are_not():
    for name in skbert.__all__:
        assert getattr(skbert, name) is not None
    assert set(skbert.__all__) <= set(dir(skbert))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = skbert.nothing
