import json
import shutil

import pytest
import transformers

from skbert.exceptions import ModelFormatError
from skbert.models.checkpoint import open_checkpoint
from skbert.models.configuration import load_config
from skbert.models.module import build_module


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """Give a copy of the tiny BERT that a test may damage."""
    return shutil.copytree(tiny_bert, tmp_path / "bert")


def edit_json(path, **changes):
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


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
