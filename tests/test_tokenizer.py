import json
import shutil

import pytest
import transformers

from skbert.checkpoint import open_checkpoint
from skbert.folder import ModelFormatError
from skbert.tokenizer import load_tokenizer

WITH_VOCABULARY = ("bert", "roberta", "deberta", "distilbert")


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """Give a copy of the tiny BERT that a test may damage."""
    return shutil.copytree(tiny_bert, tmp_path / "bert")


def edit_json(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("family", WITH_VOCABULARY)
def test_the_tokenizer_is_the_one_in_the_folder(checkpoint, family):
    folder = checkpoint(family)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)

    ours = load_tokenizer(folder)

    text = "The invoice is attached."
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    assert len(set(ours(text)["input_ids"])) > 4


@pytest.mark.parametrize("family", WITH_VOCABULARY)
def test_a_folder_without_tokenizer_is_refused(checkpoint, tmp_path, family):
    """An empty vocabulary in its place would make every word the unknown one."""
    folder = shutil.copytree(checkpoint(family), tmp_path / family)
    for path in folder.glob("tokenizer*"):
        path.unlink()

    with pytest.raises(ModelFormatError, match="has no tokenizer"):
        load_tokenizer(folder)


def test_a_tokenizer_of_no_files_needs_its_settings(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("canine"), tmp_path / "canine")
    (folder / "tokenizer_config.json").unlink()

    with pytest.raises(ModelFormatError, match="no tokenizer_config.json"):
        load_tokenizer(folder)


def test_a_tokenizer_without_its_vocabulary_is_refused(folder):
    (folder / "tokenizer.json").unlink()

    with pytest.raises(ModelFormatError, match="has no tokenizer"):
        open_checkpoint(folder)


def test_a_vocabulary_of_one_word_per_line_is_a_tokenizer(folder):
    """As the older BERTs on the hub have it."""
    vocabulary = load_tokenizer(folder).get_vocab()
    ids = load_tokenizer(folder)("The invoice is attached.")["input_ids"]
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    lines = sorted(vocabulary, key=vocabulary.get)
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    assert load_tokenizer(folder)("The invoice is attached.")["input_ids"] == ids


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_a_damaged_tokenizer_is_refused(folder, name, content):
    (folder / name).write_text(content)

    message = (
        "has no tokenizer that can be loaded|tokenizer_config.json cannot|does not"
    )
    with pytest.raises(ModelFormatError, match=message):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "name", ["AutoModel", "AutoTokenizer", "RagTokenizer", "pipeline", ["x"], 3]
)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_class_that_is_no_tokenizer_is_refused(folder, file, name):
    """transformers would call its ``from_pretrained``, whatever that loads."""
    edit_json(folder / file, tokenizer_class=name)

    with pytest.raises(
        ModelFormatError, match="is no class of a tokenizer|config.json"
    ):
        open_checkpoint(folder)


def test_a_class_that_nobody_knows_is_a_tokenizer_of_its_file(folder):
    expected = load_tokenizer(folder)("the invoice")["input_ids"]
    edit_json(folder / "tokenizer_config.json", tokenizer_class="TokenizerOfTomorrow")

    assert load_tokenizer(folder)("the invoice")["input_ids"] == expected


def test_a_tokenizer_is_not_read_from_elsewhere(folder):
    names = ["../tokenizer.1.0.json"]
    edit_json(folder / "tokenizer_config.json", fast_tokenizer_files=names)

    with pytest.raises(
        ModelFormatError, match="'fast_tokenizer_files' is not supported"
    ):
        open_checkpoint(folder)


def test_tokens_beyond_the_embeddings_are_refused(folder):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    n_tokens = len(content["model"]["vocab"])
    content["model"]["vocab"]["invoice"] = n_tokens
    path.write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(ModelFormatError, match=f"to {n_tokens}, but the model has"):
        open_checkpoint(folder)
