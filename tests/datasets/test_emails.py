import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from skbert.datasets import make_emails
from skbert.datasets.emails import _Writer, phrases
from skbert.model_selection import multilabel_train_test_split


@pytest.fixture(scope="module")
def emails():
    return make_emails(random_state=0)


def _digest(bunch):
    content = "\0".join(bunch.data) + bunch.target.to_csv()
    return hashlib.sha256(content.encode()).hexdigest()


def test_make_emails_has_the_shape_of_the_workflow(emails):
    assert len(emails.data) == 1144
    assert all(type(text) is str and text.strip() for text in emails.data)
    assert emails.target.shape == (1144, 25)
    assert (emails.target.dtypes == np.int64).all()
    assert set(np.unique(emails.target)) == {0, 1}
    assert emails.target_names == list(emails.target.columns)
    families = pd.Series(emails.target_names).str.split("_").str[0].value_counts()
    assert families.to_dict() == {"act": 8, "reason": 9, "reply": 4, "tasks": 4}


def test_make_emails_counts_in_each_family(emails):
    def per_email(family):
        return emails.target.filter(regex=f"^{family}_").sum(axis=1)

    assert (per_email("reply") == 1).all()
    assert (per_email("tasks") == 1).all()
    assert set(per_email("reason")) == {1, 2}
    assert per_email("act").nunique() >= 4


def test_make_emails_labels_are_imbalanced_and_correlated(emails):
    share = emails.target.mean()
    assert 0 < share.min() < 0.05
    assert 0.35 < share.max() < 0.6

    correlation = emails.target.corr()
    assert correlation.loc["act_request", "tasks_0"] < -0.5
    assert correlation.loc["reply_ignore", "tasks_0"] > 0.3
    assert correlation.loc["act_greet", "reason_personal"] > 0.2


def test_make_emails_labels_are_noisy(emails):
    """A request leaves a task with the reader, except where the label is wrong."""
    requests = emails.target[emails.target["act_request"] == 1]

    assert 0.01 < requests["tasks_0"].mean() < 0.15


def test_make_emails_are_mostly_short_with_a_tenth_of_long_threads(emails):
    words = np.array([len(text.split()) for text in emails.data])

    assert 0.07 < (words > 300).mean() < 0.15
    assert np.median(words) < 100
    assert words.max() < 600


def test_make_emails_wording_varies(emails):
    assert len(set(emails.data)) == len(emails.data)
    words = [re.findall(r"[a-z]+", text.lower()) for text in emails.data]
    seen = {word for text in words[:1029] for word in text}
    unseen = {word for text in words[1029:] for word in text} - seen
    assert len(unseen) > 50


def test_make_emails_quotes_messages_that_do_not_count():
    """Nobody in a thread is answered: the labels say nothing about what is quoted."""
    emails = make_emails(3000, random_state=1)
    quoted = [re.split(r"\n\n(?=On |-----|From: )", text)[1:] for text in emails.data]
    threads = pd.Series(["\n".join(parts) for parts in quoted])
    has_thread = threads.str.len() > 0
    assert 0.15 < has_thread.mean() < 0.4
    congratulates = threads.str.contains("Congratulations|Thank you so much|Bravo")

    share = emails.target["act_greet"].groupby(congratulates[has_thread]).mean()

    assert abs(share[True] - share[False]) < 0.1


def test_make_emails_is_the_same_for_the_same_seed_in_every_process():
    code = (
        "from skbert.datasets import make_emails; import hashlib;"
        "b = make_emails(50, random_state=3);"
        "content = chr(0).join(b.data) + b.target.to_csv();"
        "print(hashlib.sha256(content.encode()).hexdigest())"
    )
    environment = os.environ | {
        "PYTHONHASHSEED": "1",
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    here = make_emails(50, random_state=3)
    assert process.stdout.strip() == _digest(here)
    assert _digest(here) == _digest(make_emails(50, random_state=3))
    assert _digest(here) != _digest(make_emails(50, random_state=4))


def test_make_emails_random_state():
    fresh = _digest(make_emails(5)), _digest(make_emails(5))
    assert fresh[0] != fresh[1]

    state = np.random.RandomState(3)
    assert _digest(make_emails(5, random_state=state)) == _digest(
        make_emails(5, random_state=3)
    )
    assert _digest(make_emails(5, random_state=state)) != _digest(
        make_emails(5, random_state=3)
    )


@pytest.mark.parametrize("random_state", [None, 0])
def test_make_emails_leaves_the_global_random_state(random_state):
    before = np.random.get_state()[1:3]  # noqa: NPY002 - the state under test
    make_emails(5, random_state=random_state)
    after = np.random.get_state()[1:3]  # noqa: NPY002

    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1]


def test_make_emails_says_that_it_is_synthetic():
    bunch = make_emails(np.int64(7), random_state=0)

    assert len(bunch.data) == len(bunch.target) == 7
    assert "7 SYNTHETIC e-mails" in bunch.DESCR
    assert "SYNTHETIC" in make_emails.__doc__


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, True, "10", None])
def test_make_emails_refuses_a_bad_number(n_samples):
    with pytest.raises(ValueError, match="n_samples must be"):
        make_emails(n_samples)


def test_make_emails_can_be_learned_but_not_perfectly(emails):
    X_train, X_test, y_train, y_test = multilabel_train_test_split(
        emails.data, emails.target, test_size=0.1, random_state=0
    )
    baseline = make_pipeline(
        TfidfVectorizer(), OneVsRestClassifier(LogisticRegression(C=10))
    )
    probability = baseline.fit(X_train, y_train).predict_proba(X_test)

    score = f1_score(y_test, probability >= 0.5, average="micro")

    assert 0.5 < score < 0.75


def _strings(value):
    if isinstance(value, str):
        yield value
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def test_every_phrase_can_be_filled():
    """Rare phrases may not turn up in any other test."""
    write = _Writer(np.random.RandomState(0))
    write.topic, write.reply, write.n_tasks = phrases.topics["travel"], "ignore", 2
    every = list(_strings(vars(phrases)))

    filled = [write.fill(phrase) for phrase in every]

    assert len(every) > 500
    assert not [text for text in filled if "{" in text or "}" in text or "  " in text]
    assert {len(verb) for verbs, _ in phrases.tasks for verb in verbs} == {3}
