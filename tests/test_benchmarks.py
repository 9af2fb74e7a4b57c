"""Tests of the scripts in benchmarks/."""

import csv
import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

import skbert
from skbert import find_thresholds
from skbert.baseline import make_tfidf_baseline

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def quality():
    """The script benchmarks/quality.py as a module."""
    path = REPOSITORY / "benchmarks" / "quality.py"
    spec = importlib.util.spec_from_file_location("quality", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def splits(tmp_path):
    """The folder of a tiny data set, and its splits as frames."""
    rng = np.random.default_rng(0)
    words = np.array(["invoice", "refund", "crash", "error", "lunch", "noon"])
    frames = {}
    for split, n_texts in [("train", 40), ("dev", 25), ("test", 30)]:
        drawn = rng.random((n_texts, 6)) < 0.3
        sure = rng.random((n_texts, 2)) < 0.85  # else the labels are noise
        labels = np.column_stack([drawn[:, :2].any(axis=1), drawn[:, 2:4].all(axis=1)])
        labels = np.where(sure, labels, rng.random((n_texts, 2)) < 0.5)
        frame = pd.DataFrame(labels.astype(int), columns=["billing", "bug"])
        frame.insert(0, "text", [" ".join(["mail", *words[row]]) for row in drawn])
        ending = ".csv.gz" if split == "train" else ".csv"
        frame.to_csv(tmp_path / f"{split}{ending}", index=False)
        frames[split] = frame
    return tmp_path, frames


class Recorder:
    """Stands for the transformer: answers nonsense, and keeps what it was given."""

    made: list = []

    def __init__(self, **params):
        self.params = params
        self.made.append(self)

    def fit(self, X, y):
        self.n_train = len(X)
        return self

    def predict_proba(self, X):
        seed = self.params["random_state"]
        return np.random.default_rng(seed).random((len(X), 2))


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(Recorder, "made", [])
    monkeypatch.setitem(vars(skbert), "TransformerMultiLabelClassifier", Recorder)
    return Recorder


def rows_of(output):
    """Return the cells of the printed table."""
    return [line.split() for line in output.splitlines()[3:]]


def test_the_tfidf_row_holds_the_scores_of_the_baseline(quality, splits, capsys):
    folder, frames = splits
    quality.main([str(folder), "--rows", "tfidf"])
    output = capsys.readouterr().out
    assert "40 / 25 / 30 texts, 2 labels" in output
    (row,) = rows_of(output)
    assert row[:2] == ["tfidf", "-"]

    y = {split: frame[["billing", "bug"]] for split, frame in frames.items()}
    baseline = make_tfidf_baseline().fit(frames["train"]["text"], y["train"])
    proba = {s: baseline.predict_proba(frames[s]["text"]) for s in ("dev", "test")}

    def f1(threshold, average):
        chosen = proba["test"] >= threshold
        return f1_score(y["test"], chosen, average=average)

    expected = []
    for params in (None, {"per_label": False}, {"shrinkage": 0}, {}):
        for average in ("micro", "macro"):
            threshold = 0.5
            if params is not None:
                threshold = find_thresholds(
                    y["dev"], proba["dev"], scoring=f"f1_{average}", **params
                )
            expected.append(f1(threshold, average))
    np.testing.assert_allclose([float(x) for x in row[2:10]], expected, atol=6e-4)
    assert len(set(expected)) > 4


def test_probabilities_are_kept_and_read_again(quality, splits, capsys, tmp_path):
    folder, _ = splits
    kept = tmp_path / "kept"
    command = [str(folder), "--rows", "tfidf", "--probabilities", str(kept)]
    quality.main(command)
    first = rows_of(capsys.readouterr().out)
    (path,) = kept.iterdir()
    quality.main(command)
    assert rows_of(capsys.readouterr().out) == first  # the seconds, too
    with np.load(path) as answers:
        changed = dict(answers) | {"test": np.zeros((30, 2))}
    np.savez(path, **changed)
    quality.main(command)
    assert rows_of(capsys.readouterr().out)[0][2:10] == ["0.000"] * 8


def test_transformer_rows_get_their_settings_and_a_mean(
    quality, splits, recorder, capsys, tmp_path
):
    folder, _ = splits
    target = tmp_path / "results.csv"
    quality.main(
        [str(folder), "--rows", "skbert", "notebook", "--seeds", "3", "5"]
        + ["--max-length", "64", "--n-train", "10", "--csv", str(target)]
        + ["--set", "warmup=0.3", "model=some/model", "trainable_layers=None"]
    )
    rows = rows_of(capsys.readouterr().out)
    names = [tuple(row[:2]) for row in rows]
    assert names == [
        (recipe, seed)
        for recipe in ("skbert", "notebook")
        for seed in ("3", "5", "mean")
    ]
    first, second, mean = np.array([row[2:10] for row in rows[:3]], dtype=float)
    assert (first != second).any()
    np.testing.assert_allclose(mean, (first + second) / 2, atol=6e-3)

    common = {"model": "some/model", "trainable_layers": None}
    skbert_params = {"max_length": 64, "warmup": 0.3, **common}
    notebook_params = {**quality.NOTEBOOK, **common}
    assert notebook_params["warmup"] == 0
    assert [clf.params for clf in recorder.made] == [
        {"random_state": seed, **params}
        for params in (skbert_params, notebook_params)
        for seed in (3, 5)
    ]
    assert {clf.n_train for clf in recorder.made} == {10}

    quality.main([str(folder), "--rows", "skbert", "--csv", str(target)])
    with target.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == 7
    assert [row["row"] for row in written[:6]] == [name for name, _ in names]
    assert float(written[2]["micro at 0.5"]) == pytest.approx(mean[0], abs=6e-4)
    assert written[0]["set"] == "warmup=0.3 model=some/model trainable_layers=None"
    assert written[0]["n_train"] == "10"
    assert written[6]["n_train"] == ""


def test_without_rows_all_recipes_are_run(quality, splits, recorder, capsys):
    folder, _ = splits
    quality.main([str(folder)])
    names = [row[:2] for row in rows_of(capsys.readouterr().out)]
    assert names == [["tfidf", "-"], ["skbert", "0"], ["notebook", "0"]]
    assert recorder.made[0].params == {"random_state": 0, "max_length": 128}


def test_the_table_is_aligned(quality, splits, recorder, capsys):
    quality.main([str(splits[0]), "--seeds", "0", "1"])
    header, *rows = capsys.readouterr().out.splitlines()[2:]
    assert len(rows) == 7
    ends = [match.end() for match in re.finditer(r"\S+( cpu)?( s\b)?", header)][2:]
    assert len(ends) == 11
    for row in rows:
        assert [match.end() for match in re.finditer(r"\S+", row)][2:] == ends


def test_a_part_of_the_training_texts_is_the_same_for_every_call(quality, splits):
    folder, frames = splits
    first, second = (quality.read_data(folder, n_train=7)["train"] for _ in range(2))
    assert first.data == second.data
    assert len(first.data) == 7
    frame = frames["train"]
    texts = frame["text"].to_list()
    assert first.data == [texts[row] for row in first.target.index]
    expected = frame.loc[first.target.index, ["billing", "bug"]]
    assert first.target.equals(expected)
    everything = quality.read_data(folder, n_train=1000)["train"]
    assert everything.data == texts


def test_data_sets_are_found_by_name(quality, splits, monkeypatch):
    folder, _ = splits
    monkeypatch.setenv("SKBERT_TEST_DATA", str(folder.parent))
    assert quality.find_folder(folder.name) == folder
    with pytest.raises(SystemExit, match="No data set 'nowhere'"):
        quality.find_folder("nowhere")
    monkeypatch.delenv("SKBERT_TEST_DATA")
    with pytest.raises(SystemExit) as error:
        quality.find_folder("nowhere")
    assert str(REPOSITORY.parent / "shared" / "data" / "nowhere") in str(error.value)


def test_wrong_arguments_end_with_a_message(quality, splits, capsys):
    folder, _ = splits
    (folder / "dev.csv").unlink()
    with pytest.raises(SystemExit, match=r"neither dev\.csv\.gz nor dev\.csv"):
        quality.main([str(folder)])
    with pytest.raises(SystemExit):
        quality.main([str(folder), "--set", "warmup"])
    assert "not of the form key=value" in capsys.readouterr().err


def test_help_explains_the_rows(quality, capsys):
    with pytest.raises(SystemExit) as end:
        quality.main(["--help"])
    assert end.value.code == 0
    assert "--n-train" in (output := capsys.readouterr().out)
    assert "The workflow that skbert replaces" in output
