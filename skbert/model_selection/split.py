"""Multi-label stratified folds and train/validation/test splits.

Both are built on the iterative stratification of Sechidis et al. [1]_ as implemented
in the package ``iterative-stratification``, and repair what it leaves open: parts get
exactly the size asked for, one label and unknown labels are accepted, and NumPy's
global random state is not touched.

References
----------
.. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of Multi-Label
   Data", ECML PKDD 2011.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from iterstrat.ml_stratifiers import IterativeStratification
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from skbert.inputs.targets import Targets, encode_targets
from skbert.runtime.warn import warn_user

__all__ = ["MultilabelStratifiedKFold", "multilabel_train_test_split"]

RandomState = int | np.random.RandomState | None


class MultilabelStratifiedKFold(BaseCrossValidator):
    """K folds in which every label is about equally frequent.

    The multi-label counterpart of :class:`sklearn.model_selection.StratifiedKFold`.
    It can be passed as ``cv`` wherever scikit-learn takes a splitter. Unlike
    scikit-learn's splitters it takes a ``y`` with NaN (unknown labels); the unknown
    cells of a label are then spread over the folds as its positives are.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to shuffle the rows before they are dealt to the folds. Iterative
        stratification breaks ties at random even when the rows stay in order. As
        users of scikit-learn expect repeatable folds from ``shuffle=False``, ties are
        then broken with a fixed seed: every call of `split` gives the same folds.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling and of the ties when ``shuffle=True``. Pass an int for
        the same folds at every call. None draws a fresh seed from the operating
        system, so that NumPy's global random state is neither read nor changed.

    Raises
    ------
    ValueError
        If `n_splits` is not an integer of at least 2, or if `random_state` is set
        although ``shuffle=False``, where it would have no effect.
    TypeError
        If `shuffle` is not a bool.

    See Also
    --------
    multilabel_train_test_split : One split instead of K.

    Notes
    -----
    The method is the iterative stratification of Sechidis, Tsoumakas and Vlahavas
    (2011) in the implementation of the package ``iterative-stratification``. That
    implementation lets the sizes of the folds drift (by a tenth on one e-mail data
    set); here rows are moved afterwards, those first whose move improves the balance
    of the labels most, until no two folds differ by more than one row.

    A label with fewer positives than folds is missing from some folds. No warning is
    given, as this is the rule rather than the exception with many labels.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.model_selection import MultilabelStratifiedKFold
    >>> X = ["a", "b", "c", "d", "e", "f", "g", "h"]
    >>> y = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [1, 1], [0, 0], [0, 0]])
    >>> folds = MultilabelStratifiedKFold(n_splits=2, shuffle=True, random_state=0)
    >>> for train, test in folds.split(X, y):
    ...     print(len(train), len(test), y[test].sum(axis=0))
    4 4 [2 2]
    4 4 [2 2]
    """

    n_splits: int
    shuffle: bool
    random_state: RandomState

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: RandomState = None,
    ):
        if not isinstance(n_splits, numbers.Integral) or n_splits < 2:
            raise ValueError(
                f"n_splits must be an integer of at least 2; got {n_splits!r}."
            )
        if not isinstance(shuffle, bool):
            raise TypeError(f"shuffle must be True or False; got {shuffle!r}.")
        if not shuffle and random_state is not None:
            raise ValueError(
                "random_state has no effect when shuffle=False. Leave it at None or "
                "set shuffle=True."
            )
        self.n_splits = int(n_splits)
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored; here because scikit-learn passes them.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the row numbers of each fold.

        Parameters
        ----------
        X : sequence or array of length n_samples
            Texts or anything else; only its length is read.
        y : array-like, sparse matrix or DataFrame
            Shape (n_samples, n_labels) with 0, 1, bool or NaN for unknown; or shape
            (n_samples,) with two classes.
        groups : object, default=None
            Ignored, with a warning when it is not None.

        Yields
        ------
        train : ndarray of shape (n_train,), int
            Rows outside the fold, in ascending order.
        test : ndarray of shape (n_test,), int
            Rows of the fold, in ascending order.

        Raises
        ------
        ValueError
            If `y` is missing or not made of labels, if `X` and `y` differ in length,
            or if there are fewer rows than folds.
        """
        if groups is not None:
            warn_user(
                f"The groups parameter is ignored by {type(self).__name__}.",
            )
        targets = encode_targets(y)
        _check_same_length({"X": X, "y": y})
        sizes = _fold_sizes(len(targets), self.n_splits)
        rng = _rng(self.random_state if self.shuffle else 0)
        order = np.arange(len(targets))
        if self.shuffle:
            rng.shuffle(order)
        parts = _stratify(targets, sizes, order, rng)
        for fold in range(self.n_splits):
            yield np.flatnonzero(parts != fold), np.flatnonzero(parts == fold)


def multilabel_train_test_split(
    *arrays: Any,
    test_size: float | int = 0.25,
    validation_size: float | int | None = None,
    shuffle: bool = True,
    random_state: RandomState = None,
) -> list[Any]:
    """Split into train and test (and validation) parts, stratified by every label.

    The multi-label counterpart of :func:`sklearn.model_selection.train_test_split`,
    with the same order of results and the same sizes. **The last array is y**, by
    which the split is stratified.

    Parameters
    ----------
    *arrays : lists, tuples, arrays, Series, DataFrames or sparse matrices
        Any number of data sets with n_samples rows each, `y` last: shape
        (n_samples, n_labels) with 0, 1, bool or NaN for unknown, or shape
        (n_samples,) with two classes.
    test_size : float or int, default=0.25
        A float in (0, 1) is the share of rows, rounded up to whole rows; an int is
        the number of rows.
    validation_size : float or int, default=None
        The same for a validation part. None makes no validation part. When both sizes
        are shares, the sizes are those of two calls of `train_test_split`: the first
        holds out ``test_size + validation_size``, the second divides what was held
        out; both round the later part up. 0.1 and 0.1 of 1144 rows are 915, 114, 115.
    shuffle : bool, default=True
        If False the first rows are for training, the next for validation and the
        last for the test: nothing is stratified, `y` is not looked at, and
        `random_state` is ignored.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same split at every call. None draws a fresh seed from the
        operating system, so that NumPy's global random state is neither read nor
        changed.

    Returns
    -------
    list
        ``X_train, X_test, y_train, y_test``; with `validation_size`
        ``X_train, X_val, X_test, y_train, y_val, y_test``. Lists, tuples, arrays,
        Series and tables keep their type, sparse matrices come out in CSR format.
        With ``shuffle=True`` the rows of each part are in random order.

    Raises
    ------
    ValueError
        If no array is given, if lengths differ, if a size is out of range, if a part
        would be empty, or if `y` is not made of labels.
    TypeError
        If an array has no length or is a single string.

    See Also
    --------
    MultilabelStratifiedKFold : K folds instead of one split.

    Notes
    -----
    The method is the iterative stratification of Sechidis, Tsoumakas and Vlahavas
    (2011) in the implementation of the package ``iterative-stratification``; rows are
    then moved between the parts, those first whose move improves the balance of the
    labels most, until the sizes are exact.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.model_selection import multilabel_train_test_split
    >>> X = [f"text {i}" for i in range(20)]
    >>> y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 5)
    >>> X_train, X_test, y_train, y_test = multilabel_train_test_split(
    ...     X, y, test_size=0.2, random_state=0
    ... )
    >>> len(X_train), len(X_test), y_test.sum(axis=0).tolist()
    (16, 4, [2, 2])

    Three parts in one call:

    >>> parts = multilabel_train_test_split(
    ...     X, y, validation_size=0.1, test_size=0.1, random_state=0
    ... )
    >>> X_train, X_val, X_test, y_train, y_val, y_test = parts
    >>> len(X_train), len(X_val), len(X_test)
    (16, 2, 2)
    """
    n_samples = _check_arrays(arrays)
    sizes = _part_sizes(n_samples, test_size, validation_size)
    if shuffle:
        rows = _stratified_rows(encode_targets(arrays[-1]), sizes, _rng(random_state))
    else:
        rows = np.split(np.arange(n_samples), np.cumsum(sizes)[:-1])
    return [_take(array, part) for array in arrays for part in rows]


def _rng(random_state: RandomState) -> np.random.RandomState:
    """Return a random state that is the global one only if it was passed as such."""
    if random_state is None:
        return np.random.RandomState()  # check_random_state gives the global one
    return check_random_state(random_state)


# --- sizes ----------------------------------------------------------------------------


def _fold_sizes(n_samples: int, n_splits: int) -> np.ndarray:
    if n_samples < n_splits:
        raise ValueError(
            f"n_splits={n_splits} is more than the number of rows, {n_samples}."
        )
    sizes = np.full(n_splits, n_samples // n_splits)
    sizes[: n_samples % n_splits] += 1
    return sizes


def _part_sizes(
    n_samples: int, test_size: float | int, validation_size: float | int | None
) -> np.ndarray:
    """Return the sizes of (train, test) or (train, validation, test)."""
    _check_size("test_size", test_size, n_samples)
    if validation_size is None:
        held_out = [_rows(test_size, n_samples)]
    else:
        _check_size("validation_size", validation_size, n_samples)
        held_out = _two_sizes(n_samples, validation_size, test_size)
    sizes = np.array([n_samples - sum(held_out), *held_out])
    if sizes.min() < 1:
        first_empty = int(np.argmax(sizes < 1))
        part = "train" if first_empty == 0 else "validation"
        raise ValueError(
            f"With {n_samples} rows, test_size={test_size} and "
            f"validation_size={validation_size}, the {part} part would be empty. Pass "
            "more rows or change the sizes."
        )
    return sizes


def _two_sizes(n_samples: int, validation: float | int, test: float | int) -> list[int]:
    if isinstance(validation, numbers.Integral) or isinstance(test, numbers.Integral):
        return [_rows(validation, n_samples), _rows(test, n_samples)]
    # Rounded because 0.1 + 0.2 is 0.30000000000000004, which would cost a row.
    total = round(validation + test, 12)
    both = _rows(total, n_samples)
    n_test = math.ceil(round(both * test / total, 9))
    return [both - n_test, n_test]


def _rows(size: float | int, n_samples: int) -> int:
    if isinstance(size, numbers.Integral):
        return int(size)
    return math.ceil(size * n_samples)


def _check_size(name: str, size: Any, n_samples: int) -> None:
    if isinstance(size, bool) or not isinstance(size, numbers.Real):
        in_range = False
    elif isinstance(size, numbers.Integral):
        in_range = 0 < int(size) < n_samples
    else:
        in_range = 0 < float(size) < 1
    if not in_range:
        raise ValueError(
            f"{name} must be a share of the rows, a float between 0 and 1 (both "
            f"excluded), or a number of rows, an int from 1 to {n_samples - 1}; got "
            f"{size!r}."
        )


# --- stratification -------------------------------------------------------------------


def _stratified_rows(
    targets: Targets, sizes: np.ndarray, rng: np.random.RandomState
) -> list[np.ndarray]:
    """Return the rows of each part, in random order."""
    order = rng.permutation(len(targets))
    parts = _stratify(targets, sizes, order, rng)
    return [order[parts[order] == part] for part in range(len(sizes))]


def _stratify(
    targets: Targets, sizes: np.ndarray, order: np.ndarray, rng: np.random.RandomState
) -> np.ndarray:
    """Return the part of each row, shape (n_samples,), dealt in the given order."""
    states = _states(targets)[order]
    shares = sizes / sizes.sum()
    dealt = IterativeStratification(labels=states, r=shares, random_state=rng)
    _repair_sizes(dealt, states, sizes)
    parts = np.empty_like(dealt)
    parts[order] = dealt
    return parts


def _states(targets: Targets) -> np.ndarray:
    """Return what is to be balanced, shape (n_samples, n_states), bool.

    A cell is positive, negative or unknown. The two rarer states of each label are
    balanced; in parts of exact size the third one follows from them.
    """
    positive = targets.values > 0
    states = np.stack([positive, targets.known & ~positive, ~targets.known])
    rarity = np.argsort(states.sum(axis=1), axis=0, kind="stable")
    rarer = np.take_along_axis(states, rarity[:2, np.newaxis, :], axis=0)
    columns = np.concatenate(list(rarer), axis=1)
    return columns[:, columns.any(axis=0)]


def _repair_sizes(parts: np.ndarray, states: np.ndarray, sizes: np.ndarray) -> None:
    """Move rows, in place, from parts that are too large to parts too small.

    The cost is the sum over states and parts of (count - expected)^2 / total. The row
    moved is the one that lowers the cost most, or raises it least.
    """
    total = states.sum(axis=0)
    expected = np.outer(sizes / sizes.sum(), total)
    counts = np.stack([states[parts == part].sum(axis=0) for part in range(len(sizes))])
    surplus = np.bincount(parts, minlength=len(sizes)) - sizes
    while surplus.any():
        source, target = int(surplus.argmax()), int(surplus.argmin())
        excess = counts - expected
        rows = np.flatnonzero(parts == source)
        change = states[rows] @ ((1 + excess[target] - excess[source]) / total)
        row = rows[change.argmin()]
        parts[row] = target
        counts[source] -= states[row]
        counts[target] += states[row]
        surplus[source] -= 1
        surplus[target] += 1


# --- arrays ---------------------------------------------------------------------------


def _check_arrays(arrays: Sequence[Any]) -> int:
    if not arrays:
        raise ValueError("Nothing to split: pass at least one array, y last.")
    names = {f"array {i}": array for i, array in enumerate(arrays[:-1])}
    return _check_same_length({**names, "y, the last array,": arrays[-1]})


def _check_same_length(arrays: dict[str, Any]) -> int:
    """Return the number of rows that all arrays have, or name two that differ."""
    lengths = {name: _length(name, array) for name, array in arrays.items()}
    (first, n_samples), *others = lengths.items()
    for other, length in others:
        if length != n_samples:
            raise ValueError(
                f"{first} has {n_samples} rows but {other} has {length}; every array "
                "needs one row per text."
            )
    return n_samples


def _length(name: str, array: Any) -> int:
    shape = getattr(array, "shape", None)
    if shape:
        return int(shape[0])
    if isinstance(array, (str, bytes)) or not hasattr(array, "__len__") or shape == ():
        raise TypeError(
            f"{name} must be a list, tuple, array, Series, DataFrame or sparse matrix "
            f"with one row per text; got {type(array).__name__}."
        )
    return len(array)


def _take(array: Any, rows: np.ndarray) -> Any:
    """Return the given rows of a list, tuple, array, table or sparse matrix."""
    if hasattr(array, "iloc"):
        return array.iloc[rows]
    if sparse.issparse(array):
        return array.tocsr()[rows]  # other formats cannot be indexed
    if hasattr(array, "to_pylist"):  # pyarrow
        return array.take(rows)
    if hasattr(array, "shape"):
        return array[rows]
    items = [array[row] for row in rows]
    return tuple(items) if isinstance(array, tuple) else items
