"""What the examples print, on the pages that `make docs` makes of them.

Building the pages runs every example, so that `make test` need not do it again.
"""

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[1] / "docs" / "examples"

pytestmark = pytest.mark.docs


def printed_by(name):
    """Return what an example printed when its page was made."""
    page = (PAGES / f"{name}.rst").read_text()
    blocks = re.findall(
        r"sphx-glr-script-out\n\n \.\. code-block:: none\n\n((?:    .*\n|\n)+)", page
    )
    return re.sub(r"^    ", "", "".join(blocks), flags=re.M)


def test_the_comparison_has_both_models_and_all_metrics():
    out = printed_by("plot_03_compare_with_tfidf")
    assert "TF-IDF" in out
    assert "MiniLM" in out
    for metric in ("f1_micro", "f1_macro", "average_precision", "fit_time"):
        assert metric in out


def test_tuned_thresholds_beat_a_half():
    out = printed_by("plot_05_thresholds")
    rows = re.findall(r"^(0\.5|one for all|per label|shrunk) +(\S+) +(\S+)$", out, re.M)
    scores = {name: (float(dev), float(test)) for name, dev, test in rows}
    assert len(scores) == 4
    assert (
        min(test for name, (_, test) in scores.items() if name != "0.5")
        > (scores["0.5"][1])
    )
    assert scores["per label"][0] == max(dev for dev, _ in scores.values())


def test_the_search_goes_on_and_prunes():
    out = printed_by("plot_06_optuna")
    assert len(re.findall(r"COMPLETE|PRUNED", out)) == 6
    epochs = int(re.search(r"(\d+) of 36 epochs", out)[1])
    assert 12 < epochs < 36
