"""What was saved by any version of skbert loads, and answers as it did."""

import json

import numpy as np
import pytest

from save_format_fixture import FIXTURES, fit_example
from skbert import TransformerMultiLabelClassifier
from skbert.models.loading import FORMAT_VERSION

POOLINGS = ("mean", "native")
NAMES = [
    f"format-{version}-{pooling}"
    for version in range(1, FORMAT_VERSION + 1)
    for pooling in POOLINGS
]

pytestmark = pytest.mark.skipif(
    not FIXTURES.is_dir(), reason="the fixtures are in the repository only"
)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_every_version_answers_as_it_did(name):
    expected = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))

    clf = TransformerMultiLabelClassifier.from_pretrained(
        FIXTURES / name, device="cpu", precision="fp32"
    )

    proba = clf.predict_proba(expected["texts"])
    np.testing.assert_allclose(proba, expected["proba"], rtol=0, atol=1e-6)
    # Such a test says something where texts and labels differ.
    assert np.ptp(proba, axis=0).min() > 1e-3
    labels = [tuple(names) for names in expected["labels"]]
    assert clf.predict_labels(expected["texts"]) == labels
    assert clf.thresholds_.tolist() == expected["thresholds"]
    assert clf.pooling_ == name.rpartition("-")[2]
    assert len(clf.history_) == clf.n_iter_ == 2
    assert clf.max_length == clf.max_length_ == 32


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_every_version_says_which(name):
    state = json.loads((FIXTURES / name / "skbert.json").read_text(encoding="utf-8"))

    assert f"format-{state['format_version']}-{state['pooling']}" == name


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_present_version_still_writes_the_same_fields(pooling, tmp_path):
    """A field more or less is another version, which needs a fixture of its own."""
    fit_example(pooling).save_pretrained(tmp_path)

    fixture = FIXTURES / f"format-{FORMAT_VERSION}-{pooling}"
    now, then = (
        json.loads((folder / "skbert.json").read_text(encoding="utf-8"))
        for folder in (tmp_path, fixture)
    )
    assert now.keys() == then.keys()
    assert now["fitted"].keys() == then["fitted"].keys()


def test_the_fixtures_are_small():
    size = sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file())

    assert size < 200_000 * FORMAT_VERSION
