"""
From a column of texts to label names
=====================================

E-mails carry several labels at once: what they do, why, whether they want an answer.
We fine-tune a small transformer on such e-mails, look at it epoch by epoch, compare it
with TF-IDF, and read labels off a new text. The e-mails here are synthetic; with
``--data emails.csv --text body`` the same script runs on a CSV of your own, with one
0/1 column per label.
"""

# %%
# The data
# --------
# A table with a text and 25 columns of 0 and 1. Eight tenths train, one tenth chooses
# the best epoch, and the last is only for the final scores. The split is stratified
# over all labels.

import argparse

from skbert import make_emails, multilabel_train_test_split, read_csv

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", help="a CSV file; by default synthetic e-mails")
parser.add_argument("--text", default="text", help="its column of texts")
parser.add_argument("--max-epochs", type=int, help="passes over the texts")
options, _ = parser.parse_known_args()

if options.data:
    emails = read_csv(options.data, text=options.text)
    options.max_epochs = options.max_epochs or "auto"
else:
    emails = make_emails(1144, random_state=0)
    options.max_epochs = options.max_epochs or 5  # more would be better, and slower

X_train, X_val, X_test, y_train, y_val, y_test = multilabel_train_test_split(
    emails.data, emails.target, validation_size=0.1, test_size=0.1, random_state=0
)
print(f"{len(X_train)} texts to learn from, {y_train.shape[1]} labels")

# %%
# Fine-tuning
# -----------
# It is an ordinary scikit-learn estimator. ``verbose=1`` prints a row per epoch.

from skbert import TransformerMultiLabelClassifier

clf = TransformerMultiLabelClassifier(
    max_epochs=options.max_epochs, random_state=0, verbose=1
)
clf.fit(X_train, y_train, X_val=X_val, y_val=y_val)

# %%
# Is it better than TF-IDF?
# -------------------------
# Ask every time: the baseline takes a second. These scores are scikit-learn's, and skip
# cells whose label is unknown.

import pandas as pd

from skbert import make_tfidf_baseline
from skbert.metrics import nan_accuracy_score, nan_f1_score

scores = {}
for name, model in {
    "TF-IDF": make_tfidf_baseline().fit(X_train, y_train),
    "skbert": clf,
}.items():
    y_pred = model.predict(X_test)
    scores[name] = {
        "micro-F1": nan_f1_score(y_test, y_pred, average="micro"),
        "macro-F1": nan_f1_score(y_test, y_pred, average="macro"),
        "subset accuracy": nan_accuracy_score(y_test, y_pred),
    }
print(pd.DataFrame(scores).T.round(3))

# %%
# The labels of a new text
# ------------------------

text = (
    "Hey Henri, I am writing to you because I am interested in the position of a Data "
    "Scientist at your company. I have a strong background in machine learning and I "
    "am proficient in Python. I am looking forward to hearing from you. Best, John Doe."
)
print(clf.predict_labels([text])[0])

# %%
# How sure it is of each label:

proba = pd.Series(clf.predict_proba([text])[0], index=clf.label_names_)
print(proba.nlargest(5).round(2).to_string())
