"""Numbers at the edge: losses, weights and labels that could end in infinity or NaN."""

import warnings

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skbert.inputs.targets import CONSTANT_LABELS, encode_targets
from skbert.training.losses import MultiLabelLoss

LOSSES = ("bce", "focal", "asymmetric")
# Powers of which the slope is infinite at 0, and those whose slope is nowhere 0.
LOSS_PARAMS = [
    ("bce", {}),
    *(("focal", {"gamma": gamma, "alpha": 0.25}) for gamma in (0.0, 0.5, 1.0, 5.0)),
    *(
        ("asymmetric", {"gamma_neg": negative, "gamma_pos": positive, "clip": clip})
        for negative, positive in [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (4.0, 0.3)]
        for clip in (0.0, 0.05, 1.0)
    ),
]


def assert_sound(clf, X):
    """Assert that weights, recorded losses and answers are numbers."""
    for name, parameter in clf.net_.module_.named_parameters():
        assert torch.isfinite(parameter).all(), name
    assert np.isfinite([row["train_loss"] for row in clf.history_]).all()
    proba = clf.predict_proba(X)
    assert ((proba >= 0) & (proba <= 1)).all()
    assert np.isfinite(clf.decision_function(X)).all()


# --- losses ---------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "params"), LOSS_PARAMS)
@pytest.mark.parametrize("pos_weight", [None, 1e-6, 1e6])
def test_losses_and_their_gradients_are_finite_at_any_logit(loss, params, pos_weight):
    values = [0.0, 1e-8, 1.0, 15.0, 17.0, 80.0, 104.0, 1e4]
    logits = torch.tensor([[-x for x in values] + values] * 2, requires_grad=True)
    targets = torch.zeros_like(logits)
    targets[1] = 1.0
    weight = None if pos_weight is None else torch.full((16,), pos_weight)
    loss = MultiLabelLoss(loss, weight, **params)
    for cell in torch.eye(32).view(32, 2, 16):  # no cell hides behind another
        (gradient,) = torch.autograd.grad(loss(logits, targets, cell), logits)
        assert torch.isfinite(gradient).all()
        assert (gradient[cell == 0] == 0).all()
        value = loss(logits, targets, cell)
        assert torch.isfinite(value)
        assert value >= 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_computed_in_float32_whatever_the_autocast(loss, dtype):
    logits = torch.linspace(-8, 8, 40).view(2, 20)
    targets = (torch.arange(40).view(2, 20) % 3 == 0).float()
    weights = torch.full((2, 20), 1 / 40)
    criterion = MultiLabelLoss(loss, torch.full((20,), 1.7))
    expected = criterion(logits, targets, weights)
    with torch.autocast("cpu", dtype=dtype):
        found = criterion(logits, targets, weights)
    assert found.dtype == torch.float32
    assert found.item() == expected.item()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_unknown_labels_are_exactly_zero(make, emails, loss):
    X, y = emails
    y = y.astype(float)
    y[:, 1] = np.nan
    y[::2, 2] = np.nan
    seen = []

    class Look(Callback):
        def on_grad_computed(self, net, named_parameters, batch, training, **kwargs):
            layer = net.module_.output_layer
            seen.append((layer.weight.grad[1].clone(), layer.bias.grad[1].clone()))
            logits = net.infer(batch).detach().requires_grad_()
            loss = net.get_loss(logits, batch)
            (gradient,) = torch.autograd.grad(loss, logits)
            assert (gradient[batch.weights == 0] == 0).all()
            assert (gradient[batch.weights > 0] != 0).any()

    with pytest.warns(UserWarning, match=CONSTANT_LABELS):
        make(loss=loss, net_callbacks=[Look()]).fit(X, y)
    assert len(seen) == 16
    for gradients in seen:
        assert all((gradient == 0).all() for gradient in gradients)


# --- NaN is found ---------------------------------------------------------------------


class Spoil(Callback):
    """Writes NaN where a gradient that overflows would, in one step of the fit."""

    def __init__(self, step, what):
        self.step, self.what = step, what
        self.n_steps = 0

    def on_batch_end(self, net, training=False, **kwargs):
        self.n_steps += training
        if self.what == "weight" and training and self.n_steps == self.step:
            with torch.no_grad():
                next(net.module_.head_parameters())[1][0, 0] = torch.nan

    def on_grad_computed(self, net, named_parameters, training=False, **kwargs):
        if self.what == "gradient" and self.n_steps + 1 == self.step:
            dict(named_parameters)["head.weight"].grad[0, 0] = torch.nan


@pytest.mark.parametrize("what", ["weight", "gradient"])
@pytest.mark.parametrize(("step", "epoch"), [(1, 1), (8, 1), (9, 2), (16, 2)])
@pytest.mark.parametrize("max_grad_norm", [None, 1.0])
def test_nan_is_found_by_the_end_of_the_epoch(
    make, emails, what, step, epoch, max_grad_norm
):
    X, y = emails
    clf = make(net_callbacks=[Spoil(step, what)], max_grad_norm=max_grad_norm)
    with pytest.raises(ValueError, match=rf"became nan in epoch {epoch}\. The learn"):
        # Scores of NaN would be an error that explains nothing.
        clf.fit(X, y, X_val=X, y_val=y)
    assert not hasattr(clf, "net_")


def test_nan_in_a_weight_is_found_after_an_interrupt(make, emails):
    class Stop(Spoil):
        def on_batch_end(self, net, training=False, **kwargs):
            super().on_batch_end(net, training=training)
            if self.n_steps == 3:
                raise KeyboardInterrupt

    clf = make(net_callbacks=[Stop(3, "weight")])
    with pytest.raises(ValueError, match="The norm of the weights became nan"):
        clf.fit(*emails)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("rate", [10.0, 1e4, 1e10, 1e30])
@pytest.mark.parametrize("max_grad_norm", [None, 1.0])
def test_a_far_too_high_learning_rate_ends_in_an_error_or_in_numbers(
    make, emails, precision, rate, max_grad_norm
):
    X, y = emails
    clf = make(
        learning_rate=rate,
        head_learning_rate=rate,
        freeze_embeddings=False,
        precision=precision,
        max_grad_norm=max_grad_norm,
    )
    try:
        clf.fit(X, y)
    except ValueError as error:
        assert "learning rate is probably too high" in str(error)
        assert not hasattr(clf, "net_")
    else:
        assert_sound(clf, X)


# --- extreme data ---------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weight", [1e-6, 1e6])
def test_extreme_weights_of_positives_give_numbers(make, emails, loss, weight):
    X, y = emails
    clf = make(loss=loss, pos_weight=[weight, 1.0, weight]).fit(X, y)
    assert_sound(clf, X)


@pytest.mark.parametrize(
    "extremes", [(1e-30, 1.0), (1e30, 1.0), (1e30, 1e-30), (0.0, 1.0), (1e-30, 1e-30)]
)
def test_extreme_sample_weights_give_numbers(make, emails, extremes):
    X, y = emails
    weight = np.where(y[:, 0] == 1, *extremes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", CONSTANT_LABELS)  # where the weight is 0
        clf = make().fit(X, y, sample_weight=weight)
    assert_sound(clf, X)


def test_priors_are_finite_beside_weights_of_any_size():
    y = encode_targets([[1, 1, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1]])
    logits = y.prior_logits(np.array([1e30, 1e-30, 1e30, 1.0]))
    assert np.isfinite(logits).all()
    assert logits[0] == pytest.approx(np.log(2e30) - np.log(1e-30))
    assert logits[1] == pytest.approx(np.log(4.5) - np.log(0.5))  # of counts
    assert logits[2] == pytest.approx(np.log(1.0) - np.log(2e30))
    assert np.isfinite(y.prior_logits(np.array([1e308, 1e-308, 1e308, 1.0]))).all()


@pytest.mark.parametrize("positives", [0, 1, 59, 60])
@pytest.mark.parametrize("loss", LOSSES)
def test_labels_of_one_positive_or_one_negative_are_learned(
    make, emails, positives, loss
):
    X, y = emails
    y = y.copy()
    y[:, 0] = np.arange(60) < positives
    with warnings.catch_warnings():
        if positives in (0, 60):
            warnings.filterwarnings("ignore", CONSTANT_LABELS)
        clf = make(loss=loss, pos_weight="balanced").fit(X, y)
    assert_sound(clf, X)
    if positives in (0, 60):
        prior = (positives + 0.5) / 61
        np.testing.assert_allclose(clf.predict_proba(X)[:, 0], prior, rtol=1e-5)


@pytest.mark.parametrize("n_labels", [1, 5000])
def test_one_label_and_thousands(make, emails, n_labels):
    X, _ = emails
    y = np.random.default_rng(0).random((len(X), n_labels)) < 0.5
    clf = make().fit(X, y)
    assert_sound(clf, X)
    assert clf.predict(X).shape == (60, n_labels)


def test_logits_of_any_size_are_probabilities(make, emails):
    X, y = emails
    clf = make().fit(X, y)
    with torch.no_grad():
        clf.net_.module_.head.weight.zero_()
        clf.net_.module_.head.bias.copy_(torch.tensor([1e4, -1e4, 0.0]))
    proba = clf.predict_proba(X)
    assert proba[0].tolist() == [1.0, 0.0, 0.5]
    assert clf.predict(X)[0].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "texts", [[""], ["", "", ""], ["\u4e00\u4e8c\u4e09"] * 4, ["\ufffd"] * 2, [" \n "]]
)
def test_texts_without_a_known_word_are_learned_and_answered(make, emails, texts):
    X, y = emails
    clf = make().fit(X, y)
    assert_sound(clf, texts)
    y = np.random.default_rng(0).integers(0, 2, (len(texts), 3))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", CONSTANT_LABELS)
        assert_sound(make().fit(texts, y), texts)


# --- few texts ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("with_validation", [False, True])
def test_fewer_texts_than_a_batch_are_enough(
    make, emails, n, accumulation, with_validation
):
    X, y = emails
    X, y = X[:n], np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]])[:n]
    validation = {"X_val": X[:1], "y_val": y[:1]} if with_validation else {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", CONSTANT_LABELS)
        clf = make(gradient_accumulation_steps=accumulation).fit(X, y, **validation)
    assert_sound(clf, X)
    assert clf.predict(X).shape == (n, 3)


# --- the default type -----------------------------------------------------------------


@pytest.fixture
def default_dtype():
    before = torch.get_default_dtype()
    yield torch.set_default_dtype
    torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_the_default_type_of_torch_changes_nothing(
    dtype, pooling, default_dtype, make, emails
):
    X, y = emails
    params = {"pooling": pooling, "validation_fraction": 0.3}
    expected = make(**params).fit(X, y)
    proba = expected.predict_proba(X)

    default_dtype(dtype)

    np.testing.assert_array_equal(expected.predict_proba(X), proba)
    clf = make(**params).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    for row, other in zip(clf.history_, expected.history_, strict=True):
        assert row["train_loss"] == other["train_loss"]
        assert row["valid_loss"] == other["valid_loss"]
