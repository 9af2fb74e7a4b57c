"""What the source says about errors: where they are made, and what tests assert.

Both are read from the syntax trees, so that an error that is new is found without
running into it.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "skbert"

HOLE = "(?s:.*)"  # what stands for a value in a message

# skbert catches these itself: nobody reads what they say.
CAUGHT = {"RecordingError"}


@dataclass(frozen=True)
class Site:
    """A place that makes an error.

    Attributes
    ----------
    module : str
        Relative to the package.
    line : int
    pattern : str
        That its messages match, whole.
    """

    module: str
    line: int
    pattern: str


@cache
def _parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def find_sites(package=PACKAGE):
    """Find the places in a package that make an error with a message."""
    sites = []
    for path in sorted(package.rglob("*.py")):
        tree = _parsed(path)
        names = _module_names(tree)
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            kind = ast.unparse(call.func)
            if kind.endswith(("Error", "Exception")) and kind not in CAUGHT:
                module = path.relative_to(package).as_posix()
                for pattern in _patterns(call.args[0], names):
                    sites.append(Site(module, call.lineno, pattern))
    return sites


def asserted_patterns(test):
    """Return the patterns that a test holds messages against.

    Parameters
    ----------
    test : str
        Such as "test_targets.py::test_anything_else_is_refused_by_name".

    Returns
    -------
    list of str
        What is given to ``match=`` of `pytest.raises`, and texts that are asserted to
        be in something.
    """
    file, *path = test.split("::")
    tree = _parsed(TESTS / file)
    node = tree
    for name in path:
        node = next(n for n in node.body if getattr(n, "name", None) == name)
    names = _module_names(tree) | _bound_names(node)
    patterns = []
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and ast.unparse(part.func).endswith("raises"):
            for keyword in part.keywords:
                if keyword.arg == "match":
                    patterns += _patterns(keyword.value, names, escaped=False)
        elif isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.In):
            patterns += _patterns(part.left, names)
    return [pattern for pattern in patterns if len(pattern.replace(HOLE, "")) > 2]


def _module_names(tree):
    """Return what the names of a module stand for: values, and functions' answers."""
    names = _assigned(tree.body)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names[node.name] = _answers(node)
    return names


def _answers(function):
    """Return the expressions that a function returns, local names looked up."""
    nodes = list(ast.walk(function))
    texts = _assigned(nodes)
    answers = []
    for node in nodes:
        if isinstance(node, ast.Return) and node.value is not None:
            name = getattr(node.value, "id", None)
            # More may have been added to a local text: a name that nobody knows.
            rest = ast.Name("")
            longer = [ast.BinOp(text, ast.Add(), rest) for text in texts.get(name, [])]
            answers += longer or [node.value]
    return answers


def _assigned(nodes):
    return {
        node.targets[0].id: [node.value]
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _bound_names(function):
    """Return what parameters, assignments and loops of a test bind names to."""
    names = _assigned(ast.walk(function))
    for decorator in function.decorator_list:
        if ast.unparse(decorator).startswith("pytest.mark.parametrize("):
            names |= _parametrized(*decorator.args[:2])
    for node in ast.walk(function):
        if isinstance(node, ast.For):
            keys = _elements(node.target) or [node.target]
            names |= _columns([key.id for key in keys], node.iter)
    return names


def _parametrized(argnames, argvalues):
    if isinstance(argnames, ast.Constant):
        keys = [key.strip() for key in argnames.value.split(",")]
    else:
        keys = [key.value for key in argnames.elts]
    return _columns(keys, argvalues)


def _columns(keys, values):
    """Return the values of each key, given a display of tuples of them."""
    if isinstance(values, ast.Call) and ast.unparse(values.func).endswith(".items"):
        return {}
    rows = [_elements(row) for row in _elements(values)]
    if len(keys) == 1:
        return {keys[0]: _elements(values)}
    return {key: [row[i] for row in rows if len(row) > i] for i, key in enumerate(keys)}


def _elements(node):
    if isinstance(node, ast.Call):  # pytest.param
        return node.args
    return list(getattr(node, "elts", []))


def _patterns(node, names, *, escaped=True):
    """Return the patterns of the texts that an expression can be.

    With ``escaped=False`` what is written in the source are patterns already.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [re.escape(node.value) if escaped else node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(_part(part, escaped) for part in node.values)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = (
            _patterns(side, names, escaped=escaped) for side in (node.left, node.right)
        )
        return [a + b for a in left for b in right]
    if isinstance(node, ast.BoolOp) or isinstance(node, ast.IfExp):
        parts = getattr(node, "values", None) or [node.body, node.orelse]
        return [p for part in parts for p in _patterns(part, names, escaped=escaped)]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.escape":
        return _patterns(node.args[0], names)
    if isinstance(node, ast.Subscript):  # one of the values of a dict
        (shown,) = names.get(getattr(node.value, "id", None), [None])
        values = getattr(shown, "values", [])
        return [p for value in values for p in _patterns(value, names, escaped=escaped)]
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Name) and names.get(function.id):
        return [
            pattern
            for value in names[function.id]
            for pattern in _patterns(value, names, escaped=escaped)
        ]
    return [HOLE]


def _part(part, escaped):
    if not isinstance(part, ast.Constant):
        return HOLE
    return re.escape(part.value) if escaped else part.value
