"""A checkpoint: everything of a model folder but its weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from skbert.exceptions import ModelFormatError
from skbert.models.architecture import EncoderStructure, encoder_structure
from skbert.models.configuration import load_config
from skbert.models.folder import (
    count_weights,
    read_json,
)
from skbert.models.hub import resolve_model
from skbert.models.tokenizer import load_tokenizer
from skbert.runtime.quiet import quiet_transformers
from skbert.tokens.padding import Padding

__all__ = ["Checkpoint", "load_structure", "open_checkpoint"]


def _uses_mean_pooling(folder: Path) -> bool:
    """Return whether the folder declares mean pooling (sentence-transformers does)."""
    path = folder / "1_Pooling" / "config.json"
    return path.is_file() and bool(read_json(path).get("pooling_mode_mean_tokens"))


@dataclass(frozen=True)
class Checkpoint:
    """An opened model folder, without its weights.

    Attributes
    ----------
    folder : Path or None
        None for a model that is already in memory.
    config : PreTrainedConfig
    tokenizer : PreTrainedTokenizerBase
    structure : EncoderStructure
    pooling : {"native", "mean"}
    """

    folder: Path | None
    config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    structure: EncoderStructure
    pooling: str

    @property
    def max_length(self) -> int | None:
        """Maximum number of tokens of a text, or None if there is no limit."""
        limits = [self.structure.max_length, self.tokenizer.model_max_length]
        # Tokenizers without a limit say 10 ** 30.
        return min((n for n in limits if n is not None and n < 10**9), default=None)

    def padding(self, max_length: int) -> Padding:
        """Return the padding for texts of at most ``max_length`` tokens."""
        pad_id = self.tokenizer.pad_token_id or 0
        left = self.tokenizer.padding_side == "left"
        return self.structure.padding(pad_id, self.pooling, max_length, left=left)


def open_checkpoint(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    pooling: str = "auto",
) -> Checkpoint:
    """Find a model and read everything but its weights.

    Parameters
    ----------
    model, revision, local_files_only
        See `resolve_model`.
    pooling : {"auto", "native", "mean"}, default="auto"
        "auto" is mean pooling if the folder declares it, and else native.

    Raises
    ------
    ValueError
        If there is no such model, or it cannot be reached.
    ModelFormatError
        If the folder is damaged.
    """
    folder = resolve_model(model, revision=revision, local_files_only=local_files_only)
    config = load_config(folder)
    structure = load_structure(folder, config)
    tokenizer = load_tokenizer(folder, config, structure.n_tokens)
    if pooling == "auto":
        pooling = "mean" if _uses_mean_pooling(folder) else "native"
    return Checkpoint(folder, config, tokenizer, structure, pooling)


def load_structure(folder: Path, config: PreTrainedConfig) -> EncoderStructure:
    """Read the structure of a model that is not larger than its weights.

    Raises
    ------
    ModelFormatError
        If no model can be built.
    """
    weights = count_weights(folder)
    try:
        with quiet_transformers():
            return encoder_structure(config, weights)
    except ModelFormatError:
        raise
    except Exception as error:
        raise ModelFormatError(
            f"{folder / 'config.json'} describes no model that can be built: {error}"
        ) from error
