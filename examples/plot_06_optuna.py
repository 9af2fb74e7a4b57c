"""
A search that stops bad candidates early
========================================

Most candidates of a search are bad, and an epoch or two is enough to tell. Here Optuna
searches two learning rates of a transformer, and drops what falls behind. The study is
a file, so that the search can be stopped and goes on where it was.
"""

# %%
# What to search
# --------------
# Each trial is cross-validated on the same two folds, and every epoch is scored on the
# fold that is held out. Few texts and epochs, and only the first 32 tokens, so that
# this page is made quickly.

import warnings

from optuna.distributions import FloatDistribution

from skbert import (
    CrossValidationObjective,
    TransformerMultiLabelClassifier,
    make_emails,
)

warnings.filterwarnings("ignore", message=".*longer than max_length")
emails = make_emails(100, random_state=0)
objective = CrossValidationObjective(
    TransformerMultiLabelClassifier(
        max_length=32, max_epochs=3, batch_size=8, random_state=0
    ),
    {
        "learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
        "head_learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    },
    emails.data,
    emails.target,
    cv=2,
    scoring="average_precision",
)

# %%
# The search
# ----------
# Successive halving: after some epochs only the better half of the trials goes on. A
# second process that runs the same lines would share the work.

import tempfile
from pathlib import Path

import optuna

from skbert import open_study, run_trials

optuna.logging.set_verbosity(optuna.logging.WARNING)
storage = Path(tempfile.mkdtemp()) / "search.db"


def open_it(seed):
    """Open the study, or begin it."""
    return open_study(
        storage,
        "learning rates",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=2
        ),
    )


run_trials(open_it(seed=0), objective, n_trials=3)

# %%
# The script was stopped? Run it again: what is done is not done twice. (With another
# seed: a sampler that begins anew with the same one draws the same candidates.)

study = open_it(seed=1)
run_trials(study, objective, n_trials=6)

# %%
# What it found
# -------------

columns = [
    "number",
    "state",
    "value",
    "params_learning_rate",
    "params_head_learning_rate",
]
print(study.trials_dataframe()[columns].to_string(index=False))
n_epochs = sum(len(trial.intermediate_values) for trial in study.trials)
print(f"{n_epochs} of {6 * 2 * 3} epochs were run")

# %%
# The score of each trial, epoch by epoch; the second fold begins at epoch 4. Lines that
# end early were pruned.

import matplotlib.pyplot as plt

figure, ax = plt.subplots(layout="constrained")
for trial in study.trials:
    steps = [step + 1 for step in trial.intermediate_values]
    rate = trial.params["learning_rate"]
    ax.plot(steps, list(trial.intermediate_values.values()), ".-", label=f"{rate:.0e}")
ax.set(xlabel="epoch", ylabel="average precision, out of fold")
ax.legend(title="learning rate")

# %%
# The winner, fitted to all e-mails:

clf = objective.best_estimator(study)
clf.predict_labels(["Please send me your CV, I have a position for you."])
