import json
import pickle
import threading

import pytest
import torch
from torch import nn
from transformers import AutoModel

from skbert.models import attention
from skbert.models.attention import attend, use_fast_attention
from skbert.models.configuration import load_config
from skbert.models.module import build_module


class Layer(nn.Module):
    is_causal = False


def inputs(n=2, heads=3, length=7, width=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(n, heads, length, width, generator=generator).to(dtype)
        for _ in range(3)
    ]
    mask = torch.ones(n, 1, length, length, dtype=torch.bool)
    mask[0, :, :, length // 2 :] = False
    return [tensor.requires_grad_() for tensor in tensors], mask


def reference(tensors, mask, scaling=None):
    answer = nn.functional.scaled_dot_product_attention(
        *tensors, attn_mask=mask, scale=scaling
    )
    return answer.transpose(1, 2)


@pytest.fixture
def delegated(monkeypatch):
    """Lengths of the calls that went to transformers."""
    calls = []

    def spy(module, query, *args, **kwargs):
        calls.append(query.shape[2])
        return original(module, query, *args, **kwargs)

    original = attention.sdpa_attention_forward
    monkeypatch.setattr(attention, "sdpa_attention_forward", spy)
    return calls


@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("length", [1, 7, 63, 64, 65, 256, 257])
def test_answers_and_gradients_are_those_of_torch(length, scaling, delegated):
    tensors, mask = inputs(length=length)
    if length == 1:
        mask[:] = True
    for seen in (mask, None):
        found, weights = attend(Layer(), *tensors, seen, scaling=scaling)
        assert weights is None
        expected = reference(tensors, seen, scaling)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        grads = [
            torch.autograd.grad(answer.square().sum(), tensors)
            for answer in (found, expected)
        ]
        for ours, theirs in zip(*grads, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert delegated == ([257] * 2 if length == 257 else [])


@pytest.mark.parametrize("length", [9, 100])
def test_bf16_is_as_close_as_bf16_can_be(length):
    tensors, mask = inputs(length=length, dtype=torch.bfloat16)
    found, _ = attend(Layer(), *tensors, mask)
    assert found.dtype == torch.bfloat16
    exact = reference([t.float() for t in tensors], mask)
    torch.testing.assert_close(found.float(), exact, atol=0.02, rtol=0.02)


def test_a_row_that_sees_nothing_is_finite():
    tensors, mask = inputs()
    mask[1] = False
    found, _ = attend(Layer(), *tensors, mask)
    assert found.isfinite().all()
    found.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in tensors)


def test_what_is_not_plain_goes_to_transformers(delegated):
    tensors, mask = inputs()
    attend(Layer(), *tensors, mask, dropout=0.5)
    attend(Layer(), *tensors, None, is_causal=True)
    attend(nn.Module(), *tensors, None)  # causal, if nothing says otherwise
    attend(Layer(), *tensors, torch.zeros(mask.shape))  # an additive mask
    attend(Layer(), *tensors, mask, position_bias=torch.zeros(1, 3, 7, 7))
    assert len(delegated) == 5
    causal, _ = attend(Layer(), *tensors, None, is_causal=True)
    triangle = torch.ones(7, 7, dtype=torch.bool).tril()
    torch.testing.assert_close(causal, reference(tensors, triangle))


# Those whose attention can be chosen; the others keep theirs.
FAST = ("bert", "roberta", "distilbert")
OWN = ("deberta", "canine")


@pytest.mark.parametrize("family", [*FAST, *OWN])
def test_models_give_what_transformers_gives(checkpoint, family, monkeypatch):
    folder = checkpoint(family)
    calls = []

    def spy(*args, **kwargs):
        calls.append(args)
        return plain(*args, **kwargs)

    plain = attention._plain
    monkeypatch.setattr(attention, "_plain", spy)
    module, _ = build_module(folder, load_config(folder), n_labels=2, pooling="mean")
    ids = torch.tensor([[5, 9, 12, 7, 8, 6, 11, 3], [4, 6, 0, 0, 0, 0, 0, 0]])
    mask = (ids > 0).long()
    theirs = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        found = module.eval().encoder(ids, mask).last_hidden_state
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
    seen = mask.bool()
    torch.testing.assert_close(found[seen], expected[seen], atol=1e-5, rtol=1e-5)
    assert bool(calls) == (family in FAST)


def test_the_choice_is_neither_saved_nor_lost(checkpoint, tmp_path):
    folder = checkpoint("bert")
    module, _ = build_module(folder, load_config(folder), n_labels=2, pooling="mean")
    assert module.encoder.config._attn_implementation == "skbert"
    module.encoder.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert "skbert" not in json.dumps(config)
    again = pickle.loads(pickle.dumps(module))
    assert again.encoder.config._attn_implementation == "skbert"


def test_a_model_with_another_choice_keeps_it(checkpoint):
    model = AutoModel.from_pretrained(checkpoint("bert"), attn_implementation="eager")
    use_fast_attention(model)
    assert model.config._attn_implementation == "eager"


def test_threads_of_different_lengths_do_not_disturb_each_other():
    jobs = [inputs(length=length) for length in (5, 90, 260)]
    expected = [attend(Layer(), *tensors, mask)[0] for tensors, mask in jobs]
    answers = {}

    def work(number):
        tensors, mask = jobs[number]
        answers[number] = [attend(Layer(), *tensors, mask)[0] for _ in range(20)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, answer in enumerate(expected):
        assert all(torch.equal(answer, again) for again in answers[number])
