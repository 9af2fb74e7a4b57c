"""Every row of the tables of texts and labels in docs/data.rst, and no other."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy
import sklearn
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.utils.fixes import parse_version

from doc_tables import read_table
from skbert import (
    MultilabelStratifiedKFold,
    TransformerMultiLabelClassifier,
    multilabel_train_test_split,
)
from skbert.inputs.targets import CONSTANT_LABELS, encode_targets
from skbert.inputs.texts import check_texts

TEXTS = ["See the invoice.", "", "Über 😀", "See the crash.", "a crash", "a bill"]
Y = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 1]])
Y_NAN = np.where(np.arange(6)[:, np.newaxis] == 0, np.nan, Y)
NAMES = ["a", "b", "c"]
VECTOR = ["no", "yes", "yes", "no", "no", "yes"]


def read_only(values):
    array = np.array(values)
    array.flags.writeable = False
    return array


def mapped(values, folder):
    np.save(folder / "array.npy", np.array(values))
    return np.load(folder / "array.npy", mmap_mode="r")


def handed_on(texts):
    frame = pd.DataFrame({"id": range(len(texts)), "body": texts})
    pick = ColumnTransformer([("body", "passthrough", ["body"])])
    return pick.fit_transform(frame)


def as_texts(dtype):
    return lambda texts: pd.Series(texts, dtype=dtype)


def as_column(X):
    return np.array(X, dtype=object)[:, np.newaxis]


READ_TEXTS = {
    "list": list,
    "tuple": tuple,
    "NumPy array of ``object``": lambda X: np.array(X, dtype=object),
    "NumPy array of ``str``": np.array,
    "NumPy array of ``StringDType``": lambda X: np.array(X, np.dtypes.StringDType()),
    "NumPy array of shape (n, 1)": as_column,
    "read-only NumPy array": read_only,
    "memory-mapped NumPy array": None,  # needs a folder: see `converted`
    "pandas Series of ``object``": as_texts(object),
    "pandas Series of ``str``": as_texts("str"),
    "pandas Series of ``string``": as_texts("string"),
    "pandas Series of ``string[pyarrow]``": as_texts("string[pyarrow]"),
    "pandas Series of ``ArrowDtype``": as_texts(pd.ArrowDtype(pa.large_string())),
    "pandas Series of ``category``": as_texts("category"),
    "pandas Series whose index repeats": lambda X: pd.Series(X, index=[7] * len(X)),
    "pandas Index": pd.Index,
    "pandas DataFrame with one column": lambda X: pd.DataFrame({"body": X}),
    "what a ColumnTransformer hands on": handed_on,
    "polars Series of ``String``": pl.Series,
    "polars Series of ``Categorical``": lambda X: pl.Series(X, dtype=pl.Categorical),
    "polars Series of ``Enum``": lambda X: pl.Series(X, dtype=pl.Enum(sorted(X))),
    "polars DataFrame with one column": lambda X: pl.DataFrame({"body": X}),
    "pyarrow Array": pa.array,
    "pyarrow ChunkedArray": lambda X: pa.chunked_array([X[:2], X[2:]]),
    "pyarrow DictionaryArray": lambda X: pa.array(X).dictionary_encode(),
    "pyarrow Table with one column": lambda X: pa.table({"body": X}),
}

REFUSED_TEXTS = {
    "one ``str``": "a text",
    "an empty list": [],
    "``None`` in a list": ["a", None],
    "``NaN`` in a list": ["a", np.nan],
    "``pd.NA`` in a Series": pd.Series(["a", pd.NA], dtype="string"),
    "``NaN`` in a ``category``": pd.Series(["a", None], dtype="category"),
    "null in a polars Series": pl.Series(["a", None]),
    "null in a pyarrow Array": pa.array(["a", None]),
    "a masked entry of a NumPy array": np.ma.array(
        np.array(["a", "b"], dtype=object), mask=[False, True]
    ),
    "``bytes``": ["a", b"b"],
    "a number": ["a", 3],
    "a list of words": ["a", ["b", "c"]],
    "two columns of pandas": pd.DataFrame({"a": ["b"], "c": ["d"]}),
    "two columns of polars": pl.DataFrame({"a": ["b"], "c": ["d"]}),
    "two columns of pyarrow": pa.table({"a": ["b"], "c": ["d"]}),
    "a sparse matrix": sparse.csr_array([[1.0]]),
    "a generator": (text for text in TEXTS),
    "a polars LazyFrame": pl.LazyFrame({"body": TEXTS}),
}

# What goes in, and what the table's words say comes out.
CHARACTERS = {
    "the empty text": "",
    "white space and line breaks": " \t\r\n\u2028\u00a0",
    "the character NUL": "a\0b",
    "emoji with modifiers": "👩🏽\u200d🚀",
    "combining accents": "e\u0301\u0323",
    "text from right to left": "שלום مرحبا",
    "characters beyond 16 bits": "𝔘𠮷",
    "two halves of a pair of surrogates": "\ud83d\ude00",
    "one half of a pair of surrogates": "\ud83d",
}


def polars_frame(y):
    return pl.DataFrame(y, schema=NAMES)


def arrow_table(y):
    return pa.table({name: y[:, i] for i, name in enumerate(NAMES)})


def frame(dtype):
    return lambda y: pd.DataFrame(y, columns=NAMES).astype(dtype)


def mixed_frame(y):
    return pd.DataFrame({"a": y[:, 0], "b": y[:, 1] > 0, "c": y[:, 2].astype(float)})


def nullable(y):
    return frame("Float64")(y).mask(np.isnan(y)).astype("boolean")


def with_null(y):
    return {
        name: [None if np.isnan(cell) else bool(cell) for cell in y[:, i]]
        for i, name in enumerate(NAMES)
    }


# One function, or several for a row that stands for several dtypes.
READ_LABELS = {
    "NumPy array of ``bool``": lambda y: y.astype(bool),
    "NumPy array of signed integers, 8 to 64 bits": [
        lambda y, code=code: y.astype(code) for code in ("i1", "i2", "i4", "i8")
    ],
    "NumPy array of unsigned integers, 8 to 64 bits": [
        lambda y, code=code: y.astype(code) for code in ("u1", "u2", "u4", "u8")
    ],
    "NumPy array of floats, 16 to 128 bits": [
        lambda y, code=code: y.astype(code) for code in "efdg"
    ],
    "NumPy array of ``object``": lambda y: y.astype(object),
    "NumPy array in the order of Fortran": np.asfortranarray,
    "every second column of a NumPy array": lambda y: np.repeat(y, 2, axis=1)[:, ::2],
    "read-only NumPy array": read_only,
    "memory-mapped NumPy array": None,  # needs a folder: see `converted`
    "list of lists": lambda y: y.tolist(),
    "list of tuples": lambda y: [tuple(row) for row in y.tolist()],
    "pandas DataFrame of integers": frame("int64"),
    "pandas DataFrame of ``bool``": frame("bool"),
    "pandas DataFrame of ``Int64``": frame("Int64"),
    "pandas DataFrame of ``ArrowDtype``": frame(pd.ArrowDtype(pa.int8())),
    "pandas DataFrame of ``Sparse``": frame(pd.SparseDtype("int64")),
    "pandas DataFrame of mixed dtypes": mixed_frame,
    "polars DataFrame of integers": polars_frame,
    "polars DataFrame of ``Boolean``": lambda y: polars_frame(y.astype(bool)),
    "pyarrow Table": arrow_table,
    "sparse array in BSR format": sparse.bsr_array,
    "sparse array in COO format": sparse.coo_array,
    "sparse array in CSC format": sparse.csc_array,
    "sparse array in CSR format": sparse.csr_array,
    "sparse array in DIA format": sparse.dia_array,
    "sparse array in DOK format": sparse.dok_array,
    "sparse array in LIL format": sparse.lil_array,
    "sparse matrix in CSR format": sparse.csr_matrix,
    "sparse array of ``bool``": lambda y: sparse.csr_array(y.astype(bool)),
    "``NaN`` in a NumPy array": np.array,
    "``NaN`` in a sparse array": sparse.csr_array,
    "``None`` in a NumPy array": lambda y: np.where(np.isnan(y), None, y),
    "masked cells of a NumPy array": lambda y: np.ma.array(
        np.nan_to_num(y).astype(int), mask=np.isnan(y)
    ),
    "``pd.NA`` in a DataFrame of ``boolean``": nullable,
    "null in a polars DataFrame": lambda y: pl.DataFrame(with_null(y)),
    "null in a pyarrow Table": lambda y: pa.table(with_null(y)),
}

READ_VECTORS = {
    "list of ``str``": list,
    "NumPy array of integers": lambda y: (np.array(y) == "yes").astype(int),
    "NumPy array of ``bool``": lambda y: np.array(y) == "yes",
    "NumPy array of ``StringDType``": lambda y: np.array(y, np.dtypes.StringDType()),
    "pandas Series of ``category``": as_texts("category"),
    "pandas Series of ``string[pyarrow]``": as_texts("string[pyarrow]"),
    "polars Series": pl.Series,
    "pyarrow Array": pa.array,
    "sparse array of one dimension": lambda y: sparse.coo_array(np.array(y) == "yes"),
}

REFUSED_LABELS = {
    "nothing": None,
    "a 2 among the cells": [[0], [2]],
    "a 2 in a sparse array": sparse.csr_array([[0], [2]]),
    "a 2 in a polars DataFrame": pl.DataFrame({"a": [0, 2]}),
    "names of labels in the cells": pd.DataFrame({"a": ["joy", "anger"]}),
    "lists of names of labels": [["joy"], ["joy", "anger"]],
    "polars Series of lists": pl.Series([["joy"], ["joy", "anger"]]),
    "two columns of one name": pd.DataFrame([[0, 1]], columns=["a", "a"]),
    "a dictionary of columns": {"a": [0, 1], "b": [1, 0]},
    "three classes in one dimension": [0, 1, 2],
    "one class in one dimension": ["a", "a"],
    "``NaN`` in one dimension": [0, 1, np.nan],
    "numbers that are no classes": [0.1, 0.2, 0.3],
    "three dimensions": np.zeros((2, 2, 2)),
    "no rows": np.zeros((0, 2)),
    "no columns": np.zeros((2, 0)),
    "a polars LazyFrame": pl.LazyFrame({"a": [0, 1]}),
}


# Rows that ask for more than the oldest versions that skbert works with.
NEEDS = {
    "StringDType": (np, "2.0"),
    "sparse array of one dimension": (scipy, "1.13"),
    "folds of pyarrow": (sklearn, "1.7"),
}


def skip_where_older(row):
    for words, (package, version) in NEEDS.items():
        if words in row and parse_version(package.__version__) < parse_version(version):
            pytest.skip(f"needs {package.__name__} {version}")


def converted(convert, data, tmp_path):
    return mapped(data, tmp_path) if convert is None else convert(data)


def refusal(cell):
    """Turn a cell such as "``ValueError``: why" into the error and its pattern."""
    name, why = re.fullmatch(r"``(\w+)``: (.+)", cell).groups()
    return {"TypeError": TypeError, "ValueError": ValueError}[name], re.escape(why)


@pytest.fixture(scope="module")
def fit(quick_settings):
    def fit(X, y, **changes):
        clf = TransformerMultiLabelClassifier(**(quick_settings | changes))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", CONSTANT_LABELS)
            return clf.fit(X, y)

    return fit


@pytest.fixture(scope="module")
def fitted(fit):
    return fit(TEXTS, Y)


@pytest.fixture(scope="module")
def fitted_in_part(fit):
    return fit(TEXTS, Y_NAN)


@pytest.mark.parametrize(
    ("title", "tests"),
    [
        ("Texts that are read", READ_TEXTS),
        ("Texts that are refused", REFUSED_TEXTS),
        ("Characters", CHARACTERS),
        ("Labels that are read", READ_LABELS),
        ("One dimension", READ_VECTORS),
        ("Labels that are refused", REFUSED_LABELS),
    ],
)
def test_the_page_has_the_rows_that_are_tested(title, tests):
    assert list(read_table("data.rst", title)) == list(tests)


@pytest.mark.parametrize("row", READ_TEXTS)
def test_texts_are_read_from(row, fitted, tmp_path):
    assert read_table("data.rst", "Texts that are read")[row] == ["its texts"]
    skip_where_older(row)
    X = converted(READ_TEXTS[row], TEXTS, tmp_path)
    texts = check_texts(X)
    assert texts == TEXTS
    assert {type(text) for text in texts} == {str}
    expected = fitted.predict_proba(TEXTS)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    np.testing.assert_array_equal(list(fitted.iter_predict_proba(X)), expected)


@pytest.mark.parametrize("row", REFUSED_TEXTS)
def test_no_texts_are_made_of(row, fitted):
    (cell,) = read_table("data.rst", "Texts that are refused")[row]
    error, why = refusal(cell)
    with pytest.raises(error, match=why):
        fitted.predict(REFUSED_TEXTS[row])


@pytest.mark.parametrize("row", CHARACTERS)
def test_what_a_tokenizer_gets_is(row, fitted):
    (cell,) = read_table("data.rst", "Characters")[row]
    text = CHARACTERS[row]
    outcomes = {"the same text": text, "the character": "😀", "U+FFFD": "\ufffd"}
    assert check_texts([text]) == [outcomes[cell]]
    assert fitted.predict([text]).shape == (1, 3)


@pytest.mark.parametrize("row", READ_LABELS)
def test_labels_are_read_from(row, fit, fitted, fitted_in_part, tmp_path):
    outcome, names = read_table("data.rst", "Labels that are read")[row]
    y, expected = {
        "its labels": (Y, fitted),
        "unknown in row 0": (Y_NAN, fitted_in_part),
    }[outcome]
    expected_names = {"made up": [f"label_{i}" for i in range(3)], "its columns": NAMES}
    conversions = READ_LABELS[row]
    if not isinstance(conversions, list):
        conversions = [conversions]
    for convert in conversions:
        labels = converted(convert, y, tmp_path)
        np.testing.assert_array_equal(encode_targets(labels).with_nan(), y)
        clf = fit(TEXTS, labels)
        assert clf.label_names_.tolist() == expected_names[names]
        proba = clf.predict_proba(TEXTS)
        np.testing.assert_array_equal(proba, expected.predict_proba(TEXTS))
        assert type(proba) is np.ndarray
        assert (proba.dtype, proba.shape) == (np.float64, Y.shape)
        assert clf.predict(TEXTS).dtype == np.int64


@pytest.mark.parametrize("row", READ_VECTORS)
def test_two_classes_are_read_from(row, fit):
    assert read_table("data.rst", "One dimension")[row] == ["two classes"]
    skip_where_older(row)
    y = READ_VECTORS[row](VECTOR)
    clf = fit(TEXTS, y)
    expected = fit(TEXTS, VECTOR)
    assert clf.classes_.tolist() in (["no", "yes"], [0, 1])
    np.testing.assert_array_equal(
        clf.predict_proba(TEXTS), expected.predict_proba(TEXTS)
    )
    assert clf.predict(TEXTS).shape == (6,)
    assert clf.score(TEXTS, y) == expected.score(TEXTS, VECTOR)


@pytest.mark.parametrize("row", REFUSED_LABELS)
def test_no_labels_are_made_of(row, fit):
    (cell,) = read_table("data.rst", "Labels that are refused")[row]
    error, why = refusal(cell)
    y = REFUSED_LABELS[row]
    n_rows = 2 if y is None or not hasattr(y, "shape") else max(1, y.shape[0])
    with pytest.raises(error, match=why):
        fit(TEXTS[:n_rows], y)


# --- with the rest of the package -----------------------------------------------------

TABLES = {
    "polars Series": (pl.Series, polars_frame),
    "polars frames": (lambda X: pl.DataFrame({"body": X}), polars_frame),
    "pyarrow Array": (pa.array, arrow_table),
    "pyarrow frames": (lambda X: pa.table({"body": X}), arrow_table),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_split_keeps_the_type_of(kind):
    texts, labels = TABLES[kind]
    X, y = texts(TEXTS), labels(Y)
    parts = multilabel_train_test_split(X, y, test_size=2, random_state=0)
    assert [type(part) for part in parts] == [type(X)] * 2 + [type(y)] * 2
    expected = multilabel_train_test_split(TEXTS, Y, test_size=2, random_state=0)
    assert [check_texts(part) for part in parts[:2]] == expected[:2]
    for part, rows in zip(parts[2:], expected[2:], strict=True):
        np.testing.assert_array_equal(encode_targets(part).values, rows)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("folds", [KFold(2), MultilabelStratifiedKFold(2)])
def test_folds_are_made_of(kind, folds, quick_settings):
    skip_where_older(f"folds of {kind}")
    texts, labels = TABLES[kind]
    clf = TransformerMultiLabelClassifier(**quick_settings)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", CONSTANT_LABELS)
        proba, expected = (
            cross_val_predict(clf, X, y, cv=folds, method="predict_proba")
            for X, y in ((texts(TEXTS), labels(Y)), (TEXTS, Y))
        )
    np.testing.assert_array_equal(proba, expected)
