"""Long texts in windows: how they are cut, pooled, trained, predicted and saved."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from skbert import TransformerMultiLabelClassifier
from skbert.inputs.targets import encode_targets
from skbert.prediction.predictor import Predictor, _parts
from skbert.tokens.batching import LabelledTokens, TrainingBatches
from skbert.tokens.padding import Padding
from skbert.tokens.tokenization import RaggedTokens, WindowedTokens
from skbert.tokens.windows import Windows
from skbert.training.device_dataset import ResidentSet
from skbert.training.losses import MultiLabelLoss
from skbert.training.optimizer import linear_schedule
from skbert.training.step import TrainingStep

CPU = torch.device("cpu")
COUNTS = [1, 3, 2]


def logits():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(sum(COUNTS), 4, generator=generator, dtype=torch.float64)


# --- cutting --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_tokens", "expected"),
    [
        (0, [0]),
        (8, [0]),
        (9, [0, 1]),  # the last one ends with the text
        (14, [0, 6]),
        (15, [0, 6, 7]),
        (20, [0, 6, 12]),
        (21, [0, 6, 12]),  # no more than three: the rest is cut off
        (900, [0, 6, 12]),
    ],
)
def test_where_windows_start(n_tokens, expected):
    windows = Windows(overlap=0.25, max_windows=3)
    assert windows.starts(n_tokens, room=8) == expected


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("room", [1, 2, 7, 30])
def test_windows_cover_a_text_and_are_full(overlap, room):
    windows = Windows(overlap=overlap, max_windows=1000)
    for n_tokens in range(1, 80):
        starts = windows.starts(n_tokens, room)
        read = {i for start in starts for i in range(start, start + room)}
        assert read >= set(range(n_tokens))
        assert max(read) < max(n_tokens, room)
        assert starts == sorted(set(starts))


def test_no_more_tokens_are_read_than_it_reaches():
    windows = Windows(overlap=0.5, max_windows=4)
    assert windows.starts(10_000, room=10)[-1] + 10 == windows.reach(10) == 25


# --- pooling --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", lambda rows: rows.mean(0)),
        ("max", lambda rows: rows.max(0).values),
        ("logsumexp", lambda rows: rows.exp().mean(0).log()),
    ],
)
def test_pooling_is_that_of_each_text_alone(pooling, expected):
    windows, counts = Windows(pooling=pooling), torch.tensor(COUNTS)
    found = windows.pool(logits(), counts)
    rows = torch.split(logits(), COUNTS)
    torch.testing.assert_close(found, torch.stack([expected(row) for row in rows]))


@pytest.mark.parametrize("pooling", ["mean", "max", "logsumexp"])
def test_gradients_of_pooling_are_right(pooling):
    windows, counts = Windows(pooling=pooling), torch.tensor(COUNTS)
    assert torch.autograd.gradcheck(
        lambda x: windows.pool(x, counts), logits().requires_grad_()
    )


def test_extreme_logits_do_not_overflow():
    extreme = torch.tensor([[900.0, -900.0], [899.0, -901.0]])
    pooled = Windows(pooling="logsumexp").pool(extreme, torch.tensor([2]))
    assert torch.isfinite(pooled).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"overlap": 1.0}, "overlap.*less than 1"),
        ({"overlap": -0.1}, "overlap"),
        ({"overlap": "half"}, "overlap.*'half'"),
        ({"max_windows": 0}, "max_windows.*at least 1"),
        ({"max_windows": 2.5}, "max_windows.*whole number"),
        ({"pooling": "median"}, "pooling.*'mean', 'max', 'logsumexp'"),
        ({"pooling": ["mean"]}, "pooling.*'mean', 'max', 'logsumexp'"),
    ],
)
def test_wrong_options_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        Windows(**params)


# --- batches and steps ----------------------------------------------------------------


def windowed(counts, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 7, size=sum(counts))
    sequences = RaggedTokens(
        rng.integers(1, 20, size=lengths.sum()).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.zeros(len(lengths), bool),
    )
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return WindowedTokens(sequences, offsets, np.zeros(len(counts), bool), Windows())


def labelled(counts):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, size=(len(counts), 3))
    y[:2] = [[0, 1, 0], [1, 0, 1]]
    return LabelledTokens(windowed(counts), encode_targets(y))


class Text(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = torch.nn.Embedding(20, 8)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(-1)
        return self.head((self.embeddings(input_ids) * mask).sum(1) / mask.sum(1))


def make_step(module):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    schedule = linear_schedule(optimizer, 100, 0.0)
    options = {"device": CPU, "precision": "fp32", "max_grad_norm": None}
    return TrainingStep(module, MultiLabelLoss(), optimizer, schedule, **options)


def batches(dataset, **kwargs):
    options = {"batch_size": 4, "padding": Padding(), "seed": 0}
    return list(TrainingBatches(dataset, **(options | kwargs)))


def test_a_part_of_the_texts_keeps_their_windows():
    tokens = windowed([2, 1, 4, 3])
    part = tokens.take(np.array([3, 0]))
    assert part.sequences_of(np.array([0, 1])).tolist() == [0, 1, 2, 3, 4]
    assert tokens.sequences_of(np.array([3, 0])).tolist() == [7, 8, 9, 0, 1]
    for ours, theirs in zip(range(5), [7, 8, 9, 0, 1], strict=True):
        assert part.sequences[ours].tolist() == tokens.sequences[theirs].tolist()
    assert part.lengths.tolist() == tokens.lengths[[3, 0]].tolist()


def test_a_batch_holds_all_windows_of_its_texts():
    counts = [1, 5, 2, 2, 1, 3, 1, 1, 4]
    seen = batches(labelled(counts))
    assert sum(len(batch) for batch in seen) == len(counts)
    assert sum(len(batch.input_ids) for batch in seen) == sum(counts)
    for batch in seen:
        assert int(batch.counts.sum()) == len(batch.input_ids)


@pytest.mark.parametrize("max_tokens", [1, 12, 30, 60])
def test_parts_of_a_batch_have_whole_texts_and_its_loss(max_tokens):
    (batch,) = batches(labelled([1, 5, 2, 2, 1, 3, 1]), batch_size=7)
    parts = list(batch.parts(max_tokens))
    assert len(parts) > 1
    assert torch.cat([part.input_ids for part in parts]).equal(batch.input_ids)
    assert [n for part in parts for n in part.counts.tolist()] == batch.counts.tolist()
    module = Text()
    step = make_step(module)
    whole = step._backward(batch)
    pieces = sum(step._backward(part) for part in parts)
    torch.testing.assert_close(pieces, whole)


def test_the_loss_is_that_of_the_whole_text():
    module = Text()
    (batch,) = batches(labelled(COUNTS), batch_size=3)
    found = make_step(module)._backward(batch)
    by_window = module(batch.input_ids, batch.attention_mask)
    by_text = [rows.mean(0) for rows in torch.split(by_window, batch.counts.tolist())]
    expected = MultiLabelLoss()(torch.stack(by_text), batch.targets, batch.weights)
    torch.testing.assert_close(found, expected.detach())


def test_batches_made_on_the_device_are_those_of_the_host():
    dataset = labelled([1, 5, 2, 2, 1, 3, 1, 1, 4])
    found = batches(dataset, source=ResidentSet(dataset, CPU))
    for a, b in zip(found, batches(dataset), strict=True):
        for name in ("input_ids", "attention_mask", "targets", "weights", "counts"):
            torch.testing.assert_close(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_predictions_pool_the_windows_of_each_text(pooling):
    module, tokens = Text(), windowed([1, 5, 2, 2])
    tokens = replace(tokens, windows=Windows(pooling=pooling))
    options = {"padding": Padding(), "device": CPU, "precision": "fp32"}
    with Predictor(module, n_labels=3, **options) as predictor:
        found = predictor.logits(tokens)
        alone = predictor.logits(tokens.sequences)
    reduce = {"mean": np.mean, "max": np.max}[pooling]
    rows = np.split(alone, tokens.offsets[1:-1])
    np.testing.assert_allclose(found, [reduce(r, axis=0) for r in rows], rtol=1e-5)


@pytest.mark.parametrize("max_windows", [1, 4, 6, 100])
def test_windows_wait_for_pooling_in_bounded_memory(max_windows):
    offsets = windowed([2, 1, 5, 2, 3, 1]).offsets
    parts = list(_parts(offsets, max_windows))
    assert np.concatenate(parts).tolist() == list(range(6))
    sizes = [offsets[rows[-1] + 1] - offsets[rows[0]] for rows in parts]
    for rows, size in zip(parts, sizes, strict=True):
        assert size <= max_windows or len(rows) == 1
    # No two neighbours would go together.
    assert all(a + b > max_windows for a, b in zip(sizes, sizes[1:], strict=False))


def test_predictions_in_parts_are_those_of_the_whole(monkeypatch):
    tokens, options = windowed([2, 1, 5, 2, 3, 1]), {"device": CPU, "precision": "fp32"}
    with Predictor(Text(), n_labels=3, padding=Padding(), **options) as predictor:
        whole = predictor.logits(tokens)
        monkeypatch.setattr("skbert.prediction.predictor._UNPOOLED_LOGITS", 3 * 4)
        np.testing.assert_allclose(predictor.logits(tokens), whole, atol=1e-6)


# --- the classifier -------------------------------------------------------------------


@pytest.fixture
def make(checkpoint):
    def make(**params):
        defaults = {
            "long_text": "windows",
            "max_length": 16,
            "max_epochs": 2,
            "learning_rate": 3e-3,
            "precision": "fp32",
            "device": "cpu",
            "random_state": 0,
        }
        model = params.pop("model", checkpoint("bert", sentence_transformers=True))
        return TransformerMultiLabelClassifier(model, **(defaults | params))

    return make


def long_texts(n=40):
    """Texts of some 50 words, with what they are about in the middle."""
    fill = "hello again this is only a short note "
    X, y = [], []
    for i in range(n):
        about = ["invoice payment refund"] * (i % 2) + ["crash error"] * (i // 2 % 2)
        X.append(fill * 3 + " ".join(about) + " " + fill * 3)
        y.append([i % 2, i // 2 % 2])
    return X, np.array(y)


def test_what_stands_in_the_middle_is_learned(make):
    X, y = long_texts()
    params = {"pooling": "logsumexp", "overlap": 0.5, "max_windows": 20}
    settings = {"max_epochs": 20, "batch_size": 4}
    clf = make(**settings, long_text_params=params).fit(X, y)
    assert clf.truncated_fraction_ == 0
    assert clf.score(X, y) == 1
    with pytest.warns(UserWarning, match="long_text='windows' reads on"):
        head = make(long_text="truncate").fit(X, y)
    assert head.score(X, y) < 0.5  # all texts begin alike


def test_short_texts_are_read_as_without_windows(make, emails):
    X, y = emails
    short = {"max_length": 64}
    plain = make(long_text="truncate", **short).fit(X, y)
    windows = make(**short).fit(X, y)
    np.testing.assert_allclose(windows.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("pooling", ["mean", "native"])
@pytest.mark.parametrize("trainable_layers", [None, 0, 1])
def test_a_prediction_does_not_depend_on_the_others(make, pooling, trainable_layers):
    X, y = long_texts(12)
    X[::3] = ["a short one"] * 4
    clf = make(pooling=pooling, trainable_layers=trainable_layers).fit(X, y)
    alone = np.vstack([clf.predict_proba([text]) for text in X])
    np.testing.assert_allclose(clf.predict_proba(X), alone, atol=1e-6)
    streamed = np.vstack(list(clf.iter_predict_proba(iter(X), chunk_size=5)))
    np.testing.assert_allclose(streamed, alone, atol=1e-6)


@pytest.mark.parametrize("trainable_layers", [0, 1])
def test_frozen_layers_kept_once_give_the_same_fit(make, monkeypatch, trainable_layers):
    X, y = long_texts(12)
    settings = {"trainable_layers": trainable_layers, "dropout": 0.0}
    kept = make(**settings).fit(X, y)
    monkeypatch.setattr("skbert.training.frozen_states._pays", lambda *args: False)
    computed = make(**settings).fit(X, y)
    np.testing.assert_allclose(
        kept.predict_proba(X), computed.predict_proba(X), atol=1e-5
    )


def test_validation_reads_windows_too(make):
    X, y = long_texts(20)
    clf = make(max_epochs=1, validation_fraction=0.3).fit(X, y)
    assert np.isfinite(clf.history_[0]["valid_loss"])
    clf = make(max_epochs=1).fit(X, y, X_val=X, y_val=y)
    loss = np.mean(
        [log_loss(*label) for label in zip(y.T, clf.predict_proba(X).T, strict=True)]
    )
    assert clf.history_[0]["valid_loss"] == pytest.approx(loss, rel=1e-5)


def test_saved_models_keep_their_windows(make, tmp_path):
    X, y = long_texts(12)
    clf = make(long_text_params={"max_windows": 20, "pooling": "max"}).fit(X, y)
    clf.save_pretrained(tmp_path / "saved")
    loaded = TransformerMultiLabelClassifier.from_pretrained(tmp_path / "saved")
    assert loaded.long_text_params_ == {"max_windows": 20, "pooling": "max"}
    np.testing.assert_allclose(loaded.predict_proba(X), clf.predict_proba(X), rtol=1e-6)


def test_changed_parameters_do_not_change_a_saved_model(make, tmp_path):
    X, y = long_texts(12)
    clf = make(long_text_params={"max_windows": 20}).fit(X, y)
    clf.set_params(max_length=8, long_text="truncate", long_text_params=None)
    clf.save_pretrained(tmp_path)
    loaded = TransformerMultiLabelClassifier.from_pretrained(tmp_path)
    assert (loaded.max_length, loaded.long_text) == (16, "windows")
    np.testing.assert_allclose(loaded.predict_proba(X), clf.predict_proba(X), rtol=1e-6)


def test_a_folder_without_options_of_windows_is_read(make, tmp_path):
    # As it was saved before there were any.
    X, y = long_texts(12)
    clf = make(long_text="truncate", max_length=64).fit(X, y)
    clf.save_pretrained(tmp_path)
    state = json.loads((tmp_path / "skbert.json").read_text())
    del state["params"]["long_text_params"]
    (tmp_path / "skbert.json").write_text(json.dumps(state))
    loaded = TransformerMultiLabelClassifier.from_pretrained(tmp_path)
    np.testing.assert_allclose(loaded.predict_proba(X), clf.predict_proba(X), rtol=1e-6)


def test_a_warm_start_may_read_long_texts_in_another_way(make):
    X, y = long_texts(12)
    clf = make(long_text="truncate", warm_start=True)
    with pytest.warns(UserWarning, match="were cut"):
        clf.fit(X, y)
    before = clf.predict_proba(X)
    assert np.ptp(before, axis=0).max() < 1e-6  # all texts begin alike
    clf.set_params(long_text="windows", long_text_params={"max_windows": 20}).fit(X, y)
    assert clf.truncated_fraction_ == 0
    assert np.ptp(clf.predict_proba(X), axis=0).min() > 1e-4


@pytest.mark.parametrize("family", ["xlnet", "longformer", "canine"])
def test_windows_of_other_encoders_are_padded_as_these_want_it(
    make, family, checkpoint
):
    X, y = long_texts(8)
    X[:2] = ["a short one", ""]
    params = {"max_windows": 100}
    clf = make(model=checkpoint(family), max_epochs=1, long_text_params=params)
    clf.fit(X, y)
    alone = np.vstack([clf.predict_proba([text]) for text in X])
    np.testing.assert_allclose(clf.predict_proba(X), alone, atol=1e-6)


def test_changed_parameters_do_not_change_a_fitted_model(make):
    X, y = long_texts(12)
    params = {"max_windows": 20}
    clf = make(long_text_params=params).fit(X, y)
    before = clf.predict_proba(X)
    params["max_windows"] = 1
    clf.set_params(long_text_params={"pooling": "max"})
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_texts_of_more_windows_are_said_to_be_cut(make):
    X, y = long_texts(12)
    clf = make(long_text_params={"max_windows": 2})
    with pytest.warns(UserWarning, match="100%.*2 windows of max_length=16 tokens"):
        clf.fit(X, y)
    assert clf.truncated_fraction_ == 1
    cut = [text[:200] for text in X]  # beyond what two windows read
    np.testing.assert_array_equal(clf.predict_proba(cut), clf.predict_proba(X))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"long_text_params": {"size": 3}}, TypeError, "'size'.*max_windows"),
        (
            {"long_text": "truncate", "long_text_params": {"overlap": 0.1}},
            TypeError,
            "'overlap'.*long_text='truncate'.*takes none",
        ),
        ({"long_text_params": {"overlap": 2}}, ValueError, "overlap"),
    ],
)
def test_options_that_do_not_fit_are_refused(make, params, error, message):
    with pytest.raises(error, match=message):
        make(**params).fit(*long_texts(12))
