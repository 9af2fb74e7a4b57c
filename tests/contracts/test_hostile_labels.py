"""Labels that nobody meant to write: a right matrix or a clean error, nothing else."""

import decimal
import itertools
import math
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from scipy import sparse

from skbert import TransformerMultiLabelClassifier
from skbert.inputs.targets import CONSTANT_LABELS, encode_targets

# The same examples in every run, and nothing is written.
quick = settings(derandomize=True, database=None, deadline=None, max_examples=40)

SPARSE = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


def names_of(y):
    return [f"{i} \0é" for i in range(y.shape[1])]


def with_none(y):
    return np.where(np.isnan(y), None, y)


def polars_frame(y, dtype):
    columns = with_none(y).T.tolist()
    frame = pl.DataFrame(columns, schema=dict.fromkeys(names_of(y), pl.Float64))
    return frame.cast(dtype)


def arrow_table(y, dtype):
    cells = [
        None if cell is None else dtype.to_pandas_dtype()(cell)
        for cell in with_none(y).ravel()
    ]
    columns = np.array(cells, dtype=object).reshape(y.shape).T
    return pa.table([pa.array(c.tolist(), dtype) for c in columns], names=names_of(y))


def nullable_frame(y, dtype):
    return pd.DataFrame(y, columns=names_of(y), dtype="Float64").astype(dtype)


# Each says what it makes of a float matrix; those of the first kind cannot hold NaN.
KNOWN = {
    "bool": lambda y: y.astype(bool),
    "uint8": lambda y: y.astype("uint8"),
    "int64, Fortran": lambda y: np.asfortranarray(y.astype("int64")),
    "list of bool": lambda y: y.astype(bool).tolist(),
    "frame of int": lambda y: pd.DataFrame(y.astype(int)),
    "frame of Sparse": lambda y: pd.DataFrame(y).astype(pd.SparseDtype("int8")),
    **{
        f"{name} array of {dtype}": lambda y, name=name, dtype=dtype: getattr(
            sparse, f"{name}_array"
        )(y.astype(dtype))
        for name, dtype in itertools.product(SPARSE, ("bool", "int8"))
    },
}
PARTLY_KNOWN = {
    **{code: lambda y, code=code: y.astype(code) for code in "efdg"},
    "object": lambda y: y.astype(object),
    "object with None": with_none,
    "lists": lambda y: y.tolist(),
    "lists with None": lambda y: with_none(y).tolist(),
    "read backwards": lambda y: y[::-1, ::-1].copy()[::-1, ::-1],
    "matrix": np.asmatrix,
    "masked": lambda y: np.ma.array(np.nan_to_num(y).astype(int), mask=np.isnan(y)),
    "frame": lambda y: pd.DataFrame(y, index=[5] * len(y)),
    "frame of object": lambda y: pd.DataFrame(with_none(y)),
    **{
        f"frame of {dtype}": lambda y, dtype=dtype: nullable_frame(y, dtype)
        for dtype in ("Int64", "boolean", "Float64", "Float32", "UInt8")
    },
    "frame of ArrowDtype": lambda y: nullable_frame(y, pd.ArrowDtype(pa.bool_())),
    **{
        f"{name} array": lambda y, name=name: getattr(sparse, f"{name}_array")(y)
        for name in SPARSE
    },
    "csr matrix": sparse.csr_matrix,
    "polars frame of Boolean": lambda y: polars_frame(y, pl.Boolean),
    "polars frame of Int8": lambda y: polars_frame(y, pl.Int8),
    "polars frame of Float32": lambda y: polars_frame(y, pl.Float32),
    "pyarrow Table of bool": lambda y: arrow_table(y, pa.bool_()),
    "pyarrow Table of int8": lambda y: arrow_table(y, pa.int8()),
    "pyarrow Table of float": lambda y: arrow_table(y, pa.float64()),
}
SHAPES = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)]


def patterns(values):
    for rows, columns in SHAPES:
        for cells in itertools.product(values, repeat=rows * columns):
            yield np.array(cells, dtype=float).reshape(rows, columns)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("kind", [*KNOWN, *PARTLY_KNOWN])
def test_every_pattern_of_labels_is_read_from(kind):
    convert = KNOWN.get(kind) or PARTLY_KNOWN[kind]
    for y in patterns([0, 1] if kind in KNOWN else [0, 1, np.nan]):
        given_y = convert(y)
        targets = encode_targets(given_y)
        np.testing.assert_array_equal(targets.with_nan(), y)
        np.testing.assert_array_equal(targets.values, np.nan_to_num(y))
        assert (targets.values.dtype, targets.known.dtype) == (np.float32, bool)
        if targets.label_names is not None:
            columns = getattr(given_y, "column_names", None) or given_y.columns
            assert targets.names.tolist() == [str(name) for name in columns]


# --- cells that are neither 0 nor 1 ---------------------------------------------------

# What each cell is: a number, nan where it is unknown, or None where it is refused.
CELLS = [
    *((0, 0), (1, 1), (0.0, 0), (-0.0, 0), (1.0, 1), (True, 1), (False, 0)),
    *((np.int8(1), 1), (np.float16(0), 0), (np.bool_(True), 1), (np.longdouble(1), 1)),
    *((None, math.nan), (math.nan, math.nan), (pd.NA, math.nan)),
    *((np.float32("nan"), math.nan), (-math.nan, math.nan)),
    *((2, None), (-1, None), (0.5, None), (1 + 2**-40, None), (5e-324, None)),
    *((math.inf, None), (-math.inf, None), (10**400, None), (-(10**5000), None)),
    *(("0", None), ("1", None), ("", None), ("nan", None), (b"1", None), (1j, None)),
    *((decimal.Decimal(1), None), (pd.NaT, None), (np.datetime64("NaT"), None)),
    *(([1], None), ((), None), ({}, None), (object(), None), ("a" * 10_000, None)),
]
any_cell = st.sampled_from(CELLS)
right_cell = st.sampled_from([cell for cell in CELLS if cell[1] is not None])
shapes = st.tuples(st.integers(1, 4), st.integers(1, 3))


@st.composite
def tables_of_cells(draw):
    """Draw an object array, and what is in it: a number, nan or None per cell."""
    shape = draw(shapes)
    n_cells = shape[0] * shape[1]
    drawn = draw(st.lists(right_cell, min_size=n_cells, max_size=n_cells))
    for i in draw(st.lists(st.integers(0, n_cells - 1), max_size=2)):
        drawn[i] = draw(any_cell)
    cells, meant = (np.empty(n_cells, dtype=object) for _ in range(2))
    for i, (cell, meaning) in enumerate(drawn):
        cells[i], meant[i] = cell, meaning
    return cells.reshape(shape), meant.reshape(shape)


def as_frame(cells):
    names = [f"label {i}" for i in range(cells.shape[1])]
    try:
        return pd.DataFrame(cells, columns=names)
    except OverflowError:  # pandas 2.2, which looks for dates, at an int of 400 digits
        return pd.DataFrame(cells, columns=names, dtype=object)


@pytest.mark.parametrize("convert", [np.asarray, as_frame])
@quick
@given(table=tables_of_cells())
def test_cells_are_read_or_the_first_wrong_one_is_named(convert, table):
    cells, meant = table
    if all(meaning is not None for meaning in meant.ravel()):
        matrix = encode_targets(convert(cells)).with_nan()
        np.testing.assert_array_equal(matrix, meant.astype(float))
        return
    with pytest.raises(ValueError, match="Unknown label type") as raised:
        encode_targets(convert(cells))
    message = str(raised.value)
    row, column = re.search(r"row (\d+), column '?(?:label )?(\d+)", message).groups()
    assert meant[int(row), int(column)] is None
    assert len(message) < 400


@quick
@given(tables_of_cells())
def test_lists_of_cells_are_read_or_refused(table):
    cells, meant = table
    try:
        matrix = encode_targets(cells.tolist()).with_nan()
    except ValueError as error:
        # NumPy turns all of them into texts where one is, so that none can be named.
        assert re.search("Unknown label type|MultiLabelBinarizer", str(error))
        assert any(meaning is None for meaning in meant.ravel())
    else:
        np.testing.assert_array_equal(matrix, meant.astype(float))


any_dtype = st.one_of(
    numpy_strategies.scalar_dtypes(), st.sampled_from([np.dtype("g"), np.dtype("O")])
)


@settings(quick, max_examples=100)
@given(numpy_strategies.arrays(any_dtype, shapes))
def test_arrays_of_every_dtype_are_read_or_refused(y):
    try:
        matrix = encode_targets(y).with_nan()
    except ValueError as error:
        assert re.search("Unknown label type|MultiLabelBinarizer", str(error))
        numbers = y.dtype.kind in "biufO"
        assert not (numbers and all(cell in (0, 1) for cell in y.ravel().tolist()))
    else:
        assert y.dtype.kind in "biufO"
        np.testing.assert_array_equal(matrix, y.astype(float))


@pytest.mark.parametrize("name", SPARSE)
@quick
@given(data=st.data())
def test_sparse_arrays_say_the_same_as_dense_ones(name, data):
    shape = data.draw(shapes)
    n_cells = data.draw(st.integers(0, 6))
    # Places that come twice are added up, zeros may be kept.
    rows, columns = (
        data.draw(st.lists(st.integers(0, n - 1), min_size=n_cells, max_size=n_cells))
        for n in shape
    )
    values = st.sampled_from([0.0, 1.0, 1.0, math.nan, -1.0, 2.0])
    cells = data.draw(st.lists(values, min_size=n_cells, max_size=n_cells))
    coo = sparse.coo_array((cells, (rows, columns)), shape=shape)
    y = coo.asformat(name)
    expected, messages = [], []
    for matrix in (coo.toarray(), y):
        try:
            expected.append(encode_targets(matrix).with_nan())
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) in (0, 2)
    if messages:
        assert messages[0] == messages[1]
    else:
        np.testing.assert_array_equal(*expected)


# --- columns, rows, names -------------------------------------------------------------


@quick
@given(st.lists(st.text(max_size=6), min_size=1, max_size=5, unique=True), st.randoms())
@example(["a", "a\0", "A", "", " "], None)
def test_columns_keep_their_names_in_every_order(names, random):
    y = np.arange(3 * len(names)).reshape(3, -1) % 2
    frame = pd.DataFrame(y, columns=names)
    order = list(names)
    if random is not None:
        random.shuffle(order)
    targets, permuted = encode_targets(frame), encode_targets(frame[order])
    assert targets.names.tolist() == names
    assert permuted.names.tolist() == order
    places = [names.index(name) for name in order]
    np.testing.assert_array_equal(permuted.values, targets.values[:, places])


@quick
@given(st.lists(st.sampled_from(["a", "a\0", 1, "1", 1.0, None, "é"]), max_size=4))
def test_names_that_come_twice_are_refused(names):
    y = pd.DataFrame(np.zeros((2, len(names))), columns=pd.Index(names, dtype=object))
    texts = [str(name) for name in names]
    if not names:
        with pytest.raises(ValueError, match="no label columns"):
            encode_targets(y)
    elif len(set(texts)) < len(texts):
        with pytest.raises(ValueError, match="two columns called"):
            encode_targets(y)
    else:
        assert encode_targets(y).names.tolist() == texts


# --- one dimension --------------------------------------------------------------------

CLASSES = [
    *((0, 1), (1, 2), (-1, 1), (0.0, 1.0), (False, True), ("a", "b"), ("0", "1")),
    *(("", "\0b"), ("ж", "ф"), (np.uint8(0), np.uint8(255)), (0, 1, 2), ("a", 1)),
    *((0.5, 1.0), (math.nan, 1.0), (None, 1), (None, "a"), (math.inf, 0.0), (1j, 0)),
    *((b"a", b"b"), (pd.NA, 1), (10**400, 0), (True, "a"), (0,), ("a",)),
]


# Of scikit-learn before 1.7.
@pytest.mark.filterwarnings("ignore:Support for labels represented as bytes")
@settings(quick, max_examples=100)
@given(
    st.sampled_from(CLASSES).flatmap(
        lambda values: st.lists(st.sampled_from(values), min_size=1, max_size=5)
    ),
    st.sampled_from([list, np.array, pd.Series, lambda y: np.array(y, dtype=object)]),
)
def test_two_classes_are_told_apart_or_refused(y, convert):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas and NumPy, when they mix types
            given_y = convert(y)
    except (TypeError, ValueError, OverflowError):
        return  # not our doing
    try:
        targets = encode_targets(given_y)
    except (TypeError, ValueError) as error:
        assert re.search(
            r"\by\b|\btarget\b|label type|label representation|class|not supported",
            str(error),
        ), error
        plain = {type(value) for value in y} in ({int}, {str}, {bool})
        is_object = getattr(given_y, "dtype", np.dtype("i8")).kind == "O"
        assert not (plain and len(set(y)) == 2 and not is_object)
    else:
        low, high = targets.classes.tolist()
        assert {low, high} == set(np.asarray(given_y).tolist())
        assert low < high
        expected = [value == high for value in np.asarray(given_y).tolist()]
        assert targets.values[:, 0].tolist() == expected


@pytest.mark.parametrize(
    "y", [{"a": [0, 1], "b": [1, 0]}, {0, 1}, frozenset("ab"), b"\0\1", "01", 1.0]
)
def test_what_has_no_rows_is_refused(y):
    with pytest.raises(ValueError, match=f"^y is a (single )?{type(y).__name__}"):
        encode_targets(y)


# --- fits -----------------------------------------------------------------------------

TEXTS = ["the invoice", "a crash", "a note", "a meeting", "the payment", "an error"]


@pytest.fixture(scope="module")
def fit(tiny_bert):
    def fit(X, y):
        clf = TransformerMultiLabelClassifier(
            str(tiny_bert), max_length=8, max_epochs=1, device="cpu", random_state=0
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", CONSTANT_LABELS)
            return clf.fit(X, y)

    return fit


@settings(quick, max_examples=8)
@given(
    numpy_strategies.arrays(
        np.float64, (6, 3), elements=st.sampled_from([0.0, 1.0, math.nan])
    )
)
@example(np.full((6, 3), math.nan))
def test_a_fit_to_any_pattern_gives_probabilities(fit, y):
    clf = fit(TEXTS, y)
    proba = clf.predict_proba(TEXTS)
    assert proba.shape == (6, 3)
    assert ((proba > 0) & (proba < 1)).all()
    # The prior is the answer where there is nothing to learn.
    known, positives = (~np.isnan(y)).sum(axis=0), np.nansum(y, axis=0)
    constant = (positives == 0) | (positives == known)
    prior = (positives + 0.5) / (np.where(known == 0, 6, known) + 1)
    np.testing.assert_allclose(
        proba[:, constant], np.tile(prior[constant], (6, 1)), rtol=1e-5
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert 0 <= clf.score(TEXTS, y) <= 1 or np.isnan(y).all()


def test_answers_go_with_the_columns(fit):
    y = pd.DataFrame({"never": 0, "always": 1, "unknown": np.nan, "odd": [0, 1] * 3})
    clf, permuted = fit(TEXTS, y), fit(TEXTS, y[["unknown", "odd", "always", "never"]])
    order = [permuted.label_names_.tolist().index(name) for name in y.columns[:3]]
    np.testing.assert_allclose(
        permuted.predict_proba(TEXTS)[:, order],
        clf.predict_proba(TEXTS)[:, :3],
        rtol=1e-5,
    )


def test_rows_are_paired_by_their_place_whatever_their_index(fit):
    y = np.array([[0, 1], [1, 0]] * 3)
    clf = fit(TEXTS, y)
    X = pd.Series(TEXTS, index=[5, 4, 3, 2, 1, 0])
    expected = clf.predict_proba(TEXTS)
    for index in (range(6), [0] * 6, list("abcdef")):
        other = fit(X, pd.DataFrame(y, index=index))
        np.testing.assert_array_equal(other.predict_proba(X), expected)


@settings(quick, max_examples=20)
@given(st.integers(1, 5), st.integers(0, 7))
def test_another_number_of_labels_than_of_texts_is_refused(fit, n_texts, n_rows):
    y = np.tile([[0, 1]], (n_rows, 1))
    if n_texts == n_rows:
        return
    with pytest.raises(ValueError, match="0 rows|inconsistent numbers of samples"):
        fit(TEXTS[:n_texts], y)
