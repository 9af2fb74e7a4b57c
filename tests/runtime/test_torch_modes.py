"""Modes of a thread: what interrupts leave, and what threads inherit."""

import numpy as np
import pytest
import torch

from skbert import TransformerMultiLabelClassifier
from skbert.runtime.torch_modes import modes_kept, with_these_modes


def modes():
    kinds = ("cpu", "cuda", "mps")
    torch.autocast_increment_nesting()
    return (
        torch.autocast_decrement_nesting(),
        torch.is_grad_enabled(),
        [(torch.is_autocast_enabled(k), torch.get_autocast_dtype(k)) for k in kinds],
    )


def leave_contexts_open():
    torch.autocast("cpu", dtype=torch.float16).__enter__()
    torch.autocast("cuda", enabled=False, dtype=torch.bfloat16).__enter__()
    torch.no_grad().__enter__()


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_contexts_that_never_end_are_ended(error, inside):
    before = modes()
    with torch.autocast("cpu", enabled=inside), torch.set_grad_enabled(not inside):
        outside = modes()
        try:
            with modes_kept():
                leave_contexts_open()
                assert modes() != outside
                if error is not None:
                    raise error
        except (KeyboardInterrupt, ValueError) as caught:
            assert isinstance(caught, error)
        assert modes() == outside
    assert modes() == before


def test_casts_that_autocast_keeps_are_forgotten():
    layer, inputs = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with modes_kept():
        torch.autocast("cpu", dtype=torch.bfloat16).__enter__()
        before = layer(inputs)
    with torch.no_grad():
        layer.weight.mul_(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not torch.equal(layer(inputs), before)


def test_nothing_changes_where_nothing_was_left():
    with torch.inference_mode():
        with modes_kept():
            pass
        assert torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_a_function_has_the_modes_of_where_it_was_made():
    with torch.inference_mode():
        work = with_these_modes(
            lambda n: (n, torch.is_inference_mode_enabled(), torch.is_grad_enabled()), 3
        )
    assert work() == (3, True, False)


@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_fit_learns_where_the_caller_computes_no_gradients(
    mode, pooling, make, emails
):
    clf = make(pooling=pooling, warm_start=True)
    expected = make(pooling=pooling, warm_start=True).fit(*emails).fit(*emails)
    with mode():
        before = modes()
        clf.fit(*emails)
        assert modes() == before
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
    clf.fit(*emails)
    proba = [c.predict_proba(emails[0]) for c in (clf, expected)]
    np.testing.assert_array_equal(*proba)


def test_a_model_that_was_loaded_without_gradients_learns(make, emails, tmp_path):
    make().fit(*emails).save_pretrained(tmp_path)
    with torch.inference_mode():
        clf = TransformerMultiLabelClassifier.from_pretrained(tmp_path, device="cpu")
    before = clf.predict_proba(emails[0])
    clf.set_params(warm_start=True).fit(*emails)
    assert not np.array_equal(clf.predict_proba(emails[0]), before)
