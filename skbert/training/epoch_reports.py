"""Epoch reports: a skorch callback that passes each epoch's held-out logits on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from skorch.callbacks import Callback

from skbert.models.checkpoint import open_checkpoint
from skbert.tokens.tokenization import Tokens, tokenize

__all__ = ["EpochReports", "tokens_for"]


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
            net.remove_states()
            raise
        net.in_callback_ = True

    def __deepcopy__(self, memo) -> EpochReports:
        # A fit copies its callbacks. The report goes to one trial, which has no copy.
        return self


def tokens_for(classifier, X) -> Tokens:
    """Tokenize texts as a classifier that is not fitted yet will do.

    Parameters
    ----------
    classifier : TransformerMultiLabelClassifier
    X : sequence of str, length n

    Returns
    -------
    RaggedTokens or WindowedTokens
        Of length n.

    Raises
    ------
    TypeError, ValueError
        If `X` is no sequence of texts, or the model is missing or damaged.
    """
    checkpoint = open_checkpoint(
        classifier.model,
        revision=classifier.revision,
        local_files_only=classifier.local_files_only,
        pooling=classifier.pooling,
    )
    return tokenize(
        checkpoint.tokenizer,
        classifier._check_texts(X),
        max_length=classifier.max_length,
        long_text=classifier.long_text,
        long_text_params=classifier.long_text_params,
    )
