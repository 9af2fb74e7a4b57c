"""Targets: a checked ``y`` with its values, known cells and label names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from skbert.inputs.tables import column_names, hint_to_collect, shown
from skbert.runtime.warn import warn_user

__all__ = [
    "CONSTANT_LABELS",
    "Targets",
    "constant_labels_told_elsewhere",
    "encode_targets",
    "warn_of_constant_labels",
]

_NAMES_IN_A_WARNING = 10

# Pattern of the warning of constant labels.
CONSTANT_LABELS = r"\d+ label\(s\) have no positive or no negative example"

_NUMBERS = (bool, int, float, np.integer, np.floating, np.bool_)

# A variable of this thread. Filters of warnings belong to the whole process, and two
# threads that restore them in turn would leave a wrong filter behind.
_TOLD_ELSEWHERE = ContextVar("constant labels are told elsewhere", default=False)

_HOW_TO_BINARIZE = (
    "y holds lists of label names. Turn them into a 0/1 matrix first:\n"
    "    from sklearn.preprocessing import MultiLabelBinarizer\n"
    "    binarizer = MultiLabelBinarizer()\n"
    "    Y = pd.DataFrame(binarizer.fit_transform(y), columns=binarizer.classes_)"
)

# Texts that say whether a label is given, and the code that converts them.
_HOW_TO_READ = {
    **dict.fromkeys(("0", "1", "0.0", "1.0"), "y.astype(float)"),
    **{
        style(word): f"y == {style(pair[1])!r} (missing cells become 0)"
        for pair in (("false", "true"), ("no", "yes"))
        for word in pair
        for style in (str.lower, str.title, str.upper)
    },
}


@dataclass(frozen=True)
class Targets:
    """A checked ``y``, in the one form that the rest of skbert uses.

    Attributes
    ----------
    values : ndarray of shape (n_samples, n_labels), float32
        0 or 1; 0 if the value is unknown.
    known : ndarray of shape (n_samples, n_labels), bool
        False if ``y`` is NaN.
    label_names : ndarray of shape (n_labels,), object or None
        Column names of a table, as ``str``.
    classes : ndarray of shape (2,) or None
        The two classes of a one-dimensional ``y``, None for a label matrix.
    """

    values: np.ndarray
    known: np.ndarray
    label_names: np.ndarray | None = None
    classes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self.values.shape[1]

    @property
    def positives(self) -> np.ndarray:
        """Number of known positives of each label, shape (n_labels,)."""
        return self.values.sum(axis=0, dtype=np.float64)

    @property
    def support(self) -> np.ndarray:
        """Number of known values of each label, shape (n_labels,)."""
        return self.known.sum(axis=0, dtype=np.float64)

    @property
    def constant(self) -> np.ndarray:
        """True for a label with no known positive or no known negative."""
        return (self.positives == 0) | (self.positives == self.support)

    @property
    def names(self) -> np.ndarray:
        """Label names, shape (n_labels,), object; made up if ``y`` has none."""
        if self.label_names is not None:
            return self.label_names
        if self.classes is not None:
            return np.array([str(self.classes[1])], dtype=object)
        return np.array([f"label_{i}" for i in range(self.n_labels)], dtype=object)

    def prior_logits(self, sample_weight: np.ndarray | None = None) -> np.ndarray:
        """Return the log-odds of each label's prior.

        The prior of a constant label is smoothed to be finite: half a positive and half
        a negative are added to its counts (the Haldane-Anscombe correction). Other
        labels are not smoothed, so that a row of weight 2 counts as two rows, and
        multiplying all weights by a number changes nothing.

        Parameters
        ----------
        sample_weight : ndarray of shape (n_samples,), optional
            Positive weights.

        Returns
        -------
        ndarray of shape (n_labels,), float64
        """
        return np.where(
            self.constant, self._smoothed_log_odds(), self._log_odds(sample_weight)
        )

    def _smoothed_log_odds(self) -> np.ndarray:
        negatives = self.support - self.positives
        # If nothing is known about a label, the safe guess is that it is very rare.
        negatives = np.where(self.support > 0, negatives, len(self))
        return np.log(self.positives + 0.5) - np.log(negatives + 0.5)

    def _log_odds(self, sample_weight: np.ndarray | None) -> np.ndarray:
        positives, negatives = self.positives, self.support - self.positives
        if sample_weight is not None:
            weight = sample_weight / sample_weight.max()  # so that no sum overflows
            # Negatives are summed by themselves. Beside positives of weight 1e30, the
            # difference of two sums would vanish.
            positives = weight @ self.values
            negatives = weight @ (self.known & (self.values == 0))
        # A weight that is far smaller than the largest underflows to 0.
        tiny = np.finfo(np.float64).tiny
        return np.log(np.maximum(positives, tiny)) - np.log(np.maximum(negatives, tiny))

    def take(self, rows: np.ndarray) -> Targets:
        """Return the targets of ``rows`` (indices or a boolean mask)."""
        return replace(self, values=self.values[rows], known=self.known[rows])

    def with_nan(self) -> np.ndarray:
        """Return a float32 matrix with NaN where the value is unknown."""
        return np.where(self.known, self.values, np.float32(np.nan))


def warn_of_constant_labels(targets: Targets) -> None:
    """Warn once of all labels from which nothing can be learned."""
    names = targets.names[targets.constant]
    if len(names) == 0 or _TOLD_ELSEWHERE.get():
        return
    shown = ", ".join(map(repr, names[:_NAMES_IN_A_WARNING]))
    more = len(names) - _NAMES_IN_A_WARNING
    warn_user(
        f"{len(names)} label(s) have no positive or no negative example in the "
        "training data and get their prior as probability for every row: "
        f"{shown}{f' and {more} more' if more > 0 else ''}.",
    )


@contextmanager
def constant_labels_told_elsewhere() -> Iterator[None]:
    """Return a context in which this thread does not warn of constant labels."""
    token = _TOLD_ELSEWHERE.set(True)
    try:
        yield
    finally:
        _TOLD_ELSEWHERE.reset(token)


def encode_targets(y, *, classes: np.ndarray | None = None) -> Targets:
    """Check ``y`` and convert it to matrix form.

    Parameters
    ----------
    y : array-like, sparse matrix or table
        Shape (n_samples, n_labels) with 0, 1, bool or NaN for unknown; or shape
        (n_samples,) with two classes. The columns of a table (pandas, polars,
        pyarrow) name the labels; masked and null cells are unknown.
    classes : ndarray of shape (2,), optional
        Allowed classes of a one-dimensional ``y``. By default these are the values in
        ``y``, which must be two.

    Returns
    -------
    Targets

    Raises
    ------
    TypeError
        If ``y`` cannot become an array of numbers, such as a sparse tensor.
    ValueError
        If ``y`` is missing, empty, multiclass or continuous, or if a matrix holds
        anything but 0, 1 and NaN.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None."
        )
    if hint := hint_to_collect(y, "y"):
        raise ValueError(f"y is a {type(y).__name__}. {hint}")
    if sparse.issparse(y):
        return _encode_array(_dense(y), None, classes)
    names = _label_names(y)
    if isinstance(y, pd.DataFrame):
        return _encode_matrix(y, names)
    return _encode_array(_as_array(y), names, classes)


def _encode_array(
    array: np.ndarray, names: np.ndarray | None, classes: np.ndarray | None
) -> Targets:
    if array.ndim == 1:
        return _encode_binary(array, classes)
    if array.ndim == 2:
        return _encode_matrix(array, names)
    raise ValueError(
        f"Unknown label type: y has {array.ndim} dimensions; it must be a 0/1 matrix "
        "of shape (n_samples, n_labels) or a vector of two classes."
    )


def _dense(y) -> np.ndarray:
    """Return a sparse array as a dense array, of bool if it is all 0 and 1.

    With 50,000 labels, 8 bytes for each cell would take far more than the result.
    """
    if y.ndim == 1:
        return y.toarray()
    rows = sparse.csr_array(y, copy=True)
    rows.sum_duplicates()
    if np.isin(rows.data, (0, 1)).all():
        rows = rows.astype(bool)
    return rows.toarray()


def _label_names(y) -> np.ndarray | None:
    columns = column_names(y)
    if columns is None:
        return None
    names = np.array(columns, dtype=object)
    # np.unique would take "a" and "a\0" for the same text.
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise ValueError(
            f"y has two columns called {twice[0]!r}; label names must be unique. "
            "Rename or drop one of them."
        )
    return names


def _as_array(y) -> np.ndarray:
    """Return ``y`` as an array; raise a helpful error for lists of label names."""
    if isinstance(y, (dict, set, frozenset)):
        raise ValueError(
            f"y is a {type(y).__name__}, whose entries are no rows. Pass a table of "
            "its columns, pd.DataFrame(y), or a list with an entry for each text."
        )
    if not hasattr(y, "__array__") and not isinstance(y, (list, tuple, memoryview)):
        y = y if isinstance(y, (str, bytes)) or not isinstance(y, Iterable) else list(y)
    try:
        array = _unmasked(y)
    except ValueError as error:  # ragged nested lists
        raise ValueError(_HOW_TO_BINARIZE) from error
    except (TypeError, RuntimeError) as error:  # some kinds of tensors
        raise TypeError(
            f"y is a {type(y).__name__} that NumPy cannot read ({error}). Pass a dense "
            "array, a list or a table of numbers."
        ) from error
    if array.dtype.names is not None:
        raise TypeError(
            f"y is a structured array with the fields {', '.join(array.dtype.names)}. "
            "Pass a table of its columns: pd.DataFrame(y)."
        )
    if array.ndim == 0:
        raise ValueError(
            f"y is a single {type(y).__name__}; it must be a 0/1 matrix of shape "
            "(n_samples, n_labels) or a vector of two classes."
        )
    if array.ndim == 1 and array.dtype == object and len(array):
        if isinstance(array[0], (list, tuple, set, frozenset, np.ndarray)):
            raise ValueError(_HOW_TO_BINARIZE)
    if array.ndim == 2 and array.dtype.kind in "UST":
        if any(cell not in _HOW_TO_READ for cell in array.ravel().tolist()):
            raise ValueError(_HOW_TO_BINARIZE)
    # "T" is NumPy's StringDType, which scikit-learn cannot read yet.
    return array.astype(object) if array.dtype.kind == "T" else array


def _unmasked(y) -> np.ndarray:
    """Return ``y`` as an array whose masked cells are missing."""
    # pandas' nullable arrays have masks, too, but return missing cells as such.
    if not (np.ma.isMaskedArray(y) and np.ma.is_masked(y)):
        return np.asarray(y)
    if y.dtype.kind in "biuf":
        return np.ma.filled(y.astype(np.float64), np.nan)
    cells = np.asarray(y, dtype=object).copy()
    cells[np.ma.getmaskarray(y)] = None
    return cells


def _encode_matrix(y, names: np.ndarray | None) -> Targets:
    matrix = _to_numbers(y, names)
    if matrix.shape[1] == 0:
        raise ValueError(
            "y has no label columns (its shape is "
            f"{matrix.shape}); it needs at least one."
        )
    if len(matrix) == 0:
        raise ValueError("y has 0 rows; at least one is needed.")
    if matrix.dtype.kind == "f":
        known = ~np.isnan(matrix)
    else:
        known = np.ones(matrix.shape, dtype=bool)
    wrong = known & (matrix != 0) & (matrix != 1)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"Unknown label type: y must hold 0, 1 or NaN (unknown), but row {row}, "
            f"{_column(column, names)} is {matrix[row, column]:g}. Labels that are "
            "scores, counts or class numbers must be binarized first."
        )
    values = matrix.astype(np.float32)
    values[~known] = 0
    return Targets(values, known, label_names=names)


def _to_numbers(y, names: np.ndarray | None) -> np.ndarray:
    """Return a matrix of numbers with NaN for unknown; name the first bad cell."""
    if isinstance(y, pd.DataFrame):
        kinds = {getattr(dtype, "kind", "O") for dtype in y.dtypes}
        cells = y.to_numpy(dtype=object) if kinds - set("biuf") else None
    else:
        cells = y if y.dtype.kind not in "biuf" else None
    if cells is None:
        if isinstance(y, pd.DataFrame):
            return y.to_numpy(dtype=np.float64, na_value=np.nan)
        return y
    numbers = np.full(cells.shape, np.nan)
    for row, column in np.ndindex(cells.shape):
        cell = cells[row, column]
        if cell is pd.NA or cell is None:
            continue
        # np.timedelta64 is an np.integer.
        if not isinstance(cell, _NUMBERS) or isinstance(cell, np.timedelta64):
            value = shown(cell.item() if isinstance(cell, np.generic) else cell)
            raise ValueError(
                "Unknown label type: y must hold 0, 1 or NaN (unknown), but row "
                f"{row}, {_column(column, names)} is {value} ({type(cell).__name__}). "
                + _how_to_convert(cell)
            )
        numbers[row, column] = _as_float(cell)
    return numbers


def _how_to_convert(cell) -> str:
    """Return advice on how to convert a matrix with such a cell."""
    how = _HOW_TO_READ.get(cell) if isinstance(cell, str) else None
    if how is not None:
        return f"It is a text, and no number or bool: pass {how} instead."
    return (
        "Label names must be turned into columns of 0 and 1 first, for instance by "
        "sklearn.preprocessing.MultiLabelBinarizer."
    )


def _as_float(number) -> float:
    try:
        return float(number)
    except OverflowError:  # an int beyond all floats
        return np.inf


def _column(column: int, names: np.ndarray | None) -> str:
    return f"column {column}" if names is None else f"column {names[column]!r}"


def _encode_binary(y: np.ndarray, classes: np.ndarray | None) -> Targets:
    if len(y) == 0:
        raise ValueError("y has 0 rows; at least one is needed.")
    missing = pd.isna(y)
    if missing.any():
        raise ValueError(
            f"Input y contains NaN (row {int(np.argmax(missing))}). Unknown labels "
            "are allowed in a label matrix only: pass y of shape (n_samples, 1)."
        )
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise ValueError(
            "Input y contains infinity or a value too large for "
            f"{y.dtype!r} (row {int(np.argmax(np.isinf(y)))})."
        )
    kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"Unknown label type: {kind}. y must be a 0/1 matrix of shape "
            "(n_samples, n_labels) or a vector of two classes."
        )
    found = np.unique(y)
    expected = found if classes is None else classes
    if classes is not None and not np.isin(found, classes).all():
        stranger = found[~np.isin(found, classes)][0]
        raise ValueError(f"y holds the class {stranger}; expected {classes.tolist()}.")
    if len(expected) > 2:
        raise ValueError(
            "Only binary classification is supported for one-dimensional y. The type "
            f"of the target is {kind} with {len(expected)} classes. For several labels "
            "per text pass a 0/1 matrix of shape (n_samples, n_labels)."
        )
    if len(expected) < 2:
        raise ValueError(
            f"y holds only 1 class ({expected[0]}); two are needed to learn from."
        )
    values = (y == expected[1]).astype(np.float32)[:, np.newaxis]
    return Targets(values, np.ones(values.shape, dtype=bool), classes=expected)
