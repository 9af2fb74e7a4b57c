"""README and site: every snippet and every command runs as it is written there.

Snippets of the pages in ``docs/`` begin with ``>>>``: they are doctests, which pytest
runs by itself. Here are the README's (in `make newcomer`), the shell commands, and the
lists of the API.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import skbert
import skbert.metrics

REPOSITORY = Path(__file__).resolve().parents[1]
README = REPOSITORY / "README.md"
PAGES = sorted(
    path
    for suffix in ("md", "rst")
    for path in (REPOSITORY / "docs").glob(f"*.{suffix}")
)
MAKEFILE = (REPOSITORY / "Makefile").read_text()

# Commands that no test can run, and the target of the Makefile that CI runs instead.
RUN_BY_MAKE = {
    "make demo": "demo",  # minutes of training
    "make test": "coverage",  # would run itself
    'pip install ".[minilm]"': "newcomer",  # downloads, into an environment of its own
}


def fenced(path, language):
    """Return the blocks of a language in a page of Markdown or reStructuredText."""
    text = path.read_text()
    if path.suffix == ".md":
        return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    blocks = re.findall(
        rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", text, re.M
    )
    return [re.sub(r"^   ", "", block, flags=re.M) for block in blocks]


def shell_commands():
    """Return (page, command) for each line of a shell block, without its comment."""
    for path in (README, *PAGES):
        for language in ("bash", "console", "sh"):
            for line in "\n".join(fenced(path, language)).splitlines():
                if command := line.partition("  #")[0].strip():
                    yield path.name, command


COMMANDS = sorted(set(shell_commands()))


def runs_make(command):
    return command.startswith("make ") and command not in RUN_BY_MAKE


def run_python(path, folder):
    """Run a script as a user would, without a screen."""
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.newcomer
def test_the_snippets_of_the_readme_run_one_after_the_other(minilm, tmp_path):
    snippets = fenced(README, "python")
    assert len(snippets) >= 2
    script = tmp_path / "readme.py"
    script.write_text("\n".join(snippets))
    run_python(script, tmp_path)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_show_python_as_doctests_or_from_examples(path):
    text = path.read_text()
    assert not fenced(path, "python"), "write it with >>>, so that it runs"
    assert "doctest: +SKIP" not in text
    for name in re.findall(r"^\.\. literalinclude:: (\S+)", text, re.M):
        assert (path.parent / name).resolve().parent == REPOSITORY / "examples"


@pytest.mark.newcomer
@pytest.mark.parametrize("command", [name for _, name in COMMANDS if runs_make(name)])
def test_a_target_runs_as_written(command, tmp_path, emails, minilm):
    run_make(command, tmp_path, emails)


@pytest.mark.parametrize(
    ("page", "command"), [pair for pair in COMMANDS if not runs_make(pair[1])]
)
def test_a_shell_command_is_right(page, command):
    if command in RUN_BY_MAKE:
        target = RUN_BY_MAKE[command]
        in_ci = (REPOSITORY / ".ci" / "run").read_text()
        assert re.search(rf"^for target in .*\b{target}\b", in_ci, re.M)
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)[1]
        recipe = recipe.replace("$(MAKE)", "make")
        assert command in recipe or command == f"make {target}"
    elif command.startswith("pip install "):
        check_extras(command)
    else:
        check_benchmark(command)


def check_extras(command):
    """Check that the extras exist; what they bring is downloaded elsewhere."""
    extras = re.fullmatch(r'pip install "(?:\.|skbert)\[([\w,]+)\]"', command)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


def run_make(command, folder, emails):
    """Run a target on a small CSV file, in the environment that runs the tests."""
    for name in ("Makefile", "examples", "pyproject.toml", "constraints.txt"):
        (folder / name).symlink_to(REPOSITORY / name)
    installed = folder / "installed"  # newer than what make compares it with
    installed.touch()
    texts, y = emails
    table = pd.DataFrame(y, columns=["billing", "bug", "meeting"])
    variables = dict(part.split("=") for part in command.split() if "=" in part)
    data = table.assign(**{variables["TEXT"]: texts})
    data.to_csv(folder / variables["DATA"], index=False)
    overrides = f"BIN={Path(sys.executable).parent} INSTALLED={installed}"
    done = subprocess.run(
        shlex.split(command),
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"MAKEFLAGS": overrides, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    check_quickstart(done.stdout, list(table.columns))


def check_quickstart(printed, labels):
    """Check the table of epochs, and the scores of both models."""
    assert "48 texts to learn from, 3 labels" in printed
    scores = ("f1_micro", "roc_auc_micro", "accuracy")
    for column in ("train_loss", "valid_loss", *(f"valid_{name}" for name in scores)):
        assert column in printed
    models = [
        line for line in printed.splitlines() if line.startswith(("TF-IDF", "skbert"))
    ]
    assert len(models) == 2
    assert all(name in printed.split("subset accuracy")[1] for name in labels)


def check_benchmark(command):
    """Check a measurement's script and options; it takes minutes, or a GPU, to run."""
    match = re.match(r"python (benchmarks/\w+\.py)(.*)", command)
    assert match, f"{command} is neither run here nor in RUN_BY_MAKE"
    source = (REPOSITORY / match[1]).read_text()
    source += (REPOSITORY / "benchmarks" / "timing.py").read_text()
    for option in re.findall(r"--[a-z-]+", match[2]):
        assert f'"{option}"' in source


@pytest.mark.parametrize("path", (README, *PAGES), ids=lambda path: path.name)
def test_benchmarks_that_are_named_in_the_text_have_those_options(path):
    for command in re.findall(r"`(python benchmarks/[^`]+)`", path.read_text()):
        check_benchmark(" ".join(command.split()))


def test_every_public_name_has_an_api_page():
    listed = set(
        re.findall(r"^   (\w+)$", (REPOSITORY / "docs" / "api.rst").read_text(), re.M)
    )
    types = {"Counts", "Matrix"}  # of hints, not of use
    names = {*skbert.__all__, *skbert.metrics.__all__} - types - {"__version__"}
    assert names <= listed


def test_each_cell_of_the_notebook_has_a_line_that_the_example_runs():
    page = (REPOSITORY / "docs" / "notebook.rst").read_text()
    example = (REPOSITORY / "examples" / "plot_02_notebook.py").read_text()
    rows = re.findall(
        r"^   \* - (\d+)\n     - .+?\n     - (.+?)(?=^   \* -|^\S)", page, re.M | re.S
    )
    assert sorted(int(cell) for cell, _ in rows) == list(range(1, 28))
    for cell, replacement in rows:
        code = re.match(r"``(.+?)``", replacement)
        if code is None:
            assert replacement.startswith(("*nothing*", "parameters"))
        elif code[1] not in RUN_BY_MAKE:
            assert code[1] in example, f"cell {cell}"
