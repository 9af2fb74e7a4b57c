"""
Long e-mails
============

An encoder reads the first ``max_length`` tokens of a text. Many e-mails are longer: the
reply is on top, older messages are quoted below. What is lost, what does it cost to
read more, and is the end worth more than the beginning?
"""

# %%
# How long are they?
# ------------------
# In tokens of the model, which are somewhat more than words.

import warnings

import matplotlib.pyplot as plt
import numpy as np

from skbert import (
    TransformerMultiLabelClassifier,
    make_emails,
    multilabel_train_test_split,
)

warnings.filterwarnings("ignore", message=".*longer than")
emails = make_emails(240, random_state=0)
X_train, X_test, y_train, y_test = multilabel_train_test_split(
    emails.data, emails.target, test_size=0.4, random_state=0
)
settings = {"max_epochs": 4, "batch_size": 8, "random_state": 0}
short = TransformerMultiLabelClassifier(max_length=32, **settings)
short.fit(X_train, y_train)

# %%
# ``fit`` warns where more than a tenth of the texts is cut. Here nearly all are: the
# fitted attribute ``truncated_fraction_`` is the share.

tokens = short.tokenizer_(X_train, verbose=False).input_ids
lengths = np.array([len(ids) for ids in tokens])
figure, ax = plt.subplots(layout="constrained")
ax.hist(lengths, bins=40)
for max_length in (32, 96):
    ax.axvline(max_length, color="black", linestyle=":")
ax.set(xlabel="tokens of an e-mail", ylabel="e-mails", xlim=(0, None))
print(f"cut at 32 tokens: {short.truncated_fraction_:.0%}")

# %%
# Beginning and end
# -----------------
# ``long_text="head_tail"`` keeps the first quarter and the last three quarters of the
# room instead of the beginning alone, at the same cost. Reading more of each text costs
# more, all at once or in windows of 32 tokens whose logits are pooled.

both_ends = TransformerMultiLabelClassifier(
    max_length=32, long_text="head_tail", **settings
)
windows = TransformerMultiLabelClassifier(
    max_length=32, long_text="windows", **settings
)
longer = TransformerMultiLabelClassifier(max_length=96, **settings)

# %%
# Which is best?
# --------------
# Average precision needs no threshold, so that this compares the models alone.

import pandas as pd
from sklearn.metrics import average_precision_score

rows = {}
for name, clf in {
    "first 32": short,
    "head and tail, 32": both_ends.fit(X_train, y_train),
    "windows of 32": windows.fit(X_train, y_train),
    "first 96": longer.fit(X_train, y_train),
}.items():
    proba = clf.predict_proba(X_test)
    rows[name] = {
        "cut": clf.truncated_fraction_,
        "seconds per epoch": np.mean([row["dur"] for row in clf.history_]),
        "micro": average_precision_score(y_test, proba, average="micro"),
        "macro": average_precision_score(y_test, proba, average="macro"),
    }
pd.DataFrame(rows).T.round(3)

# %%
# These e-mails say what they want in the beginning and quote other people at the end,
# so that their beginning is what counts, and more of it is better still. In others the
# point comes last. Compare on data of your own; :doc:`/long_texts` has the parameters.
