import numpy as np
import pytest
import torch
from torch import nn

from skbert.prediction.predictor import Predictor, working_precision
from skbert.tokens.padding import Padding
from skbert.tokens.tokenization import RaggedTokens

CPU = torch.device("cpu")


class Counter(nn.Module):
    """Answers the sum and the number of a text's ids; notes the batches it saw."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def forward(self, input_ids, attention_mask):
        self.shapes.append(tuple(input_ids.shape))
        ids = (input_ids * attention_mask).sum(1)
        return torch.stack([ids, attention_mask.sum(1)], 1).float()


def ragged(lengths):
    ids = np.arange(sum(lengths), dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return RaggedTokens(ids, offsets, np.zeros(len(lengths), bool))


def predict(module, tokens, **kwargs):
    options = {"padding": Padding(9), "device": CPU, "precision": "fp32"}
    with Predictor(module, n_labels=2, **(options | kwargs)) as predictor:
        return predictor.logits(tokens)


def test_logits_come_in_the_order_of_the_texts():
    lengths = np.random.default_rng(0).integers(1, 40, size=300)
    tokens = ragged(lengths)
    logits = predict(Counter(), tokens)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits[:, 1], lengths)
    expected = [tokens[row].sum() for row in range(300)]
    np.testing.assert_allclose(logits[:, 0], expected, rtol=1e-6)


def test_batches_are_bounded_and_hardly_padded():
    lengths = np.random.default_rng(0).integers(1, 400, size=300)
    module = Counter()
    predict(module, ragged(lengths))
    cells = [rows * width for rows, width in module.shapes]
    assert max(cells) <= 2048
    assert sum(cells) < 1.1 * lengths.sum()


def test_what_is_recorded_serves_all_parts():
    # Stands for a CUDA graph: called once more on the same memory.
    n_recordings = 0

    def record(function, warm_up):
        nonlocal n_recordings
        n_recordings += 1
        warm_up()
        return function

    parts = [ragged(np.full(100, 40)), ragged(np.full(333, 40)), ragged([40, 3])]
    with Predictor(
        Counter(),
        n_labels=2,
        padding=Padding(9, 8, 44),
        device=CPU,
        precision="fp32",
        record=record,
    ) as predictor:
        for tokens in parts:
            logits = predictor.logits(tokens)
            np.testing.assert_array_equal(logits, predict(Counter(), tokens))
        assert predictor._graphs.n_shapes == n_recordings == 1
    assert predictor._graphs.n_shapes == 0


def test_no_gradient_is_recorded():
    seen = []

    class Look(Counter):
        def forward(self, input_ids, attention_mask):
            seen.append(torch.is_grad_enabled())
            return super().forward(input_ids, attention_mask)

    predict(Look(), ragged([3]))
    assert seen == [False]


class Fails(Counter):
    """Overflows under autocast, as DeBERTa v1 does."""

    def forward(self, input_ids, attention_mask):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("cannot be converted without overflow")
        return super().forward(input_ids, attention_mask)


@pytest.mark.parametrize(
    ("module", "precision", "asked", "expected"),
    [
        (Counter, "bf16", "auto", "bf16"),
        (Counter, "bf16", "bf16", "bf16"),
        (Fails, "bf16", "auto", "fp32"),
        (Fails, "fp32", "fp32", "fp32"),
    ],
)
def test_a_model_is_tried_at_its_precision(module, precision, asked, expected):
    model = module().train()
    got = working_precision(
        model, padding=Padding(), device=CPU, precision=precision, asked=asked
    )
    assert got == expected
    assert model.training


def test_a_precision_that_was_asked_for_and_fails_is_an_error():
    with pytest.raises(ValueError, match="precision='bf16' does not work.*overflow"):
        working_precision(
            Fails(), padding=Padding(), device=CPU, precision="bf16", asked="bf16"
        )
