"""Draw the figures of the pages in this folder.

    python docs/figures.py

They show TF-IDF on synthetic e-mails, so that they are made in a minute; what they show
of thresholds and comparisons is the same for a transformer.
"""

from pathlib import Path

import matplotlib

from skbert import (
    ComparisonDisplay,
    ThresholdDisplay,
    TunedThresholdsClassifierCV,
    TunedThresholdsDisplay,
    compare,
    find_thresholds,
    make_emails,
    make_tfidf_baseline,
    multilabel_train_test_split,
)

matplotlib.use("agg")
FOLDER = Path(__file__).parent / "images"
N_SHOWN = 9


def main() -> None:
    """Write the PNG files."""
    emails = make_emails(1144, random_state=0)
    X_train, X_dev, y_train, y_dev = multilabel_train_test_split(
        emails.data, emails.target, test_size=0.4, random_state=0
    )
    # Labels of every frequency.
    shown = y_dev.sum().sort_values().index[:: max(1, y_dev.shape[1] // N_SHOWN)]
    columns = [y_dev.columns.get_loc(name) for name in shown[:N_SHOWN]]
    baseline = make_tfidf_baseline().fit(X_train, y_train)
    proba = baseline.predict_proba(X_dev)[:, columns]
    y_shown = y_dev.iloc[:, columns]
    thresholds = find_thresholds(y_shown, proba, shrinkage=0)
    save(
        ThresholdDisplay.from_predictions(y_shown, proba, thresholds=thresholds),
        "thresholds",
    )
    tuned = TunedThresholdsClassifierCV(make_tfidf_baseline()).fit(X_train, y_train)
    save(TunedThresholdsDisplay.from_cv_results(tuned.cv_results_), "tuned_thresholds")
    table = compare(
        {
            "words": make_tfidf_baseline(ngram_range=(1, 1)),
            "words and pairs": make_tfidf_baseline(),
        },
        emails.data,
        emails.target,
        scoring=["f1_micro", "f1_macro"],
        tune_thresholds=True,
    )
    save(ComparisonDisplay.from_results(table), "comparison")


def save(display: object, name: str) -> None:
    """Write a display's figure, without what would differ from day to day."""
    FOLDER.mkdir(exist_ok=True)
    display.figure_.savefig(FOLDER / f"{name}.png", dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main()
