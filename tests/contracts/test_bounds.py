"""What pyproject.toml promises is what make and CI try."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
# The extras that `make oldest` installs. Those of `dev` are tools, not tried.
TRIED = ("minilm", "plot", "bench", "test")


@pytest.fixture(scope="module")
def project():
    """Give the table [project] of pyproject.toml."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


@pytest.fixture(scope="module")
def workflow():
    """Give the text of the workflow, which the source distribution lacks."""
    path = REPOSITORY / ".github" / "workflows" / "ci.yml"
    if not path.exists():
        pytest.skip("no workflow: this is a source distribution")
    return path.read_text(encoding="utf-8")


def pinned(name):
    """Return what a file of constraints pins, and its version."""
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    pins = (line.partition("#")[0].strip() for line in lines)
    pairs = (pin.split("==") for pin in pins if pin)
    return {canonicalize_name(package): version for package, version in pairs}


def lower_bounds(project):
    extras = project["optional-dependencies"]
    given = [
        *project["dependencies"],
        *(line for name in TRIED for line in extras[name]),
    ]
    bounds = {}
    for requirement in map(Requirement, given):
        if requirement.name != "skbert":
            (bound,) = requirement.specifier
            assert bound.operator == ">=", requirement
            bounds[canonicalize_name(requirement.name)] = bound.version
    return bounds


def padded(version):
    """Return a version of three numbers: 1.6 is 1.6.0."""
    return tuple(map(int, (version + ".0.0").split(".")[:3]))


def test_make_oldest_installs_each_lower_bound(project):
    bounds = lower_bounds(project)
    bounds.pop("torch")
    pins = pinned("constraints-oldest.txt")
    found = {name: padded(pins[name]) for name in bounds}
    assert found == {name: padded(version) for name, version in bounds.items()}


def test_make_installs_no_version_below_the_bounds(project):
    pins = pinned("constraints.txt")
    for name, bound in lower_bounds(project).items():
        assert padded(pins[name]) >= padded(bound), name


def test_ci_tries_each_python_that_is_promised_and_the_bound_of_torch(
    project, workflow
):
    classifiers = " ".join(project["classifiers"])
    promised = re.findall(r"Python :: (3\.\d+)", classifiers)
    assert len(promised) >= 3
    (newest,) = re.findall(r"python: \[(.*)\]", workflow)
    assert re.findall(r"3\.\d+", newest) == promised
    assert project["requires-python"] == f">={promised[0]}"
    (oldest,) = re.findall(r"torch: torch==(.*)", workflow)
    assert padded(oldest) == padded(lower_bounds(project)["torch"])


def test_ci_may_read_and_no_more_and_runs_actions_that_cannot_change(workflow):
    permissions = re.findall(r"permissions:\n((?: +.*\n)+)", workflow)
    assert permissions == ["  contents: read\n"]
    actions = re.findall(r"uses: (.*)", workflow)
    assert actions
    for action in actions:
        assert re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", action), action
