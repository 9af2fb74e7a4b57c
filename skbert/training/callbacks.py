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

    The rows take no part in the fit, neither in an update nor in the choice of an
    epoch, and nothing random is drawn: the fit is the same to the bit without it.

    Parameters
    ----------
    tokens : RaggedTokens or WindowedTokens
        The held-out texts, n of them.
    report : callable
        ``report(epoch, logits, is_last)`` gets the number of the epoch, from 1, an
        array of shape (n, n_labels), float32, and whether it is the last that was
        planned. What it raises ends the fit, for good.
    """

    def __init__(
        self, tokens: Tokens, report: Callable[[int, np.ndarray, bool], None]
    ) -> None:
        self.tokens = tokens
        self.report = report

    def on_epoch_end(self, net, **kwargs) -> None:
        """Predict and report.

        Parameters
        ----------
        net : MultiLabelNet
        **kwargs
            Of no use here.
        """
        epoch = len(net.history)
        net.in_callback_ = False  # only Ctrl-C can interrupt what follows
        logits = net.predict_logits(self.tokens)
        try:
            self.report(epoch, logits, epoch == net.max_epochs)
        except Exception:
            # A trial that was pruned, or failed, is not run again.
            net.run_.remove_states()
            raise
        net.in_callback_ = True

    def __deepcopy__(self, memo) -> EpochReports:
        # A fit copies its callbacks. The report goes to one trial, which has no copy.
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
    """Print a row, in plain text where it does not go to a terminal."""
    print(row if sys.stdout.isatty() else _ANSI.sub("", row))
