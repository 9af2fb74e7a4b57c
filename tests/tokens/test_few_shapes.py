import numpy as np
import pytest
import torch

from skbert import TransformerMultiLabelClassifier
from skbert.tokens.few_shapes import forward_in_few_shapes
from skbert.tokens.padding import Padding


@pytest.fixture
def seen():
    return []


@pytest.fixture
def forward(seen):
    """Give a forward pass that counts the tokens of each text, and notes its input."""

    def forward(input_ids, attention_mask):
        seen.append((input_ids, attention_mask))
        return (input_ids * attention_mask).sum(dim=1, keepdim=True).float()

    return forward


def run(forward, shape, max_tokens=1024, numbers=2, **padding):
    ids = torch.arange(1, 1 + shape[0] * shape[1]).reshape(shape)
    out = forward_in_few_shapes(
        forward, Padding(**padding), max_tokens, numbers, ids, torch.ones_like(ids)
    )
    assert out.shape == (shape[0], 1)
    np.testing.assert_array_equal(out[:, 0], ids.sum(dim=1))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 3), (1, 8)), ((5, 8), (6, 8)), ((9, 17), (12, 20)), ((13, 33), (16, 40))],
)
def test_what_is_left_over_is_filled_up_to_the_next_shape(
    forward, seen, shape, expected
):
    run(forward, shape)
    assert seen[0][0].shape == expected


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (2, {1, 2, 3, 4, 6, 8, 12, 16, 24, 32}),
        (4, {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32}),
    ],
)
def test_there_are_four_lengths_and_few_numbers_from_one_power_of_two_to_the_next(
    forward, seen, numbers, expected
):
    for n_texts in range(1, 33):
        for width in range(1, 33):
            run(forward, (n_texts, width), max_tokens=10_000, numbers=numbers)
    shapes = {tuple(ids.shape) for ids, _ in seen}
    assert {n_texts for n_texts, _ in shapes} == expected
    assert {width for _, width in shapes} == {8, 10, 12, 14, 16, 20, 24, 28, 32}
    assert len(shapes) == len(expected) * 9


def test_nothing_is_filled_up_beyond_a_full_batch(forward, seen):
    run(forward, (9, 96))  # 12 of them would be more than 1,024 tokens
    run(forward, (10, 91))
    assert [tuple(ids.shape) for ids, _ in seen] == [(10, 96), (10, 96)]


def test_full_batches_stay_as_they_are(forward, seen):
    run(forward, (60, 17))
    run(forward, (1, 1025))
    assert [tuple(ids.shape) for ids, _ in seen] == [(60, 17), (1, 1025)]


def test_it_is_filled_up_as_the_model_wants_it(forward, seen):
    run(forward, (1, 17), pad_id=9, left=True)
    ids, mask = seen[0]
    assert ids[0, :4].tolist() == [9, 9, 9, 1]
    assert mask[0].tolist() == [0] * 3 + [1] * 17
    run(forward, (1, 17), pad_id=9)
    assert seen[1][0][0, -4:].tolist() == [17, 9, 9, 9]
    run(forward, (1, 18), multiple_of=6)
    assert seen[2][0].shape == (1, 24)
    run(forward, (1, 17), most=18)
    assert seen[3][0].shape == (1, 18)


@pytest.mark.parametrize(("precision", "n_rows"), [("fp32", 10), ("bf16", 12)])
def test_predictions_have_few_shapes(tiny_bert, emails, precision, n_rows):
    X, y = emails
    clf = TransformerMultiLabelClassifier(
        tiny_bert, max_length=64, max_epochs=1, precision=precision, device="cpu"
    ).fit(X, y)
    shapes = []
    clf.net_.module_.register_forward_pre_hook(
        lambda module, args: shapes.append(tuple(args[0].shape))
    )
    proba = clf.predict_proba(X[:9])
    (shape,) = shapes
    assert shape[0] == n_rows
    for text, row in zip(X[:9], proba, strict=True):
        alone = clf.predict_proba([text])[0]
        np.testing.assert_allclose(
            alone, row, atol=1e-5 if precision == "fp32" else 1e-2
        )
