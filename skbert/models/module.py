"""Networks from padded tokens to one logit for each label."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from skbert.exceptions import ModelFormatError
from skbert.models.architecture import PROBE_LENGTH, lay_out
from skbert.models.attention import use_fast_attention
from skbert.models.dropout import Dropout, use_fast_dropout
from skbert.models.folder import WeightCount, check_numbers, load_weights
from skbert.runtime.quiet import quiet_transformers

__all__ = [
    "MeanPoolingClassifier",
    "MultiLabelModule",
    "NativeClassifier",
    "build_module",
    "set_dropout",
]


class MultiLabelModule(nn.Module):
    """An encoder and a head: the base of both kinds of pooling.

    Attributes
    ----------
    encoder : PreTrainedModel
        The model without its head.
    """

    encoder: PreTrainedModel

    @property
    def output_layer(self) -> nn.Linear:
        """The linear layer whose outputs are the logits."""
        raise NotImplementedError

    def head_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the named parameters that are not the encoder's."""
        encoder = {id(parameter) for parameter in self.encoder.parameters()}
        for name, parameter in self.named_parameters():
            if id(parameter) not in encoder:
                yield name, parameter

    @torch.no_grad()
    def start_at_priors(self, prior_logits: np.ndarray) -> None:
        """Initialize the output layer, with the priors' log-odds (n_labels,) as biases.

        So the first updates need not learn that most labels are rare (Lin et al. 2017,
        "Focal Loss for Dense Object Detection", section 4.1).
        """
        layer = self.output_layer
        if layer.bias is None:
            raise ModelFormatError(
                f"the head of {type(self.encoder).__name__} has no bias, which "
                "training starts at the labels' priors; use pooling='mean'."
            )
        std = getattr(self.encoder.config, "initializer_range", 0.02)
        nn.init.normal_(layer.weight, std=std)
        layer.bias.copy_(torch.as_tensor(prior_logits))

    @torch.no_grad()
    def pin(self, labels: np.ndarray, logits: np.ndarray) -> None:
        """Fix the logits of ``labels`` to the same values for every text.

        Parameters
        ----------
        labels : ndarray of shape (n_labels,), bool
        logits : ndarray of shape (n_labels,), float
        """
        layer = self.output_layer
        for label in np.flatnonzero(labels):
            layer.weight[label] = 0.0
            layer.bias[label] = float(logits[label])


class NativeClassifier(MultiLabelModule):
    """A model of ``AutoModelForSequenceClassification`` with its own head.

    Parameters
    ----------
    model : PreTrainedModel
    """

    model: PreTrainedModel

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.output_layer.register_forward_hook(_in_float32)

    @property
    def encoder(self) -> PreTrainedModel:  # type: ignore[override]
        """The model without its head."""
        return self.model.base_model  # type: ignore[return-value]

    @property
    def output_layer(self) -> nn.Linear:
        """The linear layer whose outputs are the logits."""
        encoder = set(self.encoder.modules())
        linear = [
            module
            for module in self.model.modules()
            if isinstance(module, nn.Linear)
            and module not in encoder
            and module.out_features == self.model.config.num_labels
        ]
        if not linear:
            raise ModelFormatError(
                f"{type(self.model).__name__} has no linear output layer that skbert "
                "can find; use pooling='mean'."
            )
        return linear[-1]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits.

        Shape: (batch_size, seq_len) twice -> (batch_size, n_labels)
        """
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


class MeanPoolingClassifier(MultiLabelModule):
    """An encoder, the mean of its last states over the tokens, and a linear head.

    It has the pooling of sentence-transformers (Reimers and Gurevych 2019).

    Parameters
    ----------
    encoder : PreTrainedModel
    n_labels : int
    dropout : float
        Dropout probability of the pooled state.
    """

    head: nn.Linear

    def __init__(self, encoder: PreTrainedModel, n_labels: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = Dropout(dropout)
        width = encoder.config.hidden_size
        self.head = nn.Linear(width, n_labels, dtype=torch.float32)

    @property
    def output_layer(self) -> nn.Linear:
        """The linear layer whose outputs are the logits."""
        return self.head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits.

        Shape: (batch_size, seq_len) twice -> (batch_size, n_labels)
        """
        pooled = self.pool(input_ids, attention_mask)
        # In bf16 a logit would have 8 bits, and probabilities steps of a percent, which
        # is too coarse to tune thresholds.
        with torch.autocast(pooled.device.type, enabled=False):
            return self.head(self.dropout(pooled.float()))

    def pool(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the mean of the last states over the tokens.

        Shape: (batch_size, seq_len) twice -> (batch_size, width)
        """
        states = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state
        # Shape: (batch_size, seq_len, 1)
        mask = attention_mask.unsqueeze(-1).float()
        # An empty text without special tokens must not divide by zero.
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1)


def _in_float32(layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Compute a linear layer again, in float32.

    The head costs next to nothing, and in bf16 a logit would have 8 bits only.

    Shape: (..., in_features) and (..., out_features) -> (..., out_features)
    """
    if output.dtype == torch.float32:
        return output
    with torch.autocast(output.device.type, enabled=False):
        return layer(inputs[0].float())


def set_dropout(config: PreTrainedConfig, dropout: float | None) -> None:
    """Set every dropout probability of a configuration.

    None keeps them, except that of attention. Dropout of attention rules out the fast
    kernels, so that training on texts of 512 tokens would take four times as long.
    """
    for name, value in config.to_dict().items():
        if "dropout" not in name or not isinstance(value, (int, float, type(None))):
            continue
        if dropout is not None:
            # Some versions of transformers refuse an int.
            setattr(config, name, float(dropout))
        elif name.startswith("attention"):
            setattr(config, name, 0.0)


def build_module(
    folder: Path,
    config: PreTrainedConfig,
    *,
    n_labels: int,
    pooling: str,
    dropout: float | None = None,
    complete: bool = False,
) -> tuple[NativeClassifier | MeanPoolingClassifier, bool]:
    """Build the network and load the weights of the folder.

    Parameters
    ----------
    folder : Path
    config : PreTrainedConfig
        Configuration of the folder.
    n_labels : int
    pooling : {"native", "mean"}
    dropout : float, optional
        See `set_dropout`.
    complete : bool, default=False
        Whether the folder must contain the native head, too.

    Returns
    -------
    module : MultiLabelModule
        A network in float32 on the CPU.
    has_head : bool
        Whether the head comes from the folder. Otherwise it is random.

    Raises
    ------
    ModelFormatError
        If the weights are damaged or belong to another architecture.
    """
    set_dropout(config, dropout)
    if pooling == "native":
        config.num_labels = n_labels
        config.problem_type = "multi_label_classification"
        model, fresh = _load(
            AutoModelForSequenceClassification, folder, config, complete=complete
        )
        encoder_names = {name for name, _ in model.base_model.named_parameters()}
        prefix = model.base_model_prefix + "."
        fresh_encoder = {name for name in fresh if name.startswith(prefix)}
        fresh_head = fresh - fresh_encoder
        _check_encoder(
            folder,
            {name.removeprefix(prefix) for name in fresh_encoder},
            len(encoder_names),
        )
        if complete and fresh:
            raise ModelFormatError(
                f"{folder}: the weights {sorted(fresh)[:3]} are missing or do not fit "
                f"{n_labels} labels."
            )
        return _running(folder, NativeClassifier(model)), not fresh_head
    encoder, fresh = _load(AutoModel, folder, config)
    _check_encoder(folder, fresh, len(list(encoder.parameters())))
    module = MeanPoolingClassifier(encoder, n_labels, _head_dropout(folder, config))
    return _running(folder, module), False


def _head_dropout(folder: Path, config: PreTrainedConfig) -> float:
    for name in ("classifier_dropout", "hidden_dropout_prob", "dropout"):
        value = getattr(config, name, None)
        if value is None:
            continue
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ModelFormatError(
                f"{folder / 'config.json'}: {name} is {value!r}; it must be a number "
                "between 0 and 1."
            )
        return float(value)
    return 0.1


def _load(
    auto_class, folder: Path, config: PreTrainedConfig, *, complete: bool = False
) -> tuple[PreTrainedModel, set[str]]:
    """Load weights; return the model and the parameters that the folder lacks.

    transformers gets the weights and not the folder, because it would look there for
    adapters, shards and files that the configuration names.
    """
    weights = load_weights(folder)
    count = WeightCount(len(weights), sum(t.numel() for t in weights.values()))
    sketch = deepcopy(config)
    if not complete:  # the number of labels is the caller's, not the folder's
        sketch.num_labels = 2
    try:
        with quiet_transformers():
            model_class: Any = type(lay_out(auto_class, sketch, count))
            model, info = model_class.from_pretrained(
                None,
                config=config,
                state_dict=weights,
                dtype=torch.float32,
                # With another number of labels, the head is new.
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
            use_fast_attention(model)
    except (MemoryError, ModelFormatError):
        raise
    except Exception as error:
        raise ModelFormatError(
            f"the model in {folder} cannot be loaded: {error}"
        ) from error
    model.config.name_or_path = str(folder)
    check_numbers(folder, model.named_parameters())
    use_fast_dropout(model)
    mismatched = {key[0] for key in info["mismatched_keys"]}
    return model, set(info["missing_keys"]) | mismatched


_Module = TypeVar("_Module", bound=MultiLabelModule)


@torch.inference_mode()
def _running(folder: Path, module: _Module) -> _Module:
    """Try the module on a few tokens, because on a GPU errors would be fatal."""
    ids = torch.zeros(1, PROBE_LENGTH, dtype=torch.int64)
    try:
        with quiet_transformers():
            logits = module.eval()(ids, torch.ones_like(ids))
    except (MemoryError, ModelFormatError):
        raise
    except Exception as error:
        raise ModelFormatError(
            f"the model in {folder} does not run: {error}"
        ) from error
    if not logits.isfinite().all():
        raise ModelFormatError(
            f"the model in {folder} answers {logits.flatten()[0].item()}: its weights "
            "are damaged, or its configuration."
        )
    return module


def _check_encoder(folder: Path, fresh: set[str], n_parameters: int) -> None:
    # Poolers are often absent, as in RoBERTa's checkpoints.
    missing = sorted(name for name in fresh if not name.startswith("pooler"))
    if missing:
        raise ModelFormatError(
            f"{folder}: {len(missing)} of the encoder's {n_parameters} weights are "
            f"missing or of the wrong shape, the first is {missing[0]!r}. The file is "
            "damaged or belongs to another architecture."
        )
