"""Net: the skorch NeuralNet that trains; nothing outside this file sees skorch."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, PrintLog
from torch import Tensor
from torch.nn.utils import get_total_norm
from tqdm import tqdm

from skbert.batching import Batch, LabelledTokens, TrainingBatches
from skbert.best_weights import BestWeights
from skbert.compiled import worth_compiling
from skbert.device import device_here, resolve_precision, storage_dtype
from skbert.epoch_states import EpochStates
from skbert.epoch_table import discard, print_row
from skbert.forks import survive_forks
from skbert.frozen import frozen_states
from skbert.graphs import GraphedStep, with_graphs
from skbert.inference import Predictor, working_precision
from skbert.interrupt import interrupts_are_raised, is_ctrl_c
from skbert.modes import modes_kept
from skbert.module import MultiLabelModule
from skbert.optimizer import continue_optimizer, make_optimizer
from skbert.padding import Padding
from skbert.recorder import CudaRecorder
from skbert.resident import ResidentSet
from skbert.stand_ins import StandIns
from skbert.step import TrainingStep, linear_schedule
from skbert.structure import freeze
from skbert.tokenization import Tokens
from skbert.training_state import put_back, take_state
from skbert.validation import validation_scores

__all__ = ["MultiLabelNet", "TrainingSets"]

# What a net has while it trains.
_TRAINING_ATTRIBUTES = (
    "batches_",
    "step_",
    "best_",
    "always_eval_",
    "frozen_",
    "stand_ins_",
    "states_",
)


@dataclass(frozen=True)
class TrainingSets:
    """What a fit reads: ``train``, and ``valid`` or None."""

    train: LabelledTokens
    valid: LabelledTokens | None = None


class MultiLabelNet(NeuralNet):
    """A skorch net over ragged tokens, with one optimizer step per training step.

    The losses of an epoch stay on the device until it ends, so that no batch waits
    for the one before. Callbacks see all epoch events; batch events carry a loss
    that is still a tensor on the device.

    Parameters
    ----------
    module : MultiLabelModule
        The network itself, not a class.
    criterion : MultiLabelLoss
        The loss itself, not a class.
    padding : Padding
    precision : {"fp32", "bf16", "fp16"}
        What this machine can do.
    asked_precision : {"auto", "fp32", "bf16", "fp16"}
        With "auto", a model that overflows at ``precision`` runs in fp32; the one
        used is ``precision_``.
    head_lr, weight_decay, warmup : float
    max_grad_norm : float or None
    accumulation : int
        Batches per optimizer step.
    trainable_layers : int or None
    freeze_embeddings : bool
    scoring : str or callable
        Chooses the best epoch when there is validation data.
    threshold : float or ndarray of shape (n_labels,)
        The cut of the recorded F1 and accuracy.
    n_iter_no_change : int or None
        Epochs without a better score before training stops.
    seed : int
    **kwargs
        Of ``skorch.NeuralNet``.
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
            # They read per-batch losses as Python numbers: a wait for every batch.
            callbacks__train_loss=None,
            callbacks__valid_loss=None,
            **kwargs,
        )

    # --- what skorch asks a net to say -------------------------------------------

    @property
    def _default_callbacks(self):
        # skorch reads its defaults from this property. The one change: a table only
        # where it is wanted, in plain text where it does not go to a terminal.
        defaults = dict(super()._default_callbacks)
        defaults["print_log"] = PrintLog(sink=print_row if self.verbose else discard)
        return list(defaults.items())

    def initialize_module(self):
        """Use the module that was given, its frozen parts marked."""
        super().initialize_module()
        self.always_eval_ = freeze(
            self.module_,
            self.module_.encoder,
            trainable_layers=self.trainable_layers,
            embeddings=self.freeze_embeddings,
        )
        self.precision_ = working_precision(
            self.module_.to(self.device),
            padding=self._padding,
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
            recorded=self._on_cuda,
        )
        return self

    def get_split_datasets(self, X: TrainingSets, y=None, **fit_params):
        """Return the two sets, split long before."""
        return X.train, X.valid

    def get_iterator(self, dataset: LabelledTokens, training: bool = False):
        """Return the batches of the fit, or a validation set as it is."""
        return self.batches_ if training else dataset

    @property
    def _on_cuda(self) -> bool:
        return torch.device(self.device).type == "cuda"

    @property
    def _padding(self) -> Padding:
        # Each length costs a CUDA graph.
        return self.padding.coarse() if self._on_cuda else self.padding

    @property
    def _training_padding(self) -> Padding:
        # Predictions are padded so by `Predictor`, where a shape costs memory.
        return self._padding if self._on_cuda else replace(self.padding, relative=True)

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
            Of an earlier fit, to go on from (its moments, not its rates).
        keep_optimizer : bool, default=False
            Keep the optimizer and its state for a later fit.
        states : EpochStates, optional
            Where this very fit left off, and where it leaves its states.
        """
        self.initialize()
        self.states_ = states
        if optimizer_state is not None:
            continue_optimizer(self.optimizer_, optimizer_state)
        try:
            with self._frozen_states(sets) as self.frozen_:
                self._train(sets)
            self.best_.restore(self.module_)
            self._check_weights()  # an epoch that was interrupted had no check
        finally:
            self._forget_training()
        if not keep_optimizer:
            del self.optimizer_
        self.module_.zero_grad(set_to_none=True)
        self.module_.eval()
        return self

    def _forget_training(self) -> None:
        """Give up the data, gradients and recordings, also those of a fit that failed.

        They are gigabytes that prediction never needs, and some refer to the net: with
        them it would stay in memory until garbage is collected.
        """
        step = getattr(self, "step_", None)
        if isinstance(step, GraphedStep):
            step.release()
        for name in _TRAINING_ATTRIBUTES:
            if hasattr(self, name):
                delattr(self, name)

    def initialize_for_prediction(self) -> MultiLabelNet:
        """Make the net ready to predict with the weights that it was given."""
        self.initialize()
        del self.optimizer_, self.always_eval_
        self.module_.eval()
        return self

    def _frozen_states(self, sets: TrainingSets):
        return frozen_states(
            self.module_,
            sets.train.tokens.sequences,
            trainable_layers=self.trainable_layers,
            always_eval=self.always_eval_,
            max_epochs=self.max_epochs,
            padding=self._padding,
            device=torch.device(self.device),
            precision=self.precision_,
            progress=bool(self.verbose),
        )

    def _train(self, sets: TrainingSets) -> None:
        device = torch.device(self.device)
        state = self.states_ and self.states_.load()
        if state:
            self.history.extend(state.facts["history"])
            if self.verbose:
                print_row(f"This fit goes on after epoch {state.epoch}.")
        elif self.verbose and self.states_ and (n_others := self.states_.n_others):
            print_row(
                f"{self.states_.folder.parent} holds states of other fits "
                f"({n_others}), of other data, parameters or versions; this one starts "
                "anew."
            )
        self.batches_ = TrainingBatches(
            sets.train,
            batch_size=self.batch_size,
            padding=self._training_padding,
            seed=self.seed,
            accumulation=self.accumulation,
            states=self.frozen_ and self.frozen_.take,
            source=ResidentSet(sets.train, device) if self._on_cuda else None,
        )
        self.batches_.epoch = len(self.history)
        self.stand_ins_ = self._make_stand_ins()
        self.step_ = self._make_step()
        self.best_ = BestWeights()
        self.interrupted_ = False
        self.notify("on_train_begin", X=sets, y=None)
        if state:
            put_back(self, state)
            del state
        try:
            with modes_kept():
                while not self._is_complete():
                    self.fit_loop(sets, epochs=1)
                    if self.states_ and not self._is_complete():
                        self.states_.save(take_state(self))
        except KeyboardInterrupt as interrupt:
            # Ctrl-C, or a callback's way to end the training: skorch's EarlyStopping
            # raises it. Either way the best weights so far are the result. A context
            # that it came in the end of has not given back what it had taken.
            self.stand_ins_.give_back()
            if self.frozen_:
                self.frozen_.part.give_back()
            self.interrupted_ = self.interrupted_ or is_ctrl_c(interrupt)
            if self.interrupted_ and interrupts_are_raised():
                raise
        self.notify("on_train_end", X=sets, y=None)

    def _make_step(self) -> TrainingStep | GraphedStep:
        n_steps = self.batches_.n_steps * self.max_epochs
        step = TrainingStep(
            self.module_,
            self.criterion_,
            self.optimizer_,
            linear_schedule(
                self.optimizer_,
                n_steps,
                self.warmup,
                n_done=self.batches_.n_steps * len(self.history),
            ),
            device=torch.device(self.device),
            precision=self.precision_,
            max_grad_norm=self.max_grad_norm,
            on_grad_computed=self._gradient_hook(),
            given=self.frozen_.given if self.frozen_ else nullcontext,
            collected=None if self._on_cuda else self.stand_ins_.collected,
        )
        if not self._on_cuda:
            return step
        return with_graphs(
            step,
            batch_size=min(self.batch_size, len(self.batches_.dataset)),
            record=CudaRecorder(step.device),
            layers=worth_compiling(
                self.module_.encoder, len(self.batches_) * self.max_epochs
            ),
            windowed=self.batches_.dataset.tokens.windows is not None,
        )

    def _make_stand_ins(self) -> StandIns:
        reduced = self.precision_ != "fp32"
        return StandIns(
            self.module_,
            storage_dtype(self.precision_) if reduced else None,
            exact=self.module_.output_layer,
        )

    def _is_complete(self) -> bool:
        """Say whether all epochs were run, or the last ones brought nothing better."""
        n_epochs, patience = len(self.history), self.n_iter_no_change
        if patience is None or n_epochs < patience:
            return n_epochs >= self.max_epochs
        best = [row[f"{self._score_name}_best"] for row in self.history[-patience:]]
        return n_epochs >= self.max_epochs or not any(best)

    @property
    def is_best_epoch(self) -> bool:
        """Whether the weights of the latest epoch are those that a fit keeps so far.

        Without validation data they always are.
        """
        return self.history[-1].get(f"{self._score_name}_best", True)

    def remove_states(self) -> None:
        """Remove what is on disk: this fit ends here, and so would another like it."""
        if self.states_:
            self.states_.remove()

    @property
    def scaler(self) -> torch.amp.GradScaler:
        """Of the gradients of the step, while training."""
        step = self.step_
        return (step.step if isinstance(step, GraphedStep) else step).scaler

    @property
    def _score_name(self) -> str:
        return f"valid_{self.scoring if isinstance(self.scoring, str) else 'score'}"

    def _gradient_hook(self):
        """Return what tells callbacks of gradients; None if nobody listens."""
        listeners = [
            callback
            for _, callback in self.callbacks_
            if type(callback).on_grad_computed is not Callback.on_grad_computed
        ]
        if not listeners:
            return None

        def notify(batch: Batch) -> None:
            for callback in listeners:
                callback.on_grad_computed(
                    self,
                    named_parameters=list(self.module_.named_parameters()),
                    batch=batch,
                    training=True,
                )

        return notify

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train on every batch, or score the validation set."""
        if iterator is None:
            return
        try:
            if training:
                self._train_epoch(iterator, step_fn)
            else:
                self._validate(iterator)
        except KeyboardInterrupt:
            # Ctrl-C; a callback that ends the training raises it between epochs.
            self.interrupted_ = True
            raise

    def _train_epoch(self, batches: TrainingBatches, step_fn) -> None:
        self.module_.train()
        for part in self.always_eval_:
            part.eval()
        if self.frozen_ and not self.frozen_.is_current():
            batches.states = None
        total = torch.zeros((), dtype=torch.float32, device=self.device)
        for batch in self._with_progress(batches):
            self.notify("on_batch_begin", batch=batch, training=True)
            step = step_fn(batch)
            total += step["loss"]
            self.notify("on_batch_end", batch=batch, training=True, **step)
        # Each step's loss is a mean, so their mean is the epoch's.
        self.history.record("train_loss", total.item() / batches.n_steps)
        self._check_finite("training loss", self.history[-1, "train_loss"])
        # The last step's update is in no loss.
        self._check_weights()

    def _with_progress(self, batches: TrainingBatches):
        if not self.verbose:
            return batches  # a bar that is off would start tqdm's thread all the same
        # disable=None: no bar where standard error is not a terminal.
        return tqdm(
            batches,
            desc=f"epoch {self.history[-1, 'epoch']}/{self.max_epochs}",
            leave=False,
            disable=None,
        )

    def train_step(self, batch: Batch, **fit_params) -> dict:
        """Make one step; its loss stays on the device."""
        return {"loss": self.step_(batch)}

    def _check_weights(self) -> None:
        weights = [p.detach() for p in self.module_.parameters() if p.requires_grad]
        self._check_finite("norm of the weights", get_total_norm(weights).item())

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            self.remove_states()
            raise ValueError(
                f"The {what} became {value} in epoch {len(self.history)}. The "
                f"learning rate is probably too high (learning_rate={self.lr:g}, head "
                f"{self.head_lr:g}): divide it by ten. Extreme pos_weight or "
                "sample_weight can do it, too; precision='fp32' rules out overflow."
            )

    def _validate(self, valid: LabelledTokens) -> None:
        scores = validation_scores(
            self.predict_logits(valid.tokens),
            valid,
            criterion=self.criterion_,
            device=torch.device(self.device),
            name=self._score_name,
            scoring=self.scoring,
            threshold=self.threshold,
        )
        for name, score in scores.items():
            self.history.record(name, score)
        is_best = self.best_.offer(scores[self._score_name], self.module_)
        # skorch's name for "this row is the best so far in that column".
        self.history.record(f"{self._score_name}_best", is_best)

    def __getstate__(self):
        # `module` and `module_` are one object; skorch would pickle it twice.
        state = {**super().__getstate__(), "module": None}
        # While training: graphs and locks belong to a process, stand-ins to a module.
        for name in ("step_", "stand_ins_", "states_"):
            state.pop(name, None)
        return state

    def __setstate__(self, state):
        before = state["device"]
        super().__setstate__({**state, "device": device_here(before)})
        self.module = self.module_
        if self.device != before:
            self.precision_ = self._precision_here()

    def _precision_here(self) -> str:
        """Return what was asked for if this device can do it, otherwise the best."""
        device = torch.device(self.device)
        try:
            precision = resolve_precision(self.asked_precision, device)
        except ValueError:
            precision = resolve_precision("auto", device)
        return working_precision(
            self.module_,
            padding=self._padding,
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
        """Return what predicts texts that come in several parts."""
        survive_forks()
        if self.module_.training:
            self.module_.eval()
        device = torch.device(self.device)
        return Predictor(
            self.module_,
            n_labels=self.module_.output_layer.out_features,
            padding=self._padding,
            device=device,
            precision=self.precision_,
            record=CudaRecorder(device) if self._on_cuda else None,
        )

    def infer(self, x: Batch, **fit_params) -> Tensor:
        """Return the float32 logits of a batch; for callbacks that want them."""
        x = x.to(torch.device(self.device))
        return x.per_text(self.module_(x.input_ids, x.attention_mask).float())

    def get_loss(self, y_pred: Tensor, y_true: Batch, X=None, training=False):
        """Return the loss of logits against a batch."""
        return self.criterion_(y_pred, y_true.targets, y_true.weights)
