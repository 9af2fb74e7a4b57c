"""Tests of skbert.plotting.history."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from pictures import (
    agg_canvas,  # noqa: F401
    assert_readable,
    legend_names,
)
from skbert import TransformerMultiLabelClassifier
from skbert.baseline import make_tfidf_baseline
from skbert.plotting import TrainingHistoryDisplay


def classifier(folder, **options):
    return TransformerMultiLabelClassifier(
        folder, max_epochs=3, max_length=64, random_state=0, device="cpu", **options
    )


def test_losses_and_scores_of_a_fit_are_drawn(tiny_bert, emails):
    clf = classifier(tiny_bert, validation_fraction=0.3).fit(*emails)
    display = TrainingHistoryDisplay.from_estimator(clf)
    losses, scores = display.axes_
    best = [row["epoch"] for row in clf.history_ if row["valid_average_precision_best"]]
    assert display.best_epoch_ == best[-1]
    assert legend_names(losses) == ["training", "validation", f"best epoch: {best[-1]}"]
    assert legend_names(scores) == [
        "F1 micro",
        "ROC AUC micro",
        "accuracy",
        "average precision",
        f"best epoch: {best[-1]}",
    ]
    for line, key in zip(losses.lines, ("train_loss", "valid_loss"), strict=False):
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == [row[key] for row in clf.history_]
    assert list(losses.lines[-1].get_xdata()) == [best[-1]] * 2
    assert_readable(display.figure_)


def test_without_validation_there_are_losses_only(tiny_bert, emails):
    clf = make_pipeline(classifier(tiny_bert)).fit(*emails)
    display = TrainingHistoryDisplay.from_estimator(clf)
    assert len(display.axes_) == 1
    assert legend_names(display.ax_) == ["training"]
    assert display.best_epoch_ is None


@pytest.mark.parametrize("n_epochs", [1, 2, 7, 40])
def test_epochs_are_whole_numbers(n_epochs):
    history = [{"epoch": i + 1, "train_loss": 1 / (i + 1)} for i in range(n_epochs)]
    ax = TrainingHistoryDisplay(history).plot().ax_
    ax.figure.canvas.draw()
    ticks = ax.get_xticks()
    assert len(ticks) and np.all(ticks == np.round(ticks))


def test_columns_that_are_no_scores_are_left_out():
    history = [{"epoch": 1, "train_loss": 1.0, "valid_note": "x", "dur": 3.0}]
    assert len(TrainingHistoryDisplay(history).plot().axes_) == 1


def test_a_score_that_was_not_defined_is_a_gap():
    history = [
        {
            "epoch": 1,
            "train_loss": 1.0,
            "valid_f1": np.nan,
            "valid_f1_best": False,
        },
        {"epoch": 2, "train_loss": 0.5, "valid_f1": 0.4, "valid_f1_best": True},
    ]
    display = TrainingHistoryDisplay(history).plot()
    assert np.isnan(display.axes_[1].lines[0].get_ydata()[0])
    assert display.best_epoch_ == 2


def test_estimators_without_a_history_are_refused(tiny_bert, emails):
    with pytest.raises(NotFittedError):
        TrainingHistoryDisplay.from_estimator(classifier(tiny_bert))
    with pytest.raises(ValueError, match="Pipeline has no history_"):
        TrainingHistoryDisplay.from_estimator(make_tfidf_baseline().fit(*emails))


def test_a_model_that_was_not_trained_here_has_an_empty_history(checkpoint):
    folder = checkpoint(
        "bert", head=True, num_labels=3, problem_type="multi_label_classification"
    )
    clf = TransformerMultiLabelClassifier.from_pretrained(folder, device="cpu")
    with pytest.raises(ValueError, match="history_ is empty: the model was loaded"):
        TrainingHistoryDisplay.from_estimator(clf)
