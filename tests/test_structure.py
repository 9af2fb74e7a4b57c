import pytest
import torch

from checkpoints import MAX_LENGTH, N_LAYERS
from skbert.checkpoint import load_config
from skbert.module import build_module
from skbert.structure import encoder_structure, freeze

FAMILIES = ("bert", "roberta", "deberta", "distilbert", "canine")


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
