"""
The fine-tuning notebook, in skbert
===================================

A well-known notebook fine-tunes BERT on a CSV file of e-mails with 25 labels, in 27
cells. Here is the same work with skbert, in the notebook's order. The page
:doc:`/notebook` goes through it cell by cell. The e-mails are synthetic, a third as
many, and the model is a smaller one that needs no download.
"""

# %%
# Data
# ----
# A CSV file with a column of texts and one 0/1 column per label. This one stands for
# yours.

import tempfile
from pathlib import Path

from skbert import make_emails

folder = Path(tempfile.mkdtemp())
made_up = make_emails(400, random_state=0)
made_up.target.assign(body=made_up.data).to_csv(folder / "emails.csv", index=False)

# %%
# Reading it, and 80% to train, 10% to choose the best epoch, 10% to evaluate. The
# notebook cuts the file into three in its own order; here the rows are drawn so that
# each label has its share in each part.

from skbert import multilabel_train_test_split, read_csv

emails = read_csv(folder / "emails.csv", text="body")
X_train, X_val, X_test, y_train, y_val, y_test = multilabel_train_test_split(
    emails.data, emails.target, validation_size=0.1, test_size=0.1, random_state=0
)
print(len(X_train), len(X_val), len(X_test))

# %%
# A look at one e-mail, and at its labels. No dictionaries of labels are needed: the
# columns of the table are their names.

print(X_train[0])
y_train.columns[y_train.iloc[0] == 1].tolist()

# %%
# Training
# --------
# Texts go in as they are: the tokenizer is part of the estimator, and so are padding,
# the loss, the optimizer and the metrics of every epoch. The best epoch is kept in
# memory, not on disk. ``max_length=64`` and four epochs are for this page to be made
# quickly; leave both out for better scores.

from skbert import TransformerMultiLabelClassifier

clf = TransformerMultiLabelClassifier(
    max_length=64, max_epochs=4, batch_size=8, random_state=0, verbose=1
)
clf.fit(X_train, y_train, X_val=X_val, y_val=y_val)

# %%
# What the tokenizer made of the beginning of a text, if you wonder:

clf.tokenizer_.decode(clf.tokenizer_(X_train[0][:80]).input_ids)

# %%
# Evaluation
# ----------
# Any metric of scikit-learn takes the predictions. One look at TF-IDF with logistic
# regression tells whether the transformer was worth it.

import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from skbert import make_tfidf_baseline

baseline = make_tfidf_baseline().fit(X_train, y_train)
scores = {
    name: {
        "micro-F1": f1_score(y_test, model.predict(X_test), average="micro"),
        "ROC AUC": roc_auc_score(y_test, model.predict_proba(X_test), average="micro"),
        "subset accuracy": accuracy_score(y_test, model.predict(X_test)),
    }
    for name, model in {"TF-IDF": baseline, "skbert": clf}.items()
}
pd.DataFrame(scores).T.round(3)

# %%
# Label by label, here by average precision, which needs no threshold. These e-mails are
# composed of phrases that recur word by word, which suits TF-IDF; after a few epochs on
# few of them it ranks many labels better. Real data differ (:doc:`/quality`): ask each
# time.

from skbert import LabelScoresDisplay

LabelScoresDisplay.from_estimators(
    {"TF-IDF": baseline, "skbert": clf}, X_test, y_test, score="average_precision"
)

# %%
# Saving
# ------
# A folder of safetensors and JSON.

clf.save_pretrained(folder / "emails-model")
clf = TransformerMultiLabelClassifier.from_pretrained(folder / "emails-model")

# %%
# Inference
# ---------
# Logits, probabilities, or the names of the labels, of any number of texts:

text = (
    "Hey Henri, I am writing to you because I am interested in the position of a Data "
    "Scientist at your company. I have a strong background in machine learning and I "
    "am proficient in Python. I am looking forward to hearing from you. Best, John Doe."
)
print(clf.decision_function([text]).shape)
print(pd.Series(clf.predict_proba([text])[0], clf.label_names_).nlargest(3).round(2))
clf.predict_labels([text])

# %%
# The notebook cuts at 0.5 whatever the label. Thresholds that suit each label are the
# cheapest gain there is; here they come from the validation e-mails.

from skbert import TunedThresholdsClassifierCV

tuned = TunedThresholdsClassifierCV(clf, scoring="f1_micro", cv="prefit")
tuned.fit(X_val, y_val)
print(f"micro-F1 at 0.5    {scores['skbert']['micro-F1']:.3f}")
tuned_score = f1_score(y_test, tuned.predict(X_test), average="micro")
print(f"micro-F1, tuned    {tuned_score:.3f}")
tuned.predict_labels([text])
