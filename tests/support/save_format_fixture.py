"""Save what models/test_saved_formats.py loads: run it once per version of the format.

    PYTHONPATH=. python tests/support/save_format_fixture.py

It writes tests/fixtures/format-N-POOLING, a folder as users have them, and beside it
what the classifier answered. Those of earlier versions stay as they are for ever.
"""

import json
import os
import tempfile
from pathlib import Path

import pandas as pd

from checkpoints import make_checkpoint
from skbert import TransformerMultiLabelClassifier
from skbert.models.loading import FORMAT_VERSION

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

FAMILIES = {"mean": "bert", "native": "roberta"}
THRESHOLDS = [0.25, 0.5, 0.625]
TEXTS = [
    "The invoice for March is attached.",
    "A crash after the update, and a refund!",
    "",
    "störung 会议 🧾",
    "the meeting is in the calendar " * 20,
]
TRAINING = {
    "the invoice and the payment": [1, 0, 0],
    "an error and a crash": [0, 1, 0],
    "the meeting in the calendar": [0, 0, 1],
    "a refund after the crash": [1, 1, 0],
}


def fit_example(pooling):
    """Fit a tiny classifier whose folder names no place of this machine."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as room:
        os.chdir(room)
        try:
            family = FAMILIES[pooling]
            make_checkpoint(family, "tiny", hidden_size=16, intermediate_size=32)
            clf = TransformerMultiLabelClassifier(
                "tiny",
                pooling=pooling,
                max_length=32,
                max_epochs=2,
                precision="fp32",
                device="cpu",
                random_state=0,
            )
            y = pd.DataFrame(
                list(TRAINING.values()), columns=["billing", "bug", "日程"]
            )
            clf.fit(list(TRAINING), y)
        finally:
            os.chdir(home)
    clf.thresholds_ = THRESHOLDS
    return clf


def main():
    for pooling in FAMILIES:
        clf = fit_example(pooling)
        folder = FIXTURES / f"format-{FORMAT_VERSION}-{pooling}"
        if folder.exists():
            raise SystemExit(f"{folder} is there: what was released is not saved anew.")
        clf.save_pretrained(folder)
        answers = {
            "texts": TEXTS,
            "proba": clf.predict_proba(TEXTS).tolist(),
            "labels": clf.predict_labels(TEXTS),
            "thresholds": THRESHOLDS,
        }
        text = json.dumps(answers, indent=1, ensure_ascii=False)
        folder.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
