"""A fit computes gradients in whatever mode the caller is, and leaves it as it was."""

import numpy as np
import pytest
import torch

from skbert import TransformerMultiLabelClassifier


def modes():
    kinds = ("cpu", "cuda", "mps")
    casts = [(torch.is_autocast_enabled(k), torch.get_autocast_dtype(k)) for k in kinds]
    return torch.is_grad_enabled(), casts


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
