"""The examples run; what they print is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name, *arguments, folder):
    """Run an example as a user would, without a screen; return what it prints."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
    ).stdout


def test_quickstart_reads_a_csv_of_the_users(emails, tmp_path, minilm):
    X, y = emails
    table = pd.DataFrame(y, columns=["billing", "bug", "meeting"])
    table.insert(0, "body", X)
    table.to_csv(tmp_path / "emails.csv", index=False)
    out = run(
        "plot_01_quickstart.py",
        *("--data", str(tmp_path / "emails.csv"), "--text", "body"),
        *("--max-epochs", "2"),
        folder=tmp_path,
    )
    assert "48 texts to learn from, 3 labels" in out
    for column in ("train_loss", "valid_loss", "valid_f1_micro", "valid_roc_auc_micro"):
        assert column in out
    assert "valid_accuracy" in out
    scores = [
        line for line in out.splitlines() if line.startswith(("TF-IDF", "skbert"))
    ]
    assert len(scores) == 2
    assert all(name in out.split("subset accuracy")[1] for name in table.columns[1:])


def test_the_comparison_has_both_models_and_all_metrics(minilm, tmp_path):
    out = run("plot_03_compare_with_tfidf.py", folder=tmp_path)
    assert "TF-IDF" in out
    assert "MiniLM" in out
    for metric in ("f1_micro", "f1_macro", "average_precision", "fit_time"):
        assert metric in out


def test_tuned_thresholds_beat_a_half(minilm, tmp_path):
    out = run("plot_05_thresholds.py", folder=tmp_path)
    rows = re.findall(r"^(0\.5|one for all|per label|shrunk) +(\S+) +(\S+)$", out, re.M)
    scores = {name: (float(dev), float(test)) for name, dev, test in rows}
    assert len(scores) == 4
    assert (
        min(test for name, (_, test) in scores.items() if name != "0.5")
        > (scores["0.5"][1])
    )
    assert scores["per label"][0] == max(dev for dev, _ in scores.values())


def test_the_search_goes_on_and_prunes(minilm, tmp_path):
    out = run("plot_06_optuna.py", folder=tmp_path)
    assert len(re.findall(r"COMPLETE|PRUNED", out)) == 6
    epochs = int(re.search(r"(\d+) of 36 epochs", out)[1])
    assert 12 < epochs < 36
