"""Structure: an architecture's layers, embeddings and limits, read off its modules."""

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

# Beyond what is published, by far: Longformer's windows have 512 tokens.
_WIDEST_MULTIPLE = 2**16
_MOST_LAYERS = 1000


@dataclass(frozen=True)
class EncoderStructure:
    """What an architecture allows, read off its modules and not off its name.

    Attributes
    ----------
    n_layers : int
    max_length : int or None
        Most tokens of one text; None where positions are not tabulated.
    group : int
        Neighbouring positions that the encoder merges: 4 in CANINE, otherwise 1.
    window : int
        Multiples of this are what the encoder pads texts to by itself, as Longformer
        does; otherwise 1.
    n_tokens : int or None
        Rows of the table of token embeddings; None where there is none.
    """

    n_layers: int
    max_length: int | None
    group: int = 1
    window: int = 1
    n_tokens: int | None = None

    def padding(
        self, pad_id: int, pooling: str, max_length: int, *, left: bool = False
    ) -> Padding:
        """Say how to pad so that a text's result does not depend on its neighbours.

        Groups that straddle the end of a text see its padding, so batches are padded
        to whole groups. Their mean over the characters depends on the padding even
        then, and only one common width makes it the same in every batch.

        What an encoder adds by itself is added here instead: batches are as large then
        as they seem, and there is a state per token, padding included.

        Parameters
        ----------
        pad_id : int
        pooling : {"native", "mean"}
        max_length : int
        left : bool, default=False
            Whether the tokenizer pads at the beginning, as XLNet's does: its head reads
            the last state. Where positions are tabulated it would move the text to
            other positions, so padding is at the end then.
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
        As of `lay_out`.
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
        Of transformers.
    config : PreTrainedConfig
    weights : WeightCount, optional
        What there is to fill it; the model may not be much larger.

    Raises
    ------
    ModelFormatError
        If it is.
    """
    # Ctrl-C in the midst of this would leave all of torch on that device.
    model = _on_meta_device(auto_class, config, weights)
    if weights is None:
        return model
    n_elements = sum(p.numel() for p in [*model.parameters(), *model.buffers()])
    # A head and a pooler may be missing, and a table of positions be computed.
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
    """Ends the construction of a model of more tensors than there are weights."""

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
    """Return how many positions are tabulated; None where they are not.

    Most tables are called alike. Of others the configuration says how long they are:
    of GPT-2's, and of CTRL's, which is a buffer. In OPT, Nyströmformer and more, two
    rows are no positions.
    """
    limits = [
        len(module.weight) - _first_position(module)
        for name, module in encoder.named_modules()
        if name.rpartition(".")[2] == "position_embeddings"
        and hasattr(module, "padding_idx")  # I-BERT's is no nn.Embedding
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
    # RoBERTa and its kin count positions from the one after the padding's.
    return 0 if table.padding_idx is None else table.padding_idx + 1


def encoder_layers(encoder: PreTrainedModel) -> list[nn.Module]:
    """Return the encoder's layers, lowest first; empty where they cannot be told.

    They are the one list of as many modules as the configuration counts layers. In
    other architectures layers share their weights (ALBERT), are spread over several
    lists (XLM), or there is a second stack (T5).
    """
    depth = getattr(encoder.config, "num_hidden_layers", None)
    lists = [m for m in encoder.modules() if isinstance(m, nn.ModuleList)]
    # A list inside of another is part of a layer, or of layers that take turns.
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
        What must stay in eval mode while training: a frozen layer below the
        trainable ones computes the same activations in every epoch.
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
    # Where the layers are not known, they are in some list: what holds one is no
    # embedding. Then at least the vocabulary is.
    parts = [
        part
        for part in parts
        if not any(isinstance(module, nn.ModuleList) for module in part.modules())
    ]
    return parts or [encoder.get_input_embeddings()]


# Tokens of the text that is run to see what follows what: a multiple of what CANINE
# merges, and within the positions of any model.
PROBE_LENGTH = 8


@torch.no_grad()
def _run_order(encoder: PreTrainedModel, layers: list[nn.Module]) -> list[nn.Module]:
    """Return the encoder's modules in the order in which they are called.

    A text is run to see it: modules are registered in any order. Poolers and final
    norms stand after the layers and run there, but so stand the norm of DeBERTa's
    relative positions, which feeds all layers, and its convolution, which follows the
    first.
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
    # What runs again above keeps its dropout there: XLNet has one for both ends.
    above = {*order[first:]}
    return [module for module in order[:first] if module not in above]


def _outermost(modules: list[nn.Module], trained: list[nn.Module]) -> list[nn.Module]:
    """Return the modules that hold nothing of ``trained`` and stand in no other."""
    tops = {*trained}
    free = [module for module in modules if tops.isdisjoint(module.modules())]
    inner = {part for module in free for part in module.modules() if part is not module}
    return list(dict.fromkeys(module for module in free if module not in inner))
