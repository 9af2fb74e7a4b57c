import pytest
import torch
from transformers import AutoConfig, AutoModel

from checkpoints import MAX_LENGTH, N_LAYERS
from skbert.models.architecture import encoder_layers, encoder_structure, freeze
from skbert.models.configuration import load_config
from skbert.models.module import build_module

FAMILIES = ("bert", "roberta", "deberta", "distilbert", "canine")
TINY = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_heads": 2, "vocab_size": 50}
XLM = {"emb_dim": 16, "n_layers": 2, "n_heads": 2, "n_words": 50}
ALBERT = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
SMALL = {
    **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"intermediate_size": 32, "vocab_size": 50},
}
GPT = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 50}
# Their tables of positions are called otherwise than BERT's, or have other rows, too.
TABULATED = {
    **{"biogpt": SMALL, "canine": SMALL | {"num_hash_buckets": 16}},
    "ctrl": GPT | {"dff": 32},
    **{"gpt2": GPT, "gpt_bigcode": GPT, "gptj": GPT | {"rotary_dim": 8}},
    "gpt_neo": SMALL | {"num_layers": 1, "attention_types": [[["global"], 1]]},
    "ibert": SMALL | {"max_position_embeddings": 18},
    "nystromformer": SMALL | {"segment_means_seq_len": 2, "num_landmarks": 2},
    "openai-gpt": GPT,
    "opt": SMALL | {"ffn_dim": 32, "word_embed_proj_dim": 16},
    **{"roformer": SMALL, "yoso": SMALL},
}
# As many positions as tokens and numbers in a state: no table of positions among them.
UNLIMITED = SMALL | {"vocab_size": 16, "max_position_embeddings": 16}
# Models with layers that are not one list of modules, each called once.
UNTOLD = {
    "xlm": XLM | {"max_position_embeddings": 32},  # the layers' parts are in four lists
    "t5": TINY | {"num_layers": 2, "num_decoder_layers": 2},  # there is a decoder, too
    # Two modules, in a list of two, which run twice each.
    "albert": ALBERT
    | {"vocab_size": 50, "embedding_size": 8, "num_hidden_layers": 2}
    | {"num_hidden_groups": 1, "inner_group_num": 2},
}


@pytest.fixture
def build(checkpoint):
    def build(family, pooling="native"):
        folder = checkpoint(family)
        module, _ = build_module(
            folder, load_config(folder), n_labels=3, pooling=pooling
        )
        return module

    return build


def trainable(module):
    return {name for name, p in module.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_counted(checkpoint, family):
    assert encoder_structure(load_config(checkpoint(family))).n_layers == N_LAYERS


@pytest.mark.parametrize(
    ("family", "limit"),
    [("bert", MAX_LENGTH), ("roberta", MAX_LENGTH), ("distilbert", MAX_LENGTH)],
)
def test_positions_limit_the_length(checkpoint, family, limit):
    assert encoder_structure(load_config(checkpoint(family))).max_length == limit


@pytest.mark.parametrize("family", TABULATED)
def test_tables_of_positions_are_found_whatever_they_are_called(family):
    fields = {"max_position_embeddings": 16} | TABULATED[family]
    config = AutoConfig.for_model(family, pad_token_id=1, **fields)
    assert encoder_structure(config).max_length == 16

    encoder = AutoModel.from_config(config).eval()
    ids = torch.full((1, 16), 5)
    with torch.no_grad():
        assert encoder(ids).last_hidden_state.shape[1] == 16
        with pytest.raises((IndexError, RuntimeError)):
            encoder(torch.full((1, 17), 5))


@pytest.mark.parametrize("family", ["deberta-v2", "gpt_neox", "llama", "modernbert"])
def test_relative_positions_limit_nothing(family):
    fields = UNLIMITED | {"position_biased_input": False, "pad_token_id": 1}
    config = AutoConfig.for_model(family, **fields)
    assert encoder_structure(config).max_length is None

    encoder = AutoModel.from_config(config).eval()
    ids = torch.full((1, 40), 5)
    with torch.no_grad():
        assert encoder(ids).last_hidden_state.shape[1] == 40


def test_reading_a_structure_draws_no_random_number(checkpoint):
    config = load_config(checkpoint("bert"))
    before = torch.get_rng_state()
    encoder_structure(config)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_freezing_the_embeddings_leaves_the_rest(build, family):
    module = build(family)
    frozen = freeze(module, module.encoder, trainable_layers=None, embeddings=True)
    lost = {name for name, _ in module.named_parameters()} - trainable(module)
    assert lost
    assert all("embeddings" in name for name in lost)
    assert frozen == []  # they keep their dropout


@pytest.mark.parametrize("family", FAMILIES)
def test_the_top_layer_and_what_is_above_it_train(build, family):
    module = build(family)
    frozen = freeze(module, module.encoder, trainable_layers=1, embeddings=False)
    names = trainable(module)
    top = f"layer.{N_LAYERS - 1}."
    below = [n for n in names if "layer.0." in n and "final_char_encoder" not in n]
    assert any(top in name for name in names)
    assert below == []
    assert not any("embeddings" in name for name in names)
    assert {name for name, _ in module.head_parameters()} <= names
    assert len(frozen) >= 2


def test_all_layers_can_be_named(build):
    module = build("bert")
    freeze(module, module.encoder, trainable_layers=N_LAYERS, embeddings=False)
    assert any("layer.0." in name for name in trainable(module))
    assert not any("embeddings" in name for name in trainable(module))


def test_head_only(build):
    module = build("roberta")
    frozen = freeze(module, module.encoder, trainable_layers=0, embeddings=False)
    assert trainable(module) == {name for name, _ in module.head_parameters()}
    assert frozen == [module.encoder]


def test_everything_trains_when_asked(build):
    module = build("bert", "mean")
    freeze(module, module.encoder, trainable_layers=0, embeddings=True)
    freeze(module, module.encoder, trainable_layers=None, embeddings=False)
    assert trainable(module) == {name for name, _ in module.named_parameters()}


def test_relative_positions_feed_all_layers_and_freeze_with_them(build):
    module = build("deberta")
    freeze(module, module.encoder, trainable_layers=1, embeddings=False)
    assert "model.deberta.encoder.rel_embeddings.weight" not in trainable(module)


@pytest.mark.parametrize(
    ("pooling", "max_length", "multiple"),
    [("native", 30, 4), ("mean", 30, 32), ("mean", 32, 32)],
)
def test_merged_positions_are_padded_to_whole_groups(
    checkpoint, pooling, max_length, multiple
):
    structure = encoder_structure(load_config(checkpoint("canine")))
    assert structure.padding(7, pooling, max_length).multiple_of == multiple
    assert structure.padding(7, pooling, max_length).pad_id == 7


def test_other_encoders_are_not_padded_in_groups(checkpoint):
    structure = encoder_structure(load_config(checkpoint("bert")))
    assert structure.padding(0, "mean", 30).width(5) == 5


@pytest.mark.parametrize("family", UNTOLD)
def test_layers_that_cannot_be_told_apart_are_not_guessed(family):
    config = AutoConfig.for_model(family, **UNTOLD[family])
    assert encoder_structure(config).n_layers == 0


@pytest.mark.parametrize("family", UNTOLD)
def test_without_known_layers_the_embeddings_are_found_all_the_same(family):
    encoder = AutoModel.from_config(AutoConfig.for_model(family, **UNTOLD[family]))
    freeze(encoder, encoder, trainable_layers=None, embeddings=True)
    frozen = {id(p) for p in encoder.parameters() if not p.requires_grad}
    assert id(encoder.get_input_embeddings().weight) in frozen
    names = [name for name, p in encoder.named_parameters() if id(p) in frozen]
    assert all("embed" in name or name == "shared.weight" for name in names)


def test_tied_layers_cannot_be_told_apart(build):
    encoder = build("bert").encoder
    assert len(encoder_layers(encoder)) == N_LAYERS
    lower, upper = encoder.encoder.layer
    upper.output.dense.weight = lower.output.dense.weight
    assert encoder_layers(encoder) == []


def test_layers_that_run_in_another_order_are_an_error(build):
    module = build("bert")
    stack = module.encoder.encoder
    plain = stack.forward

    def backwards(*args, **kwargs):
        stack.layer = torch.nn.ModuleList(reversed(stack.layer))
        try:
            return plain(*args, **kwargs)
        finally:
            stack.layer = torch.nn.ModuleList(reversed(stack.layer))

    stack.forward = backwards
    with pytest.raises(ValueError, match="BertModel do not run one after the other"):
        freeze(module, module.encoder, trainable_layers=1, embeddings=False)


def test_what_follows_a_lower_layer_freezes_with_it(build):
    module = build("deberta-v2")
    stack = module.encoder.encoder
    frozen = freeze(module, module.encoder, trainable_layers=1, embeddings=False)
    for part in (stack.conv, stack.LayerNorm, stack.rel_embeddings, stack.layer[0]):
        assert not any(p.requires_grad for p in part.parameters())
    # Their dropout would change what lies below the layer that is trained.
    assert {stack.conv, stack.layer[0], module.encoder.embeddings} <= {*frozen}
    assert stack.layer[1] not in frozen


def test_looking_at_the_order_leaves_no_trace(build):
    module = build("bert").train()
    state = torch.get_rng_state()
    freeze(module, module.encoder, trainable_layers=1, embeddings=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(m.training and not m._forward_pre_hooks for m in module.modules())


def test_windows_are_filled_as_the_model_would(checkpoint):
    structure = encoder_structure(load_config(checkpoint("longformer")))
    padding = structure.padding(1, "mean", 30)
    assert [padding.width(n) for n in (3, 8, 9, 30)] == [8, 8, 16, 32]


@pytest.mark.parametrize(("family", "left"), [("xlnet", True), ("bert", False)])
def test_only_what_knows_no_positions_is_padded_on_the_left(checkpoint, family, left):
    structure = encoder_structure(load_config(checkpoint(family)))
    assert structure.padding(0, "native", 30, left=True).left == left
    assert not structure.padding(0, "native", 30).left
