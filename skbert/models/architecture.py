"""The layers, embeddings and limits of an architecture, found in its modules."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from skbert.exceptions import ModelFormatError
from skbert.models.folder import WeightCount
from skbert.tokens.padding import Padding

__all__ = [
    "PROBE_LENGTH",
    "EncoderStructure",
    "encoder_layers",
    "encoder_structure",
    "freeze",
    "lay_out",
]

# Far beyond what is published: Longformer's windows have 512 tokens.
_WIDEST_MULTIPLE = 2**16
_MOST_LAYERS = 1000


@dataclass(frozen=True)
class EncoderStructure:
    """What an architecture allows, found in its modules and not by its name.

    Attributes
    ----------
    n_layers : int
    max_length : int or None
        Maximum number of tokens of a text; None without a table of positions.
    group : int
        Number of neighbouring positions that the encoder merges: 4 in CANINE, else 1.
    window : int
        Length to whose multiples the encoder pads texts by itself, as Longformer does;
        else 1.
    n_tokens : int or None
        Rows of the table of token embeddings; None without such a table.
    """

    n_layers: int
    max_length: int | None
    group: int = 1
    window: int = 1
    n_tokens: int | None = None

    def padding(
        self, pad_id: int, pooling: str, max_length: int, *, left: bool = False
    ) -> Padding:
        """Return a padding with which a text's result does not depend on its batch.

        If the encoder merges positions, batches are padded to whole groups, because a
        group at the end of a text sees the padding. The mean over the characters
        depends on the padding even then, so that all batches get one width.

        If the encoder pads by itself, batches are padded here instead. Then they are as
        large as they seem, and there is a state for every token, including padding.

        Parameters
        ----------
        pad_id : int
        pooling : {"native", "mean"}
        max_length : int
        left : bool, default=False
            Whether the tokenizer pads at the beginning, as XLNet's does because its
            head reads the last state. With a table of positions, padding is at the end
            in any case, because the text would move to other positions.
        """
        multiple = math.lcm(self.group, self.window)
        most = -(-max_length // multiple) * multiple
        if self.group > 1 and pooling == "mean":
            multiple = most
        left = left and self.max_length is None
        return Padding(pad_id, multiple, most, left=left)


def encoder_structure(
    config: PreTrainedConfig, weights: WeightCount | None = None
) -> EncoderStructure:
    """Read the structure of an architecture without loading any weight.

    Parameters
    ----------
    config : PreTrainedConfig
    weights : WeightCount, optional
        See `lay_out`.
    """
    encoder = lay_out(AutoModel, config, weights)
    window = getattr(config, "attention_window", 1)  # Longformer's name for it
    tokens = _token_table(encoder)
    structure = EncoderStructure(
        n_layers=len(encoder_layers(encoder)),
        max_length=_position_limit(encoder, tokens),
        group=getattr(config, "downsampling_rate", 1),  # CANINE's name for it
        window=max(window) if isinstance(window, list) else window,
        n_tokens=getattr(tokens, "num_embeddings", None),
    )
    depth = getattr(config, "num_hidden_layers", 0)  # layers may share their weights
    multiple = math.lcm(structure.group, structure.window)
    if not 1 <= multiple <= _WIDEST_MULTIPLE or depth > _MOST_LAYERS:
        raise ValueError(f"{depth} layers, on multiples of {multiple} tokens")
    return structure


def lay_out(
    auto_class, config: PreTrainedConfig, weights: WeightCount | None = None
) -> PreTrainedModel:
    """Build a model that takes no memory.

    Parameters
    ----------
    auto_class : type
        An auto class of transformers.
    config : PreTrainedConfig
    weights : WeightCount, optional
        Size of the weights that will fill it. The model must not be much larger.

    Raises
    ------
    ModelFormatError
        If the model is larger.
    """
    model = _on_meta_device(auto_class, config, weights)
    if weights is None:
        return model
    n_elements = sum(p.numel() for p in [*model.parameters(), *model.buffers()])
    # A head and a pooler may be missing, and a table of positions may be computed.
    if n_elements > 2 * weights.n_elements + 10**7:
        raise _too_large(f"{n_elements:.1e} numbers", f"{weights.n_elements:.1e}")
    return model


def _on_meta_device(
    auto_class, config: PreTrainedConfig, weights: WeightCount | None
) -> PreTrainedModel:
    most = nullcontext() if weights is None else _AtMost(2 * weights.n_tensors + 1000)
    with torch.device("meta"), most:
        return auto_class.from_config(config)


class _AtMost(TorchFunctionMode):
    """Stops the construction of a model with more tensors than there are weights."""

    def __init__(self, n_tensors: int) -> None:
        super().__init__()
        self.n_tensors = self.left = n_tensors

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.empty:
            self.left -= 1
            if self.left < 0:
                raise _too_large(f"{self.n_tensors} tensors", "fewer")
        return func(*args, **(kwargs or {}))


def _too_large(described: str, there: str) -> ModelFormatError:
    return ModelFormatError(
        f"config.json describes a model of more than {described}, but the weights are "
        f"{there}. The file is damaged or belongs to other weights."
    )


def _token_table(encoder: PreTrainedModel) -> nn.Module | None:
    try:
        return encoder.get_input_embeddings()
    except NotImplementedError:  # CANINE, which hashes characters
        return None


def _position_limit(encoder: PreTrainedModel, tokens: nn.Module | None) -> int | None:
    """Return the number of positions in the table; None without a table.

    Most tables have the same name. For others, such as GPT-2's and the buffer of CTRL,
    the configuration gives the length. In OPT, Nyströmformer and others, two rows are
    not positions.
    """
    limits = [
        len(module.weight) - _first_position(module)
        for name, module in encoder.named_modules()
        if name.rpartition(".")[2] == "position_embeddings"
        and hasattr(module, "padding_idx")  # I-BERT's is not an nn.Embedding
    ]
    tables = {m for m in encoder.modules() if isinstance(m, nn.Embedding)} - {tokens}
    lengths = {table.num_embeddings for table in tables}
    lengths |= {len(buffer) for buffer in encoder.buffers() if buffer.ndim == 2}
    n_positions = getattr(encoder.config, "max_position_embeddings", None)
    if isinstance(n_positions, int) and n_positions > 0:
        if lengths & {n_positions, n_positions + 2}:
            limits.append(n_positions)
    return min(limits, default=None)


def _first_position(table: Any) -> int:
    # RoBERTa and its relatives count positions from the index after the padding.
    return 0 if table.padding_idx is None else table.padding_idx + 1


def encoder_layers(encoder: PreTrainedModel) -> list[nn.Module]:
    """Return the encoder's layers, lowest first, or an empty list if they are unknown.

    The layers are the one list that has as many modules as the configuration has
    layers. There is no such list if layers share weights (ALBERT), are spread over
    several lists (XLM), or form a second stack (T5).
    """
    depth = getattr(encoder.config, "num_hidden_layers", None)
    lists = [m for m in encoder.modules() if isinstance(m, nn.ModuleList)]
    # A list inside another one is part of a layer, or of layers that alternate.
    inner = {m for outer in lists for m in outer.modules() if m is not outer}
    stacks = [m for m in lists if len(m) == depth and m not in inner]
    if len(stacks) != 1:
        return []
    layers = list(stacks[0])
    weights = [p for layer in layers for p in layer.parameters()]
    return layers if len({*weights}) == len(weights) else []


def freeze(
    module: nn.Module,
    encoder: PreTrainedModel,
    *,
    trainable_layers: int | None,
    embeddings: bool,
) -> list[nn.Module]:
    """Freeze the embeddings and all but the top layers.

    Parameters
    ----------
    module : Module
        Encoder and head.
    encoder : PreTrainedModel
    trainable_layers : int or None
        Number of top layers that stay trainable; None for all, 0 for the head only.
    embeddings : bool
        Whether to freeze the embeddings. With ``trainable_layers`` they always are.

    Returns
    -------
    list of Module
        Modules that must stay in eval mode while training, because a frozen layer
        below the trainable ones computes the same activations in every epoch.
    """
    module.requires_grad_(True)
    if trainable_layers == 0:
        encoder.requires_grad_(False)
        return [encoder]
    layers = encoder_layers(encoder)
    if trainable_layers is None:
        for part in _embeddings(encoder, layers) if embeddings else []:
            part.requires_grad_(False)
        return []
    order = _run_order(encoder, layers)
    first = order.index(layers[-trainable_layers])
    trained = layers[-trainable_layers:] + _only_after(order, layers[-1])
    encoder.requires_grad_(False)
    for part in trained:
        part.requires_grad_(True)
    return _outermost(_only_before(order, first), trained)


def _embeddings(encoder: PreTrainedModel, layers: list[nn.Module]) -> list[nn.Module]:
    """Return the encoder's parts that hold embedding tables and no layers."""
    inside = set(layers)
    parts = [
        child
        for child in encoder.children()
        if any(isinstance(module, nn.Embedding) for module in child.modules())
        and inside.isdisjoint(child.modules())
        and child not in inside
    ]
    if layers:
        return parts
    # If the layers are unknown, they are in some list, so that a module with a list is
    # not an embedding. At least the vocabulary is one.
    parts = [
        part
        for part in parts
        if not any(isinstance(module, nn.ModuleList) for module in part.modules())
    ]
    return parts or [encoder.get_input_embeddings()]


# Tokens of the text that is run to find the order of modules. It is a multiple of the
# characters that CANINE merges, and any model has as many positions.
PROBE_LENGTH = 8


@torch.no_grad()
def _run_order(encoder: PreTrainedModel, layers: list[nn.Module]) -> list[nn.Module]:
    """Return the encoder's modules in the order in which they are called.

    The order of registration does not tell, so a text is run through the encoder.
    Poolers and final norms are registered after the layers and run there. But so are
    the norm of DeBERTa's relative positions, which feeds all layers, and its
    convolution, which follows the first.
    """
    order: list[nn.Module] = []

    def note(module: nn.Module, inputs) -> None:
        order.append(module)

    hooks = [module.register_forward_pre_hook(note) for module in encoder.modules()]
    device = next(encoder.parameters()).device
    ids = torch.zeros(1, PROBE_LENGTH, dtype=torch.int64, device=device)
    training = encoder.training
    encoder.eval()
    try:
        encoder(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        encoder.train(training)
        for hook in hooks:
            hook.remove()
    if [module for module in order if module in {*layers}] != layers:
        raise ValueError(
            f"the layers of {type(encoder).__name__} do not run one after the other, "
            "once each; use trainable_layers=None or 0."
        )
    return order


def _only_after(order: list[nn.Module], last_layer: nn.Module) -> list[nn.Module]:
    start = order.index(last_layer)
    others = {*order[:start], *last_layer.modules()}
    return [module for module in order[start:] if module not in others]


def _only_before(order: list[nn.Module], first: int) -> list[nn.Module]:
    # A module that runs again above keeps its dropout. XLNet uses one at both ends.
    above = {*order[first:]}
    return [module for module in order[:first] if module not in above]


def _outermost(modules: list[nn.Module], trained: list[nn.Module]) -> list[nn.Module]:
    """Return the outermost modules that contain none of ``trained``."""
    tops = {*trained}
    free = [module for module in modules if tops.isdisjoint(module.modules())]
    inner = {part for module in free for part in module.modules() if part is not module}
    return list(dict.fromkeys(module for module in free if module not in inner))
