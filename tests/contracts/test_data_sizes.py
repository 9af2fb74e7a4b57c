"""Every row of the table of sizes and names in docs/data.rst, and its memory."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from doc_tables import read_table
from skbert import TransformerMultiLabelClassifier
from skbert.inputs.targets import CONSTANT_LABELS, encode_targets
from skbert.prediction.streaming import CHUNK_SIZE, texts_per_chunk

TEXTS = ["See the invoice.", "", "Über 😀", "See the crash.", "a crash", "a bill"]
Y = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 1]])


def check_one_text_to_learn_from(quick_settings, tmp_path):
    clf = TransformerMultiLabelClassifier(**quick_settings)
    with pytest.warns(UserWarning, match=CONSTANT_LABELS) as record:
        clf.fit(["the only text"], [[1, 0]])
    assert len(record) == 1
    np.testing.assert_allclose(clf.predict_proba(TEXTS), [[0.75, 0.25]] * 6, atol=1e-6)


def check_one_text_to_predict(quick_settings, tmp_path):
    clf = TransformerMultiLabelClassifier(**quick_settings).fit(TEXTS, Y)
    for method in (clf.predict, clf.predict_proba, clf.decision_function):
        assert method(TEXTS[:1]).shape == (1, 3)


def check_one_label(quick_settings, tmp_path):
    clf = TransformerMultiLabelClassifier(**quick_settings).fit(TEXTS, Y[:, :1])
    assert clf.classes_.tolist() == [[0, 1]]
    for method in (clf.predict, clf.predict_proba, clf.decision_function):
        assert method(TEXTS).shape == (6, 1)


def check_a_label_that_is_constant(quick_settings, tmp_path):
    y = pd.DataFrame({"never": 0, "some": Y[:, 0], "always": 1})
    clf = TransformerMultiLabelClassifier(**quick_settings)
    with pytest.warns(UserWarning, match="'never', 'always'") as record:
        clf.fit(TEXTS, y)
    assert len(record) == 1
    proba = clf.predict_proba(TEXTS)[:, [0, 2]]
    np.testing.assert_allclose(proba, [[0.5 / 7, 6.5 / 7]] * 6, atol=1e-6)


def check_names(names):
    def check(quick_settings, tmp_path):
        y = pd.DataFrame(Y, columns=names)
        clf = TransformerMultiLabelClassifier(**quick_settings, threshold=0.0).fit(
            TEXTS, y
        )
        clf.save_pretrained(tmp_path / "model")
        load = TransformerMultiLabelClassifier.from_pretrained
        for model in (clf, load(tmp_path / "model", device="cpu")):
            assert model.label_names_.tolist() == [str(name) for name in names]
            assert model.predict_labels(["a"]) == [tuple(str(name) for name in names)]

    return check


def check_50_000_labels(quick_settings, tmp_path):
    n_labels = 50_000
    y = sparse.csr_array(np.random.default_rng(0).random((6, n_labels)) < 0.4)
    clf = TransformerMultiLabelClassifier(**quick_settings)
    with pytest.warns(UserWarning, match=CONSTANT_LABELS):
        clf.fit(TEXTS, y)
    assert clf.predict_proba(TEXTS).nbytes == 8 * 6 * n_labels
    targets = encode_targets(y)
    assert targets.values.nbytes + targets.known.nbytes == 5 * 6 * n_labels
    parameters = dict(clf.net_.module_.named_parameters())
    head = [p.numel() for p in parameters.values() if p.shape[:1] == (n_labels,)]
    width = clf.net_.module_.encoder.config.hidden_size
    assert sum(head) == n_labels * (width + 1)


SIZES = {
    "one text to learn from": check_one_text_to_learn_from,
    "one text to predict": check_one_text_to_predict,
    "one label": check_one_label,
    "a label that is never or always there": check_a_label_that_is_constant,
    "names that are no identifiers": check_names(["a b", "", "c/d: 50%\n"]),
    "Unicode names": check_names(["Ärger 😀", "שלום", "e\u0301"]),
    "names that are numbers": check_names([0, 1.5, (2, "x")]),
    "50,000 labels, sparse": check_50_000_labels,
}


@pytest.mark.parametrize("row", SIZES)
def test_it_goes_well_with(row, quick_settings, tmp_path):
    assert list(read_table("data.rst", "Sizes and names")) == list(SIZES)
    SIZES[row](quick_settings, tmp_path)


def peak_of(function, *arguments):
    """Return the most bytes of Python and NumPy that a call held at a time."""
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "lil", "dok"])
def test_sparse_labels_are_read_in_nine_bytes_a_cell(layout):
    shape = (100, 20_000)
    y = sparse.csr_array(np.random.default_rng(0).random(shape) < 1e-4)
    assert peak_of(encode_targets, y.asformat(layout)) < 9 * shape[0] * shape[1]


@pytest.mark.parametrize(
    ("convert", "most"), [(np.array, 9), (pd.DataFrame, 16), (np.ndarray.tolist, 16)]
)
def test_dense_labels_are_read_in_bytes_a_cell(convert, most):
    y = (np.random.default_rng(0).random((500, 1_000)) < 0.1).astype(np.int64)
    assert peak_of(encode_targets, convert(y)) < most * y.size


def test_predictions_of_many_labels_take_little_beside_the_answer(
    quick_settings, monkeypatch
):
    n_labels = 20_000
    y = sparse.csr_array(np.random.default_rng(0).random((6, n_labels)) < 0.4)
    clf = TransformerMultiLabelClassifier(**quick_settings)
    with pytest.warns(UserWarning, match=CONSTANT_LABELS):
        clf.fit(TEXTS, y)
    monkeypatch.setattr("skbert.prediction.streaming._LOGITS_PER_CHUNK", 10 * n_labels)
    X = TEXTS * 20
    n_cells, beside = len(X) * n_labels, 12 * 10 * n_labels + 2**20
    assert peak_of(clf.predict_proba, X) < 8 * n_cells + beside
    assert peak_of(clf.predict, X) < 9 * n_cells + beside
    rows = clf.iter_predict_proba(X)
    assert peak_of(next, rows) < 2 * beside
    rows.close()


def test_texts_per_chunk_are_those_of_the_page():
    assert texts_per_chunk(1) == texts_per_chunk(2_048) == CHUNK_SIZE == 16_384
    assert texts_per_chunk(50_000) == 671
    assert texts_per_chunk(10**9) == 1
