"""Epoch reports: a skorch callback that passes each epoch's held-out logits on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from skorch.callbacks import Callback

from skbert.checkpoint import open_checkpoint
from skbert.streaming import slices, texts_per_chunk
from skbert.tokenization import Tokens, tokenize

__all__ = ["EpochReports", "tokens_for"]


class EpochReports(Callback):
    """Report the logits of held-out texts after every epoch.

    The rows take no part in the fit, neither in an update nor in the choice of an
    epoch, and nothing random is drawn: the fit is the same to the bit without it.

    Parameters
    ----------
    chunks : list of RaggedTokens or WindowedTokens
        The held-out texts, n of them, as `tokens_for` returns them.
    report : callable
        ``report(epoch, logits, is_last)`` gets the number of the epoch, from 1, an
        array of shape (n, n_labels), float32, and whether it is the last that was
        planned. What it raises ends the fit, for good.
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
            After its fit with this callback.

        Returns
        -------
        ndarray of shape (n, n_labels), float32
            Those that were reported for the epoch whose weights the net has. They are
            computed again where that epoch belongs to a fit that this one went on
            from, and where another callback may have changed the weights since.
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
            Of no use here.
        """
        epoch = len(net.history)
        logits = self._logits(net)
        if net.is_best_epoch:
            self._of_best_epoch = logits
        try:
            self.report(epoch, logits, epoch == net.max_epochs)
        except Exception:
            # A trial that was pruned, or failed, is not run again.
            net.remove_states()
            raise

    def __deepcopy__(self, memo) -> EpochReports:
        # A fit copies its callbacks. The report goes to one trial, which has no copy.
        return self


def tokens_for(classifier, X, n_labels: int) -> list[Tokens]:
    """Tokenize texts as a classifier that is not fitted yet will do to predict them.

    Parameters
    ----------
    classifier : TransformerMultiLabelClassifier
    X : sequence of str, length n
    n_labels : int

    Returns
    -------
    list of RaggedTokens or WindowedTokens
        The texts that are predicted together, in order. Together they have length n.

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
    return [
        tokenize(
            checkpoint.tokenizer,
            texts,
            max_length=classifier.max_length,
            long_text=classifier.long_text,
            long_text_params=classifier.long_text_params,
        )
        for texts in slices(classifier._check_texts(X), texts_per_chunk(n_labels))
    ]
