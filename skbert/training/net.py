"""The skorch net that trains and predicts."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import PrintLog
from torch import Tensor

from skbert.models.architecture import freeze
from skbert.models.module import MultiLabelModule
from skbert.prediction.predictor import Predictor, working_precision
from skbert.runtime.cuda_graphs import CudaRecorder
from skbert.runtime.device import device_here, resolve_precision
from skbert.runtime.interrupt import interrupts_are_raised
from skbert.runtime.threads import survive_forks
from skbert.tokens.batching import (
    Batch,
    LabelledTokens,
    TrainingSets,
)
from skbert.tokens.padding import Padding
from skbert.tokens.tokenization import Tokens
from skbert.training.callbacks import discard, print_row
from skbert.training.fit_checkpoints import EpochStates
from skbert.training.frozen_states import FrozenStates, frozen_states
from skbert.training.optimizer import (
    continue_optimizer,
    make_optimizer,
)
from skbert.training.run import TrainingRun

__all__ = ["MultiLabelNet"]


class MultiLabelNet(NeuralNet):
    """A skorch net over ragged tokens, with one optimizer step per training step.

    The losses of an epoch stay on the device until it ends, so that no batch waits for
    the one before. Callbacks see all events of epochs and batches. The loss of a batch
    is a tensor on the device.

    Parameters
    ----------
    module : MultiLabelModule
        The network itself, not a class.
    criterion : MultiLabelLoss
        The loss itself, not a class.
    padding : Padding
    precision : {"fp32", "bf16", "fp16"}
        Precision that this machine supports.
    asked_precision : {"auto", "fp32", "bf16", "fp16"}
        Precision that the user asked for. With "auto", a model that overflows at
        ``precision`` runs in fp32. ``precision_`` is the one that is used.
    head_lr, weight_decay, warmup : float
    max_grad_norm : float or None
    accumulation : int
        Batches per optimizer step.
    trainable_layers : int or None
    freeze_embeddings : bool
    scoring : str or callable
        Score that chooses the best epoch if there is validation data.
    threshold : float or ndarray of shape (n_labels,)
        Threshold of the recorded F1 and accuracy.
    n_iter_no_change : int or None
        Epochs without a better score before training stops.
    seed : int
    **kwargs
        Parameters of ``skorch.NeuralNet``.
    """

    def __init__(
        self,
        module: MultiLabelModule,
        criterion,
        *,
        padding: Padding,
        precision: str,
        asked_precision: str = "auto",
        head_lr: float = 1e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        max_grad_norm: float | None = 1.0,
        accumulation: int = 1,
        trainable_layers: int | None = None,
        freeze_embeddings: bool = True,
        scoring="average_precision",
        threshold: float | np.ndarray = 0.5,
        n_iter_no_change: int | None = None,
        seed: int = 0,
        **kwargs,
    ) -> None:
        self.head_lr = head_lr
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.max_grad_norm = max_grad_norm
        self.accumulation = accumulation
        self.trainable_layers = trainable_layers
        self.freeze_embeddings = freeze_embeddings
        self.precision = precision
        self.asked_precision = asked_precision
        self.scoring = scoring
        self.threshold = threshold
        self.n_iter_no_change = n_iter_no_change
        self.padding = padding
        self.seed = seed
        super().__init__(
            module,
            criterion,
            train_split=None,
            # They would wait for the device after every batch to read its loss.
            callbacks__train_loss=None,
            callbacks__valid_loss=None,
            **kwargs,
        )

    # --- hooks of skorch ----------------------------------------------------------

    @property
    def _default_callbacks(self):
        # skorch reads its defaults from this property. Here, the table of epochs is
        # printed only if the user wants it, and in plain text outside of a terminal.
        defaults = dict(super()._default_callbacks)
        defaults["print_log"] = PrintLog(sink=print_row if self.verbose else discard)
        return list(defaults.items())

    def initialize_module(self):
        """Use the given module, and freeze its frozen parts."""
        super().initialize_module()
        self.always_eval_ = freeze(
            self.module_,
            self.module_.encoder,
            trainable_layers=self.trainable_layers,
            embeddings=self.freeze_embeddings,
        )
        self.precision_ = working_precision(
            self.module_.to(self.device),
            padding=self.device_padding,
            device=torch.device(self.device),
            precision=self.precision,
            asked=self.asked_precision,
        )
        return self

    def initialize_optimizer(self, triggered_directly=None):
        """Create AdamW (Loshchilov and Hutter 2019) over the trainable parameters."""
        self.optimizer_ = make_optimizer(
            self.module_,
            learning_rate=self.lr,
            head_learning_rate=self.head_lr,
            weight_decay=self.weight_decay,
            device=torch.device(self.device),
            recorded=self.on_cuda,
        )
        return self

    def get_split_datasets(self, X: TrainingSets, y=None, **fit_params):
        """Return the two sets, which `plan_fit` has split."""
        return X.train, X.valid

    def get_iterator(self, dataset: LabelledTokens, training: bool = False):
        """Return the batches of the training set, or the validation set itself."""
        return self.run_.batches if training else dataset

    @property
    def on_cuda(self) -> bool:
        """Whether the net is on a GPU with CUDA graphs."""
        return torch.device(self.device).type == "cuda"

    @property
    def device_padding(self) -> Padding:
        """Padding to few lengths on a GPU, where each of them costs a CUDA graph."""
        return self.padding.coarse() if self.on_cuda else self.padding

    @property
    def score_name(self) -> str:
        """Name under which the history records the score of the best epoch."""
        return f"valid_{self.scoring if isinstance(self.scoring, str) else 'score'}"

    @property
    def is_best_epoch(self) -> bool:
        """Whether the fit keeps the weights of the latest epoch so far.

        Without validation data it always does.
        """
        return self.history[-1].get(f"{self.score_name}_best", True)

    # --- training -----------------------------------------------------------------

    def fit_sets(
        self,
        sets: TrainingSets,
        optimizer_state: dict | None = None,
        *,
        keep_optimizer: bool = False,
        states: EpochStates | None = None,
    ) -> MultiLabelNet:
        """Train for ``max_epochs``; leave the best epoch's weights in the module.

        Parameters
        ----------
        sets : TrainingSets
        optimizer_state : dict, optional
            State of the optimizer of an earlier fit. Its moments are used, but not its
            learning rates.
        keep_optimizer : bool, default=False
            Whether to keep the optimizer and its state for a later fit.
        states : EpochStates, optional
            The states on disk from which this fit continues and where it saves its own.
        """
        self.initialize()
        if optimizer_state is not None:
            continue_optimizer(self.optimizer_, optimizer_state)
        try:
            with self._frozen_states(sets) as frozen:
                self.run_ = TrainingRun(self, sets, frozen=frozen, states=states)
                self._train(sets)
            self.run_.best.restore(self.module_)
            self.run_.check_weights()  # an epoch that was interrupted had no check
        finally:
            # After a failed fit, too. The run refers to the net, and together they
            # would stay in memory until the garbage collector runs.
            if hasattr(self, "run_"):
                self.run_.release()
                del self.run_
            del self.always_eval_
        if not keep_optimizer:
            del self.optimizer_
        self.module_.zero_grad(set_to_none=True)
        self.module_.eval()
        return self

    def initialize_for_prediction(self) -> MultiLabelNet:
        """Make the net ready to predict with the weights that it was given."""
        self.initialize()
        del self.optimizer_, self.always_eval_
        self.module_.eval()
        return self

    def _frozen_states(
        self, sets: TrainingSets
    ) -> AbstractContextManager[FrozenStates | None]:
        return frozen_states(
            self.module_,
            sets.train.tokens.sequences,
            trainable_layers=self.trainable_layers,
            always_eval=self.always_eval_,
            max_epochs=self.max_epochs,
            padding=self.device_padding,
            device=torch.device(self.device),
            precision=self.precision_,
            progress=bool(self.verbose),
        )

    def _train(self, sets: TrainingSets) -> None:
        self.interrupted_ = self.in_callback_ = False
        self.notify("on_train_begin", X=sets, y=None)
        self.run_.put_back_state()
        try:
            while not self.run_.is_complete():
                self.fit_loop(sets, epochs=1)
                if not self.run_.is_complete():
                    self.run_.save_state()
        except KeyboardInterrupt:
            # The user pressed Ctrl-C, or a callback ended the training: skorch's
            # EarlyStopping raises the same error. Either way the best weights so far
            # are the result.
            self.interrupted_ = not self.in_callback_
            if self.interrupted_ and interrupts_are_raised():
                raise
            self.in_callback_ = False
        self.notify("on_train_end", X=sets, y=None)

    def notify(self, method_name: str, **cb_kwargs) -> None:
        """Call the callbacks; note that they may end the training between epochs."""
        self.in_callback_ = method_name in ("on_epoch_begin", "on_epoch_end")
        super().notify(method_name, **cb_kwargs)
        self.in_callback_ = False

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train on every batch, or score the validation set."""
        if training:
            self.run_.train_epoch(step_fn)
        elif iterator is not None:
            self.run_.validate(iterator)

    def train_step(self, batch: Batch, **fit_params) -> dict:
        """Make one step; its loss stays on the device."""
        return {"loss": self.run_.step(batch)}

    def __getstate__(self):
        # `module` and `module_` are one object, which skorch would pickle twice.
        state = {**super().__getstate__(), "module": None}
        state.pop("run_", None)  # its graphs and locks belong to this process
        return state

    def __setstate__(self, state):
        before = state["device"]
        super().__setstate__({**state, "device": device_here(before)})
        self.module = self.module_
        if self.device != before:
            self.precision_ = self._precision_here()

    def _precision_here(self) -> str:
        """Return the precision that was asked for, or the best that this device has."""
        device = torch.device(self.device)
        try:
            precision = resolve_precision(self.asked_precision, device)
        except ValueError:
            precision = resolve_precision("auto", device)
        return working_precision(
            self.module_,
            padding=self.device_padding,
            device=device,
            precision=precision,
            asked="auto",
        )

    # --- prediction ---------------------------------------------------------------

    def predict_logits(self, tokens: Tokens) -> np.ndarray:
        """Return the logits, shape (n_texts, n_labels), float32."""
        with self.predictor() as predictor:
            return predictor.logits(tokens)

    def predictor(self) -> Predictor:
        """Return a predictor, for texts that come in several parts."""
        survive_forks()
        if self.module_.training:
            self.module_.eval()
        device = torch.device(self.device)
        return Predictor(
            self.module_,
            n_labels=self.module_.output_layer.out_features,
            padding=self.device_padding,
            device=device,
            precision=self.precision_,
            record=CudaRecorder(device) if self.on_cuda else None,
        )

    def infer(self, x: Batch, **fit_params) -> Tensor:
        """Return the float32 logits of a batch, for callbacks that need them."""
        x = x.to(torch.device(self.device))
        return x.per_text(self.module_(x.input_ids, x.attention_mask).float())

    def get_loss(self, y_pred: Tensor, y_true: Batch, X=None, training=False):
        """Return the loss of logits against a batch."""
        return self.criterion_(y_pred, y_true.targets, y_true.weights)
