import base64
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
    charsmap_of_a,
    in_pipeline,
    replace,
    sequence,
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

    with pytest.raises(
        ModelFormatError, match="is no class of a tokenizer|config.json"
    ):
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
        {"gguf_file": "vocab.txt"},
        {"init_inputs": ["OUTSIDE"]},
        {"fast_tokenizer_files": ["../tokenizer.1.0.json"]},
    ],
    ids=repr,
)
def test_settings_that_lead_elsewhere_are_refused(
    folder, outside, monkeypatch, file, settings
):
    text = json.dumps(settings).replace("OUTSIDE", str(outside))
    put_settings(folder, file, json.loads(text))
    monkeypatch.chdir(outside.parent)

    message = (
        "which leads out of the folder|which is no name of a file|must be a table|"
        "is not supported. Remove it|must be 'small', 'core' or 'full'"
    )
    with pytest.raises(ModelFormatError, match=message):
        open_checkpoint(folder)


def test_where_a_tokenizer_was_found_is_not_overridden(folder, outside):
    put_settings(folder, FILES[1], {"name_or_path": str(outside.parent)})

    with pytest.raises(ModelFormatError, match="'name_or_path' is not supported"):
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


# --- what would take too long ---------------------------------------------------------


def put_steps(folder, **steps):
    """Change the steps of a tokenizer, whose class leaves them as they are."""
    in_pipeline(lambda content, rng: content.update(steps))(folder, random.Random(0))


def charsmap(text):
    data = base64.b64encode(charsmap_of_a(text)).decode()
    return {"type": "Precompiled", "precompiled_charsmap": data}


GROWING = {
    "one": replace({"String": "z"}, "z" * 2000),
    "powers": sequence(*[replace({"String": "z"}, "z" * 100)] * 3),
    "nested": sequence(sequence(sequence(*[replace({"String": "z"}, "z" * 100)] * 3))),
    "in turns": sequence(
        *[replace({"String": "y"}, "z" * 100), replace({"String": "z"}, "y" * 100)] * 2
    ),
    "nothing": sequence(*[replace({"String": ""}, "z" * 100)] * 2),
    "pattern of nothing": sequence(*[replace({"Regex": "(?=y)"}, "y" * 100)] * 2),
    "before": sequence(*[{"type": "Prepend", "prepend": "z" * 100}] * 2),
    "bytes": sequence(*[{"type": "ByteLevel"}] * 30),
    "ligatures": sequence(
        *[replace({"String": "\u0644"}, "\ufdfa"), {"type": "NFKC"}] * 10
    ),
    "charsmap": charsmap("a" * 2000),
    "charsmaps": sequence(charsmap("z" * 100), charsmap("a" * 100)),
}


@pytest.mark.parametrize("normalizer", GROWING.values(), ids=GROWING)
def test_steps_that_make_a_text_many_times_as_long_are_refused(folder, normalizer):
    put_steps(folder, normalizer=normalizer)

    with pytest.raises(ModelFormatError, match=r"a text can become \d+ times as long"):
        open_checkpoint(folder)


NOT_GROWING = {
    "XLM-RoBERTa": sequence(
        charsmap("a" * 18), {"type": "Nmt"}, replace({"Regex": " {2,}"}, "\u2581")
    ),
    "ALBERT": sequence(
        replace({"String": "``"}, '"'),
        replace({"String": "''"}, '"'),
        {"type": "NFKD"},
        {"type": "StripAccents"},
        {"type": "Lowercase"},
        charsmap("a" * 18),
        replace({"Regex": " {2,}"}, " "),
    ),
    "Llama": sequence(
        {"type": "Prepend", "prepend": "\u2581"}, replace({"String": " "}, "\u2581")
    ),
    "CLIP": sequence(
        {"type": "NFC"}, replace({"Regex": r"\s+"}, " "), {"type": "Lowercase"}
    ),
    "digits": sequence(*[replace({"String": str(i)}, f" {i} ") for i in range(10)]),
    "none": None,
}


@pytest.mark.parametrize("normalizer", NOT_GROWING.values(), ids=NOT_GROWING)
def test_steps_of_real_tokenizers_are_fine(folder, normalizer):
    put_steps(folder, normalizer=normalizer)

    backend = json.loads(open_checkpoint(folder).tokenizer.backend_tokenizer.to_str())

    assert backend["normalizer"] == normalizer


def test_steps_count_for_the_added_tokens(folder):
    put_steps(folder, normalizer=replace({"String": "z"}, "z" * 1000))
    open_checkpoint(folder)

    table = {"179": {"content": "y" * 20_000, "normalized": True}}
    edit_json(folder / "tokenizer_config.json", added_tokens_decoder=table)
    with pytest.raises(
        ModelFormatError, match="become 1000 times .* at most 499, with"
    ):
        open_checkpoint(folder)


def test_the_map_of_characters_of_a_sentencepiece_model_counts(checkpoint, tmp_path):
    module = pytest.importorskip("sentencepiece.sentencepiece_model_pb2")
    folder = shutil.copytree(checkpoint("xlm-roberta"), tmp_path / "model")
    model = module.ModelProto()
    model.normalizer_spec.precompiled_charsmap = charsmap_of_a("a" * 2000)
    (folder / "sentencepiece.bpe.model").write_bytes(model.SerializeToString())

    with pytest.raises(ModelFormatError, match="a text can become 2000 times as long"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "processor",
    [
        template([SPECIAL] * 101 + [TEXT], [2]),
        template([SPECIAL, TEXT], [2] * 101),
        template([TEXT] * 101, [2]),
        {"type": "Sequence", "processors": [template([TEXT, TEXT], [2])] * 7},
    ],
    ids=["long", "wide", "text", "twice"],
)
def test_many_tokens_around_a_text_are_refused(folder, processor):
    put_steps(folder, post_processor=processor)

    with pytest.raises(ModelFormatError, match="special tokens around a text are more"):
        open_checkpoint(folder)


def words(n):
    return [f"t{i}" for i in range(n)]


def added_tokens(n):
    return {str(i): {"content": word} for i, word in enumerate(words(n))}


MANY = {
    "list": ("tokenizer_config.json", {"extra_special_tokens": words(40_000)}),
    "old list": ("special_tokens_map.json", {"additional_special_tokens": words(3000)}),
    "keys": ("tokenizer_config.json", {f"{word}_token": word for word in words(3000)}),
    "dict": (
        "tokenizer_config.json",
        {"model_specific_special_tokens": {word: word for word in words(3000)}},
    ),
    "number": ("tokenizer_config.json", {"extra_ids": 10**6}),
    "added": ("tokenizer_config.json", {"added_tokens_decoder": added_tokens(30_000)}),
    "added before": ("added_tokens.json", dict.fromkeys(words(30_000), 0)),
    "product": (
        "tokenizer_config.json",
        {
            "added_tokens_decoder": added_tokens(20_000),
            "extra_special_tokens": [f"u{i}" for i in range(60)],
        },
    ),
    "bytes": ("tokenizer_config.json", {"x": "x" * 2**23}),
    "steps": (
        "tokenizer.json",
        {"normalizer": sequence(*[{"type": "StripAccents"}] * 1001)},
    ),
    "merges": (
        "tokenizer.json",
        {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"] * 10**4}},
    ),
    "prefix": (
        "tokenizer.json",
        {"model": {"type": "WordPiece", "continuing_subword_prefix": "#" * 10**6}},
    ),
    "length": (
        "tokenizer.json",
        {"model": {"type": "WordPiece", "max_input_chars_per_word": 10**6}},
    ),
}


@pytest.mark.parametrize("file, change", MANY.values(), ids=MANY)
def test_tables_without_end_are_refused_at_once(folder, file, change):
    if not (folder / file).exists():
        (folder / file).write_text("{}")
    edit_json(folder / file, **change)
    start = time.process_time()

    with pytest.raises(ModelFormatError, match=r"\d+ .* are more than any tokenizer"):
        open_checkpoint(folder)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("file", ["tokenizer.json", "vocab.txt", "vocab.json"])
def test_more_words_than_embeddings_are_refused_at_once(folder, file):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    n_rows = len(content["model"]["vocab"])
    vocabulary = content["model"]["vocab"] | dict.fromkeys(words(200_000), 0)
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


def test_as_many_added_tokens_as_are_read_take_seconds(folder):
    """The limits are measured, and not guessed."""
    table = added_tokens(10_000)
    special = [f"u{i}" for i in range(90)]
    settings = {"added_tokens_decoder": table, "extra_special_tokens": special}
    edit_json(folder / "tokenizer_config.json", **settings)
    start = time.process_time()

    assert "u89" in load_tokenizer(folder).get_vocab()
    assert time.process_time() - start < 10


# --- the faults of tests/faults -------------------------------------------------------

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
