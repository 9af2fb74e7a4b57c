"""Structure: an architecture's layers, embeddings and limits, read off its modules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from skbert.batching import Padding

__all__ = ["EncoderStructure", "encoder_layers", "encoder_structure", "freeze"]


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
    """

    n_layers: int
    max_length: int | None
    group: int

    def padding(self, pad_id: int, pooling: str, max_length: int) -> Padding:
        """Say how to pad so that a text's result does not depend on its neighbours.

        Groups that straddle the end of a text see its padding, so batches are padded
        to whole groups. Their mean over the characters depends on the padding even
        then, and only one common width makes it the same in every batch.

        Parameters
        ----------
        pad_id : int
        pooling : {"native", "mean"}
        max_length : int
        """
        most = -(-max_length // self.group) * self.group
        if self.group > 1 and pooling == "mean":
            return Padding(pad_id, most, most)
        return Padding(pad_id, self.group, most)


def encoder_structure(config: PreTrainedConfig) -> EncoderStructure:
    """Read the structure of an architecture without loading any weight."""
    with torch.device("meta"):
        encoder = AutoModel.from_config(config)
    return EncoderStructure(
        n_layers=len(encoder_layers(encoder)),
        max_length=_position_limit(encoder),
        group=getattr(config, "downsampling_rate", 1),  # CANINE's name for it
    )


def _position_limit(encoder: nn.Module) -> int | None:
    limits = [
        table.num_embeddings - _first_position(table)
        for name, table in encoder.named_modules()
        if isinstance(table, nn.Embedding)
        and name.rpartition(".")[2] == "position_embeddings"
    ]
    return min(limits, default=None)


def _first_position(table: nn.Embedding) -> int:
    # RoBERTa and its kin count positions from the one after the padding's.
    return 0 if table.padding_idx is None else table.padding_idx + 1


def encoder_layers(encoder: PreTrainedModel) -> list[nn.Module]:
    """Return the encoder's layers, lowest first; empty where they cannot be told."""
    depth = encoder.config.num_hidden_layers
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return list(module)
    return []


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
    frozen: list[nn.Module] = _embeddings(encoder, layers)
    if trainable_layers is None:
        for part in frozen if embeddings else []:
            part.requires_grad_(False)
        return []
    frozen += layers[: len(layers) - trainable_layers]
    above = _parameters_above(encoder, layers)
    top = {id(p) for layer in layers[-trainable_layers:] for p in layer.parameters()}
    for parameter in encoder.parameters():
        parameter.requires_grad_(id(parameter) in top | above)
    return frozen


def _embeddings(encoder: nn.Module, layers: list[nn.Module]) -> list[nn.Module]:
    """Return the encoder's parts that hold embedding tables and no layers."""
    inside = set(layers)
    return [
        child
        for child in encoder.children()
        if any(isinstance(module, nn.Embedding) for module in child.modules())
        and inside.isdisjoint(child.modules())
        and child not in inside
    ]


def _parameters_above(encoder: nn.Module, layers: list[nn.Module]) -> set[int]:
    """Return the ids of the parameters applied after the last layer.

    Modules are registered in the order in which they run; tables of relative
    positions stand after the layers but feed all of them.
    """
    tables = {
        id(parameter)
        for module in encoder.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters()
    }
    ids = [id(parameter) for parameter in encoder.parameters()]
    last = max(ids.index(id(p)) for p in layers[-1].parameters())
    return set(ids[last + 1 :]) - tables
