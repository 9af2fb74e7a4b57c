"""Frozen layers once: the same fit as when they are computed in every epoch."""

import errno
import importlib
import os
import pickle
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback

import skbert.training.frozen_states
from checkpoints import N_LAYERS
from skbert import TransformerMultiLabelClassifier
from skbert.training.frozen_states import FrozenStates


@pytest.fixture
def make(make):
    return partial(make, trainable_layers=1, max_epochs=3, precision="fp32")


@pytest.fixture
def anew():
    """Give a function whose context keeps nothing: the reference."""

    @contextmanager
    def anew():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(skbert.training.frozen_states, "_pays", lambda *args: False)
            yield

    return anew


@pytest.fixture
def kept(monkeypatch):
    """Give a list of the states that fits have kept: FrozenStates or None."""
    kept, train = [], skbert.training.net.MultiLabelNet._train

    def spy(net, sets):
        kept.append(net.run_.frozen)
        return train(net, sets)

    monkeypatch.setattr(skbert.training.net.MultiLabelNet, "_train", spy)
    return kept


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Give the folder of temporary files, to which all states go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(skbert.training.frozen_states, "MEMORY_BYTES", 0)
    return tmp_path


def open_files(folder):
    """Return the files in a folder that this process holds, deleted ones included."""
    if not Path("/proc/self/fd").is_dir():
        return list(folder.iterdir())
    held = [os.readlink(f.path) for f in os.scandir("/proc/self/fd") if f.is_symlink()]
    held += Path("/proc/self/maps").read_text().splitlines()
    return [name for name in held if str(folder) in name]


def losses(clf):
    return [row["train_loss"] for row in clf.history_]


class During(Callback):
    """Call a function once a batch of the second epoch has been trained on."""

    def __init__(self, function):
        self.function = function

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2:
            self.function(net)

    def __deepcopy__(self, memo):
        return self


# --- the same fit ---------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta"])
def test_a_fit_is_the_same_as_with_the_layers_computed_anew(
    make, checkpoint, emails, anew, kept, family, pooling, k
):
    X, y = emails
    params = {"model": checkpoint(family), "pooling": pooling, "trainable_layers": k}
    clf = make(**params).fit(X, y)
    with anew():
        reference = make(**params).fit(X, y)
    assert [states is None for states in kept] == [False, True]
    np.testing.assert_allclose(losses(clf), losses(reference), rtol=1e-5)
    np.testing.assert_allclose(
        clf.decision_function(X), reference.decision_function(X), atol=1e-4
    )
    found, expected = (c.net_.module_.state_dict() for c in (clf, reference))
    assert list(found) == list(expected)
    for name, p in clf.net_.module_.named_parameters():
        if not p.requires_grad:
            assert torch.equal(p, expected[name])


@pytest.mark.parametrize("k", [0, 1])
def test_bf16_changes_no_more_than_bf16_does(make, emails, anew, k):
    X, y = emails
    params = {"trainable_layers": k, "precision": "bf16"}
    clf = make(**params).fit(X, y)
    with anew():
        reference = make(**params).fit(X, y)
    np.testing.assert_allclose(losses(clf), losses(reference), rtol=0.02)
    np.testing.assert_allclose(
        clf.predict_proba(X), reference.predict_proba(X), atol=0.05
    )


def test_a_canine_is_computed_anew(make, checkpoint, emails, kept):
    X, y = emails
    clf = make(model=checkpoint("canine"), max_length=256, max_epochs=2)
    assert np.isfinite(losses(clf.fit(X[:16], y[:16]))).all()
    assert kept == [None]


@pytest.mark.parametrize(
    "params",
    [
        {"trainable_layers": None},
        {"trainable_layers": N_LAYERS},
        {"max_epochs": 1},
    ],
    ids=str,
)
def test_nothing_is_kept_where_it_saves_nothing(make, emails, kept, params):
    make(**params).fit(*emails)
    assert kept == [None]


def test_frozen_layers_do_not_run_while_training(make, emails):
    calls = []

    class Count(Callback):
        def on_train_begin(self, net, **kwargs):
            for i, layer in enumerate(net.module_.encoder.encoder.layer):
                part = layer.intermediate
                part.register_forward_hook(lambda *args, i=i: calls.append(i))

    make(net_callbacks=[Count()]).fit(*emails)
    assert calls == [1] * 3 * 8


def test_weights_accumulation_and_validation_work_as_ever(make, emails, anew):
    X, y = emails
    params = {"gradient_accumulation_steps": 3, "validation_fraction": 0.3}
    weight = np.linspace(0.0, 2.0, len(X))
    clf = make(**params).fit(X, y, sample_weight=weight)
    with anew():
        reference = make(**params).fit(X, y, sample_weight=weight)
    for row, expected in zip(clf.history_, reference.history_, strict=True):
        del row["dur"], expected["dur"]
        assert row == pytest.approx(expected, rel=1e-4)


def test_two_fits_are_equal_to_the_bit(make, emails):
    X, y = emails
    first, second = (make(precision="auto").fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert losses(first) == losses(second)


def test_a_warm_start_keeps_the_states_of_the_present_weights(make, emails, anew):
    X, y = emails

    def fit_three_times():
        clf = make(trainable_layers=None, warm_start=True).fit(X, y)
        clf.set_params(trainable_layers=1).fit(X, y)
        return clf.fit(X, y)

    clf = fit_three_times()
    with anew():
        reference = fit_three_times()
    np.testing.assert_allclose(losses(clf), losses(reference), rtol=1e-4)


def test_callbacks_see_gradients_batches_and_the_whole_model(make, emails, anew):
    seen = []

    class Look(Callback):
        def on_grad_computed(self, net, named_parameters, batch, **kwargs):
            head = dict(named_parameters)["head.weight"]
            seen[-1].append(float(head.grad.norm()))

        def on_batch_end(self, net, batch, **kwargs):
            with torch.no_grad():
                seen[-1].append(float(net.infer(batch).sum()))

    for context in (nullcontext(), anew()):
        seen.append([])
        with context:
            make(net_callbacks=[Look()], dropout=0.0).fit(*emails)
    assert len(seen[0]) == 2 * 3 * 8
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("thaw", [True, False])
def test_states_of_weights_that_a_callback_changes_are_given_up(
    make, emails, anew, thaw
):
    class Change(Callback):
        def on_epoch_begin(self, net, **kwargs):
            weight = net.module_.encoder.encoder.layer[0].output.dense.weight
            if len(net.history) == 2 and thaw:
                weight.requires_grad_(True)
                net.optimizer_.add_param_group({"params": [weight], "lr": 0.1})
                net.run_.step.schedule.base_lrs.append(0.1)
                net.run_.step.schedule.lr_lambdas.append(lambda step: 1.0)
            elif len(net.history) == 2:
                with torch.no_grad():
                    weight.mul_(2)

    X, y = emails
    clf = make(net_callbacks=[Change()], max_epochs=2).fit(X, y)
    unchanged = make(max_epochs=2).fit(X, y)
    with anew():
        reference = make(net_callbacks=[Change()], max_epochs=2).fit(X, y)
    np.testing.assert_allclose(losses(clf), losses(reference), rtol=1e-4)
    assert abs(losses(clf)[1] / losses(unchanged)[1] - 1) > 1e-3


def test_nothing_of_it_stays_with_the_estimator(make, emails, tmp_path):
    X, y = emails
    clf = make().fit(X, y)
    assert not hasattr(clf.net_, "frozen_")
    assert all("forward" not in vars(part) for part in clf.net_.module_.modules())
    copy = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(copy.predict_proba(X), clf.predict_proba(X))
    clf.save_pretrained(tmp_path / "model")
    loaded = TransformerMultiLabelClassifier.from_pretrained(
        tmp_path / "model", device="cpu"
    )
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


# --- the file -------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("k", [0, 1])
def test_a_file_holds_what_memory_does(
    make, emails, tmp_path, monkeypatch, precision, k
):
    X, y = emails
    params = {"precision": precision, "trainable_layers": k}
    expected = make(**params).fit(X, y)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(skbert.training.frozen_states, "MEMORY_BYTES", 0)
    held = []
    look = During(lambda net: held.append(open_files(tmp_path)))
    clf = make(**params, net_callbacks=[look]).fit(X, y)
    assert all(held)
    assert not open_files(tmp_path)
    assert not list(tmp_path.iterdir())
    assert losses(clf) == losses(expected)
    np.testing.assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))


def test_a_file_system_that_cannot_reserve_room_will_do(
    make, emails, folder, monkeypatch, kept
):
    def refuse(*args):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    make().fit(*emails)
    assert kept != [None]
    assert not open_files(folder)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_the_file_goes_with_a_fit_that_fails(make, emails, folder, error):
    def fail(net):
        assert open_files(folder)
        raise error("stop")

    clf = make(net_callbacks=[During(fail)])
    if error is KeyboardInterrupt:
        with pytest.warns(UserWarning, match="interrupted in epoch 2"):
            clf.fit(*emails)
    else:
        with pytest.raises(error, match="stop"):
            clf.fit(*emails)
    assert not open_files(folder)
    assert not list(folder.iterdir())


def test_the_file_goes_when_its_filling_is_interrupted(
    make, emails, folder, monkeypatch
):
    write = FrozenStates._write

    def interrupted(states, rows):
        write(states, rows)
        assert open_files(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(FrozenStates, "_write", interrupted)
    clf = make()
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*emails)
    assert not hasattr(clf, "net_")
    assert not open_files(folder)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("reserved", [True, False])
def test_a_full_disk_costs_time_only(make, emails, folder, monkeypatch, anew, reserved):
    # The system's limit for a file stands for the end of the disk: the error comes
    # from where it would come from.
    resource = pytest.importorskip("resource")
    X, y = emails
    with anew():
        expected = make().fit(X, y)
    if not reserved:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.warns(UserWarning, match="outputs of the frozen layers") as caught:
            clf = make().fit(X, y)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert str(folder) in str(caught[0].message)
    assert losses(clf) == losses(expected)
    np.testing.assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))
    assert not open_files(folder)


# --- the states alone -----------------------------------------------------------------


class Part:
    """Stands for a part of a model."""

    keeps_tokens = True
    module = torch.nn.Linear(1, 1)


@pytest.mark.parametrize("left", [False, True])
def test_states_come_back_padded_in_any_order(left):
    rng = np.random.default_rng(0)
    texts = [torch.tensor(rng.normal(size=(n, 4))).float() for n in (2, 0, 5, 3)]
    lengths = np.array([2, 0, 5, 3])
    states = FrozenStates(Part(), lengths, torch.float32, left=left)
    for rows in ([2, 3], [0, 1]):
        mask = torch.zeros(2, 6, dtype=torch.int64)
        batch = torch.full((2, 6, 4), 7.0)
        for i, row in enumerate(rows):
            on_text = place(len(texts[row]), 6, left)
            mask[i, on_text] = 1
            batch[i, on_text] = texts[row]
        assert states.append(np.array(rows), batch, mask)
    states.finish()
    found = states.take(np.array([3, 1, 2]), 6)
    assert found.shape == (3, 6, 4)
    for got, row in zip(found, [3, 1, 2], strict=True):
        on_text = place(len(texts[row]), 6, left)
        assert torch.equal(got[on_text], texts[row])
        got[on_text] = 0
        assert not got.any()


def place(n, width, left):
    return slice(width - n, width) if left else slice(n)


@pytest.mark.parametrize(
    "batch",
    [torch.full((1, 2, 3), 1e5), torch.zeros(1, 1, 3)],
    ids=["beyond the range", "merged tokens"],
)
def test_states_that_cannot_be_kept_are_told(batch):
    states = FrozenStates(Part(), np.array([2]), torch.float16)
    assert not states.append(np.array([0]), batch, torch.ones(1, 2))


def test_a_model_whose_states_cannot_be_kept_is_computed_anew(
    make, emails, monkeypatch, kept, anew
):
    X, y = emails
    with anew():
        expected = make().fit(X, y)
    monkeypatch.setattr(FrozenStates, "append", lambda *args: False)
    clf = make().fit(X, y)
    assert kept == [None, None]
    assert losses(clf) == losses(expected)


# --- the benchmark --------------------------------------------------------------------


def test_the_benchmark_times_each_way(tiny_bert, emails, tmp_path, monkeypatch, capsys):
    frame = pd.DataFrame(emails[1], columns=["billing", "bug", "meeting"])
    frame.insert(0, "text", emails[0])
    for split in ("train", "dev", "test"):
        frame.to_csv(tmp_path / f"{split}.csv", index=False)
    benchmarks = Path(__file__).resolve().parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(benchmarks)
    monkeypatch.delitem(sys.modules, "frozen", raising=False)
    options = (
        f"{tmp_path} --rows 40 --layers 1 0 --epochs 2 --repeats 2 --max-length 64"
    )
    model = ["--model", str(tiny_bert), "--learning-rate", "1e-3", "--score"]
    importlib.import_module("frozen").main([*options.split(), *model])
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.endswith("40 texts, 2 epochs")
    names = [row[:14].strip() for row in rows]
    ways = ["top 1, kept", "top 1, anew", "top 0, kept", "top 0, anew", "all"]
    assert names == ways
    assert all("macro 0." in row for row in rows)
    assert " 1.00 x" in rows[-1]
