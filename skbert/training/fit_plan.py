"""The plan of a fit: everything that it needs, checked before weights are loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from skbert.inputs.arguments import (
    check_classes_have_weight,
    check_sample_weight,
    rows_with_weight,
)
from skbert.inputs.targets import Targets, encode_targets, warn_of_constant_labels
from skbert.model_selection.split import multilabel_train_test_split
from skbert.models.checkpoint import Checkpoint, open_checkpoint
from skbert.prediction.streaming import slices, texts_per_chunk
from skbert.runtime.device import resolve_device, resolve_precision
from skbert.runtime.randomness import draw_seed
from skbert.runtime.warn import warn_user
from skbert.tokens.batching import LabelledTokens, TrainingSets
from skbert.tokens.tokenization import Tokens, tokenize
from skbert.training import checks
from skbert.training.fit_checkpoints import check_checkpoint_dir

__all__ = ["FitPlan", "FitSettings", "plan_fit", "resolve_settings", "tokens_for"]

_TRUNCATION_WARNING = 0.1  # share of texts that were cut

# Three epochs suffice for the 43,410 texts of GoEmotions. For 1,022 e-mails, 160
# updates are too few, and 500 or more suffice.
_MIN_EPOCHS = 3
_MAX_EPOCHS = 20
_MIN_STEPS = 640

_SMALL_DATA = 5_000

# The best learning rate is 1e-4 for a width of 384, and 5e-5 for a width of 768.
_LEARNING_RATE_TIMES_WIDTH = 1e-4 * 384


@dataclass(frozen=True)
class FitSettings:
    """The values that a fit uses, none of them "auto"."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    pooling: str
    precision: str
    device: torch.device


@dataclass(frozen=True)
class FitPlan:
    """Everything that a fit needs.

    Attributes
    ----------
    checkpoint : Checkpoint
    sets : TrainingSets
        Sets in which constant labels are unknown, so that the loss ignores them.
    constant : ndarray of shape (n_labels,), bool
        The labels with no positive or no negative in the training set.
    prior_logits : ndarray of shape (n_labels,), float64
    classes : ndarray of shape (2,) or None
        Classes of a one-dimensional y.
    label_names : ndarray of shape (n_labels,), object
    truncated_fraction : float
    settings : FitSettings
    seed : int
    """

    checkpoint: Checkpoint
    sets: TrainingSets
    constant: np.ndarray
    prior_logits: np.ndarray
    classes: np.ndarray | None
    label_names: np.ndarray
    truncated_fraction: float
    settings: FitSettings
    seed: int


def plan_fit(
    estimator, previous: Checkpoint | None, training: tuple, validation: tuple
) -> FitPlan:
    """Check everything and plan the fit.

    Parameters
    ----------
    estimator : TransformerMultiLabelClassifier
    previous : Checkpoint or None
        Checkpoint of the fit that a warm start continues.
    training, validation : tuple of (X, y, sample_weight)

    Raises
    ------
    TypeError, ValueError
        If the data or a parameter is wrong.
    """
    has_validation = (
        validation[0] is not None or estimator.validation_fraction is not None
    )
    checks.check_parameters(estimator, has_validation=has_validation)
    check_checkpoint_dir(estimator)
    texts, targets, weight = _check_set(estimator, *training)
    checks.check_label_parameters(estimator, targets.n_labels)
    valid = _check_validation(estimator, targets, *validation)
    device = resolve_device(estimator.device)
    precision = resolve_precision(estimator.precision, device)
    checkpoint = previous or open_checkpoint(
        estimator.model,
        revision=estimator.revision,
        local_files_only=estimator.local_files_only,
        pooling=estimator.pooling,
    )
    checks.check_against_checkpoint(estimator, checkpoint)

    label_names = targets.names
    if previous is not None:
        _check_same_labels(estimator, label_names, targets)

    seed = draw_seed(estimator.random_state)
    train = _tokenized(estimator, checkpoint, texts, targets, weight)
    sets = _split(estimator, checkpoint, train, valid, seed)
    if sets.valid is not None:
        checks.check_scoring(estimator.scoring, sets.valid.targets)
    truncated = _warn_of_truncation(train.tokens, estimator.max_length)
    return FitPlan(
        checkpoint=checkpoint,
        sets=replace(sets, train=_without_constant_labels(sets.train)),
        constant=sets.train.targets.constant,
        prior_logits=sets.train.targets.prior_logits(sets.train.sample_weight),
        classes=targets.classes,
        label_names=label_names,
        truncated_fraction=truncated,
        settings=resolve_settings(
            estimator,
            n_samples=len(sets.train),
            hidden_size=checkpoint.config.hidden_size,
            pooling=checkpoint.pooling,
            precision=precision,
            device=device,
        ),
        seed=seed,
    )


def _check_set(estimator, X, y, sample_weight, classes=None, suffix=""):
    """Check one set; leave out its rows of weight 0."""
    texts = estimator._check_texts(X, f"X{suffix}")
    targets = encode_targets(y, classes=classes)
    checks.check_same_length(texts, targets, suffix)
    weight = check_sample_weight(sample_weight, len(texts), f"sample_weight{suffix}")
    rows = rows_with_weight(weight)
    if weight is not None and rows is not None:
        texts, targets = [texts[row] for row in rows], targets.take(rows)
        weight = weight[rows]
        if classes is None:
            check_classes_have_weight(targets)
    return texts, targets, weight


def _check_validation(estimator, targets: Targets, X_val, y_val, sample_weight_val):
    if (X_val is None) != (y_val is None):
        missing = "X_val" if X_val is None else "y_val"
        raise ValueError(f"{missing} is missing: X_val and y_val go together.")
    if X_val is None:
        if sample_weight_val is not None:
            raise ValueError("sample_weight_val needs X_val and y_val.")
        return None
    valid = _check_set(
        estimator, X_val, y_val, sample_weight_val, targets.classes, suffix="_val"
    )
    labels, expected = valid[1], targets
    if labels.n_labels != expected.n_labels:
        raise ValueError(
            f"y_val has {labels.n_labels} label(s), but y has {expected.n_labels}."
        )
    if (labels.classes is None) != (expected.classes is None):
        raise ValueError("y and y_val must both have one dimension, or both two.")
    if labels.label_names is not None and expected.label_names is not None:
        differ = labels.label_names != expected.label_names
        if differ.any():
            column = int(np.argmax(differ))
            raise ValueError(
                f"y_val's column {column} is {labels.label_names[column]!r}, but y's "
                f"is {expected.label_names[column]!r}; use y_val[y.columns]."
            )
    return valid


def _tokenized(estimator, checkpoint, texts, targets, weight) -> LabelledTokens:
    tokens = tokenize(
        checkpoint.tokenizer,
        texts,
        max_length=estimator.max_length,
        long_text=estimator.long_text,
        long_text_params=estimator.long_text_params,
    )
    return LabelledTokens(tokens, targets, weight)


def _split(estimator, checkpoint, train: LabelledTokens, valid, seed) -> TrainingSets:
    if valid is not None:
        return TrainingSets(train, _tokenized(estimator, checkpoint, *valid))
    if estimator.validation_fraction is None:
        return TrainingSets(train)
    train_rows, valid_rows, _, _ = multilabel_train_test_split(
        np.arange(len(train)),
        train.targets.with_nan(),
        test_size=estimator.validation_fraction,
        random_state=seed,
    )
    # The rows keep their original order.
    return TrainingSets(
        train.take(np.sort(train_rows)), train.take(np.sort(valid_rows))
    )


def _check_same_labels(estimator, label_names: np.ndarray, targets: Targets) -> None:
    same_kind = (targets.classes is None) == (estimator.classes_.ndim == 2)
    if same_kind and list(label_names) == list(estimator.label_names_):
        if targets.classes is None or list(targets.classes) == list(estimator.classes_):
            return
    raise ValueError(
        f"warm_start=True goes on with the labels {list(estimator.label_names_)}, but "
        f"y has {list(label_names)}. Use warm_start=False for a new set of labels."
    )


def _warn_of_truncation(tokens: Tokens, max_length: int) -> float:
    fraction = float(tokens.truncated.mean())
    if fraction > _TRUNCATION_WARNING:
        longer = f"max_length={max_length} tokens"
        advice = (
            "A larger max_length reads more of them, long_text='head_tail' keeps "
            "their beginnings and ends, long_text='windows' reads on."
        )
        if tokens.windows is not None:
            longer = f"{tokens.windows.max_windows} windows of {longer}"
            advice = "More max_windows in long_text_params read more of them."
        warn_user(
            f"{fraction:.0%} of the texts are longer than {longer} and were cut. "
            + advice,
        )
    return fraction


def _without_constant_labels(train: LabelledTokens) -> LabelledTokens:
    """Make constant labels unknown, because nothing can be learned from them."""
    constant = train.targets.constant
    if not constant.any():
        return train
    warn_of_constant_labels(train.targets)
    known = train.targets.known & ~constant
    return replace(train, targets=replace(train.targets, known=known))


def resolve_settings(
    estimator,
    *,
    n_samples: int,
    hidden_size: int,
    pooling: str,
    precision: str,
    device: torch.device,
) -> FitSettings:
    """Replace every "auto" of an estimator's parameters by its value.

    Parameters
    ----------
    estimator : TransformerMultiLabelClassifier
    n_samples : int
        Size of the training set.
    hidden_size : int
        Width of the encoder.
    pooling, precision : str
    device : torch.device

    Returns
    -------
    FitSettings
    """
    batch_size = estimator.batch_size
    if batch_size == "auto":
        batch_size = 16 if n_samples < _SMALL_DATA else 32
    max_epochs = estimator.max_epochs
    if max_epochs == "auto":
        steps = math.ceil(
            n_samples / (batch_size * estimator.gradient_accumulation_steps)
        )
        max_epochs = min(_MAX_EPOCHS, max(_MIN_EPOCHS, math.ceil(_MIN_STEPS / steps)))
    learning_rate = estimator.learning_rate
    if learning_rate == "auto":
        learning_rate = _LEARNING_RATE_TIMES_WIDTH / hidden_size
    head_learning_rate = estimator.head_learning_rate
    if head_learning_rate == "auto":
        head_learning_rate = 10 * learning_rate
    return FitSettings(
        max_epochs=max_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        head_learning_rate=head_learning_rate,
        pooling=pooling,
        precision=precision,
        device=device,
    )


def tokens_for(classifier, X, n_labels: int) -> list[Tokens]:
    """Tokenize texts as a classifier does that predicts them, before it is fitted.

    Parameters
    ----------
    classifier : TransformerMultiLabelClassifier
    X : sequence of str, length n
    n_labels : int

    Returns
    -------
    list of RaggedTokens or WindowedTokens
        Tokens of the texts that are predicted together, in order; n texts in all.

    Raises
    ------
    TypeError, ValueError
        If `X` is not a sequence of texts, or the model is missing or damaged.
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
