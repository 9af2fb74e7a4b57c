"""The frozen layers of a model, which can run apart from the trainable ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from skbert.models.architecture import encoder_layers
from skbert.models.module import MeanPoolingClassifier, MultiLabelModule
from skbert.runtime.device import autocast
from skbert.runtime.randomness import isolated_random_state
from skbert.tokens.padding import Padding, pad
from skbert.tokens.tokenization import RaggedTokens

__all__ = ["FrozenEncoder", "FrozenLayers", "frozen_part", "replaced"]


def frozen_part(
    module: MultiLabelModule,
    tokens: RaggedTokens,
    *,
    trainable_layers: int,
    always_eval: list[nn.Module],
    padding: Padding,
) -> FrozenLayers | FrozenEncoder | None:
    """Return the part of a model that computes the same in every epoch.

    Parameters
    ----------
    module : MultiLabelModule
        A module with its frozen part frozen.
    tokens : RaggedTokens
        Tokens of the training set, of which some are tried.
    trainable_layers : int
    always_eval : list of Module
        Modules that stay in eval mode while training. See `freeze`.
    padding : Padding

    Returns
    -------
    FrozenLayers, FrozenEncoder or None
        None if the model cannot be cut there.
    """
    if trainable_layers == 0 and isinstance(module, MeanPoolingClassifier):
        return FrozenEncoder(module)
    part = FrozenLayers(module, trainable_layers)
    # A user who has replaced the forward of a layer expects it to be called.
    if not part.below or any("forward" in vars(layer) for layer in part.layers):
        return None
    return part if _is_exact(part, tokens, always_eval, padding) else None


def _is_exact(
    part: FrozenLayers,
    tokens: RaggedTokens,
    always_eval: list[nn.Module],
    padding: Padding,
) -> bool:
    """Return whether a model gives the same results when it is cut.

    Nothing is known about the architecture, and a layer may need more than the states
    of the layer below. So the shortest text, the longest and one in between are tried.
    """
    device = next(part.module.parameters()).device
    rows = np.argsort(tokens.lengths, kind="stable")[[0, len(tokens) // 2, -1]]
    try:
        with isolated_random_state(0, device), autocast(device, "fp32"):
            return all(
                _agrees(
                    part,
                    always_eval,
                    *(t.to(device) for t in pad(tokens, some, padding)),
                )
                for some in (rows, rows[:2])
            )
    except Exception:
        # An unknown architecture may fail in any way. Then it is not cut.
        return False


def _agrees(
    part: FrozenLayers, always_eval: list[nn.Module], ids: Tensor, mask: Tensor
) -> bool:
    """Return whether states and logits equal those of the whole model.

    Shape: (batch_size, seq_len) twice
    """
    module = part.module
    module.train()
    for frozen in always_eval:
        frozen.eval()
    trained = part.states(ids, mask)
    if trained.requires_grad or trained.shape[:2] != mask.shape:
        return False  # something trainable below, or no state per token
    module.eval()
    with torch.no_grad():
        expected = module.encoder(ids, mask)[0], module(ids, mask)
        states = part.states(ids, mask)
        # States of padding are not kept, so that nothing may depend on them.
        with part.given(states * mask.unsqueeze(-1)):
            found = module.encoder(ids, mask)[0], module(ids, mask)
    on_tokens = mask.bool()
    pairs = [
        (states[on_tokens], trained[on_tokens]),  # no dropout between the layers
        (expected[0][on_tokens], found[0][on_tokens]),
        (expected[1], found[1]),
    ]
    return all(torch.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in pairs)


class FrozenLayers:
    """A model whose encoder is cut below its lowest trainable layer.

    Parameters
    ----------
    module : MultiLabelModule
    trainable_layers : int
    """

    keeps_tokens = True  # one state for each token

    def __init__(self, module: MultiLabelModule, trainable_layers: int) -> None:
        self.module = module
        self.layers = encoder_layers(module.encoder)
        cut = len(self.layers) - trainable_layers
        self.below, self.above = self.layers[:cut], self.layers[cut:]
        self._dtype = torch.float32
        # The rest of a layer's output besides its states; None if it is not a tuple.
        self._others: tuple[None, ...] | None = None

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the states above the last frozen layer; no other layer runs.

        Shape: (batch_size, seq_len) twice -> (batch_size, seq_len, width)
        """
        last = self.below[-1]
        compute, answer = last.forward, None

        def keep(*args, **kwargs):
            nonlocal answer
            answer = compute(*args, **kwargs)
            return answer

        with (
            replaced([last], "forward", keep),
            replaced(self.above, "forward", lambda *args, **kwargs: answer),
        ):
            self.module.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return self._unpacked(answer)

    def _unpacked(self, answer) -> Tensor:
        # Some layers return a tuple with room for attention weights. Trying the cut
        # shows whether anything needs them.
        if isinstance(answer, tuple):
            self._others = (None,) * (len(answer) - 1)
        states = answer[0] if isinstance(answer, tuple) else answer
        self._dtype = states.dtype
        return states

    def given(self, states: Tensor) -> AbstractContextManager[None]:
        """Return a context in which the module starts from ``states``.

        Shape: (batch_size, seq_len, width)

        The embeddings still run. They cost little, and masks and positions are made
        from their output.
        """
        # Autocast computes the sum over all layers in float32, whatever was kept.
        states = states.to(self._dtype)
        answer = states if self._others is None else (states, *self._others)
        return replaced(self.below, "forward", lambda *args, **kwargs: answer)

    def give_back(self) -> None:
        """Restore the module."""
        _give_back(self.layers, "forward")


class FrozenEncoder:
    """A model whose head alone is trained, on the mean of the last states.

    Parameters
    ----------
    module : MeanPoolingClassifier
    """

    keeps_tokens = False  # one state for each text

    def __init__(self, module: MeanPoolingClassifier) -> None:
        self.module = module

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the mean states.

        Shape: (batch_size, seq_len) twice -> (batch_size, 1, width)
        """
        return self.module.pool(input_ids, attention_mask).float().unsqueeze(1)

    def given(self, states: Tensor) -> AbstractContextManager[None]:
        """Return a context in which the module starts from ``states``.

        Shape: (batch_size, 1, width)
        """
        pooled = states.squeeze(1)
        return replaced([self.module], "pool", lambda *args: pooled)

    def give_back(self) -> None:
        """Restore the module."""
        _give_back([self.module], "pool")


@contextmanager
def replaced(
    modules: list[nn.Module], method: str, function: Callable
) -> Iterator[None]:
    """Replace a method of some modules by ``function`` within a context.

    The modules stay in place, so that their names, hooks and parameters do not change.
    """
    try:
        for module in modules:
            vars(module)[method] = function
        yield
    finally:
        _give_back(modules, method)


def _give_back(modules: list[nn.Module], method: str) -> None:
    for module in modules:
        vars(module).pop(method, None)  # uncovers the method of the class
