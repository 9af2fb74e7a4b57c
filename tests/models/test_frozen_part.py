"""Where a model can be cut, for families that the classifier's tests do not fit."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from skbert.models.architecture import freeze
from skbert.models.frozen_part import FrozenEncoder, FrozenLayers, frozen_part
from skbert.models.module import MeanPoolingClassifier, NativeClassifier
from skbert.tokens.padding import Padding, pad
from skbert.tokens.tokenization import RaggedTokens

COMMON = {
    "vocab_size": 90,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 70,
    "pad_token_id": 0,
    "initializer_range": 0.1,
}
DEBERTA = {
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "type_vocab_size": 0,
    "position_biased_input": False,
}
CUT = {
    "bert": {},
    "roberta": {},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64},
    "mpnet": {},
    "electra": {"embedding_size": 16},
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA | {"norm_rel_ebd": "layer_norm", "conv_kernel_size": 3},
    # A window of 8 neighbours in all but every third layer.
    "modernbert": {"local_attention": 8, "cls_token_id": 1, "sep_token_id": 2},
}
WHOLE = {
    # It merges four characters into one state.
    "canine": {"num_hash_buckets": 70, "downsampling_rate": 4},
    # Its mixing over the text takes no mask: padding's states are read.
    "fnet": {},
    # No encoder: every layer adds to a record of all positions.
    "gpt2": {"bos_token_id": 1, "eos_token_id": 2},
}


@pytest.fixture
def tokens():
    lengths = [40, 3, 11, 25]
    rng = np.random.default_rng(0)
    return RaggedTokens(
        rng.integers(5, 90, sum(lengths)).astype(np.int32),
        np.cumsum([0, *lengths]),
        np.zeros(4, dtype=bool),
    )


def build(family, fields, pooling="native"):
    fields = COMMON | fields | {"num_labels": 4}
    if family == "modernbert":
        fields |= {"bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(family, **fields)
    torch.manual_seed(0)
    if pooling == "native":
        return NativeClassifier(AutoModelForSequenceClassification.from_config(config))
    return MeanPoolingClassifier(AutoModel.from_config(config), 4, dropout=0.1)


def find_part(module, tokens, k, padding=None):
    always_eval = freeze(module, module.encoder, trainable_layers=k, embeddings=True)
    return frozen_part(
        module,
        tokens,
        trainable_layers=k,
        always_eval=always_eval,
        padding=padding or Padding(),
    )


@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("family", CUT)
def test_a_cut_model_gives_the_same(tokens, family, k, pooling):
    module = build(family, CUT[family], pooling)
    part = find_part(module, tokens, k)
    assert isinstance(part, FrozenLayers)
    assert (len(part.below), len(part.above)) == (3 - k, k)
    ids, mask = pad(tokens, np.arange(4), Padding())
    module.eval()
    with torch.no_grad():
        expected = module(ids, mask)
        states = part.states(ids, mask)
        with part.given(states):
            found = module(ids, mask)
        with part.given(torch.zeros_like(states)):
            other = module(ids, mask)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not torch.allclose(other, expected, atol=1e-3)


@pytest.mark.parametrize("family", CUT)
def test_the_native_head_alone_reads_the_last_states(tokens, family):
    module = build(family, CUT[family])
    part = find_part(module, tokens, 0)
    assert isinstance(part, FrozenLayers)
    assert part.above == []


def test_the_head_on_the_mean_reads_one_state_per_text(tokens):
    module = build("canine", WHOLE["canine"], "mean")
    part = find_part(module, tokens, 0, Padding(0, 44))
    assert isinstance(part, FrozenEncoder)
    ids, mask = pad(tokens, np.arange(4), Padding(0, 44))
    module.eval()
    with torch.no_grad():
        states = part.states(ids, mask)
        assert states.shape == (4, 1, 32)
        expected = module(ids, mask)
        with part.given(states):
            assert torch.equal(module(ids[:, :1], mask[:, :1]), expected)
        assert torch.equal(module(ids, mask), expected)


@pytest.mark.parametrize(
    ("family", "k"),
    [(family, k) for family in WHOLE for k in (0, 1)],
)
def test_other_models_are_left_whole(tokens, family, k):
    module = build(family, WHOLE[family])
    assert find_part(module, tokens, k, Padding(0, 4)) is None


def test_trying_leaves_no_trace(tokens):
    module = build("bert", {})
    state = torch.get_rng_state()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert find_part(module, tokens, 1) is not None
    assert torch.equal(torch.get_rng_state(), state)
    assert all("forward" not in vars(part) for part in module.modules())
    after = module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.grad is None for p in module.parameters())


def test_the_cut_heals_after_an_error(tokens):
    module = build("bert", {}, "mean")
    part = find_part(module, tokens, 1)
    with pytest.raises(KeyboardInterrupt), part.given(torch.zeros(1, 1, 32)):
        raise KeyboardInterrupt
    assert all("forward" not in vars(layer) for layer in part.layers)


def test_a_layer_with_a_forward_of_its_own_is_left_alone(tokens):
    module = build("bert", {})
    layer = module.encoder.encoder.layer[0]
    own = layer.forward
    layer.forward = lambda *args, **kwargs: own(*args, **kwargs)
    assert find_part(module, tokens, 1) is None


def test_dropout_between_the_frozen_layers_forbids_the_cut(tokens):
    class Noisy(nn.Module):
        def __init__(self, embeddings):
            super().__init__()
            self.embeddings = embeddings
            self.noise = nn.Dropout(0.5)

        def forward(self, *args, **kwargs):
            return self.noise(self.embeddings(*args, **kwargs))

    module = build("bert", {})
    module.encoder.embeddings = Noisy(module.encoder.embeddings)
    freeze(module, module.encoder, trainable_layers=1, embeddings=True)
    options = {"trainable_layers": 1, "padding": Padding()}
    always = [module.encoder.embeddings, *module.encoder.encoder.layer[:2]]
    assert frozen_part(module, tokens, always_eval=always[1:], **options) is None
    assert frozen_part(module, tokens, always_eval=always, **options) is not None
