"""
Better thresholds than 0.5
==========================

A label that one text in thirty carries is rarely given a probability of 0.5. At a fixed
0.5 a good model then predicts almost nothing, and looks worse than it is.
"""

# %%
# Where 0.5 fails
# ---------------
# A transformer, briefly trained on the first 48 tokens, and e-mails that it has not
# seen.

import warnings

from skbert import (
    TransformerMultiLabelClassifier,
    make_emails,
    multilabel_train_test_split,
)

warnings.filterwarnings("ignore", message=".*longer than max_length")
emails = make_emails(300, random_state=0)
X_train, X_dev, X_test, y_train, y_dev, y_test = multilabel_train_test_split(
    emails.data, emails.target, validation_size=0.25, test_size=0.25, random_state=0
)
clf = TransformerMultiLabelClassifier(
    max_length=48, max_epochs=4, batch_size=8, random_state=0
).fit(X_train, y_train)

# %%
# F1 of each label against the threshold, with the cut at 0.5:

from skbert import ThresholdDisplay

ThresholdDisplay.from_estimator(clf, X_dev, y_dev)

# %%
# Tuning on a development set
# ---------------------------
# ``cv="prefit"`` takes the fitted model as it is; ``fit`` only chooses thresholds.

from skbert import TunedThresholdsClassifierCV

tuned = TunedThresholdsClassifierCV(clf, scoring="f1_macro", cv="prefit")
tuned.fit(X_dev, y_dev)
ThresholdDisplay.from_estimator(tuned, X_dev, y_dev)

# %%
# One for all, one per label, or between
# --------------------------------------
# The best threshold of a label with five positives is mostly chance, so by default
# thresholds are shrunk toward the one that is best for all, the more the rarer the
# label. On the texts that chose them, thresholds per label always win. What counts are
# texts that nobody has looked at:

import pandas as pd

from skbert import find_thresholds
from skbert.metrics import nan_f1_score

proba_dev, proba_test = clf.predict_proba(X_dev), clf.predict_proba(X_test)
choices = {
    "one for all": {"per_label": False},
    "per label": {"shrinkage": 0},
    "shrunk": {},
}
scores = {"0.5": [nan_f1_score(y_dev, proba_dev >= 0.5)]}
scores["0.5"].append(nan_f1_score(y_test, proba_test >= 0.5))
for name, params in choices.items():
    thresholds = find_thresholds(y_dev, proba_dev, scoring="f1_macro", **params)
    scores[name] = [
        nan_f1_score(y_dev, proba_dev >= thresholds),
        nan_f1_score(y_test, proba_test >= thresholds),
    ]
columns = ["macro-F1, development", "macro-F1, test"]
print(pd.DataFrame(scores, index=columns).T.round(3))

# %%
# Which one wins there depends on the data: here few labels are really rare, and after
# four epochs the model still rates each label near its frequency, so that each wants a
# threshold of its own. With rare labels and a trained model the order turns round.

# %%
# Without a development set
# -------------------------
# Out-of-fold probabilities of the training texts serve as well. Here for TF-IDF, which
# is quickly fitted; for a transformer ``cv=0.2`` fits only twice.

from skbert import TunedThresholdsDisplay, make_tfidf_baseline

baseline = TunedThresholdsClassifierCV(make_tfidf_baseline(), scoring="f1_macro", cv=5)
baseline.fit(X_train, y_train)
TunedThresholdsDisplay.from_cv_results(baseline.cv_results_)

# %%
# What was chosen, and how it does, label by label:

from skbert import multilabel_report

report = multilabel_report(
    y_test, baseline.predict_proba(X_test), thresholds=baseline.thresholds_
)
print(report.round(2).to_string())
