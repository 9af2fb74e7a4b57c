"""Tests of skbert.plotting: what all displays have in common."""

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from pictures import (
    N_LABELS,
    agg_canvas,  # noqa: F401
    assert_readable,
    label_data,
    named,
    tick_names,
)
from skbert.plotting import (
    ComparisonDisplay,
    LabelCooccurrenceDisplay,
    LabelScoresDisplay,
    MultilabelPrecisionRecallDisplay,
    ThresholdDisplay,
    TrainingHistoryDisplay,
    TunedThresholdsDisplay,
)

HISTORY = [
    {"epoch": i + 1, "train_loss": 1 / (i + 1), "valid_loss": 0.5, "valid_x": i / 9}
    for i in range(9)
]


def comparison_table(names):
    columns = {
        (metric, statistic): np.linspace(0.1, 0.2, len(names))
        for metric in ("f1_macro", "average_precision")
        for statistic in ("mean", "std", "difference", "low", "high")
    }
    for metric in ("f1_macro", "average_precision"):
        for statistic in ("difference", "low", "high"):
            columns[metric, statistic][0] = np.nan
    columns["fit_time", "mean"] = np.geomspace(0.01, 10_000, len(names))
    return pd.DataFrame(columns, index=pd.Index(names, name="estimator"))


def tuned_results(names):
    n_labels = len(names)
    values = np.linspace(0.1, 0.9, n_labels)
    return {
        "label": np.array(names),
        "threshold": values[::-1],
        "score": values,
        "std_score": np.full(n_labels, 0.05),
        "support": np.arange(n_labels, 0, -1),
        "split0_score": values + 0.05,
        "split1_score": values - 0.05,
    }


# How each display is made for so many labels (estimators, for a comparison).
DRAW = {
    "thresholds": lambda y, p, names, **kw: ThresholdDisplay.from_predictions(
        y, p, label_names=names, **kw
    ),
    "tuned": lambda y, p, names, **kw: TunedThresholdsDisplay.from_cv_results(
        tuned_results(names), **kw
    ),
    "scores": lambda y, p, names, **kw: LabelScoresDisplay.from_predictions(
        y, {"TF-IDF": p**2, "MiniLM": p}, label_names=names, **kw
    ),
    "curves": lambda y, p, names, **kw: (
        MultilabelPrecisionRecallDisplay.from_predictions(
            y, p, label_names=names, thresholds=0.5, **kw
        )
    ),
    "pairs": lambda y, p, names, **kw: LabelCooccurrenceDisplay.from_targets(
        y, label_names=names, **kw
    ),
    "comparison": lambda y, p, names, **kw: ComparisonDisplay.from_results(
        comparison_table(names), **kw
    ),
    "history": lambda y, p, names, **kw: TrainingHistoryDisplay(HISTORY).plot(**kw),
}
N_AXES = {"tuned": 2, "comparison": 4, "history": 2}


@pytest.mark.parametrize("n_labels", N_LABELS)
@pytest.mark.parametrize("kind", DRAW)
def test_no_words_overlap_or_leave_the_figure(kind, n_labels):
    display = DRAW[kind](*label_data(n_labels))
    assert_readable(display.figure_)


@pytest.mark.parametrize("kind", DRAW)
def test_a_label_may_be_alone(kind):
    assert_readable(DRAW[kind](*label_data(1)).figure_)


@pytest.mark.parametrize("kind", DRAW)
def test_given_axes_are_drawn_on_and_no_figure_is_made(kind):
    n_axes = N_AXES.get(kind, 1)
    figure, axes = plt.subplots(1, n_axes)
    display = DRAW[kind](*label_data(4), ax=axes)
    assert plt.get_fignums() == [figure.number]
    assert display.figure_ is figure
    assert list(display.axes_.flat) == list(np.ravel(axes))
    assert display.ax_ is np.ravel(axes)[0]
    figure.canvas.draw()


@pytest.mark.parametrize("kind", DRAW)
def test_a_wrong_number_of_axes_is_told(kind):
    _, axes = plt.subplots(1, 3)
    with pytest.raises(ValueError, match="ax holds 3 axes, but this picture needs"):
        DRAW[kind](*label_data(4), ax=axes)


@pytest.mark.parametrize("kind", DRAW)
def test_plot_draws_again_and_returns_the_display(kind):
    display = DRAW[kind](*label_data(3))
    first = display.figure_
    assert display.plot() is display
    assert display.figure_ is not first


@pytest.mark.parametrize("kind", DRAW)
def test_global_settings_stay_as_they_were(kind):
    before = dict(matplotlib.rcParams)
    DRAW[kind](*label_data(10))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("kind", DRAW)
def test_without_matplotlib_the_extra_is_named(monkeypatch, kind):
    data = label_data(2)
    for module in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "skbert\[plot\]"'):
        DRAW[kind](*data)


def test_matplotlib_and_torch_are_not_imported_with_the_package():
    code = (
        "import sys, skbert.plotting; print({'matplotlib', 'torch'} & set(sys.modules))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "set()"


@pytest.mark.parametrize("kind", ["thresholds", "scores", "curves", "pairs"])
def test_as_many_names_as_labels_are_asked_for(kind):
    y, p, _ = label_data(3)
    with pytest.raises(ValueError, match="label_names has 2 names, but there are 3"):
        DRAW[kind](y, p, ["a", "b"])


@pytest.mark.parametrize("kind", ["thresholds", "scores", "curves", "pairs"])
def test_names_come_from_the_columns_of_a_frame(kind):
    y, p, _ = label_data(12)
    names = [f"column {i}" for i in range(12)]
    display = DRAW[kind](pd.DataFrame(y, columns=names), p, None)
    if kind == "curves":
        assert list(display.label_names) == names
    else:
        assert sorted(tick_names(display.ax_)) == sorted(names)


@pytest.mark.parametrize("kind", ["thresholds", "scores"])
def test_names_are_shown_as_they_are(kind):
    y, p, names = label_data(12)
    names[:3] = ["_private", "a $x$ of $y", "two\nlines"]
    display = DRAW[kind](y, p, names)
    display.figure_.canvas.draw()
    shown = tick_names(display.ax_)
    assert {"_private", "a $x$ of $y", "two lines"} <= set(shown)
    assert not any(t.get_parse_math() for t in display.ax_.get_yticklabels())


def test_a_very_long_name_loses_its_middle():
    y, p, names = label_data(12)
    names[0] = "begin" + "x" * 100 + "end"
    shown = next(n for n in tick_names(DRAW["pairs"](y, p, names).ax_) if "…" in n)
    assert shown.startswith("begin") and shown.endswith("end")
    assert len(shown) <= 60


@pytest.mark.parametrize("kind", ["thresholds", "scores", "curves"])
def test_a_score_of_an_unknown_cell_does_not_matter(kind):
    y, p, names = label_data(3)
    y[0, 0] = np.nan
    noisy = p.copy()
    noisy[0, 0] = np.nan
    first, second = DRAW[kind](y, p, names), DRAW[kind](y, noisy, names)
    for attribute in named(first):
        np.testing.assert_equal(getattr(first, attribute), getattr(second, attribute))


@pytest.mark.parametrize("kind", ["thresholds", "scores", "curves"])
def test_scores_are_checked(kind):
    y, p, names = label_data(3)
    with pytest.raises(ValueError, match=r"y_score has shape \(200, 2\), y has"):
        DRAW[kind](y, p[:, :2], names)
    with pytest.raises(ValueError, match="NaN or infinity where y is known"):
        DRAW[kind](np.nan_to_num(y), np.full_like(p, np.nan), names)
    with pytest.raises(ValueError, match="must hold probabilities, between 0 and 1"):
        DRAW[kind](y, 5 * p + 2, names)
