import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from scipy.special import expit

from skbert.inputs.targets import encode_targets, warn_of_constant_labels

Y = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        lambda y: y.astype(bool),
        lambda y: y.astype(np.float16),
        lambda y: y.astype(object),
        memoryview,
        lambda y: y.tolist(),
        lambda y: [tuple(row) for row in y.tolist()],
        pd.DataFrame,
        lambda y: pd.DataFrame(y).astype("Int64"),
        lambda y: pd.DataFrame(y.astype(bool)),
        sparse.csr_matrix,
        sparse.coo_array,
        sparse.lil_array,
    ],
)
def test_every_form_of_a_label_matrix_is_read(convert):
    targets = encode_targets(convert(Y))
    np.testing.assert_array_equal(targets.values, Y)
    assert targets.values.dtype == np.float32
    assert targets.known.all()
    assert (len(targets), targets.n_labels) == (4, 3)
    assert targets.classes is None


@pytest.mark.parametrize(
    "y",
    [
        np.where(Y == 1, np.nan, Y),
        pd.DataFrame(Y).astype("Int64").mask(Y == 1),
        pd.DataFrame(Y).astype("boolean").mask(Y == 1),
        np.where(Y == 1, None, Y).astype(object),
        np.where(Y == 1, np.nan, Y).tolist(),
    ],
)
def test_unknown_cells_are_known_as_such(y):
    targets = encode_targets(y)
    np.testing.assert_array_equal(targets.known, Y == 0)
    assert not targets.values.any()
    np.testing.assert_array_equal(targets.with_nan(), np.where(Y == 1, np.nan, 0))


def test_labels_are_counted():
    y = Y.astype(float)
    y[3, 0] = np.nan
    y[:, 1] = np.nan
    targets = encode_targets(y)
    assert targets.positives.tolist() == [2, 0, 2]
    assert targets.support.tolist() == [3, 0, 4]
    assert targets.constant.tolist() == [False, True, False]
    priors = expit(targets.prior_logits())
    np.testing.assert_allclose(priors, [2 / 3, 0.5 / 5, 2 / 4])


def test_priors_count_rows_by_their_weight():
    weight = np.array([3.0, 1.0, 4.0, 2.0])
    weighted = encode_targets(Y).prior_logits(weight)
    repeated = encode_targets(np.repeat(Y, weight.astype(int), axis=0)).prior_logits()
    np.testing.assert_allclose(weighted, repeated)
    np.testing.assert_allclose(expit(weighted), [0.7, 0.4, 0.4])


@pytest.fixture
def with_constant_labels():
    """Targets of 3 labels to learn, one never, one always there and one unknown."""
    y = np.column_stack([Y, np.zeros(4), np.ones(4), np.full(4, np.nan)])
    y[0, 4] = np.nan
    return encode_targets(y)


@pytest.mark.parametrize("weight", [1e-320, 1e-30, 1e-3, 1.0, 0.1 + 0.2, 1e30, 1e308])
def test_priors_of_constant_weights_are_those_without_weights(
    with_constant_labels, weight
):
    without = with_constant_labels.prior_logits()
    np.testing.assert_array_equal(
        with_constant_labels.prior_logits(np.full(4, weight)), without
    )
    np.testing.assert_allclose(expit(without[3:]), [0.5 / 5, 3.5 / 4, 0.5 / 5])


@pytest.mark.parametrize("factor", [1e-300, 1e-3, 7.0, 1e300])
def test_priors_do_not_depend_on_the_scale_of_the_weights(with_constant_labels, factor):
    weight = np.array([3.0, 1.0, 4.0, 2.0])
    np.testing.assert_allclose(
        with_constant_labels.prior_logits(weight * factor),
        with_constant_labels.prior_logits(weight),
        rtol=1e-12,
    )


def test_names_come_from_the_columns_or_are_made_up():
    frame = pd.DataFrame(Y, columns=["a", "é b", 3])
    assert encode_targets(frame).names.tolist() == ["a", "é b", "3"]
    assert encode_targets(Y).names.tolist() == ["label_0", "label_1", "label_2"]
    assert encode_targets(["no", "yes"]).names.tolist() == ["yes"]


def test_rows_are_taken_with_their_names():
    targets = encode_targets(pd.DataFrame(Y, columns=list("abc")))
    part = targets.take(np.array([2, 0]))
    np.testing.assert_array_equal(part.values, Y[[2, 0]])
    assert part.names.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 1],
        ["a", "b", "b"],
        np.array([True, False]),
        pd.Series(["a", "b"], index=[5, 5]),
        pd.Series(["a", "b"], dtype="category"),
        np.array([1.0, 2.0]),
    ],
)
def test_one_dimension_has_two_classes(y):
    targets = encode_targets(y)
    assert targets.values.shape == (len(y), 1)
    assert targets.classes.tolist() == sorted(set(y))
    expected = np.asarray(y) == targets.classes[1]
    np.testing.assert_array_equal(targets.values[:, 0], expected)


def test_given_classes_need_not_all_occur():
    targets = encode_targets(["b", "b"], classes=np.array(["a", "b"]))
    assert targets.values.ravel().tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"holds the class c; expected \['a', 'b'\]"):
        encode_targets(["c"], classes=np.array(["a", "b"]))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ([[0, 1], [2, 0]], "row 1, column 0 is 2"),
        ([[0, -1]], "row 0, column 1 is -1"),
        ([[0, 0.5]], r"row 0, column 1 is 0\.5"),
        ([[0, np.inf]], "row 0, column 1 is inf"),
        (pd.DataFrame({"a": [0, 3]}), "row 1, column 'a' is 3"),
        (pd.DataFrame({"a": [0, "x"]}), "row 1, column 'a' is 'x' .str."),
        (np.array([[0, "x"]], dtype=object), "row 0, column 1 is 'x'"),
        (np.array([["1", "0"]], dtype=object), "row 0, column 0 is '1'"),
        (pd.DataFrame({"a": ["1", "nan"]}), "row 0, column 'a' is '1'"),
        (np.array([["x", "0"]], dtype=object), "Label names must.*MultiLabelBinarizer"),
        ([["1", "3"], ["0", "2"]], "y holds lists of label names. Turn them into"),
        (np.array([[1j]]), "row 0, column 0 is 1j"),
        (np.zeros((0, 3)), "0 rows"),
        (np.zeros((3, 0)), "no label columns"),
        ([], "0 rows"),
        (np.zeros((2, 2, 2)), "Unknown label type: y has 3 dimensions"),
        ([["a", "b"], ["a"]], "MultiLabelBinarizer"),
        ([["a", "b"], ["a", "c"]], "MultiLabelBinarizer"),
        ([{"a"}, {"b"}], "MultiLabelBinarizer"),
        (pd.Series([["a"], ["b", "c"]]), "MultiLabelBinarizer"),
        ([0, 1, 2], "Only binary classification.*multiclass with 3 classes"),
        ([1, 1, 1], "only 1 class"),
        ([0.1, 0.2, 0.7], "Unknown label type: continuous"),
        ([0.0, np.nan], r"Input y contains NaN \(row 1\)"),
        (pd.array([0, None], dtype="Int64"), r"Input y contains NaN \(row 1\)"),
        ([0.0, np.inf], "Input y contains infinity.*row 1"),
        (pd.DataFrame([[0, 1]], columns=["a", "a"]), "two columns called 'a'"),
        (3, "single int"),
        (pl.LazyFrame({"a": [0, 1]}), "y is a LazyFrame.*pass y.collect()"),
        ("spam", "single str"),
        ({"a": [0, 1]}, r"y is a dict.*Pass a table of its columns, pd\.DataFrame"),
        (np.array([[10**400]], dtype=object), "row 0, column 0 is inf"),
        (np.array([[np.timedelta64(1, "s")]], dtype=object), "row 0, column 0 is date"),
    ],
)
def test_anything_else_is_refused_by_name(y, message):
    with pytest.raises(ValueError, match=message):
        encode_targets(y)


PAIRS = np.array([(0, 1), (1, 0)], dtype=[("a", int), ("b", int)])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.ones(2, 2, requires_grad=True), "y is a Tensor that NumPy cannot read"),
        (torch.ones(2, 2, dtype=torch.bfloat16), "BFloat16.*Pass a dense array, a li"),
        (torch.ones(2, 2).to_sparse(), "y is a Tensor that NumPy cannot read"),
        ([torch.ones(2, requires_grad=True)] * 2, "y is a list that NumPy cannot"),
        (PAIRS, r"structured array with the fields a, b\. Pass a table of its columns"),
        (PAIRS.view(np.recarray), "structured array with the fields a, b"),
    ],
)
def test_what_is_no_array_of_numbers_is_a_type_error(y, message):
    with pytest.raises(TypeError, match=message):
        encode_targets(y)


@pytest.mark.parametrize(
    ("no", "yes", "how"),
    [
        ("0", "1", "y.astype(float)"),
        ("0.0", "1.0", "y.astype(float)"),
        ("False", "True", "y == 'True'"),
        ("no", "yes", "y == 'yes'"),
        ("NO", "YES", "y == 'YES'"),
    ],
)
def test_texts_that_say_yes_or_no_need_no_binarizer(no, yes, how):
    table = pd.DataFrame({"a": [no, yes], "b": [yes, yes]})
    for y in (table, table.astype("string"), table.to_numpy(str), [[yes], [no]]):
        with pytest.raises(ValueError, match="Unknown label type") as raised:
            encode_targets(y)
        assert f"It is a text, and no number or bool: pass {how}" in str(raised.value)
        assert "MultiLabelBinarizer" not in str(raised.value)
    targets = encode_targets(eval(how, {"y": table}))
    np.testing.assert_array_equal(targets.values, [[0, 1], [1, 1]])


def test_the_advice_for_texts_says_what_becomes_of_missing_cells():
    y = pd.DataFrame({"a": ["1", None, "0"]})
    with pytest.raises(ValueError, match=r"pass y\.astype\(float\) instead"):
        encode_targets(y)
    assert encode_targets(y.astype(float)).known[:, 0].tolist() == [True, False, True]
    with pytest.raises(ValueError, match=r"y == 'yes' \(missing cells become 0\)"):
        encode_targets(pd.DataFrame({"a": ["yes", None, "no"]}))


def test_constant_labels_are_warned_of_once():
    names = [f"label {i}" for i in range(15)]
    y = pd.DataFrame(np.zeros((4, 15), dtype=int), columns=names)
    with pytest.warns(UserWarning, match="15 label.*'label 9' and 5 more") as record:
        warn_of_constant_labels(encode_targets(y))
    assert len(record) == 1
    warn_of_constant_labels(encode_targets(Y))  # a warning would be an error


def test_any_iterable_of_classes_will_do():
    targets = encode_targets({"x": "no", "y": "yes"}.values())
    assert targets.classes.tolist() == ["no", "yes"]
