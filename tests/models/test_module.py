import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification

from checkpoints import make_checkpoint
from skbert.exceptions import ModelFormatError
from skbert.models.configuration import load_config
from skbert.models.module import build_module

FAMILIES = ("bert", "roberta", "deberta", "distilbert", "canine")
IDS = torch.tensor([[5, 9, 12, 7, 8, 6, 11, 3], [4, 6, 0, 0, 0, 0, 0, 0]])
MASK = (IDS > 0).long()


def build(folder, *, n_labels=3, pooling="native", **kwargs):
    module, has_head = build_module(
        folder, load_config(folder), n_labels=n_labels, pooling=pooling, **kwargs
    )
    return module.eval(), has_head


@pytest.mark.parametrize("family", FAMILIES)
def test_native_is_the_model_of_transformers(checkpoint, family):
    folder = checkpoint(family, head=True, num_labels=3)
    module, has_head = build(folder)
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            module(IDS, MASK), theirs(input_ids=IDS, attention_mask=MASK).logits
        )
    assert has_head


@pytest.mark.parametrize("family", FAMILIES)
def test_mean_pools_the_tokens_and_nothing_else(checkpoint, family):
    folder = checkpoint(family)
    module, has_head = build(folder, pooling="mean")
    encoder = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = encoder(input_ids=IDS, attention_mask=MASK).last_hidden_state
        pooled = torch.stack([states[0].mean(0), states[1, :2].mean(0)])
        torch.testing.assert_close(module(IDS, MASK), module.head(pooled))
    assert not has_head


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_head_and_encoder_are_told_apart(checkpoint, family, pooling):
    module, _ = build(checkpoint(family), pooling=pooling)
    head = dict(module.head_parameters())
    assert any(p is module.output_layer.weight for p in head.values())
    encoder = {id(p) for p in module.encoder.parameters()}
    assert encoder.isdisjoint(map(id, head.values()))
    assert len(encoder) + len(head) == len(list(module.parameters()))


def test_a_model_without_a_linear_output_is_refused(tiny_bert):
    module, _ = build(tiny_bert)
    module.model.classifier = torch.nn.Identity()
    with pytest.raises(ModelFormatError, match="no linear output layer that skbert"):
        module.output_layer  # noqa: B018 - it looks for it


def test_pooling_a_text_without_tokens_is_finite(tiny_bert):
    module, _ = build(tiny_bert, pooling="mean")
    with torch.no_grad():
        logits = module(torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1).long())
    assert torch.isfinite(logits).all()


def test_a_new_head_is_drawn_for_another_number_of_labels(checkpoint):
    folder = checkpoint("bert", head=True, num_labels=3)
    module, has_head = build(folder, n_labels=5)
    assert module.output_layer.out_features == 5
    assert not has_head


def test_heads_start_at_the_priors(tiny_bert):
    module, _ = build(tiny_bert)
    module.start_at_priors(np.array([-1.0, 0.5, 2.0]))
    assert module.output_layer.bias.tolist() == [-1.0, 0.5, 2.0]


def test_a_pinned_label_is_the_same_for_every_text(tiny_bert):
    module, _ = build(tiny_bert, pooling="mean")
    module.pin(np.array([False, True, False]), np.array([9.0, -2.0, 9.0]))
    with torch.no_grad():
        logits = module(IDS, MASK)
    assert logits[:, 1].tolist() == [-2.0, -2.0]
    assert logits[0, 0] != logits[1, 0]


def test_dropout_is_set_everywhere(checkpoint):
    for family in FAMILIES:
        module, _ = build(checkpoint(family), dropout=0.37)
        rates = {m.p for m in module.modules() if isinstance(m, torch.nn.Dropout)}
        assert rates == {0.37}
    module, _ = build(checkpoint("bert"), pooling="mean", dropout=0.37)
    assert module.dropout.p == 0.37


def test_dropout_may_be_an_integer(checkpoint):
    module, _ = build(checkpoint("bert"), dropout=0)
    assert type(module.model.config.hidden_dropout_prob) is float
    assert module.model.config.hidden_dropout_prob == 0


def test_attention_dropout_is_off_by_default(checkpoint):
    module, _ = build(checkpoint("bert"), pooling="mean")
    assert module.dropout.p == 0.1
    layer = module.encoder.encoder.layer[0]
    assert layer.attention.self.dropout.p == 0.0
    assert layer.output.dropout.p == 0.1


def test_weights_are_float32(tmp_path):
    folder = make_checkpoint("bert", tmp_path)
    half = {k: v.half() for k, v in load_file(folder / "model.safetensors").items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    module, _ = build(folder)
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_a_missing_encoder_weight_is_an_error(tmp_path):
    folder = make_checkpoint("bert", tmp_path)
    weights = load_file(folder / "model.safetensors")
    lost = "encoder.layer.1.attention.self.query.weight"
    del weights[lost]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for pooling in ("native", "mean"):
        with pytest.raises(ModelFormatError, match=f"missing.*{lost}"):
            build(folder, pooling=pooling)


def test_weights_of_another_shape_are_an_error(tmp_path):
    folder = make_checkpoint("bert", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = 48
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFormatError, match="wrong shape"):
        build(folder)


def test_a_cut_file_is_an_error(tmp_path):
    folder = make_checkpoint("bert", tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelFormatError, match="cannot be loaded"):
        build(folder)


@pytest.mark.parametrize("dropout", [-0.5, 1.5, float("nan")])
def test_a_dropout_that_is_none_is_refused(tiny_bert, dropout):
    config = load_config(tiny_bert)
    config.classifier_dropout = dropout

    with pytest.raises(ModelFormatError, match="classifier_dropout is .*; it must be"):
        build_module(tiny_bert, config, n_labels=2, pooling="mean")


def test_a_model_that_does_not_run_is_refused(tmp_path):
    folder = make_checkpoint("bert", tmp_path, max_position_embeddings=4)

    with pytest.raises(ModelFormatError, match="does not run: "):
        build(folder)


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_a_model_that_answers_nan_is_refused(tiny_bert, pooling):
    config = load_config(tiny_bert)
    config.layer_norm_eps = float("nan")

    with pytest.raises(ModelFormatError, match="answers nan: its weights are damaged"):
        build_module(tiny_bert, config, n_labels=2, pooling=pooling)


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_weights_of_nan_are_refused(tmp_path, pooling):
    folder = make_checkpoint("bert", tmp_path)
    weights = load_file(folder / "model.safetensors")
    # Of a token that no probe would meet.
    weights["embeddings.word_embeddings.weight"][-1, 0] = float("nan")
    save_file(weights, folder / "model.safetensors")

    with pytest.raises(ModelFormatError, match="holds NaN, infinity or"):
        build(folder, pooling=pooling)


def test_many_labels_are_not_too_large_for_the_weights(tiny_bert):
    for pooling in ("native", "mean"):
        module, _ = build(tiny_bert, n_labels=400_000, pooling=pooling)
        assert module.output_layer.out_features == 400_000


def test_a_complete_model_needs_its_head(checkpoint):
    with pytest.raises(ModelFormatError, match="classifier.* missing"):
        build(checkpoint("bert"), complete=True)


def test_loading_says_nothing(tiny_bert, capfd):
    build(tiny_bert)
    assert capfd.readouterr() == ("", "")


# DeBERTa does not run in bf16 at all.
@pytest.mark.parametrize("family", sorted({*FAMILIES} - {"deberta"}))
def test_a_native_head_keeps_float32_under_autocast(checkpoint, family):
    module, _ = build(checkpoint(family, head=True, num_labels=3))
    seen = []
    module.output_layer.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = module(IDS, MASK)
    assert logits.dtype == torch.float32
    with torch.no_grad():
        expected = module.output_layer(seen[0].float())
    torch.testing.assert_close(logits, expected.reshape(logits.shape))
