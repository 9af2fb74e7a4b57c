"""What the estimator does for its user, on tiny models."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score
from sklearn.utils._param_validation import InvalidParameterError

from checkpoints import N_LAYERS, make_checkpoint
from skbert import TransformerMultiLabelClassifier
from skbert.inputs.targets import CONSTANT_LABELS

FAMILIES = ("bert", "roberta", "deberta", "distilbert", "canine")


# --- it learns ------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_the_words_that_signal_labels(checkpoint, emails, family):
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        model=checkpoint(family),
        pooling="mean",
        max_length=256 if family == "canine" else 64,
        max_epochs=25,
        batch_size=8,
        learning_rate=3e-3,
        device="cpu",
        random_state=0,
    ).fit(X, y)
    assert f1_score(y, clf.predict(X), average="macro") > 0.85
    assert clf.history_[-1]["train_loss"] < 0.5 * clf.history_[0]["train_loss"]


@pytest.mark.parametrize("loss", ["focal", "asymmetric"])
def test_other_losses_learn(make, emails, loss):
    X, y = emails
    clf = make(loss=loss, max_epochs=30).fit(X, y)
    assert f1_score(y, clf.predict(X), average="macro") > 0.85


def test_loss_params_reach_the_loss(make, emails):
    X, y = emails
    plain = make(loss="focal").fit(X, y).predict_proba(X)
    sharp = make(loss="focal", loss_params={"gamma": 5.0}).fit(X, y).predict_proba(X)
    assert np.abs(plain - sharp).max() > 1e-3


def test_pos_weight_raises_probabilities(make, emails):
    X, y = emails
    plain = make().fit(X, y).predict_proba(X)
    heavy = make(pos_weight=[10.0, 1.0, 1.0]).fit(X, y).predict_proba(X)
    assert heavy[:, 0].mean() > plain[:, 0].mean() + 0.1
    rare = y.copy()
    rare[: len(y) // 2, 0] = 0
    balanced = make(pos_weight="balanced").fit(X, rare).predict_proba(X)
    assert balanced[:, 0].mean() > make().fit(X, rare).predict_proba(X)[:, 0].mean()


# --- what comes out -------------------------------------------------------------------


@pytest.mark.parametrize("n_labels", [1, 2, 3])
def test_outputs_agree_with_one_another(make, emails, n_labels):
    X, y = emails
    clf = make().fit(X, y[:, :n_labels])
    logits, proba, pred = clf.decision_function(X), clf.predict_proba(X), clf.predict(X)
    assert logits.shape == proba.shape == pred.shape == (60, n_labels)
    assert (proba.dtype, pred.dtype) == (np.float64, np.int64)
    np.testing.assert_array_equal(proba, expit(logits))
    np.testing.assert_array_equal(pred, proba >= 0.5)
    np.testing.assert_array_equal(clf.classes_, [[0, 1]] * n_labels)
    names = [f"label_{i}" for i in range(n_labels)]
    assert clf.label_names_.tolist() == names
    expected = [tuple(np.array(names)[row == 1]) for row in pred]
    assert clf.predict_labels(X) == expected
    assert clf.score(X, y[:, :n_labels]) == (pred == y[:, :n_labels]).all(1).mean()


@pytest.mark.parametrize(
    "classes", [[0, 1], [-1, 1], ["ham", "spam"], [False, True], [1.0, 2.0]]
)
def test_one_dimension_is_binary_classification(make, emails, classes):
    X, y = emails
    words = np.array(classes)[y[:, 0]]
    clf = make(max_epochs=10).fit(X, words)
    assert clf.classes_.tolist() == classes
    proba = clf.predict_proba(X)
    assert proba.shape == (60, 2)
    np.testing.assert_allclose(proba.sum(1), 1.0)
    assert clf.decision_function(X).shape == (60,)
    pred = clf.predict(X)
    assert pred.shape == (60,)
    assert pred.dtype == words.dtype
    np.testing.assert_array_equal(pred == classes[1], clf.decision_function(X) >= 0)
    assert clf.score(X, words) == (pred == words).mean() > 0.8
    assert clf.predict_labels(X)[0] in [(), (str(classes[1]),)]


def test_one_label_is_cross_entropy_and_not_regression(make, emails):
    X, y = emails
    clf = make(pooling="native").fit(X, y[:, :1])
    config = clf.net_.module_.model.config
    assert config.problem_type == "multi_label_classification"
    # Squared error would pull logits to 0 and 1; these are beyond.
    long = make(pooling="native", max_epochs=30).fit(X, y[:, :1]).decision_function(X)
    assert long.min() < -1
    assert long.max() > 1.5


def test_columns_name_the_labels(make, emails):
    X, y = emails
    frame = pd.DataFrame(y, columns=["billing", "bug", "termin é"])
    clf = make().fit(pd.Series(X), frame)
    assert clf.label_names_.tolist() == ["billing", "bug", "termin é"]
    np.testing.assert_array_equal(clf.predict(X), make().fit(X, y).predict(X))


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: y.astype(bool),
        lambda y: y.astype(np.float32),
        lambda y: y.tolist(),
        pd.DataFrame,
        sparse.csr_array,
        sparse.csc_matrix,
    ],
)
def test_all_forms_of_y_give_the_same_fit(make, emails, convert):
    X, y = emails
    expected = make(max_epochs=1).fit(X, y).predict_proba(X)
    got = make(max_epochs=1).fit(X, convert(y)).predict_proba(X)
    np.testing.assert_array_equal(got, expected)


def test_thresholds_cut_where_probabilities_reach_them(make, emails):
    X, y = emails
    clf = make(threshold=[0.2, 0.5, 0.8]).fit(X, y)
    assert clf.thresholds_.tolist() == [0.2, 0.5, 0.8]
    proba = clf.predict_proba(X)
    np.testing.assert_array_equal(clf.predict(X), proba >= [0.2, 0.5, 0.8])
    clf.thresholds_ = proba[0]  # equal is enough
    assert clf.predict(X)[0].tolist() == [1, 1, 1]
    clf.thresholds_ = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match=r"thresholds_ has shape \(2,\).*3 label"):
        clf.predict(X)


# --- unknown, constant, weighted ------------------------------------------------------


def test_unknown_cells_take_no_part(make, emails):
    X, y = emails
    unknown = np.random.default_rng(1).random(y.shape) < 0.3
    y_nan = np.where(unknown, np.nan, y)
    clf = make(max_epochs=20).fit(X, y_nan)
    assert f1_score(y, clf.predict(X), average="macro") > 0.8
    known = np.where(unknown, clf.predict(X), y)  # unknown cells count as right
    right = (clf.predict(X) == known).all(1)
    expected = right[~unknown.all(1)].mean()
    assert clf.score(X, y_nan) == pytest.approx(expected)


def test_what_stands_in_an_unknown_cell_does_not_matter(make, emails):
    X, y = emails
    y_nan = y.astype(float)
    y_nan[:10] = np.nan  # whole rows: nothing but their place in the order is left
    frame = pd.DataFrame(y).astype("Int64")
    frame.iloc[:10] = pd.NA
    a = make(max_epochs=1).fit(X, y_nan).predict_proba(X)
    b = make(max_epochs=1).fit(X, frame).predict_proba(X)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("pooling", ["mean", "native"])
def test_constant_labels_get_their_prior(make, emails, pooling):
    X, y = emails
    y = np.column_stack([y, np.zeros(60), np.ones(60), np.full(60, np.nan)])
    y[:20, 4] = np.nan
    with pytest.warns(UserWarning, match="3 label.*'label_3', 'label_4', 'label_5'"):
        clf = make(pooling=pooling, precision="fp32").fit(X, y)
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba[:, 3], 0.5 / 61, rtol=1e-3)
    np.testing.assert_allclose(proba[:, 4], 40.5 / 41, rtol=1e-3)
    np.testing.assert_allclose(proba[:, 5], 0.5 / 61, rtol=1e-3)
    assert proba[:, 0].std() > 1e-3


def test_a_repeated_row_is_a_row_of_weight_two(make, emails):
    X, y = emails
    weight = np.random.default_rng(0).integers(0, 4, size=60)
    exact = {"batch_size": 200, "dropout": 0.0, "precision": "fp32", "max_epochs": 3}
    weighted = make(**exact).fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(60), weight)
    repeated = make(**exact).fit([X[i] for i in rows], y[rows])
    np.testing.assert_allclose(
        weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-4
    )
    plain = make(**exact).fit(X, y)
    assert np.abs(plain.predict_proba(X) - weighted.predict_proba(X)).max() > 1e-3


@pytest.mark.filterwarnings(f"ignore:{CONSTANT_LABELS}:UserWarning")
def test_the_scale_of_the_weights_does_not_matter(make, emails):
    X, y = emails
    y = np.column_stack([y, np.zeros(60), np.ones(60)])
    plain = make(precision="fp32").fit(X, y).predict_proba(X)
    tiny = make(precision="fp32").fit(X, y, sample_weight=np.full(60, 1e-3))
    np.testing.assert_array_equal(tiny.predict_proba(X), plain)
    np.testing.assert_allclose(plain[:, 3], 0.5 / 61, rtol=1e-5)
    np.testing.assert_allclose(plain[:, 4], 60.5 / 61, rtol=1e-5)


# --- order, precision, determinism ----------------------------------------------------


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("auto", 1e-3)])
@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_neighbours_do_not_matter(
    checkpoint, emails, family, pooling, precision, tolerance
):
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        model=checkpoint(family),
        pooling=pooling,
        max_length=64,
        max_epochs=1,
        precision=precision,
        device="cpu",
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CANINE cuts them: characters are many
        clf.fit(X, y)
    texts = ["", "a", *X]
    together = clf.predict_proba(texts)
    alone = np.vstack([clf.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=tolerance)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = clf.predict_proba([texts[i] for i in order])
    np.testing.assert_allclose(together[order], shuffled, atol=tolerance)


def test_bf16_is_used_where_the_processor_has_it_and_changes_little(make, emails):
    X, y = emails
    exact = make(precision="fp32").fit(X, y)
    half = make(precision="bf16").fit(X, y)
    assert (exact.precision_, half.precision_) == ("fp32", "bf16")
    half.net_.precision_ = "fp32"
    weights_alone = half.predict_proba(X)
    half.net_.precision_ = "bf16"
    assert 0 < np.abs(half.predict_proba(X) - weights_alone).max() < 2e-2


def test_a_model_that_overflows_in_bf16_runs_in_fp32(checkpoint, emails):
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        model=checkpoint("deberta"), max_length=64, max_epochs=1, device="cpu"
    )
    clf.precision = "bf16"
    with pytest.raises(ValueError, match="precision='bf16' does not work"):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")
    assert clf.set_params(precision="auto").fit(X, y).precision_ == "fp32"


def test_a_seed_makes_two_fits_equal_to_the_bit(make, emails):
    X, y = emails
    a, b = make().fit(X, y), make().fit(X, y)
    np.testing.assert_array_equal(a.decision_function(X), b.decision_function(X))
    assert [r["train_loss"] for r in a.history_] == [
        r["train_loss"] for r in b.history_
    ]
    c = make(random_state=1).fit(X, y)
    assert np.abs(a.decision_function(X) - c.decision_function(X)).max() > 1e-3


def test_a_random_state_instance_gives_new_numbers_to_each_fit(make, emails):
    X, y = emails
    clf = make(max_epochs=1, random_state=np.random.RandomState(0))
    first = clf.fit(X, y).predict_proba(X)
    assert np.abs(clf.fit(X, y).predict_proba(X) - first).max() > 1e-4


@pytest.mark.parametrize("random_state", [None, 3])
def test_global_random_states_are_left_alone(make, emails, random_state):
    X, y = emails
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    make(random_state=random_state, validation_fraction=0.2).fit(X, y).predict(X)
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())
    assert (threads, dtype) == (torch.get_num_threads(), torch.get_default_dtype())


# --- validation, early stopping, warm start, callbacks --------------------------------


def test_every_epoch_is_scored_and_the_best_one_is_kept(make, emails):
    X, y = emails
    # A rate that is too high: later epochs are worse than the best one.
    clf = make(max_epochs=12, learning_rate=3e-2, scoring="neg_log_loss")
    clf.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    scores = [row["valid_neg_log_loss"] for row in clf.history_]
    assert np.argmax(scores) < 11
    proba = clf.predict_proba(X[40:])
    loss = -np.log(np.where(y[40:] == 1, proba, 1 - proba)).mean()
    assert -loss == pytest.approx(max(scores), rel=1e-3)
    row = clf.history_[int(np.argmax(scores))]
    assert row["valid_loss"] == pytest.approx(loss, rel=1e-3)
    pred = clf.predict(X[40:])
    f1 = f1_score(y[40:], pred, average="micro", zero_division=0)
    assert row["valid_f1_micro"] == pytest.approx(f1)
    assert row["valid_accuracy"] == pytest.approx((pred == y[40:]).all(1).mean())
    assert 0 <= row["valid_roc_auc_micro"] <= 1


def test_validation_data_take_part_in_no_update(make, emails):
    X, y = emails
    alone = make(max_epochs=1).fit(X[:40], y[:40])
    beside = make(max_epochs=1).fit(X[:40], y[:40], X_val=X[40:], y_val=1 - y[40:])
    np.testing.assert_array_equal(alone.predict_proba(X), beside.predict_proba(X))


def test_a_fraction_is_held_out(make, emails):
    X, y = emails
    seen = []

    def scorer(estimator, X, y):
        seen.append(y.shape)
        return 0.5

    clf = make(validation_fraction=0.25, scoring=scorer).fit(X, y)
    assert seen == [(15, 3)] * 2
    assert [row["valid_score"] for row in clf.history_] == [0.5, 0.5]
    assert [row["valid_score_best"] for row in clf.history_] == [True, False]


def test_unknown_labels_may_stand_in_the_validation_data(make, emails):
    X, y = emails
    y_val = y[40:].astype(float)
    y_val[::2] = np.nan
    clf = make().fit(X[:40], y[:40], X_val=X[40:], y_val=y_val)
    assert all(np.isfinite(row["valid_average_precision"]) for row in clf.history_)


def test_a_score_that_is_nan_is_never_the_best(make, emails):
    X, y = emails
    scores = iter([np.nan, 0.3, np.nan])
    clf = make(max_epochs=3, scoring=lambda e, X, y: next(scores))
    clf.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert [r["valid_score_best"] for r in clf.history_] == [False, True, False]


def test_training_stops_when_the_score_does_not_improve(make, emails):
    X, y = emails
    scores = iter([0.1, 0.3, 0.2, 0.3, 0.9])
    clf = make(max_epochs=5, n_iter_no_change=2, scoring=lambda e, X, y: next(scores))
    clf.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert clf.n_iter_ == len(clf.history_) == 4
    assert clf.max_epochs_ == 5


def test_a_warm_start_goes_on(make, emails):
    X, y = emails
    clf = make(warm_start=True, max_epochs=5).fit(X, y)
    first = clf.history_[-1]["train_loss"]
    assert clf.net_.optimizer_.state
    clf.fit(X, y)
    assert clf.history_[0]["train_loss"] < first * 1.2
    assert clf.history_[-1]["train_loss"] < first
    with pytest.raises(ValueError, match="warm_start=True goes on with the labels"):
        clf.fit(X, y[:, :2])
    assert clf.predict(X).shape == (60, 3)


def test_a_warm_start_may_train_other_layers(make, emails):
    X, y = emails
    clf = make(warm_start=True).fit(X, y)
    clf.set_params(trainable_layers=1).fit(X, y)
    assert clf.n_iter_ == 2


def test_a_cold_start_forgets(make, emails):
    X, y = emails
    clf = make().fit(X, y)
    assert not hasattr(clf.net_, "optimizer_")
    expected = clf.predict_proba(X)
    np.testing.assert_array_equal(clf.fit(X, y).predict_proba(X), expected)


def test_skorch_callbacks_see_the_training(make, emails):
    from skorch.callbacks import Callback

    class Recorder(Callback):
        def initialize(self):
            self.events_ = []
            return self

        def on_epoch_end(self, net, **kwargs):
            self.events_.append("epoch")

        def on_batch_end(self, net, batch, training, loss, **kwargs):
            self.events_.append(torch.is_tensor(loss))

        def on_grad_computed(self, net, named_parameters, **kwargs):
            grads = [p.grad is not None for _, p in named_parameters]
            self.events_.append(any(grads))

    recorder = Recorder()
    X, y = emails
    clf = make(net_callbacks=[("recorder", recorder)]).fit(X[:16], y[:16])
    (copy,) = [c for name, c in clf.net_.callbacks_ if name == "recorder"]
    assert copy is not recorder
    assert copy.events_ == ([True] * 4 + ["epoch"]) * 2


def test_a_callback_may_end_the_training(make, emails):
    from skorch.callbacks import EarlyStopping

    X, y = emails
    stop = EarlyStopping(monitor="valid_score", patience=2, sink=lambda text: None)
    clf = make(max_epochs=9, net_callbacks=[stop], scoring=lambda e, X, y: 0.5)
    clf.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert clf.n_iter_ < 9


def test_ctrl_c_leaves_a_usable_estimator(make, emails):
    from skorch.callbacks import Callback

    class CtrlC(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

    X, y = emails
    clf = make(max_epochs=5, net_callbacks=[CtrlC()])
    with pytest.warns(UserWarning, match="interrupted in epoch 3"):
        clf.fit(X, y)
    assert clf.predict(X).shape == y.shape
    assert [("train_loss" in row) for row in clf.history_] == [True, True, False]


def test_ctrl_c_while_an_epoch_is_scored_is_told_too(make, emails):
    def interrupted(estimator, X, y):
        raise KeyboardInterrupt

    X, y = emails
    clf = make(validation_fraction=0.2, scoring=interrupted)
    with pytest.warns(UserWarning, match="interrupted in epoch 1"):
        clf.fit(X, y)
    assert clf.predict(X).shape == y.shape


def test_verbose_prints_a_table_and_otherwise_nothing(make, emails, capfd):
    X, y = emails
    make(validation_fraction=0.2).fit(X, y)
    assert capfd.readouterr() == ("", "")
    make(validation_fraction=0.2, verbose=1).fit(X, y)
    out, _ = capfd.readouterr()
    header, _, *rows = out.splitlines()
    assert {"epoch", "train_loss", "valid_loss", "valid_f1_micro"} <= set(
        header.split()
    )
    assert {"valid_roc_auc_micro", "valid_accuracy"} <= set(header.split())
    assert len(rows) == 2
    assert "\x1b" not in out


# --- what trains ----------------------------------------------------------------------


def weights(clf):
    return {k: v.clone() for k, v in clf.net_.module_.named_parameters()}


def moved(make, emails, **params):
    """Return the names of the encoder's weights that a fit moved."""
    X, y = emails
    one = weights(make(max_epochs=1, learning_rate=1e-9, **params).fit(X, y))
    two = weights(make(max_epochs=1, **params).fit(X, y))
    return {name for name in one if not torch.allclose(one[name], two[name], atol=1e-6)}


def test_embeddings_are_frozen_by_default(make, emails):
    names = moved(make, emails)
    assert names
    assert not any("embeddings" in name for name in names)
    free = moved(make, emails, freeze_embeddings=False)
    assert any("word_embeddings" in name for name in free)


@pytest.mark.parametrize("k", [0, 1])
def test_only_the_top_layers_move(make, emails, k):
    names = moved(make, emails, trainable_layers=k)
    layers = {int(n.split("layer.")[1].split(".")[0]) for n in names if "layer." in n}
    assert layers == set(range(N_LAYERS - k, N_LAYERS))
    assert "head.weight" in names
    assert not any("embeddings" in name for name in names)


def test_accumulated_batches_equal_a_large_one(make, emails):
    X, y = emails
    same = {"dropout": 0.0, "precision": "fp32", "max_epochs": 3, "max_grad_norm": None}
    whole = make(batch_size=60, **same).fit(X, y)
    parts = make(batch_size=20, gradient_accumulation_steps=3, **same).fit(X, y)
    np.testing.assert_allclose(
        whole.predict_proba(X), parts.predict_proba(X), atol=1e-4
    )


def test_auto_settings_follow_their_rules(make, emails):
    X, y = emails
    auto = dict.fromkeys(
        ("batch_size", "learning_rate", "head_learning_rate", "max_epochs"), "auto"
    )
    clf = make(**auto | {"max_epochs": 1}).fit(X, y)
    assert clf.batch_size_ == 16
    assert clf.learning_rate_ == pytest.approx(1e-4 * 384 / 32)
    assert clf.head_learning_rate_ == pytest.approx(1e-3 * 384 / 32)
    assert (clf.max_epochs_, clf.pooling_, clf.device_) == (1, "mean", "cpu")
    assert make(**auto).fit(X[:4], y[:4]).max_epochs_ == 20


def test_pooling_is_read_off_the_folder(make, checkpoint, emails):
    X, y = emails
    folder = checkpoint("bert", sentence_transformers=True)
    assert make(pooling="auto").fit(X, y).pooling_ == "native"
    assert make(pooling="auto", model=folder).fit(X, y).pooling_ == "mean"


def test_the_share_of_cut_texts_is_kept_and_told(make, emails):
    X, y = emails
    clf = make().fit(X, y)
    assert clf.truncated_fraction_ == 0.0
    with pytest.warns(UserWarning, match="100% of the texts.*max_length=4.*head_tail"):
        clf = make(max_length=4).fit(X, y)
    assert clf.truncated_fraction_ == 1.0
    long = [*X[:57], *["invoice " * 100] * 3]
    assert make().fit(long, y).truncated_fraction_ == 0.05  # and no warning


def test_head_and_tail_are_both_read(make):
    X = [("invoice " if i % 2 else "meeting ") * 3 + "hello " * 90 for i in range(40)]
    X = [x + ("crash " if i % 4 > 1 else "garden ") * 3 for i, x in enumerate(X)]
    y = np.array([[i % 2, i % 4 > 1] for i in range(40)], dtype=int)
    settings = {"max_length": 16, "max_epochs": 25}
    with pytest.warns(UserWarning, match="were cut"):
        both = make(long_text="head_tail", **settings).fit(X, y)
    with pytest.warns(UserWarning, match="were cut"):
        head = make(long_text="truncate", **settings).fit(X, y)
    assert both.score(X, y) > 0.95
    assert (head.predict(X)[:, 0] == y[:, 0]).all()
    assert (head.predict(X)[:, 1] == y[:, 1]).mean() < 0.8


# --- errors ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_length": 65}, "max_length=65 is beyond the 64 tokens"),
        ({"max_length": 2}, "leaves no room"),
        ({"trainable_layers": 3}, "trainable_layers=3, but .* has 2 layers"),
        ({"pos_weight": [1.0, 2.0]}, r"pos_weight has shape \(2,\), but y has 3"),
        ({"pos_weight": [1.0, 2.0, -1.0]}, "pos_weight must hold positive"),
        ({"pos_weight": ["a", "b", "c"]}, "pos_weight must hold numbers"),
        ({"threshold": [0.5, 0.5]}, r"threshold has shape \(2,\)"),
        ({"threshold": [0.5, 0.5, 1.5]}, "between 0 and 1"),
        ({"scoring": "f1_mirco"}, "Unknown scoring 'f1_mirco'. Did you mean"),
        ({"n_iter_no_change": 2}, "there is no validation data"),
        ({"device": "cuda:99"}, "'cuda:99' was asked for, but torch sees . CUDA"),
        ({"device": "gpu"}, "is not a device"),
        ({"precision": "fp16"}, "needs a CUDA device"),
        ({"model": "no/such/folder"}, "no such folder"),
        ({"model": "not a name!"}, "neither a folder nor a possible name"),
        ({"model": "someone/unknown"}, "cannot be reached"),
        ({"model": "someone/unknown", "local_files_only": True}, "local_files_only"),
    ],
)
def test_wrong_parameters_are_named_before_weights_are_loaded(
    make, emails, monkeypatch, params, message
):
    def load(*args, **kwargs):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("skbert.training.fit.build_module", load)
    X, y = emails
    clf = make(**params)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert not [name for name in vars(clf) if name.endswith("_")]


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "mse"},
        {"max_epochs": 0},
        {"dropout": 1.0},
        {"warmup": 2},
        {"long_text": "middle"},
        {"learning_rate": 0},
        {"validation_fraction": 1.0},
        {"threshold": 1.1},
    ],
)
def test_parameters_out_of_range_get_scikit_learns_error(make, emails, params):
    (name,) = params
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter"):
        make(**params).fit(*emails)


def test_an_unknown_loss_parameter_is_named(make, emails):
    with pytest.raises(TypeError, match="'gama'.*'focal' does not know.*gamma, alpha"):
        make(loss="focal", loss_params={"gama": 1}).fit(*emails)
    with pytest.raises(TypeError, match="it takes none"):
        make(loss_params={"gamma": 1}).fit(*emails)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": ["a"]}, "X has 1 texts, y has 60 rows"),
        ({"y": None}, "requires y to be passed"),
        ({"sample_weight": np.full(60, np.nan)}, "row 0 is nan"),
        ({"sample_weight": -np.ones(60)}, "row 0 is -1"),
        ({"sample_weight": np.ones(59)}, r"expected \(60,\)"),
        ({"sample_weight": np.ones((60, 1))}, "must be 1D"),
        ({"sample_weight": np.zeros(60)}, "every weight is zero"),
        ({"sample_weight": ["a"] * 60}, "must hold numbers"),
        (
            {"sample_weight": np.ma.masked_equal(np.arange(60), 2)},
            "each text, but row 2 is masked",
        ),
        ({"X_val": ["a"]}, "y_val is missing"),
        ({"y_val": [[1, 0, 1]]}, "X_val is missing"),
        ({"X_val": ["a"], "y_val": [[1, 0]]}, "y_val has 2 label.*y has 3"),
        ({"X_val": ["a", "b"], "y_val": [[1, 0, 1]]}, "X_val has 2 texts"),
        ({"X_val": [None], "y_val": [[1, 0, 1]]}, "X_val, row 0 is missing"),
    ],
)
def test_wrong_data_are_named(make, emails, change, message):
    X, y = emails
    with pytest.raises(ValueError, match=message):
        make().fit(**({"X": X, "y": y} | change))


def test_validation_columns_must_be_those_of_training(make, emails):
    X, y = emails
    frame = pd.DataFrame(y, columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="column 1 is 'c', but y's is 'b'"):
        make().fit(X, frame, X_val=X, y_val=frame[["a", "c", "b"]])
    with pytest.raises(ValueError, match="both have one dimension, or both two"):
        make().fit(X, y[:, 0], X_val=X, y_val=y[:, :1])


def test_one_class_left_by_the_weights_is_an_error(make, emails):
    X, y = emails
    with pytest.raises(ValueError, match="only 1 class where sample_weight"):
        make().fit(X, y[:, 0], sample_weight=y[:, 0])


def test_a_score_that_cannot_work_is_told_before_training(make, emails, monkeypatch):
    monkeypatch.delattr("skbert.training.fit.build_module")
    X, y = emails
    with pytest.raises(ValueError, match="scoring='f1' does not work.*average"):
        make(scoring="f1", validation_fraction=0.2).fit(X, y)
    y_val = np.where(y[:20] == 1, np.nan, 0.0)
    with pytest.raises(ValueError, match="does not take NaN"):
        make(scoring="matthews_corrcoef").fit(X, y, X_val=X[:20], y_val=y_val)


@pytest.mark.parametrize(
    ("loss", "params"),
    [
        ("focal", {"gamma": "high"}),
        ("focal", {"gamma": -1.0}),
        ("focal", {"alpha": 2.0}),
        ("asymmetric", {"clip": 1.5}),
    ],
)
def test_loss_parameters_out_of_range_are_named(make, emails, loss, params):
    (name,) = params
    with pytest.raises(ValueError, match=rf"loss_params\['{name}'\] is .* must be 0"):
        make(loss=loss, loss_params=params).fit(*emails)


def test_weights_of_validation_rows_need_the_rows(make, emails):
    with pytest.raises(ValueError, match="sample_weight_val needs X_val"):
        make().fit(*emails, sample_weight_val=[1.0])


def test_prediction_reads_what_the_fit_read(make, emails):
    X, y = emails
    clf = make().fit(X, y)
    expected = clf.predict_proba(X)
    clf.set_params(max_length=200, long_text="head_tail")
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


def test_warnings_point_at_the_users_line(make, emails):
    X, y = emails
    y = np.column_stack([y, np.zeros(60)])
    with pytest.warns(UserWarning) as record:
        make(max_length=4, max_epochs=1).fit(X, y)
    assert [w.filename for w in record] == [__file__, __file__]


def test_a_warm_start_pins_constant_labels_again(make, emails):
    X, y = emails
    clf = make(warm_start=True, precision="fp32").fit(X, y)
    constant = y.copy()
    constant[:, 1] = 0
    with pytest.warns(UserWarning, match="'label_1'"):
        clf.fit(X, constant)
    np.testing.assert_allclose(clf.predict_proba(X)[:, 1], 0.5 / 61, rtol=1e-5)


def test_an_error_leaves_a_fitted_estimator_as_it_was(make, emails):
    X, y = emails
    clf = make().fit(X, y)
    before, proba = vars(clf).copy(), clf.predict_proba(X)
    with pytest.raises(ValueError, match="row 0"):
        clf.fit([None, *X[1:]], y)
    clf.learning_rate = 1e6
    with pytest.raises(ValueError, match="loss became"):
        clf.fit(X, y)
    clf.learning_rate = before["learning_rate"]
    assert vars(clf) == before
    np.testing.assert_array_equal(clf.predict_proba(X), proba)


def test_a_loss_that_diverges_stops_the_fit(make, emails):
    X, y = emails
    with pytest.raises(ValueError, match=r"became (nan|inf) in epoch \d.*too high"):
        make(learning_rate=1e6, max_grad_norm=None, max_epochs=5).fit(X, y)


def test_an_unfitted_estimator_says_so(make):
    clf = make()
    for method in ("predict", "predict_proba", "decision_function", "predict_labels"):
        with pytest.raises(NotFittedError):
            getattr(clf, method)(["a"])
    with pytest.raises(NotFittedError):
        clf.save_pretrained("nowhere")


def test_nothing_is_written_unless_asked(make, emails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(validation_fraction=0.2).fit(*emails).predict(emails[0])
    assert list(tmp_path.iterdir()) == []


def test_clones_are_unfitted_copies(make, emails):
    clf = make().fit(*emails)
    copy = clone(clf)
    assert copy.get_params() == clf.get_params()
    assert not hasattr(copy, "net_")


def test_half_precision_checkpoints_train_in_float32(tmp_path, make, emails):
    folder = make_checkpoint("bert", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float16"
    (folder / "config.json").write_text(json.dumps(config))
    clf = make(model=folder, max_epochs=1).fit(*emails)
    assert {p.dtype for p in clf.net_.module_.parameters()} == {torch.float32}
