"""The skorch net alone: what the classifier's tests do not reach."""

import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

import skbert.training.net
import skbert.training.run
from skbert.inputs.targets import encode_targets
from skbert.models.configuration import load_config
from skbert.models.module import build_module
from skbert.models.tokenizer import load_tokenizer
from skbert.tokens.batching import LabelledTokens, TrainingSets
from skbert.tokens.padding import Padding
from skbert.tokens.tokenization import tokenize
from skbert.training.fit_checkpoints import EpochStates
from skbert.training.losses import MultiLabelLoss
from skbert.training.net import MultiLabelNet


@pytest.fixture
def sets(tiny_bert, emails):
    X, y = emails
    tokens = tokenize(load_tokenizer(tiny_bert), X, max_length=64)
    data = LabelledTokens(tokens, encode_targets(y))
    return TrainingSets(data.take(np.arange(40)), data.take(np.arange(40, 60)))


def make_net(folder, *, module=None, dropout=None, **kwargs):
    torch.manual_seed(0)
    if module is None:
        config = load_config(folder)
        module, _ = build_module(
            folder, config, n_labels=3, pooling="mean", dropout=dropout
        )
    options = {
        "padding": Padding(0, 1, 64),
        "precision": "fp32",
        "lr": 1e-3,
        "max_epochs": 2,
        "batch_size": 8,
        "verbose": 0,
    }
    return MultiLabelNet(module, MultiLabelLoss(), **(options | kwargs))


@pytest.fixture
def net(tiny_bert):
    return make_net(tiny_bert)


class Again:
    """Stands for the CUDA recorder: replays by calling again, on the same memory."""

    def __init__(self, device):
        pass

    def __call__(self, function, warm_up):
        warm_up()
        return function


@pytest.fixture
def as_on_cuda(monkeypatch):
    """Let the net do on the CPU what it does on a GPU."""

    def pretend(recorder=Again):
        monkeypatch.setattr(MultiLabelNet, "on_cuda", True)
        for module in (skbert.training.net, skbert.training.run):
            monkeypatch.setattr(module, "CudaRecorder", recorder)

    return pretend


class Steps(Callback):
    """Keeps the step of a fit and the widths of its batches."""

    def __init__(self):
        self.widths = set()

    def on_batch_end(self, net, batch, **kwargs):
        self.widths.add(batch.input_ids.shape[1])

    def on_train_end(self, net, **kwargs):
        self.step, self.n_shapes = net.run_.step, getattr(net.run_.step, "n_shapes", 0)
        self.buffers = [
            weakref.ref(recorded._batch.input_ids)
            for recorded in self.step._shapes._recorded.values()
        ]


def table(net):
    columns = ("train_loss", "valid_loss", "valid_average_precision")
    return np.array([[row[column] for column in columns] for row in net.history])


def test_nothing_of_the_training_stays_behind(net, sets):
    net.fit_sets(sets)
    assert not net.module_.training
    assert all(p.grad is None for p in net.module_.parameters())
    for name in ("run_", "optimizer_", "always_eval_"):
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
    modes = []

    class Look(Callback):
        def on_batch_begin(self, net, **kwargs):
            encoder = net.module_.encoder
            layers = [layer.training for layer in encoder.encoder.layer]
            modes.append((encoder.embeddings.training, *layers))

    net.set_params(callbacks=[Look()], trainable_layers=1)
    net.fit_sets(sets)
    assert set(modes) == {(False, False, True)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulation": 2, "max_grad_norm": None},
        {"trainable_layers": 1, "batch_size": 7},
        {"trainable_layers": 0},
        {"freeze_embeddings": False, "batch_size": 100},
    ],
    ids=["plain", "accumulated", "top layer", "head", "one batch"],
)
def test_recorded_fits_equal_eager_ones(tiny_bert, sets, as_on_cuda, options):
    options = {"dropout": 0.0, "max_epochs": 6, **options}
    eager = make_net(tiny_bert, **options).fit_sets(sets)
    as_on_cuda()
    steps = Steps()
    net = make_net(tiny_bert, **options, callbacks=[steps]).fit_sets(sets)
    assert steps.n_shapes > 0
    np.testing.assert_allclose(table(net), table(eager), atol=2e-6)
    np.testing.assert_allclose(
        net.predict_logits(sets.valid.tokens),
        eager.predict_logits(sets.valid.tokens),
        atol=1e-5,
    )


def test_shapes_are_few_and_gone_after_the_fit(tiny_bert, sets, as_on_cuda):
    as_on_cuda()
    steps = Steps()
    net = make_net(tiny_bert, max_epochs=6, callbacks=[steps]).fit_sets(sets)
    assert all(width % 8 == 0 for width in steps.widths)
    assert 1 <= steps.n_shapes <= len(steps.widths) <= 8
    assert steps.step.n_shapes == 0
    gc.collect()
    assert [buffer() for buffer in steps.buffers] == [None] * steps.n_shapes
    assert not hasattr(net, "run_")
    assert all(p.grad is None for p in net.module_.parameters())
    pickle.dumps(net.module_)


def test_a_net_that_is_pickled_while_it_trains_leaves_its_step(
    tiny_bert, sets, as_on_cuda
):
    states = []

    class Look(Callback):
        def on_epoch_end(self, net, **kwargs):
            states.append(net.__getstate__())

    as_on_cuda()
    make_net(tiny_bert, callbacks=[Look()]).fit_sets(sets)
    assert all("run_" not in state and "history_" in state for state in states)


def test_a_fit_that_cannot_be_recorded_is_eager(tiny_bert, sets, as_on_cuda):
    class Fails(Again):
        def __call__(self, function, warm_up):
            raise RuntimeError("no graph today")

    eager = make_net(tiny_bert, max_epochs=6).fit_sets(sets)
    as_on_cuda(Fails)
    net = make_net(tiny_bert, max_epochs=6)
    with pytest.warns(UserWarning, match="No CUDA graph.*no graph today") as record:
        net.fit_sets(sets)
    assert len(record) == 1
    # the same random numbers, too
    np.testing.assert_allclose(table(net)[:, 0], table(eager)[:, 0], rtol=0.05)


def test_callbacks_that_look_at_gradients_make_a_fit_eager(tiny_bert, sets, as_on_cuda):
    norms = []

    class Look(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            norms.append(
                sum(
                    p.grad.norm()
                    for _, p in named_parameters
                    if p.requires_grad and p.grad is not None
                )
            )

    net = make_net(tiny_bert, callbacks=[Look()])
    net.fit_sets(sets)  # on the CPU nothing is lost, and nothing said
    as_on_cuda()
    with pytest.warns(UserWarning, match="callback looks at the gradients") as record:
        make_net(tiny_bert, callbacks=[Look()]).fit_sets(sets)
    assert len(record) == 1
    assert len(norms) == 20


def test_a_recorded_fit_goes_on_from_another(tiny_bert, sets, as_on_cuda):
    tables = []
    for pretend in (None, as_on_cuda):
        if pretend:
            pretend()
        first = make_net(tiny_bert, dropout=0.0)
        first.fit_sets(sets, keep_optimizer=True)
        second = make_net(tiny_bert, module=first.module_, max_epochs=4)
        second.fit_sets(sets, first.optimizer_.state_dict())
        tables.append(table(second))
    np.testing.assert_allclose(*tables, atol=1e-5)


def test_a_recorded_fit_goes_on_from_its_state(tiny_bert, sets, as_on_cuda, tmp_path):
    class Crash(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 4:
                raise RuntimeError("crash")

    as_on_cuda()
    options = {"dropout": 0.0, "max_epochs": 6}
    whole = make_net(tiny_bert, **options).fit_sets(sets)
    with pytest.raises(RuntimeError, match="crash"), EpochStates(tmp_path) as states:
        make_net(tiny_bert, **options, callbacks=[Crash()]).fit_sets(
            sets, states=states
        )
    with EpochStates(tmp_path) as states:
        assert states.newest == 3
        net = make_net(tiny_bert, **options).fit_sets(sets, states=states)
    np.testing.assert_array_equal(table(net)[:3], table(whole)[:3])
    np.testing.assert_allclose(table(net), table(whole), atol=1e-5)


def test_long_fits_compile_what_they_train(tiny_bert, sets, as_on_cuda, monkeypatch):
    as_on_cuda()
    seen = []

    class Compiled(skbert.training.graphs.CompiledLayers):
        def __init__(self, layers):
            seen.append(layers)
            super().__init__(layers, backend="eager")

    monkeypatch.setattr(skbert.training.graphs, "CompiledLayers", Compiled)
    options = {"dropout": 0.0, "trainable_layers": 1, "max_epochs": 6}
    plain = make_net(tiny_bert, **options).fit_sets(sets)
    assert seen == []
    monkeypatch.setattr(skbert.training.graphs, "STEPS_TO_COMPILE", 30)
    torch.compiler.reset()
    net = make_net(tiny_bert, **options).fit_sets(sets)
    torch.compiler.reset()
    assert seen == [[net.module_.encoder.encoder.layer[1]]]
    assert "forward" not in vars(seen[0][0])
    np.testing.assert_allclose(table(net), table(plain), atol=1e-5)


# --- on a GPU -------------------------------------------------------------------------

needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device"
)


@needs_cuda
@pytest.mark.parametrize("options", [{}, {"trainable_layers": 1}, {"accumulation": 2}])
def test_cuda_graphs_equal_eager_fits(tiny_bert, sets, monkeypatch, options):
    options = {"device": "cuda", "precision": "bf16", "max_epochs": 6, **options}
    net = make_net(tiny_bert, dropout=0.0, **options).fit_sets(sets)
    monkeypatch.setattr(skbert.training.net, "with_graphs", lambda step, **kwargs: step)
    eager = make_net(tiny_bert, dropout=0.0, **options).fit_sets(sets)
    np.testing.assert_allclose(table(net), table(eager), rtol=0.03, atol=0.01)


@needs_cuda
def test_a_fit_leaves_no_memory_taken(tiny_bert, sets):
    def used(n_epochs):
        net = make_net(tiny_bert, device="cuda", max_epochs=n_epochs).fit_sets(sets)
        weights = sum(p.nbytes for p in net.module_.parameters())
        del net
        gc.collect()
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated(), weights

    used(10)  # libraries take their workspaces for good
    before, weights = used(2)
    after, _ = used(10)
    assert after - before < weights
