"""The skorch net alone: what the classifier's tests do not reach."""

import pickle

import numpy as np
import pytest
import torch

from skbert.batching import LabelledTokens, Padding
from skbert.checkpoint import load_config, load_tokenizer
from skbert.losses import MultiLabelLoss
from skbert.module import build_module
from skbert.net import MultiLabelNet, TrainingSets
from skbert.targets import encode_targets
from skbert.tokenization import tokenize


@pytest.fixture
def sets(tiny_bert, emails):
    X, y = emails
    tokens = tokenize(load_tokenizer(tiny_bert), X, max_length=64)
    data = LabelledTokens(tokens, encode_targets(y))
    return TrainingSets(data.take(np.arange(40)), data.take(np.arange(40, 60)))


@pytest.fixture
def net(tiny_bert):
    module, _ = build_module(
        tiny_bert, load_config(tiny_bert), n_labels=3, pooling="mean"
    )
    return MultiLabelNet(
        module,
        MultiLabelLoss(),
        padding=Padding(),
        precision="fp32",
        lr=1e-3,
        max_epochs=2,
        batch_size=8,
        verbose=0,
    )


def test_nothing_of_the_training_stays_behind(net, sets):
    net.fit_sets(sets)
    assert not net.module_.training
    assert all(p.grad is None for p in net.module_.parameters())
    for name in ("batches_", "step_", "best_", "optimizer_"):
        assert not hasattr(net, name)


def test_the_optimizer_is_kept_when_asked(net, sets):
    net.fit_sets(sets, keep_optimizer=True)
    assert net.optimizer_.state


def test_a_net_is_pickled_once_and_predicts_the_same(net, sets):
    net.fit_sets(sets)
    data = pickle.dumps(net)
    n_bytes = sum(4 * p.numel() for p in net.module_.parameters())
    assert len(data) < 1.5 * n_bytes + 200_000
    copy = pickle.loads(data)
    np.testing.assert_array_equal(
        copy.predict_logits(sets.valid.tokens), net.predict_logits(sets.valid.tokens)
    )
    assert copy.module is copy.module_


def test_training_mode_does_not_leak_into_predictions(net, sets):
    net.fit_sets(sets)
    expected = net.predict_logits(sets.valid.tokens)
    net.module_.train()  # as a user may
    np.testing.assert_array_equal(net.predict_logits(sets.valid.tokens), expected)


def test_callbacks_can_ask_for_logits_and_losses(net, sets):
    from skorch.callbacks import Callback

    seen = []

    class Ask(Callback):
        def on_batch_end(self, net, batch, loss, **kwargs):
            with torch.no_grad():
                logits = net.infer(batch)
                seen.append((logits.dtype, net.get_loss(logits, batch).item()))

    net.set_params(callbacks=[Ask()])
    net.fit_sets(sets)
    assert len(seen) == 10
    assert {dtype for dtype, _ in seen} == {torch.float32}
    assert all(0 < loss < 2 for _, loss in seen)


def test_frozen_parts_stay_in_eval_mode_while_training(net, sets):
    from skorch.callbacks import Callback

    modes = []

    class Look(Callback):
        def on_batch_begin(self, net, **kwargs):
            encoder = net.module_.encoder
            layers = [layer.training for layer in encoder.encoder.layer]
            modes.append((encoder.embeddings.training, *layers))

    net.set_params(callbacks=[Look()], trainable_layers=1)
    net.fit_sets(sets)
    assert set(modes) == {(False, False, True)}
