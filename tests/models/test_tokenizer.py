import json
import os
import random
import shutil
import threading
import time

import pytest
import transformers

from skbert.exceptions import ModelFormatError
from skbert.models.checkpoint import open_checkpoint
from skbert.models.tokenizer import load_tokenizer
from tests.faults.mutations.tokenizers import (
    SPECIAL,
    TEXT,
    in_pipeline,
    replace,
    split,
    template,
)

WITH_VOCABULARY = ("bert", "roberta", "deberta", "distilbert")


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """Give a copy of the tiny BERT that a test may damage."""
    return shutil.copytree(tiny_bert, tmp_path / "bert")


def edit_json(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


def use_word_list(folder):
    """Keep a tokenizer's vocabulary as older BERTs have it, one word per line."""
    path = folder / "tokenizer.json"
    vocabulary = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    lines = sorted(vocabulary, key=vocabulary.get)
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.unlink()


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
    ids = load_tokenizer(folder)("The invoice is attached.")["input_ids"]
    use_word_list(folder)
    (folder / "tokenizer_config.json").unlink()

    assert load_tokenizer(folder)("The invoice is attached.")["input_ids"] == ids


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_a_damaged_tokenizer_is_refused(folder, name, content):
    (folder / name).write_text(content)

    message = "has no tokenizer that can be loaded|cannot be read as JSON|does not"
    with pytest.raises(ModelFormatError, match=message):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "name", ["AutoModel", "AutoTokenizer", "RagTokenizer", "pipeline", ["x"], 3]
)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_class_that_is_no_tokenizer_is_refused(folder, file, name):
    """transformers would call its ``from_pretrained``, whatever that loads."""
    edit_json(folder / file, tokenizer_class=name)

    with pytest.raises(ModelFormatError, match="is not a tokenizer class|config.json"):
        open_checkpoint(folder)


def test_a_class_that_nobody_knows_is_a_tokenizer_of_its_file(folder):
    expected = load_tokenizer(folder)("the invoice")["input_ids"]
    edit_json(folder / "tokenizer_config.json", tokenizer_class="TokenizerOfTomorrow")

    assert load_tokenizer(folder)("the invoice")["input_ids"] == expected


def test_tokens_beyond_the_embeddings_are_refused(folder):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    n_tokens = len(content["model"]["vocab"])
    content["model"]["vocab"]["invoice"] = n_tokens
    path.write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(ModelFormatError, match=f"to {n_tokens}, but the model has"):
        open_checkpoint(folder)


# --- settings that lead to other files ------------------------------------------------


@pytest.fixture
def outside(tmp_path):
    """Give a vocabulary beside the folder, which is nobody's business."""
    path = tmp_path / "outside.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nsecret\n")
    return path


def put_settings(folder, file, settings):
    """Add settings to a BERT with a list of words, which they could replace."""
    use_word_list(folder)
    path = folder / "tokenizer_config.json"
    edit_json(path, tokenizer_class="BertTokenizer")
    # With this one transformers leaves special_tokens_map.json alone.
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop("added_tokens_decoder", None)
    path.write_text(json.dumps(content), encoding="utf-8")
    if not (folder / file).exists():
        (folder / file).write_text("{}")
    edit_json(folder / file, **settings)


FILES = ("tokenizer_config.json", "special_tokens_map.json")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("key", ["vocab", "vocab_file"])
def test_a_vocabulary_is_not_read_from_elsewhere(folder, outside, file, key):
    put_settings(folder, file, {key: str(outside)})

    with pytest.raises(ModelFormatError, match=f"{file}: '{key}' is"):
        open_checkpoint(folder)

    # The test would be no test if the file were no vocabulary.
    theirs = transformers.BertTokenizer(str(outside))
    assert "secret" in theirs.get_vocab()


def test_a_vocabulary_in_the_place_of_a_table_is_not_read(folder, outside):
    """transformers takes it out of tokenizer.json, and would take a path, too."""
    edit_json(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    path = folder / "tokenizer.json"
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    edit_json(path, model=model | {"type": "WordPiece", "vocab": str(outside)})

    with pytest.raises(ModelFormatError, match=r"'vocab' is .*; it must be a table"):
        open_checkpoint(folder)


def test_rules_in_the_place_of_a_table_are_not_read(folder, outside):
    content = {"decompose_map": str(outside), "merge_map": {}}
    (folder / "byte_maps.json").write_text(json.dumps(content))

    with pytest.raises(ModelFormatError, match=r"'decompose_map' is .* be a table"):
        open_checkpoint(folder)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "settings",
    [
        {"merges": "OUTSIDE"},
        {"vocab": 0},
        {"merges_file": "OUTSIDE"},
        {"tokenizer_file": "OUTSIDE"},
        {"source_spm": "OUTSIDE"},
        {"a": [{"vocab": "OUTSIDE"}]},
        {"sp_model_kwargs": {"model_file": "OUTSIDE"}},
        {"sp_model_kwargs": {"model_file": "../outside.txt"}},
        {"vocab_file": "/dev/zero"},
        {"vocab_file": "outside.txt"},  # beside the folder, where the test works
        {"vocab_file": 0},
        {"vocab_file": ["OUTSIDE"]},
        {"vocab_file": {"content": "OUTSIDE"}},
        {"vocab_file": "vocab.txt\0"},
        {"vocab_file": r"\\machine\share\vocab.txt"},
        {"mecab_kwargs": {"mecab_option": "-d OUTSIDE"}},
        {"sudachi_kwargs": {"sudachi_config_path": "OUTSIDE"}},
        {"sudachi_kwargs": {"sudachi_resource_dir": "OUTSIDE"}},
        {"sudachi_kwargs": {"sudachi_dict_type": "OUTSIDE"}},
        {"init_inputs": ["OUTSIDE"]},
    ],
    ids=repr,
)
def test_settings_that_lead_elsewhere_are_refused(
    folder, outside, monkeypatch, file, settings
):
    text = json.dumps(settings).replace("OUTSIDE", str(outside))
    put_settings(folder, file, json.loads(text))
    monkeypatch.chdir(outside.parent)

    with pytest.raises(ModelFormatError, match="which is not a file of the folder"):
        open_checkpoint(folder)


def test_where_a_tokenizer_was_found_is_not_overridden(folder, outside):
    put_settings(folder, FILES[1], {"name_or_path": str(outside.parent)})

    with pytest.raises(ModelFormatError, match="'name_or_path' is .* not a file of"):
        open_checkpoint(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("key", ["vocab", "vocab_file"])
def test_a_pipe_that_settings_name_is_not_opened(folder, tmp_path, key):
    os.mkfifo(tmp_path / "pipe")
    put_settings(folder, FILES[1], {key: str(tmp_path / "pipe")})
    # Whoever opens the pipe waits for a writer; this one would come in the end.
    writer = threading.Timer(20, (tmp_path / "pipe").write_text, [""])
    writer.daemon = True
    writer.start()

    with pytest.raises(ModelFormatError, match=f"'{key}' is"):
        open_checkpoint(folder)
    writer.cancel()


def test_a_long_file_that_settings_name_is_not_read(folder):
    put_settings(folder, FILES[1], {"vocab_file": str(folder / "weights.bin")})
    with open(folder / "weights.bin", "wb") as file:
        file.truncate(2**33)

    with pytest.raises(ModelFormatError, match="is longer than any that skbert"):
        open_checkpoint(folder)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "settings",
    [
        {"special_tokens_map_file": "/Users/somebody/.cache/special_tokens_map.json"},
        {"special_tokens_map_file": "OUTSIDE"},  # saved and loaded on one machine
        {"tokenizer_file": "/Users/somebody/.cache/tokenizer.json"},
        {"tokenizer_file": None, "merges_file": "", "emoji_file": "vocab.txt"},
        {"name_or_path": None, "gguf_file": None, "init_inputs": [], "merges": None},
        {"sp_model_kwargs": {}, "vocab": None, "merges_file": "x" * 10_000},
        {"mecab_kwargs": {"mecab_dic": "unidic_lite"}, "sudachi_kwargs": None},
    ],
    ids=lambda settings: str(settings)[:60],
)
def test_settings_that_lead_nowhere_are_fine(folder, outside, file, settings):
    expected = load_tokenizer(folder)("the invoice")["input_ids"]
    text = json.dumps(settings).replace("OUTSIDE", str(outside))
    put_settings(folder, file, json.loads(text))

    assert open_checkpoint(folder).tokenizer("the invoice")["input_ids"] == expected


@pytest.mark.parametrize("value", [None, "", "vocab.txt", "/Users/somebody/vocab.txt"])
def test_a_vocabulary_that_settings_took_away_is_missed(folder, value):
    """Each word would be the unknown one."""
    put_settings(folder, "special_tokens_map.json", {"vocab_file": value})

    with pytest.raises(ModelFormatError, match="its vocabulary is empty. Settings"):
        open_checkpoint(folder)


def test_a_folder_may_name_its_own_files_by_any_way(folder, tmp_path, monkeypatch):
    expected = load_tokenizer(folder)("the invoice")["input_ids"]
    put_settings(folder, FILES[0], {"vocab_file": str(folder / "vocab.txt")})
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)

    for name in ("bert", "link", folder):
        assert open_checkpoint(name).tokenizer("the invoice")["input_ids"] == expected


# --- sizes ----------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["tokenizer.json", "vocab.txt", "vocab.json"])
def test_more_words_than_embeddings_are_refused_at_once(folder, file):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    n_rows = len(content["model"]["vocab"])
    vocabulary = content["model"]["vocab"] | dict.fromkeys(
        map("word{}".format, range(200_000)), 0
    )
    content["model"]["vocab"] = vocabulary
    text = {
        "tokenizer.json": json.dumps(content),
        "vocab.json": json.dumps(vocabulary),
        "vocab.txt": "\n".join(vocabulary) + "\n",
    }
    (folder / file).write_text(text[file], encoding="utf-8")
    start = time.process_time()

    message = f"has {n_rows + 200_000} words, and the model embeddings for {n_rows}"
    with pytest.raises(ModelFormatError, match=message):
        open_checkpoint(folder)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "a.spm"])
def test_files_that_are_too_long_are_refused(folder, name):
    with open(folder / name, "ab") as file:
        file.truncate(2**28)

    with pytest.raises(ModelFormatError, match="bytes, but a tokenizer of .* words"):
        open_checkpoint(folder)


# --- the faults of tests/faults -------------------------------------------------------


def put_steps(folder, **steps):
    """Change the steps of a tokenizer, whose class leaves them as they are."""
    in_pipeline(lambda content, rng: content.update(steps))(folder, random.Random(0))


STEPS = {
    "pre_tokenizer": split("e"),
    "normalizer": replace({"String": "e"}, "qqq"),
    "post_processor": template([TEXT, SPECIAL], [2]),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_a_step_that_a_fault_changes_is_one_of_the_tokenizer(
    checkpoint, tmp_path, family, name
):
    """Else transformers makes its own, and nothing is tried."""
    folder = shutil.copytree(checkpoint(family), tmp_path / family)
    put_steps(folder, **{name: STEPS[name]})

    backend = json.loads(load_tokenizer(folder).backend_tokenizer.to_str())

    assert backend[name] == STEPS[name]
