import copy
import json
import os
import pickle
import stat
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

import skbert.models.loading
import skbert.models.saving
from checkpoints import make_checkpoint
from skbert import TransformerMultiLabelClassifier
from skbert.exceptions import ModelFormatError
from skbert.models.checkpoint import open_checkpoint
from skbert.models.loading import FORMAT_VERSION, load_model
from skbert.models.saving import save_model

WITH_VOCABULARY = ("bert", "roberta", "deberta", "distilbert")
FAMILIES = (*WITH_VOCABULARY, "canine")
NAMES = ["Rechnung 🧾", "störung", "会议"]
THRESHOLDS = [0.25, 0.5, 0.625]
TEXTS = ["The invoice is attached.", "", "A crash after the update!", "a note " * 9]


def make_classifier(model, **params):
    settings = {
        "max_epochs": 1,
        "batch_size": 16,
        "max_length": 64,
        "precision": "fp32",
        "device": "cpu",
        "random_state": 0,
    }
    return TransformerMultiLabelClassifier(model, **(settings | params))


def load(folder):
    return TransformerMultiLabelClassifier.from_pretrained(
        folder, device="cpu", precision="fp32"
    )


def assert_same_answers(clf, other, texts=TEXTS):
    np.testing.assert_allclose(
        other.predict_proba(texts), clf.predict_proba(texts), rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(other.predict(texts), clf.predict(texts))
    assert other.predict_labels(texts) == clf.predict_labels(texts)


@pytest.fixture(scope="module")
def shelf():
    """Give a place for what is fitted once for all tests of the module."""
    return {}


@pytest.fixture
def fitted(shelf, checkpoint, emails):
    """Give a function that fits a classifier; nobody may change what it gives."""

    def get(family="bert", pooling="native"):
        if (family, pooling) not in shelf:
            texts, targets = emails
            clf = make_classifier(
                checkpoint(family),
                pooling=pooling,
                max_length=256 if family == "canine" else 64,
                validation_fraction=0.2,
            )
            clf.fit(texts, pd.DataFrame(targets, columns=NAMES))
            clf.thresholds_ = np.array(THRESHOLDS)
            shelf[family, pooling] = clf
        return shelf[family, pooling]

    return get


@pytest.fixture
def saved(fitted, tmp_path):
    """Give a function that saves a fitted classifier to a folder of the test's own."""

    def get(family="bert", pooling="native"):
        folder = tmp_path / f"{family}-{pooling}"
        fitted(family, pooling).save_pretrained(folder)
        return folder

    return get


def files_in(folder):
    paths = sorted(folder.rglob("*"))
    return [p.relative_to(folder).as_posix() for p in paths if p.is_file()]


def edit_json(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


# --- there and back -------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_loaded_classifier_is_the_saved_one(fitted, saved, family, pooling):
    clf = fitted(family, pooling)

    loaded = load(saved(family, pooling))

    assert_same_answers(clf, loaded)
    assert len({tuple(row) for row in clf.predict_proba(TEXTS)}) == len(TEXTS)
    np.testing.assert_array_equal(loaded.thresholds_, THRESHOLDS)
    assert loaded.thresholds_.dtype == np.float64
    assert loaded.label_names_.tolist() == NAMES
    np.testing.assert_array_equal(loaded.classes_, [[0, 1]] * 3)
    assert loaded.pooling_ == pooling
    for name in ("n_iter_", "history_", "truncated_fraction_", "learning_rate_"):
        assert getattr(loaded, name) == getattr(clf, name)
    assert loaded.history_[0].keys() > {"train_loss", "valid_average_precision"}


def test_parameters_are_kept_but_for_those_of_the_machine(checkpoint, emails, tmp_path):
    params = {
        "max_length": 24,
        "long_text": "head_tail",
        "pooling": "mean",
        "trainable_layers": 1,
        "loss": "focal",
        "loss_params": {"gamma": 1.5, "alpha": None},
        "pos_weight": "balanced",
        "learning_rate": 3e-4,
        "validation_fraction": 0.25,
        "n_iter_no_change": 2,
    }
    clf = make_classifier(checkpoint("bert"), **params, verbose=0, warm_start=True)
    with pytest.warns(UserWarning, match="longer than max_length"):
        clf.fit(*emails)
    clf.save_pretrained(tmp_path / "saved")

    loaded = TransformerMultiLabelClassifier.from_pretrained(
        tmp_path / "saved", device="cpu"
    )

    assert {name: getattr(loaded, name) for name in params} == params
    assert loaded.model == os.fspath(tmp_path / "saved")
    # How the answers came about is kept, where they were computed is not.
    assert (loaded.precision, loaded.precision_) == ("fp32", "fp32")
    assert loaded.device == "cpu"
    assert (loaded.verbose, loaded.net_callbacks) == (0, None)


def test_a_hugging_face_model_can_be_saved_as_one_of_skbert(checkpoint, tmp_path):
    folder = checkpoint(
        "bert",
        head=True,
        num_labels=2,
        problem_type="multi_label_classification",
        id2label={0: "a", 1: "b"},
    )
    clf = TransformerMultiLabelClassifier.from_pretrained(folder, device="cpu")
    clf.thresholds_ = [0.3, 0.6]
    clf.save_pretrained(tmp_path / "mine")
    again = TransformerMultiLabelClassifier.from_pretrained(
        tmp_path / "mine", device="cpu"
    )
    texts = ["the invoice", "a crash"]
    np.testing.assert_array_equal(clf.predict_proba(texts), again.predict_proba(texts))
    assert again.thresholds_.tolist() == [0.3, 0.6]
    assert again.label_names_.tolist() == ["a", "b"]


def test_a_loaded_classifier_can_be_saved_and_fitted_again(saved, emails, tmp_path):
    clf = load(saved())
    clf.save_pretrained(tmp_path / "again")

    assert_same_answers(clf, load(tmp_path / "again"))
    clf.set_params(random_state=0).fit(*emails)
    assert clf.label_names_.tolist() == ["label_0", "label_1", "label_2"]


def test_saving_changes_nothing(fitted, tmp_path):
    clf = fitted()
    before = clf.predict_proba(TEXTS), clf.get_params()
    clf.save_pretrained(tmp_path / "saved")

    np.testing.assert_array_equal(clf.predict_proba(TEXTS), before[0])
    assert clf.get_params() == before[1]


@pytest.mark.parametrize(
    "classes", [["ham", "spam"], [0, 1], [3, 7], [False, True], ["ß", "é"], [-1.0, 1.0]]
)
def test_two_classes_come_back(tiny_bert, emails, tmp_path, classes):
    texts, targets = emails
    y = np.array(classes)[targets[:, 0]]
    clf = make_classifier(tiny_bert, threshold=0.4).fit(texts, y)
    clf.save_pretrained(tmp_path)

    loaded = load(tmp_path)

    assert loaded.classes_.tolist() == classes
    assert loaded.classes_.dtype.kind == np.array(classes).dtype.kind
    assert loaded.predict(TEXTS).tolist() == clf.predict(TEXTS).tolist()
    np.testing.assert_allclose(
        loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS), atol=1e-6
    )
    assert loaded.predict_proba(TEXTS).shape == (len(TEXTS), 2)
    assert loaded.thresholds_.tolist() == [0.4]


@pytest.mark.parametrize(
    "classes",
    [
        np.array(["2020", "2021"], dtype="datetime64[ns]"),  # would become numbers
        np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"),
        np.array([1, 2], dtype="timedelta64[ns]"),
        np.array(["a", "a\0"], dtype=object),
        np.array(["a", "\ud83d\ude00"], dtype=object),  # two halves would become one
    ],
    ids=["times", "dates", "durations", "NUL", "surrogates"],
)
def test_classes_that_would_not_come_back_are_not_saved(
    tiny_bert, emails, tmp_path, classes
):
    texts, targets = emails
    clf = make_classifier(tiny_bert).fit(texts, classes[targets[:, 0]])
    with pytest.raises(ValueError, match="the classes .* cannot be saved: JSON would"):
        clf.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_label_stays_multi_label(tiny_bert, emails, tmp_path):
    texts, targets = emails
    clf = make_classifier(tiny_bert).fit(texts, targets[:, :1])
    clf.save_pretrained(tmp_path)

    loaded = load(tmp_path)

    assert loaded.classes_.tolist() == [[0, 1]]
    assert loaded.predict(TEXTS).shape == (len(TEXTS), 1)
    assert_same_answers(clf, loaded)


def test_an_unfitted_classifier_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        TransformerMultiLabelClassifier().save_pretrained(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


# --- parameters that JSON cannot hold -------------------------------------------------


def score_nothing(estimator, X, y):
    return 0.5


def test_parameters_that_json_cannot_hold(checkpoint, emails, tmp_path):
    clf = make_classifier(
        Path(checkpoint("bert")),
        weight_decay=np.float32(0.25),
        trainable_layers=np.int64(1),
        freeze_embeddings=np.bool_(False),
        threshold=np.array(THRESHOLDS),
        pos_weight=np.array([1.0, 2.0, 3.0], dtype=np.float32),
        validation_fraction=0.25,
        scoring=score_nothing,
    )
    clf.fit(*emails).save_pretrained(tmp_path)

    loaded = load(tmp_path)

    assert_same_answers(clf, loaded)
    assert loaded.model == os.fspath(tmp_path)
    assert loaded.weight_decay == 0.25
    assert loaded.trainable_layers == 1
    assert loaded.freeze_embeddings is False
    assert loaded.threshold == loaded.thresholds_.tolist() == THRESHOLDS
    assert loaded.pos_weight == [1.0, 2.0, 3.0]
    # A function cannot be kept without code: the default takes its place.
    assert loaded.scoring == "average_precision"
    loaded.set_params(random_state=0).fit(*emails)


@pytest.mark.parametrize(
    "weights",
    [pd.Series([1.0, 2.0, 3.0]), [np.float32(1), np.float32(2), 3.0], (1, 2, 3)],
    ids=["series", "numpy scalars", "tuple"],
)
def test_array_likes_are_kept(tiny_bert, emails, tmp_path, weights):
    clf = make_classifier(tiny_bert, pos_weight=weights).fit(*emails)
    clf.save_pretrained(tmp_path)

    assert load(tmp_path).pos_weight == [1.0, 2.0, 3.0]


def test_the_numbers_of_a_grid_are_kept(tiny_bert, emails, tmp_path):
    """np.arange and np.geomspace make grids, and their numbers are NumPy's."""
    params = {
        "max_epochs": np.arange(1, 4)[0],
        "batch_size": np.int64(32),
        "learning_rate": np.float32(0.25),
        "head_learning_rate": np.geomspace(1e-3, 1e-1, 3)[1],
    }
    clf = make_classifier(tiny_bert, **params).fit(*emails)
    clf.save_pretrained(tmp_path)

    loaded = load(tmp_path)

    assert {name: getattr(loaded, name) for name in params} == params
    assert {name: getattr(loaded, name + "_") for name in params} == params


def test_numbers_inside_of_a_dict_are_kept(tiny_bert, emails, tmp_path):
    gamma = {"gamma": np.float32(1.5)}
    clf = make_classifier(tiny_bert, loss="focal", loss_params=gamma).fit(*emails)
    clf.save_pretrained(tmp_path)

    assert load(tmp_path).loss_params == {"gamma": 1.5}


@pytest.mark.parametrize("names", [[10, 20, 30], [("a", 1), ("a", 2), ("b", 1)]])
def test_names_that_are_no_texts(tiny_bert, emails, tmp_path, names):
    texts, targets = emails
    y = pd.DataFrame(targets, columns=names)
    clf = make_classifier(tiny_bert).fit(texts, y)
    clf.save_pretrained(tmp_path)

    loaded = load(tmp_path)

    assert_same_answers(clf, loaded)
    assert loaded.label_names_.tolist() == clf.label_names_.tolist()


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_names_with_half_a_surrogate_pair(tiny_bert, emails, tmp_path, pooling):
    """No UTF-8 can hold it."""
    texts, targets = emails
    names = ["\ud800", "a \udfff b", "störung 🧾"]
    y = pd.DataFrame(targets, columns=pd.Index(names, dtype=object))
    clf = make_classifier(tiny_bert, pooling=pooling).fit(texts, y)
    clf.save_pretrained(tmp_path)

    loaded = load(tmp_path)

    assert loaded.label_names_.tolist() == names
    assert_same_answers(clf, loaded)
    assert "| a ? b | 0.500 |" in (tmp_path / "README.md").read_text(encoding="utf-8")


class RecordsNumbers(Callback):
    """Records what people record: NumPy's numbers and a tensor."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("single", np.float32(0.5))
        net.history.record("whole", np.int64(3))
        net.history.record("tensor", torch.tensor(2.0))


def test_a_history_with_numbers_of_callbacks_can_be_saved(tiny_bert, emails, tmp_path):
    clf = make_classifier(tiny_bert, net_callbacks=[RecordsNumbers()]).fit(*emails)
    clf.save_pretrained(tmp_path)

    row = load(tmp_path).history_[0]
    assert (row["single"], row["whole"]) == (0.5, 3)


def test_all_json_is_strict(tiny_bert, emails, tmp_path):
    """NaN, here of the ROC AUC of a set without positives, is no JSON."""
    texts, targets = emails
    clf = make_classifier(tiny_bert)
    clf.fit(texts, targets, X_val=texts[:5], y_val=np.zeros((5, 3)))
    assert any(np.isnan(value) for value in clf.history_[0].values())
    clf.save_pretrained(tmp_path)

    def refuse(name):
        raise AssertionError(f"{name} in {path}")

    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    np.testing.assert_equal(load(tmp_path).history_, clf.history_)


# --- what is in the folder ------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("family", WITH_VOCABULARY)
def test_the_folder_holds_no_pickle_and_no_code(saved, family, pooling):
    folder = saved(family, pooling)

    endings = {Path(name).suffix for name in files_in(folder)}

    assert endings <= {".json", ".safetensors", ".md", ".txt"}
    assert {"config.json", "model.safetensors", "skbert.json", "README.md"} <= set(
        files_in(folder)
    )
    assert "auto_map" not in (folder / "config.json").read_text(encoding="utf-8")


def test_the_folder_has_the_usual_permissions(saved, tmp_path):
    (tmp_path / "ordinary").mkdir()

    ordinary = stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)
    assert stat.S_IMODE(saved().stat().st_mode) == ordinary


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_the_card_names_labels_and_thresholds(saved, pooling):
    card = (saved(pooling=pooling) / "README.md").read_text(encoding="utf-8")

    for name, threshold in zip(NAMES, THRESHOLDS, strict=True):
        assert f"| {name} | {threshold:.3f} |" in card
    assert f"{pooling} pooling" in card
    assert "from_pretrained" in card


def test_a_card_stays_where_people_wrote_one(fitted, tmp_path):
    card = tmp_path / "README.md"
    fitted().save_pretrained(tmp_path)
    card.write_text(card.read_text(encoding="utf-8") + "\nAsk Anna.\n", "utf-8")
    fitted(pooling="mean").save_pretrained(tmp_path)
    text = card.read_text(encoding="utf-8")
    assert "mean pooling" in text
    assert text.endswith("\nAsk Anna.\n")

    card.write_text("# Ours\n", "utf-8")
    fitted().save_pretrained(tmp_path)
    assert card.read_text(encoding="utf-8") == "# Ours\n"


def test_nothing_is_printed(fitted, tmp_path, capfd):
    fitted()
    capfd.readouterr()
    fitted().save_pretrained(tmp_path)
    load(tmp_path)
    assert capfd.readouterr() == ("", "")


def pipeline_scores(folder, texts):
    classify = transformers.pipeline(
        "text-classification",
        model=str(folder),
        tokenizer=str(folder),
        top_k=None,
        device="cpu",
    )
    rows = [{one["label"]: one["score"] for one in row} for row in classify(texts)]
    return [[row[name] for name in NAMES] for row in rows]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_native_folder_is_an_ordinary_hugging_face_model(fitted, saved, family):
    # CANINE merges four characters into one, and skbert pads to whole fours: with the
    # two special ones these texts are.
    texts = ["The invoice is attached.  "[:22], "A crash!!!", "ok"]
    assert all((len(text) + 2) % 4 == 0 for text in texts)

    scores = pipeline_scores(saved(family), texts)

    np.testing.assert_allclose(
        fitted(family).predict_proba(texts), scores, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_a_saved_folder_can_be_fine_tuned_on(fitted, saved, emails, pooling):
    folder = saved(pooling=pooling)

    assert open_checkpoint(folder).pooling == pooling
    clf = make_classifier(folder, learning_rate=1e-12, head_learning_rate=1e-12)
    clf.fit(*emails)

    encoder = load_file(folder / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    prefix = "bert." if pooling == "native" else ""
    ours = clf.net_.module_.encoder.state_dict()[name]
    torch.testing.assert_close(ours, encoder[prefix + name], rtol=0, atol=1e-6)


# --- where the model came from --------------------------------------------------------

PLANTED = {
    "config.json": ("vocab_file", "pretrained_path", "_name_or_path"),
    "tokenizer_config.json": (
        *("name_or_path", "vocab_file", "tokenizer_file", "merges_file", "source_spm"),
        *("special_tokens_map_file", "cache_dir", "_name_or_path"),
    ),
}


def spell_relative(folder):
    return folder.name


def spell_below(folder):
    return os.path.join(folder.parent.name, folder.name)


def spell_home(folder):
    return os.path.join("~", folder.name)


@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize(
    "spell",
    [str, Path, spell_relative, spell_below, spell_home],
    ids=lambda spell: spell.__name__,
)
def test_no_folder_of_the_machine_is_in_a_saved_model(
    tmp_path, monkeypatch, emails, pooling, spell
):
    place = tmp_path / "jane-doe"
    base = make_checkpoint("bert", place / "of-customer-x")
    for name, keys in PLANTED.items():
        edit_json(base / name, **dict.fromkeys(keys, "/home/jane-doe/somewhere"))
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("USERPROFILE", str(place))
    monkeypatch.chdir(tmp_path if spell is spell_below else place)
    clf = make_classifier(spell(base), pooling=pooling, revision="for-jane-doe")
    clf.set_params(checkpoint_dir=place / "states").fit(*emails)
    monkeypatch.chdir(tmp_path)  # where a relative path leads nowhere

    clf.save_pretrained(tmp_path / "model")
    load(tmp_path / "model").save_pretrained(tmp_path / "again")

    for folder in (tmp_path / "model", tmp_path / "again"):
        for name in files_in(folder):
            content = (folder / name).read_bytes()
            assert b"jane-doe" not in content, name
            assert b"of-customer-x" not in content, name
    assert clf.model == spell(base)
    assert_same_answers(clf, load(tmp_path / "again"))


def test_a_path_that_a_callback_records_is_not_saved(fitted, tmp_path):
    clf = copy.deepcopy(fitted())
    clf.history_[0]["written"] = tmp_path / "weights"
    clf.save_pretrained(tmp_path / "model")

    history = load(tmp_path / "model").history_
    assert np.isnan(history[0].pop("written"))
    assert history == fitted().history_


def test_a_refit_starts_from_the_loaded_model(fitted, saved, emails):
    texts, targets = emails
    folder = saved()
    loaded = load(folder)
    assert (loaded.model, loaded.revision) == (str(folder), None)

    still = {"learning_rate": 1e-12, "head_learning_rate": 1e-12, "dropout": 0.0}
    refit = clone(loaded).set_params(max_epochs=1, random_state=0, **still)
    refit.fit(texts, pd.DataFrame(targets, columns=NAMES))

    np.testing.assert_allclose(
        refit.predict_proba(TEXTS), fitted().predict_proba(TEXTS), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("model", ["roberta-base", "team/model-1.0_b"])
def test_the_name_of_a_model_on_the_hub_is_kept(fitted, tmp_path, model):
    clf = copy.deepcopy(fitted()).set_params(model=model, revision="v2")
    clf.save_pretrained(tmp_path / "model")
    loaded = load(tmp_path / "model")
    loaded.save_pretrained(tmp_path / "again")

    for again in (loaded, load(tmp_path / "again")):
        assert (again.model, again.revision) == (model, "v2")
    card = (tmp_path / "again" / "README.md").read_text(encoding="utf-8")
    assert f"Fine-tuned from `{model}` with skbert (native pooling)." in card


# --- Hugging Face's own folders -------------------------------------------------------


@pytest.fixture
def hugging_face(tmp_path):
    """Give a function that makes a classifier without any help of skbert."""

    def make(problem_type="multi_label_classification", **fields):
        names = {"id2label": dict(enumerate(NAMES)), "problem_type": problem_type}
        return make_checkpoint("bert", tmp_path / "hf", head=True, **(names | fields))

    return make


def test_a_hugging_face_multi_label_model_is_loaded(hugging_face):
    folder = hugging_face()

    clf = load(folder)

    assert clf.label_names_.tolist() == NAMES
    assert clf.thresholds_.tolist() == [0.5] * 3
    np.testing.assert_array_equal(clf.classes_, [[0, 1]] * 3)
    # Its tokenizer takes fewer tokens than the default of 128.
    assert clf.max_length == 64
    assert clf.model == os.fspath(folder)
    np.testing.assert_allclose(
        clf.predict_proba(TEXTS), pipeline_scores(folder, TEXTS), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("problem_type", [None, "single_label_classification"])
def test_a_model_that_is_not_multi_label_is_refused(hugging_face, problem_type):
    folder = hugging_face(problem_type)

    with pytest.raises(ModelFormatError, match="problem_type is .*pass the folder as"):
        load(folder)


def test_an_encoder_without_head_is_refused(tmp_path):
    folder = make_checkpoint(
        "bert", tmp_path, problem_type="multi_label_classification"
    )
    with pytest.raises(ModelFormatError, match="classifier.*missing"):
        load(folder)


@pytest.mark.parametrize("ids", [["1", "2", "3"], ["0", "1", "5"]])
def test_label_numbers_with_gaps_are_refused(hugging_face, ids):
    folder = hugging_face()
    edit_json(folder / "config.json", id2label=dict(zip(ids, NAMES, strict=True)))

    with pytest.raises(ModelFormatError, match="id2label"):
        load(folder)


def test_more_names_than_outputs_are_refused(hugging_face):
    folder = hugging_face()
    names = dict(enumerate([*NAMES, "one more"]))
    edit_json(folder / "config.json", id2label=names)

    with pytest.raises(ModelFormatError, match="do not fit 4 labels"):
        load(folder)


# --- saving over something ------------------------------------------------------------


@pytest.mark.parametrize("first", ["mean", "native"])
@pytest.mark.parametrize("second", ["mean", "native"])
def test_a_model_replaces_another(fitted, tmp_path, first, second):
    folder = tmp_path / "model"
    fitted("roberta", first).save_pretrained(folder)
    (folder / "notes.txt").write_text("mine")

    fitted("bert", second).save_pretrained(folder)

    assert_same_answers(fitted("bert", second), load(folder))
    # Nothing of the first is left, neither head nor declaration of the pooling.
    fitted("bert", second).save_pretrained(tmp_path / "fresh")
    assert files_in(folder) == sorted([*files_in(tmp_path / "fresh"), "notes.txt"])
    assert open_checkpoint(folder).pooling == second


def test_a_tokenizer_replaces_another(fitted, tmp_path):
    """CANINE's has no vocabulary, so that it writes fewer files than BERT's."""
    fitted("bert").save_pretrained(tmp_path)
    fitted("canine").save_pretrained(tmp_path)

    assert_same_answers(fitted("canine"), load(tmp_path))


def test_saving_to_where_it_was_loaded_from(fitted, saved):
    folder = saved(pooling="mean")
    clf = load(folder)
    clf.thresholds_ = [0.1, 0.2, 0.3]
    clf.save_pretrained(folder)

    again = load(folder)
    assert again.thresholds_.tolist() == [0.1, 0.2, 0.3]
    np.testing.assert_array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_folders_are_made_and_files_are_not_overwritten(fitted, tmp_path, monkeypatch):
    fitted().save_pretrained(tmp_path / "a" / "b" / "c")
    assert_same_answers(fitted(), load(tmp_path / "a" / "b" / "c"))

    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file; a model is saved to a folder"):
        fitted().save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(ValueError, match="file is a file; a model is saved to a"):
        fitted().save_pretrained(tmp_path / "file" / "model")

    monkeypatch.chdir(tmp_path)
    for name in ("relative", "."):
        fitted().save_pretrained(name)
        assert_same_answers(fitted(), load(name))


def test_the_home_directory_is_the_same_for_both(fitted, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fitted().save_pretrained("~/model")

    assert (tmp_path / "model" / "config.json").is_file()
    assert_same_answers(fitted(), load("~/model"))


def test_a_folder_on_another_file_system(fitted, tmp_path):
    """As of a volume that is mounted where the model shall be."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system in /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as other:
        (tmp_path / "model").symlink_to(other)
        fitted().save_pretrained(tmp_path / "model")

        assert_same_answers(fitted(), load(tmp_path / "model"))
        assert (Path(other) / "config.json").is_file()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="needs a user whom permissions bind",
)
def test_only_the_folder_must_be_writable(fitted, tmp_path):
    folder = tmp_path / "parent" / "model"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o555)
    try:
        fitted().save_pretrained(folder)
    finally:
        folder.parent.chmod(0o755)
    assert_same_answers(fitted(), load(folder))


@pytest.mark.parametrize(
    ("pooling", "part"),
    [
        ("native", "weights"),
        ("native", "tokenizer"),
        ("native", "card"),
        ("mean", "weights"),
        ("mean", "head"),
        ("mean", "tokenizer"),
    ],
)
def test_a_save_that_fails_leaves_the_old_model(
    fitted, tmp_path, monkeypatch, pooling, part
):
    folder = tmp_path / "model"
    fitted("bert", "native").save_pretrained(folder)
    before = files_in(folder)
    clf = fitted("roberta", pooling)

    def fail(*args, **kwargs):
        raise OSError("disk full")

    place, name = {
        "weights": (transformers.PreTrainedModel, "save_pretrained"),
        "head": (skbert.models.saving, "save_file"),
        "tokenizer": (type(clf.tokenizer_), "save_pretrained"),
        "card": (skbert.models.saving, "make_card"),
    }[part]
    monkeypatch.setattr(place, name, fail)
    with pytest.raises(OSError, match="disk full"):
        clf.save_pretrained(folder)
    with pytest.raises(OSError, match="disk full"):
        clf.save_pretrained(tmp_path / "new")

    assert_same_answers(fitted("bert", "native"), load(folder))
    assert files_in(folder) == before
    # No temporary folder is left, nor half a new model.
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_a_save_that_is_cut_off_is_not_read_as_a_mixture(
    fitted, tmp_path, monkeypatch, pooling
):
    """The last step is to move file after file; a crash amid it is told."""
    folder = tmp_path / "model"
    fitted("bert", "native").save_pretrained(folder)
    move = os.replace

    def move_but_the_weights(source, target):
        if Path(source).name == "model.safetensors":
            raise OSError("unplugged")
        move(source, target)

    monkeypatch.setattr(os, "replace", move_but_the_weights)
    with pytest.raises(OSError, match="unplugged"):
        fitted("bert", pooling).save_pretrained(folder)
    monkeypatch.undo()

    with pytest.raises(ModelFormatError):
        load(folder)
    fitted("bert", pooling).save_pretrained(folder)
    assert_same_answers(fitted("bert", pooling), load(folder))


def save_over(clf, folder):
    clf.save_pretrained(folder)


def swap(clf, folder):
    """Put another folder in its place, as some deploy what was saved elsewhere."""
    clf.save_pretrained(folder.with_name("new"))
    os.replace(folder, folder.with_name("old"))
    os.replace(folder.with_name("new"), folder)


@pytest.mark.parametrize("replace", [save_over, swap])
@pytest.mark.parametrize("family", ["bert", "roberta"])  # the same one, and another
@pytest.mark.parametrize(
    "read", ["load_config", "load_tokenizer", "read_json", "_load_head", "build_module"]
)
def test_a_model_that_is_replaced_while_it_is_read_is_refused(
    fitted, saved, monkeypatch, read, family, replace
):
    folder = saved(pooling="mean")
    function = getattr(skbert.models.loading, read)

    def read_then_replace(*args, **kwargs):
        result = function(*args, **kwargs)
        replace(fitted(family, "mean"), folder)
        return result

    monkeypatch.setattr(skbert.models.loading, read, read_then_replace)
    with pytest.raises(ModelFormatError, match="another model was saved there while"):
        load(folder)
    monkeypatch.undo()
    assert_same_answers(fitted(family, "mean"), load(folder))


# --- damaged folders ------------------------------------------------------------------


def test_format_errors_are_value_errors():
    assert issubclass(ModelFormatError, ValueError)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 99])
def test_a_later_format_is_refused(saved, version):
    folder = saved()
    # What else it holds is for that version to say.
    (folder / "skbert.json").write_text(json.dumps({"format_version": version}))

    with pytest.raises(ModelFormatError, match=f"version {version}.*Update skbert"):
        load(folder)


DAMAGE = {
    "format_version": "'format_version' is missing|there is no format version",
    "pooling": "'pooling' is missing|unknown pooling",
    "label_names": "'label_names' (is missing|must be a list of texts)|"
    "cannot be loaded|the weights .* are missing or do not fit",
    "thresholds": "'thresholds' (is missing|must hold 3 numbers between 0 and 1)",
    "classes": "'classes' (is missing|must hold two classes of one label)",
    "params": "'params' is missing|The '.*' parameter of TransformerMultiLabelClass|"
    "max_length is 4096, but the model can read|max_length=2 leaves no room",
    "fitted": "'fitted' is missing or of the wrong type|'history_' must be a list of",
}


@pytest.mark.parametrize(
    "damage",
    [
        {"format_version": "1"},
        {"format_version": None},
        {"format_version": 1.5},
        {"format_version": 0},
        {"pooling": "max"},
        {"pooling": None},
        {"pooling": ["mean"]},
        {"label_names": []},
        {"label_names": "abc"},
        {"label_names": ["a", "b", 3]},
        {"label_names": ["a", "b"], "thresholds": [0.5, 0.5]},
        {"label_names": ["a", "b", "c", "d"], "thresholds": [0.5] * 4},
        {"thresholds": [0.5, 0.5]},
        {"thresholds": [0.5, 0.5, 1.5]},
        {"thresholds": [0.5, 0.5, -0.1]},
        {"thresholds": [0.5, 0.5, None]},
        {"thresholds": [0.5, 0.5, "0.5"]},
        {"thresholds": [0.5, 0.5, True]},
        {"thresholds": [0.5, 0.5, float("nan")]},
        {"thresholds": [0.5, 0.5, 10**400]},
        {"thresholds": 0.5},
        {"classes": [0, 1]},  # of three labels
        {"classes": "ab"},
        {"params": []},
        {"params": None},
        {"params": {"max_length": "long"}},
        {"params": {"max_length": 0}},
        {"params": {"max_length": 4096}},
        {"params": {"max_length": 2}},
        {"params": {"long_text": "middle"}},
        {"params": {"model": 3}},
        {"fitted": []},
        {"fitted": None},
        {"fitted": {"history_": 3}},
        {"fitted": {"history_": ["epoch 1"]}},
    ],
    ids=lambda damage: str(damage)[:40],
)
@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_a_damaged_field_is_refused(saved, pooling, damage):
    folder = saved(pooling=pooling)
    edit_json(folder / "skbert.json", **damage)

    field = next(iter(damage))
    with pytest.raises(ModelFormatError, match=DAMAGE[field]):
        load(folder)


@pytest.mark.parametrize(
    "classes",
    [
        *([0], [0, 1, 2], [0, 0], [[0], [1]], [0, [1]], [None, 1], [{}, {}]),
        *([float("nan"), 1.0], [0.0, float("inf")], ["a", "a\0"], ["a\0", "b"]),
    ],
    ids=repr,
)
def test_damaged_classes_are_refused(tiny_bert, emails, tmp_path, classes):
    texts, targets = emails
    make_classifier(tiny_bert).fit(texts, targets[:, 0]).save_pretrained(tmp_path)
    edit_json(tmp_path / "skbert.json", classes=classes)

    with pytest.raises(ModelFormatError, match="classes"):
        load(tmp_path)


@pytest.mark.parametrize(
    "key",
    "format_version pooling label_names thresholds classes params fitted".split(),
)
def test_a_missing_field_is_refused(saved, key):
    path = saved() / "skbert.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    del state[key]
    path.write_text(json.dumps(state))

    with pytest.raises(ModelFormatError, match=f"{key}' is missing"):
        load(path.parent)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\0"])
def test_a_state_that_is_no_json_object_is_refused(saved, content):
    folder = saved()
    (folder / "skbert.json").write_text(content)

    with pytest.raises(ModelFormatError, match=r"skbert\.json"):
        load(folder)


def test_what_people_and_tools_do_to_json_is_fine(fitted, saved):
    path = saved() / "skbert.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    state["params"]["of_a_later_version"] = 3
    state["fitted"]["also_later_"] = 4
    state |= {"comment": "édité à la main"}
    backwards = dict(reversed(state.items()))
    text = "\n\n" + json.dumps(backwards, ensure_ascii=True, indent="\t") + "\n \n"
    path.write_text(text, encoding="utf-8")

    loaded = load(path.parent)

    assert_same_answers(fitted(), loaded)
    assert not hasattr(loaded, "also_later_")


def test_parameters_of_the_machine_are_not_taken_from_a_folder(saved):
    """Whoever wrote it would choose where things are computed, and what is called."""
    path = saved() / "skbert.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    state["params"] |= {"device": "cuda:9", "net_callbacks": ["x"], "verbose": 5}
    path.write_text(json.dumps(state), encoding="utf-8")

    loaded = load(path.parent)

    assert (loaded.device, loaded.net_callbacks, loaded.verbose) == ("cpu", None, 0)


def test_wrong_arguments_are_named_before_the_folder_is_read(saved, monkeypatch):
    folder = saved()
    monkeypatch.setattr("skbert.classifier.load_model", fill)
    for arguments in ({"precision": "fp8"}, {"precision": ""}, {"device": None}):
        (name,) = arguments
        with pytest.raises(ValueError, match=f"The '{name}' parameter of"):
            TransformerMultiLabelClassifier.from_pretrained(folder, **arguments)


def test_a_mean_head_without_its_state_is_refused(saved):
    folder = saved(pooling="mean")
    (folder / "skbert.json").unlink()

    with pytest.raises(ModelFormatError, match=r"skbert\.json is missing"):
        load(folder)


def test_a_native_model_without_its_state_is_one_of_hugging_face(fitted, saved):
    folder = saved()
    (folder / "skbert.json").unlink()

    loaded = load(folder)

    assert loaded.label_names_.tolist() == NAMES
    np.testing.assert_allclose(
        loaded.predict_proba(TEXTS), fitted().predict_proba(TEXTS), atol=1e-6
    )


def test_a_missing_or_cut_head_is_refused(saved):
    head = saved(pooling="mean") / "head.safetensors"
    content = head.read_bytes()
    for damaged in (content[:-1], content[:20], b"", b"\x80\x04N."):
        head.write_bytes(damaged)
        with pytest.raises(ModelFormatError, match=r"head\.safetensors cannot be"):
            load(head.parent)
    head.unlink()
    with pytest.raises(ModelFormatError, match=r"head\.safetensors cannot be"):
        load(head.parent)


@pytest.mark.parametrize(
    "change",
    [
        lambda head: {name: tensor[:2] for name, tensor in head.items()},
        lambda head: {"weight": head["weight"]},
        lambda head: head | {"weight": head["weight"][:, :16].contiguous()},
        lambda head: head | {"more": torch.ones(1)},
    ],
    ids=["two labels", "no bias", "narrower", "another tensor"],
)
def test_a_head_that_does_not_fit_is_refused(saved, change):
    head = saved(pooling="mean") / "head.safetensors"
    save_file(change(load_file(head)), head)

    with pytest.raises(
        ModelFormatError, match="cannot be loaded: 3 labels need tensors of the shapes"
    ):
        load(head.parent)


def fill(*args, **kwargs):
    raise AssertionError("memory would be taken for it")


MANY = [str(i) for i in range(10**6)]
TOO_MANY = r"describes a model of more than 3.3e\+07 numbers, but the weights are"


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        ("mean", r"cannot be loaded: 1000000 labels need tensors of .*\(1000000, 32\)"),
        ("native", TOO_MANY),
    ],
)
def test_more_labels_than_weights_take_no_memory(saved, monkeypatch, pooling, message):
    folder = saved(pooling=pooling)
    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", fill)
    edit_json(folder / "skbert.json", label_names=MANY, thresholds=[0.5] * len(MANY))
    with pytest.raises(ModelFormatError, match=message):
        load(folder)


def test_more_names_than_weights_take_no_memory(hugging_face, monkeypatch):
    folder = hugging_face()
    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", fill)
    edit_json(folder / "config.json", id2label=dict(enumerate(MANY)))
    with pytest.raises(ModelFormatError, match=TOO_MANY):
        load(folder)


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_weights_that_are_cut_or_missing_are_refused(saved, pooling):
    path = saved(pooling=pooling) / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFormatError, match="cannot be loaded"):
        load(path.parent)
    path.unlink()
    with pytest.raises(ModelFormatError, match="no weights"):
        load(path.parent)


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_a_config_of_another_number_of_labels(fitted, saved, pooling):
    """The names in skbert.json count, and the weights must fit them."""
    folder = saved(pooling=pooling)
    edit_json(folder / "config.json", id2label={"0": "only"}, label2id={"only": 0})

    assert_same_answers(fitted(pooling=pooling), load(folder))


def test_the_functions_below_the_estimator(fitted, saved, tmp_path):
    """They raise the same errors and keep what they are given."""
    kept = load_model(saved(pooling="mean"))
    save_model(kept, str(tmp_path / "again"))

    again = load_model(tmp_path / "again")

    assert not again.module.training
    assert again.label_names == NAMES
    assert again.thresholds == THRESHOLDS
    assert again.classes is None
    assert again.params == kept.params
    assert again.fitted == kept.fitted


# --- pickles --------------------------------------------------------------------------


def through_pickle(estimator, path):
    return pickle.loads(pickle.dumps(estimator))


def through_joblib(estimator, path):
    joblib.dump(estimator, path)
    return joblib.load(path)


def through_deepcopy(estimator, path):
    return copy.deepcopy(estimator)


WAYS = [through_pickle, through_joblib, through_deepcopy]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_a_fitted_classifier_is_copied(fitted, tmp_path, way, pooling):
    clf = fitted(pooling=pooling)

    copied = way(clf, tmp_path / "file")

    np.testing.assert_array_equal(copied.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert copied.predict_labels(TEXTS) == clf.predict_labels(TEXTS)
    assert copied.history_ == clf.history_
    # It shares no weights with the original.
    with torch.no_grad():
        copied.net_.module_.output_layer.bias.add_(1)
    assert (copied.decision_function(TEXTS) > clf.decision_function(TEXTS)).all()


@pytest.fixture
def search(shelf, tiny_bert, emails):
    """Give a fitted grid search; nobody may change it."""
    if "search" not in shelf:
        clf = make_classifier(tiny_bert)
        grid = {"learning_rate": [1e-4, 1e-2]}
        shelf["search"] = GridSearchCV(clf, grid, cv=2, scoring="f1_micro")
        shelf["search"].fit(*emails)
    return shelf["search"]


@pytest.mark.parametrize("way", WAYS)
def test_a_fitted_search_is_copied(search, tmp_path, way):
    copied = way(search, tmp_path / "file")

    expected = search.predict_proba(TEXTS)
    np.testing.assert_array_equal(copied.predict_proba(TEXTS), expected)
    assert copied.best_params_ == search.best_params_
    assert copied.best_score_ == search.best_score_


def test_a_pickle_is_not_much_larger_than_the_weights(emails, tmp_path):
    # Wide enough for the weights to outweigh the tokenizer and the settings.
    model = make_checkpoint("bert", tmp_path, hidden_size=256, intermediate_size=512)
    clf = make_classifier(model, validation_fraction=0.2).fit(*emails)

    weights = sum(p.numel() * 4 for p in clf.net_.module_.parameters())

    assert weights > 4_000_000
    assert len(pickle.dumps(clf)) < 1.3 * weights


def test_a_pickle_holds_no_training_data(tiny_bert, emails):
    texts, targets = emails
    sizes = [
        len(pickle.dumps(make_classifier(tiny_bert).fit(n * texts, [*targets] * n)))
        for n in (1, 8)
    ]
    # 420 texts more would be 20 kB of tokens alone.
    assert abs(sizes[1] - sizes[0]) < 1000
