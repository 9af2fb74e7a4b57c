import math

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from skbert.model_selection import (
    MultilabelStratifiedKFold,
    multilabel_train_test_split,
)


def _labels(n_samples=400, n_labels=12, seed=0):
    """Labels of all frequencies, correlated through what a row has in common."""
    rng = np.random.RandomState(seed)
    frequency = np.linspace(-3, 1, n_labels)
    common = rng.normal(size=(n_samples, 1))
    own = rng.normal(size=(n_samples, n_labels))
    return (common + own < frequency).astype(int)


def _texts(n_samples):
    return [f"text {i}" for i in range(n_samples)]


def _tests(splitter, y):
    return [test.tolist() for _, test in splitter.split(_texts(len(y)), y)]


def _global_state():
    name, keys, position, *_ = np.random.get_state()  # noqa: NPY002
    return keys.tolist(), position


# --- MultilabelStratifiedKFold --------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("n_samples", "n_labels", "n_splits"),
    [(400, 12, 5), (1001, 30, 10), (10, 3, 5), (10, 4, 10), (7, 1, 2), (3, 2, 2)],
)
def test_folds_partition_the_rows_in_equal_sizes(
    n_samples, n_labels, n_splits, shuffle
):
    y = _labels(n_samples, n_labels)
    splitter = MultilabelStratifiedKFold(
        n_splits, shuffle=shuffle, random_state=0 if shuffle else None
    )

    splits = list(splitter.split(_texts(n_samples), y))

    assert len(splits) == splitter.get_n_splits() == n_splits
    rows = np.concatenate([test for _, test in splits])
    assert sorted(rows) == list(range(n_samples))
    sizes = [len(test) for _, test in splits]
    assert max(sizes) - min(sizes) <= 1
    for train, test in splits:
        assert sorted([*train, *test]) == list(range(n_samples))
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_every_label_is_spread_over_the_folds(seed):
    y = _labels(500, 12, seed)
    folds = _tests(MultilabelStratifiedKFold(5), y)

    counts = np.array([y[fold].sum(axis=0) for fold in folds])

    assert np.abs(counts - y.sum(axis=0) / 5).max() <= 2.5
    plain = _tests(KFold(5), y)
    plain_counts = np.array([y[fold].sum(axis=0) for fold in plain])
    assert counts.std(axis=0).mean() < 0.5 * plain_counts.std(axis=0).mean()


@pytest.mark.parametrize("positives", [1, 3, 17, 83, 99])
def test_one_label_is_stratified_exactly(positives):
    y = np.zeros((100, 1), dtype=int)
    y[:positives] = 1

    counts = [y[fold].sum() for fold in _tests(MultilabelStratifiedKFold(5), y)]

    assert sum(counts) == positives
    assert max(counts) - min(counts) <= 1


def test_binary_vectors_are_stratified():
    y = np.array(["ham"] * 40 + ["spam"] * 10)

    folds = _tests(MultilabelStratifiedKFold(5), y)

    assert [(y[fold] == "spam").sum() for fold in folds] == [2] * 5


def test_rare_labels_and_empty_labels():
    y = np.zeros((10, 3), dtype=int)
    assert [len(fold) for fold in _tests(MultilabelStratifiedKFold(3), y)] == [4, 3, 3]

    y[4, 0] = 1
    y[:, 2] = 1
    folds = _tests(MultilabelStratifiedKFold(3), y)
    assert sorted(y[fold, 0].sum() for fold in folds) == [0, 0, 1]


def test_unknown_labels_are_spread_like_known_ones():
    rng = np.random.RandomState(0)
    y = _labels(300, 3).astype(float)
    y[:, 1] = np.where(rng.uniform(size=300) < 0.3, np.nan, y[:, 1])
    y[:, 2] = np.where(rng.uniform(size=300) < 0.8, np.nan, y[:, 2])

    folds = _tests(MultilabelStratifiedKFold(5), y)

    for state in (y == 1, y == 0, np.isnan(y)):
        counts = np.array([state[fold].sum(axis=0) for fold in folds])
        assert np.abs(counts - state.sum(axis=0) / 5).max() <= 2


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: y.astype(bool),
        lambda y: y.astype(float),
        lambda y: y.tolist(),
        pd.DataFrame,
        sparse.csr_matrix,
        sparse.coo_array,
    ],
    ids=["bool", "float", "list", "frame", "csr", "coo"],
)
def test_folds_do_not_depend_on_the_container(convert):
    y = _labels(60, 4)
    splitter = MultilabelStratifiedKFold(3)
    expected = _tests(splitter, y)

    given = [test.tolist() for _, test in splitter.split(_texts(60), convert(y))]

    assert given == expected


def test_folds_without_shuffling_are_repeatable():
    y = _labels()

    assert _tests(MultilabelStratifiedKFold(), y) == _tests(
        MultilabelStratifiedKFold(), y
    )


def test_folds_with_shuffling_follow_the_seed():
    y = _labels()

    def folds(random_state):
        return _tests(
            MultilabelStratifiedKFold(shuffle=True, random_state=random_state), y
        )

    assert folds(0) == folds(0)
    assert folds(0) != folds(1)
    assert folds(None) != folds(None)
    state = np.random.RandomState(0)
    assert folds(state) == folds(0)
    assert folds(state) != folds(0)


@pytest.mark.parametrize(
    "splitter",
    [
        MultilabelStratifiedKFold(3),
        MultilabelStratifiedKFold(3, shuffle=True),
        MultilabelStratifiedKFold(3, shuffle=True, random_state=0),
    ],
    ids=repr,
)
def test_folds_leave_the_global_random_state(splitter):
    before = _global_state()
    _tests(splitter, _labels())
    assert _global_state() == before


def test_splitter_looks_like_one_of_scikit_learn():
    splitter = MultilabelStratifiedKFold(3, shuffle=True, random_state=7)

    assert repr(splitter) == (
        "MultilabelStratifiedKFold(n_splits=3, random_state=7, shuffle=True)"
    )
    assert MultilabelStratifiedKFold().get_n_splits("X", "y", "groups") == 5


def test_splitter_works_in_scikit_learn():
    rng = np.random.RandomState(0)
    words = np.array(["apple", "boat", "cloud"])
    y = rng.uniform(size=(60, 3)) < 0.4
    X = [" ".join(["and", *words[row]]) for row in y]
    y = pd.DataFrame(y.astype(int), columns=words)
    estimator = make_pipeline(
        TfidfVectorizer(), OneVsRestClassifier(LogisticRegression(C=100))
    )
    splitter = MultilabelStratifiedKFold(3, shuffle=True, random_state=0)

    scores = cross_val_score(estimator, X, y, cv=splitter, scoring="f1_micro")
    predicted = cross_val_predict(estimator, X, y, cv=splitter)
    grid = {"onevsrestclassifier__estimator__C": [0.001, 100]}
    search = clone(GridSearchCV(estimator, grid, cv=splitter, scoring="f1_micro"))
    search.fit(X, y)

    assert scores.shape == (3,) and scores.min() > 0.9
    assert predicted.shape == (60, 3)
    assert search.cv.random_state == 0 and search.n_splits_ == 3
    assert search.best_params_ == {"onevsrestclassifier__estimator__C": 100}


def test_groups_are_ignored_with_a_warning():
    y = _labels(20, 2)
    splitter = MultilabelStratifiedKFold(2)

    with pytest.warns(UserWarning, match="groups parameter is ignored"):
        splits = list(splitter.split(_texts(20), y, groups=np.arange(20)))

    assert [test.tolist() for _, test in splits] == _tests(splitter, y)


@pytest.mark.parametrize("n_splits", [1, 0, -2, 2.0, "5", None, True])
def test_n_splits_is_checked(n_splits):
    with pytest.raises(ValueError, match="n_splits must be an integer of at least 2"):
        MultilabelStratifiedKFold(n_splits)


def test_other_parameters_are_checked():
    with pytest.raises(ValueError, match="no effect when shuffle=False.*shuffle=True"):
        MultilabelStratifiedKFold(random_state=0)
    with pytest.raises(TypeError, match="shuffle must be True or False; got 1"):
        MultilabelStratifiedKFold(shuffle=1)


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        (_texts(10), _labels(9, 2), ValueError, "X has 10 rows but y has 9"),
        (_texts(4), _labels(4, 2), ValueError, "n_splits=5 is more than .* rows, 4"),
        (_texts(4), None, ValueError, "requires y to be passed"),
        (_texts(3), [["a"], ["b"], ["a"]], ValueError, "MultiLabelBinarizer"),
        ("a text", _labels(6, 2), TypeError, "X must be a list.*got str"),
        (None, _labels(6, 2), TypeError, "X must be a list.*got NoneType"),
    ],
)
def test_split_checks_its_input(X, y, error, message):
    with pytest.raises(error, match=message):
        next(MultilabelStratifiedKFold(5).split(X, y))


# --- multilabel_train_test_split ------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n_samples", [10, 57, 100, 1144])
@pytest.mark.parametrize("test_size", [0.07, 0.1, 0.25, 0.5, 0.9, 1, 9])
def test_sizes_are_those_of_scikit_learn(n_samples, test_size, shuffle):
    y = _labels(n_samples, 5)
    expected = train_test_split(y, test_size=test_size)

    parts = multilabel_train_test_split(
        y, test_size=test_size, shuffle=shuffle, random_state=0
    )

    assert [len(part) for part in parts] == [len(part) for part in expected]


def test_default_test_size_is_a_quarter():
    assert [len(part) for part in multilabel_train_test_split(_labels(40, 2))] == [
        30,
        10,
    ]


@pytest.mark.parametrize("shuffle", [False, True])
def test_three_parts_of_1144_rows_are_those_of_the_notebook(shuffle):
    X, y = _texts(1144), _labels(1144, 25)

    parts = multilabel_train_test_split(
        X, y, validation_size=0.1, test_size=0.1, shuffle=shuffle, random_state=0
    )

    assert [len(part) for part in parts] == [915, 114, 115] * 2


@pytest.mark.parametrize("n_samples", [20, 23, 57, 1000])
@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.25, 0.05), (0.3, 0.3)])
def test_three_sizes_are_those_of_two_splits(n_samples, validation, test):
    y = _labels(n_samples, 3)
    both = round(validation + test, 10)
    train, held_out = train_test_split(y, test_size=both)
    n_test = math.ceil(round(len(held_out) * test / both, 10))

    parts = multilabel_train_test_split(
        y, validation_size=validation, test_size=test, random_state=0
    )

    expected = [len(train), len(held_out) - n_test, n_test]
    assert [len(part) for part in parts] == expected


@pytest.mark.parametrize(
    ("validation", "test", "expected"),
    [(5, 7, [18, 5, 7]), (0.1, 7, [20, 3, 7]), (5, 0.11, [21, 5, 4])],
)
def test_sizes_in_rows(validation, test, expected):
    parts = multilabel_train_test_split(
        _labels(30, 3), validation_size=validation, test_size=test, random_state=0
    )

    assert [len(part) for part in parts] == expected


def test_in_order_split_is_in_order_and_takes_any_y():
    X, y = _texts(10), [["label"], [], [], [], [], [], [], [], [], ["names"]]

    parts = multilabel_train_test_split(
        X, y, validation_size=2, test_size=3, shuffle=False, random_state=0
    )

    assert parts == [X[:5], X[5:7], X[7:], y[:5], y[5:7], y[7:]]


@pytest.mark.parametrize("seed", range(5))
def test_every_label_is_spread_over_the_parts(seed):
    y = _labels(500, 12, seed)

    train, validation, test = multilabel_train_test_split(
        y, validation_size=0.2, test_size=0.1, random_state=seed
    )

    for part, share in ((train, 0.7), (validation, 0.2), (test, 0.1)):
        assert np.abs(part.sum(axis=0) - share * y.sum(axis=0)).max() <= 3
        assert part[:, y.sum(axis=0) >= 20].any(axis=0).all()


def test_arrays_keep_their_type_and_their_rows():
    n = 30
    y = pd.DataFrame(_labels(n, 3), columns=list("abc"), index=np.arange(n) + 100)
    number = np.arange(n)
    arrays = {
        list: number.tolist(),
        tuple: tuple(number.tolist()),
        pd.Series: pd.Series(number, index=y.index),
        np.ndarray: number,
        sparse.csr_array: sparse.coo_array(number[:, np.newaxis]),
        pd.DataFrame: y,
    }

    parts = multilabel_train_test_split(*arrays.values(), random_state=0)

    assert len(parts) == 2 * len(arrays)
    for side in (0, 1):
        items, texts, series, array, matrix, labels = parts[side::2]
        for kind, part in zip(arrays, parts[side::2], strict=True):
            assert type(part) is kind
        assert items == list(texts) == series.tolist() == array.tolist()
        assert matrix.toarray()[:, 0].tolist() == items
        pd.testing.assert_frame_equal(labels, y.iloc[items])
        assert series.index.equals(labels.index)
    assert sorted(parts[0] + parts[1]) == number.tolist()


def test_rows_of_the_parts_are_shuffled():
    rows, _, _, _ = multilabel_train_test_split(
        np.arange(200), _labels(200, 3), random_state=0
    )

    assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.3


def test_split_follows_the_seed_and_leaves_the_global_random_state():
    y = _labels(100, 3)
    before = _global_state()

    def rows(random_state):
        parts = multilabel_train_test_split(
            np.arange(100), y, random_state=random_state
        )
        return parts[0].tolist()

    assert rows(0) == rows(0) == rows(np.random.RandomState(0))
    assert rows(0) != rows(1)
    assert rows(None) != rows(None)
    assert _global_state() == before


@pytest.mark.parametrize(
    "y",
    [
        np.zeros((10, 3)),
        np.ones((10, 1)),
        np.full((10, 2), np.nan),
        np.eye(10, 2),
        np.array([0] * 9 + [1]),
        sparse.csr_array(np.eye(10)),
    ],
    ids=["zeros", "ones", "unknown", "one positive", "binary", "identity"],
)
def test_few_rows_and_rare_labels(y):
    train, validation, test, *_ = multilabel_train_test_split(
        np.arange(10), y, validation_size=0.1, test_size=0.2, random_state=0
    )

    assert (len(train), len(validation), len(test)) == (7, 1, 2)
    assert sorted([*train, *validation, *test]) == list(range(10))


@pytest.mark.parametrize(
    ("arrays", "arguments", "error", "message"),
    [
        ([], {}, ValueError, "Nothing to split"),
        (
            [_texts(10), _labels(9, 2)],
            {},
            ValueError,
            "array 0 has 10 rows but y, the last array, has 9",
        ),
        (
            [_texts(9), _texts(8), _labels(9, 2)],
            {},
            ValueError,
            "array 0 has 9 rows but array 1 has 8",
        ),
        (["a text", _labels(6, 2)], {}, TypeError, "array 0 must be a list.*got str"),
        ([None, _labels(6, 2)], {}, TypeError, "array 0 must be .*got NoneType"),
        ([np.array(3), _labels(6, 2)], {}, TypeError, "array 0 must be .*got ndarray"),
        ([_texts(3), ["a", "b", "c"]], {}, ValueError, "3 classes"),
        ([_labels(9, 2)], {"test_size": 0.0}, ValueError, "test_size must be a share"),
        ([_labels(9, 2)], {"test_size": 1.0}, ValueError, "got 1.0"),
        ([_labels(9, 2)], {"test_size": 9}, ValueError, "an int from 1 to 8; got 9"),
        ([_labels(9, 2)], {"test_size": 0}, ValueError, "got 0"),
        ([_labels(9, 2)], {"test_size": True}, ValueError, "got True"),
        ([_labels(9, 2)], {"test_size": "0.1"}, ValueError, "got '0.1'"),
        ([_labels(9, 2)], {"test_size": None}, ValueError, "got None"),
        ([_labels(9, 2)], {"test_size": np.nan}, ValueError, "got nan"),
        ([_labels(9, 2)], {"validation_size": 1.5}, ValueError, "validation_size must"),
        (
            [_labels(2, 2)],
            {"test_size": 0.9},
            ValueError,
            "With 2 rows, test_size=0.9 .* the train part would be empty",
        ),
        (
            [_labels(10, 2)],
            {"test_size": 0.01, "validation_size": 0.01},
            ValueError,
            "validation_size=0.01, the validation part would be empty",
        ),
        (
            [_labels(10, 2)],
            {"test_size": 5, "validation_size": 5},
            ValueError,
            "the train part would be empty",
        ),
        (
            [_labels(10, 2)],
            {"test_size": 0.8, "validation_size": 0.8},
            ValueError,
            "the train part would be empty",
        ),
    ],
)
def test_split_errors_say_what_is_wrong(arrays, arguments, error, message):
    with pytest.raises(error, match=message):
        multilabel_train_test_split(*arrays, **arguments)
