"""The examples run; what they print is there."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_quickstart_reads_a_csv_of_the_users(emails, tmp_path, minilm):
    X, y = emails
    table = pd.DataFrame(y, columns=["billing", "bug", "meeting"])
    table.insert(0, "body", X)
    table.to_csv(tmp_path / "emails.csv", index=False)
    out = subprocess.run(
        [
            sys.executable,
            str(EXAMPLES / "plot_01_quickstart.py"),
            *("--data", str(tmp_path / "emails.csv"), "--text", "body"),
            *("--max-epochs", "2"),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ).stdout
    assert "48 texts to learn from, 3 labels" in out
    for column in ("train_loss", "valid_loss", "valid_f1_micro", "valid_roc_auc_micro"):
        assert column in out
    assert "valid_accuracy" in out
    scores = [
        line for line in out.splitlines() if line.startswith(("TF-IDF", "skbert"))
    ]
    assert len(scores) == 2
    assert all(name in out.split("subset accuracy")[1] for name in table.columns[1:])
