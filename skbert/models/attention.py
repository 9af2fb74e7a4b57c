"""Attention that chooses the fastest kernel for the length of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["attend", "use_fast_attention"]

_NAME = "skbert"

# Beyond this many tokens torch's flash kernel is faster, and below it products of whole
# matrices are, as measured with MiniLM on the CPU (docs/performance.md).
_LONGEST_PLAIN = 256

# Shorter rows do not fill the vectors of a bf16 softmax.
_SHORT_ROW = 64


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs,
) -> tuple[Tensor, None]:
    """Compute attention with the signature of `transformers.AttentionInterface`.

    Parameters
    ----------
    module : Module
        The layer that calls.
    query, key, value : Tensor
    attention_mask : Tensor of shape (batch_size, 1, seq_len, seq_len), bool, or None
        False for tokens that are not seen.
    dropout : float
    scaling : float, optional
        Factor of the scores. The default is 1 / sqrt(head_width).
    is_causal : bool, optional
        By default the attribute of the layer with that name.
    **kwargs
        Arguments of some architectures, passed to `sdpa_attention_forward`.

    Returns
    -------
    states : Tensor
    weights : None
        Weights are not returned.

    Shape: (batch_size, n_heads, seq_len, head_width) three times
    -> (batch_size, seq_len, n_heads, head_width)
    """
    if _is_plain(module, query, key, attention_mask, dropout, is_causal, kwargs):
        return _plain(query, key, value, attention_mask, scaling), None
    return sdpa_attention_forward(
        module,
        query,
        key,
        value,
        attention_mask,
        dropout=dropout,
        scaling=scaling,
        is_causal=is_causal,
        **kwargs,
    )


def _is_plain(module, query, key, mask, dropout, is_causal, kwargs) -> bool:
    """Return whether this is a plain call of an encoder, short and on the CPU."""
    if query.device.type != "cpu" or query.shape[2] > _LONGEST_PLAIN:
        return False
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    extras = ("position_bias", "cache", "softcap")
    return (
        not dropout
        and not (is_causal and mask is None)
        and key.shape == query.shape
        and (mask is None or mask.dtype == torch.bool)
        and all(kwargs.get(name) is None for name in extras)
    )


def _plain(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling
) -> Tensor:
    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    scores = (query @ key.transpose(2, 3)) * scaling
    if mask is not None:
        hidden = torch.zeros(mask.shape, dtype=scores.dtype, device=scores.device)
        # With minus infinity, a row that sees nothing would become NaN.
        hidden.masked_fill_(~mask, torch.finfo(scores.dtype).min)
        scores = scores + hidden
    dtype = torch.float32 if scores.shape[-1] < _SHORT_ROW else scores.dtype
    weights = torch.softmax(scores, dim=-1, dtype=dtype).to(value.dtype)
    return (weights @ value).transpose(1, 2).contiguous()


AttentionInterface.register(_NAME, attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)


def use_fast_attention(model: PreTrainedModel) -> None:
    """Let a model use `attend` instead of torch's SDPA.

    Architectures with their own attention keep it.
    """
    # transformers 5.0 lacks the public `config.attn_implementation`.
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(_NAME)
