"""
Ten lines
=========

From texts and labels to a model with a threshold for each label. The shortest of the
examples; the others explain.
"""

from skbert import (
    LabelScoresDisplay,
    TransformerMultiLabelClassifier,
    TunedThresholdsClassifierCV,
    make_emails,
    multilabel_train_test_split,
)

emails = make_emails(600, random_state=0)  # or read_csv("emails.csv", text="body")
X_train, X_val, X_test, y_train, y_val, y_test = multilabel_train_test_split(
    emails.data, emails.target, validation_size=0.2, test_size=0.2, random_state=0
)
clf = TransformerMultiLabelClassifier(max_length=64, max_epochs=5, random_state=0)
clf.fit(X_train, y_train)
tuned = TunedThresholdsClassifierCV(clf, cv="prefit").fit(X_val, y_val)
LabelScoresDisplay.from_estimators({"0.5": clf, "tuned": tuned}, X_test, y_test)

# %%
# Labels of an e-mail that it has not seen:

print(X_test[0])
tuned.predict_labels(X_test[:1])
