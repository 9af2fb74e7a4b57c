"""
Does the transformer beat TF-IDF?
=================================

Ask it of every data set, with the same folds and equally tuned thresholds for both, and
look at the difference and how sure it is. On a few hundred short texts a linear model
on words is hard to beat.
"""

# %%
# The contestants
# ---------------
# The first one is what the others are compared with. The transformer here reads the
# first 32 tokens of a few texts for a few epochs, so that this page is made quickly; it
# would need more of all three.

import warnings

from skbert import (
    TransformerMultiLabelClassifier,
    compare,
    make_emails,
    make_tfidf_baseline,
)

warnings.filterwarnings("ignore", message=".*longer than max_length")
emails = make_emails(200, random_state=0)
contestants = {
    "TF-IDF": make_tfidf_baseline(),
    "MiniLM": TransformerMultiLabelClassifier(
        max_length=32, max_epochs=2, batch_size=8, random_state=0
    ),
}

# %%
# One call
# --------
# Two stratified folds. Inside each, three tenths of the training texts are held out to
# tune the thresholds of both.

table = compare(
    contestants,
    emails.data,
    emails.target,
    cv=2,
    scoring=["f1_micro", "f1_macro", "average_precision"],
    tune_thresholds={"cv": 0.3},
)
print(table.round(3).T.to_string())

# %%
# The picture
# -----------
# Left to right the metrics; below, the paired difference to TF-IDF with its 95%
# confidence interval, corrected for the overlap of the training folds. A filled dot
# says that the interval leaves out 0.

from skbert import ComparisonDisplay

ComparisonDisplay.from_results(table)

# %%
# Label by label
# --------------
# Which labels does each of them find? Here on one split, at threshold 0.5.

from skbert import LabelScoresDisplay, multilabel_train_test_split

X_train, X_test, y_train, y_test = multilabel_train_test_split(
    emails.data, emails.target, test_size=0.5, random_state=0
)
fitted = {name: model.fit(X_train, y_train) for name, model in contestants.items()}
LabelScoresDisplay.from_estimators(
    fitted, X_test, y_test, score="average_precision", sort_by="difference"
)
