"""What callbacks of a fit see: logits after each epoch, gradients, and table rows."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from skorch.callbacks import Callback

from skbert.tokens.batching import Batch
from skbert.tokens.tokenization import Tokens

__all__ = ["EpochReports", "discard", "gradient_hook", "print_row"]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class EpochReports(Callback):
    """Report the logits of held-out texts after every epoch.

    The texts take no part in the fit, neither in an update nor in the choice of an
    epoch, and no random numbers are drawn. So the fit is equal to the bit without it.

    Parameters
    ----------
    chunks : list of RaggedTokens or WindowedTokens
        The n held-out texts. See `tokens_for`.
    report : callable
        Function of the number of the epoch (from 1), of the logits of shape
        (n, n_labels), float32, and of whether the epoch is the last one. An error that
        it raises ends the fit.
    """

    def __init__(
        self, chunks: list[Tokens], report: Callable[[int, np.ndarray, bool], None]
    ) -> None:
        self.chunks = chunks
        self.report = report
        self._of_best_epoch: np.ndarray | None = None

    def final_logits(self, net) -> np.ndarray:
        """Return the logits of the held-out texts by the fitted net.

        Parameters
        ----------
        net : MultiLabelNet
            A net that was fitted with this callback.

        Returns
        -------
        ndarray of shape (n, n_labels), float32
            The logits that were reported for the epoch whose weights the net has.
            They are computed again if that epoch belongs to an earlier process, or if
            another callback may have changed the weights since.
        """
        is_alone = all(callback is self for callback in net.callbacks)
        if is_alone and self._of_best_epoch is not None:
            return self._of_best_epoch
        return self._logits(net)

    def _logits(self, net) -> np.ndarray:
        with net.predictor() as predictor:
            return np.concatenate([predictor.logits(chunk) for chunk in self.chunks])

    def on_epoch_end(self, net, **kwargs) -> None:
        """Predict and report.

        Parameters
        ----------
        net : MultiLabelNet
        **kwargs
            Ignored.
        """
        epoch = len(net.history)
        net.in_callback_ = False  # only Ctrl-C can interrupt what follows
        logits = self._logits(net)
        if net.is_best_epoch:
            self._of_best_epoch = logits
        try:
            self.report(epoch, logits, epoch == net.max_epochs)
        except Exception:
            # A trial that was pruned or failed is not run again.
            net.run_.remove_states()
            raise
        net.in_callback_ = True

    def __deepcopy__(self, memo) -> EpochReports:
        # A fit copies its callbacks, but the report must reach the one trial.
        return self


def gradient_hook(net: Any) -> Callable[[Batch], None] | None:
    """Return a function that shows the gradients to callbacks; None if none looks.

    Parameters
    ----------
    net : MultiLabelNet
    """
    listeners = [
        callback
        for _, callback in net.callbacks_
        if type(callback).on_grad_computed is not Callback.on_grad_computed
    ]
    if not listeners:
        return None

    def notify(batch: Batch) -> None:
        for callback in listeners:
            callback.on_grad_computed(
                net,
                named_parameters=list(net.module_.named_parameters()),
                batch=batch,
                training=True,
            )

    return notify


def discard(row: str) -> None:
    """Print nothing."""


def print_row(row: str) -> None:
    """Print a row, in plain text if it does not go to a terminal."""
    print(row if sys.stdout.isatty() else _ANSI.sub("", row))
