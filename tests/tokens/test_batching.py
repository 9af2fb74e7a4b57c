from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from ragged import ragged
from skbert.inputs.targets import encode_targets
from skbert.tokens.batching import (
    LabelledTokens,
    TrainingBatches,
    prediction_rows,
    prediction_tokens,
)
from skbert.tokens.padding import Padding


def labelled(lengths, y=None, sample_weight=None):
    if y is None:
        y = np.arange(2 * len(lengths)).reshape(-1, 2) % 2
    return LabelledTokens(ragged(lengths), encode_targets(y), sample_weight)


def batches(dataset, **kwargs):
    options = {"batch_size": 4, "padding": Padding(), "seed": 0}
    return TrainingBatches(dataset, **(options | kwargs))


def test_prediction_batches_cover_all_rows_within_the_budget():
    lengths = np.random.default_rng(0).integers(1, 60, size=500)
    rows = list(prediction_rows(ragged(lengths), max_tokens=128))
    assert sorted(np.concatenate(rows)) == list(range(500))
    assert all(len(r) * lengths[r].max() <= 128 for r in rows)
    padded = sum(len(r) * lengths[r].max() for r in rows)
    assert padded < 1.1 * lengths.sum()


def test_a_text_over_the_budget_is_a_batch_alone():
    rows = list(prediction_rows(ragged([3, 1000, 3]), max_tokens=10))
    assert [sorted(r.tolist()) for r in rows] == [[1], [0, 2]]


def test_batches_of_one_padded_length_have_as_many_texts():
    lengths = np.random.default_rng(0).integers(1, 60, size=500)
    padding = Padding(0, 8, 60)
    rows = list(prediction_rows(ragged(lengths), max_tokens=128, padding=padding))
    assert sorted(np.concatenate(rows)) == list(range(500))
    shapes = {(padding.width(lengths[r].max()), len(r)) for r in rows[:-1]}
    assert shapes == {(width, 128 // width) for width, _ in shapes}
    assert len(shapes) == 8


def test_gpus_get_larger_batches():
    assert prediction_tokens(torch.device("cuda")) > 2048


@pytest.mark.parametrize(("n_threads", "n_tokens"), [(1, 1024), (2, 1024), (8, 2048)])
def test_few_threads_get_smaller_batches(n_threads, n_tokens):
    with mock.patch("torch.get_num_threads", return_value=n_threads):
        assert prediction_tokens(torch.device("cpu")) == n_tokens


def test_the_same_texts_in_another_order_make_the_same_batches():
    tokens = ragged(np.random.default_rng(0).integers(1, 6, size=100))
    order = np.random.default_rng(1).permutation(100)
    shuffled = tokens.take(order)
    a = [rows.tolist() for rows in prediction_rows(tokens, max_tokens=32)]
    b = [order[rows].tolist() for rows in prediction_rows(shuffled, max_tokens=32)]
    assert a == b


def test_an_epoch_holds_every_row_once_in_batches_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 60, size=203)
    train = batches(labelled(lengths))
    rows = train.epoch_rows(0)
    assert sorted(np.concatenate(rows)) == list(range(203))
    assert len(rows) == len(train) == 51
    padded = sum(len(r) * lengths[r].max() for r in rows)
    assert padded < 1.1 * lengths.sum()


def test_epochs_differ_and_the_seed_fixes_them():
    def order(seed, epoch):
        train = batches(labelled([3] * 40), seed=seed)
        return [r.tolist() for r in train.epoch_rows(epoch)]

    assert order(0, 1) == order(0, 1)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_iterating_goes_through_the_epochs():
    train = batches(labelled([3] * 40))
    first = [batch.input_ids[:, 0].tolist() for batch in train]
    second = [batch.input_ids[:, 0].tolist() for batch in train]
    expected = [(100 * r).tolist() for r in train.epoch_rows(1)]
    assert first != second == expected


def test_weights_of_a_step_add_up_to_one():
    y = np.array([[0, 1], [np.nan, 1], [1, 0], [0, 0], [1, np.nan]])
    (batch,) = batches(labelled([3] * 5, y), batch_size=5)
    assert batch.weights.sum() == pytest.approx(1.0)
    row = batch.input_ids[:, 0].tolist().index(100)
    assert batch.weights[row].tolist() == pytest.approx([0, 1 / 8])
    assert len(batch) == 5


def test_accumulated_batches_make_one_step():
    train = batches(labelled([3] * 10), accumulation=2)
    assert (len(train), train.n_steps) == (3, 2)
    steps = list(train)
    assert [b.ends_step for b in steps] == [False, True, True]
    assert steps[0].weights.sum() + steps[1].weights.sum() == pytest.approx(1.0)
    assert steps[2].weights.sum() == pytest.approx(1.0)


def test_sample_weights_keep_their_size_in_every_batch():
    weight = np.array([1.0, 3.0, 1.0, 3.0])
    dataset = labelled([3] * 4, sample_weight=weight)
    np.testing.assert_allclose(
        dataset.loss_weights(np.array([1, 2])), [[1.5, 1.5], [0.5, 0.5]]
    )
    part = dataset.take(np.array([1, 3]))
    np.testing.assert_allclose(part.loss_weights(np.array([0])), [[1.0, 1.0]])


def test_a_batch_moves_as_a_whole():
    (batch,) = batches(labelled([3] * 4))
    moved = batch.to(torch.device("meta"))
    tensors = (moved.input_ids, moved.attention_mask, moved.targets, moved.weights)
    assert {t.device.type for t in tensors} == {"meta"}


def test_batches_carry_the_states_of_their_rows():
    dataset, asked = labelled([3, 7, 1, 5, 2]), []

    def states(rows, seq_len):
        asked.append(rows)
        return torch.full((len(rows), seq_len, 2), float(rows[0]))

    for batch in batches(dataset, batch_size=2, states=states):
        assert batch.states.shape == (*batch.input_ids.shape, 2)
        assert torch.equal(batch.input_ids[:, 0] // 100, torch.tensor(asked[-1]))
        moved = batch.to(torch.device("meta"))
        assert moved.states.device.type == "meta"
    assert next(iter(batches(dataset))).to(torch.device("cpu")).states is None


def test_parts_of_a_batch_hold_all_of_it():
    train = labelled([7, 3, 9, 4, 5])
    (batch,) = TrainingBatches(train, batch_size=5, padding=Padding(), seed=0)
    batch = replace(batch, states=torch.rand(5, 9, 2))
    parts = list(batch.parts(20))  # nine tokens a row
    assert [len(part) for part in parts] == [2, 2, 1]
    for name in ("input_ids", "attention_mask", "targets", "weights", "states"):
        whole = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(whole, getattr(batch, name))
    assert [len(part) for part in batch.parts(1)] == [1] * 5
    assert [len(part) for part in batch.parts(10**6)] == [5]
