"""One run of training: what a net has only while it trains, and what it does then."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn.utils import get_total_norm
from tqdm import tqdm

from skbert.runtime.cuda_graphs import CudaRecorder
from skbert.tokens.batching import Batch, LabelledTokens, TrainingBatches, TrainingSets
from skbert.training.callbacks import gradient_hook, print_row
from skbert.training.device_dataset import resident_set
from skbert.training.fit_checkpoints import EpochState, EpochStates
from skbert.training.frozen_states import FrozenStates
from skbert.training.grad_buffers import EmbeddingBuffers
from skbert.training.graphs import GraphedStep, with_graphs, worth_compiling
from skbert.training.optimizer import linear_schedule
from skbert.training.step import TrainingStep
from skbert.training.training_state import BestWeights, put_back, take_state
from skbert.training.validation import validation_scores

if TYPE_CHECKING:
    from skbert.training.net import MultiLabelNet

__all__ = ["TrainingRun"]


class TrainingRun:
    """The data, gradients, recordings and best weights of a net that trains.

    They take gigabytes that prediction never needs, so that the net keeps the run only
    until training ends.

    Parameters
    ----------
    net : MultiLabelNet
        Initialized.
    sets : TrainingSets
    frozen : FrozenStates or None
        The outputs of the frozen layers, if they are computed once for all epochs.
    states : EpochStates or None
        The states on disk from which this fit continues, and where it saves its own.
    """

    def __init__(
        self,
        net: MultiLabelNet,
        sets: TrainingSets,
        *,
        frozen: FrozenStates | None,
        states: EpochStates | None,
    ) -> None:
        self._net = net
        self.frozen = frozen
        self.states = states
        self.best = BestWeights()
        self._saved = self._load_state()
        self.batches = self._make_batches(sets)
        self.step = self._make_step()

    # --- states on disk -------------------------------------------------------------

    def _load_state(self) -> EpochState | None:
        """Return the state from which this fit continues; extend the history by it."""
        if self.states is None:
            return None
        state = self.states.load()
        if state is not None:
            self._net.history.extend(state.facts["history"])
        if self._net.verbose and state is not None:
            print_row(f"This fit continues after epoch {state.epoch}.")
        elif self._net.verbose and (n_others := self.states.n_others):
            print_row(
                f"{self.states.folder.parent} holds states of {n_others} other fits, "
                "with other data, parameters or versions. This fit starts anew."
            )
        return state

    def put_back_state(self) -> None:
        """Put back the weights, moments and random states that were loaded."""
        if self._saved is not None:
            put_back(self._net, self._saved)
            self._saved = None  # its tensors take memory

    def save_state(self) -> None:
        """Save the state after an epoch, if states are kept."""
        if self.states is not None:
            self.states.save(take_state(self._net))

    def remove_states(self) -> None:
        """Remove the states on disk, because every fit like this one ends here."""
        if self.states is not None:
            self.states.remove()

    # --- epochs -----------------------------------------------------------------------

    def is_complete(self) -> bool:
        """Return whether all epochs are done, or the last ones brought no progress."""
        net = self._net
        n_epochs, patience = len(net.history), net.n_iter_no_change
        if patience is None or n_epochs < patience:
            return n_epochs >= net.max_epochs
        best = [row[f"{net.score_name}_best"] for row in net.history[-patience:]]
        return n_epochs >= net.max_epochs or not any(best)

    def train_epoch(self, step_fn: Callable[[Batch], dict]) -> None:
        """Train on every batch, and record the mean loss."""
        net = self._net
        net.module_.train()
        for part in net.always_eval_:
            part.eval()
        if self.frozen is not None and not self.frozen.is_current():
            self.batches.states = None
        total = torch.zeros((), dtype=torch.float32, device=net.device)
        for batch in self._with_progress():
            net.notify("on_batch_begin", batch=batch, training=True)
            step = step_fn(batch)
            total += step["loss"]
            net.notify("on_batch_end", batch=batch, training=True, **step)
        # Each step's loss is a mean, so that their mean is the epoch's.
        net.history.record("train_loss", total.item() / self.batches.n_steps)
        self._check_finite("training loss", net.history[-1, "train_loss"])
        # No loss shows the update of the last step.
        self.check_weights()

    def validate(self, valid: LabelledTokens) -> None:
        """Record the scores of the validation set, and keep the best weights."""
        net = self._net
        scores = validation_scores(
            net.predict_logits(valid.tokens),
            valid,
            criterion=net.criterion_,
            device=torch.device(net.device),
            name=net.score_name,
            scoring=net.scoring,
            threshold=net.threshold,
        )
        for name, score in scores.items():
            net.history.record(name, score)
        is_best = self.best.offer(scores[net.score_name], net.module_)
        # skorch's name for "this row is the best so far in that column".
        net.history.record(f"{net.score_name}_best", is_best)

    def check_weights(self) -> None:
        """Raise an error if a weight is infinite or NaN."""
        module = self._net.module_
        weights = [p.detach() for p in module.parameters() if p.requires_grad]
        self._check_finite("norm of the weights", get_total_norm(weights).item())

    def _check_finite(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        self.remove_states()
        net = self._net
        raise ValueError(
            f"The {what} became {value} in epoch {len(net.history)}. The learning rate "
            f"is probably too high (learning_rate={net.lr:g}, head {net.head_lr:g}): "
            "divide it by ten. Extreme values of pos_weight or sample_weight can cause "
            "it, too. precision='fp32' rules out overflow."
        )

    def _with_progress(self) -> Iterable[Batch]:
        net = self._net
        if not net.verbose:
            return self.batches  # even a disabled bar starts a thread of tqdm
        # disable=None: no bar if standard error is not a terminal.
        return tqdm(
            self.batches,
            desc=f"epoch {net.history[-1, 'epoch']}/{net.max_epochs}",
            leave=False,
            disable=None,
        )

    # --- parts ------------------------------------------------------------------------

    def _make_batches(self, sets: TrainingSets) -> TrainingBatches:
        net, device = self._net, torch.device(self._net.device)
        padding = net.device_padding
        if not net.on_cuda:
            # torch keeps memory for every shape; `Predictor` does the same.
            padding = replace(padding, relative=True)
        batches = TrainingBatches(
            sets.train,
            batch_size=net.batch_size,
            padding=padding,
            seed=net.seed,
            accumulation=net.accumulation,
            states=None if self.frozen is None else self.frozen.take,
            source=resident_set(sets.train, device) if net.on_cuda else None,
        )
        batches.epoch = len(net.history)
        return batches

    def _make_step(self) -> TrainingStep | GraphedStep:
        net, batches = self._net, self.batches
        buffers = EmbeddingBuffers(net.module_)
        step = TrainingStep(
            net.module_,
            net.criterion_,
            net.optimizer_,
            linear_schedule(
                net.optimizer_,
                batches.n_steps * net.max_epochs,
                net.warmup,
                n_done=batches.n_steps * len(net.history),
            ),
            device=torch.device(net.device),
            precision=net.precision_,
            max_grad_norm=net.max_grad_norm,
            on_grad_computed=gradient_hook(net),
            given=nullcontext if self.frozen is None else self.frozen.given,
            collected=buffers.collected,
        )
        if not net.on_cuda:
            return step
        n_batches = len(batches) * net.max_epochs
        return with_graphs(
            step,
            batch_size=min(net.batch_size, len(batches.dataset)),
            record=CudaRecorder(step.device),
            layers=worth_compiling(net.module_.encoder, n_batches),
            windowed=batches.dataset.tokens.windows is not None,
        )

    @property
    def scaler(self) -> torch.amp.GradScaler:
        """The scaler of the losses, which is active at fp16."""
        step = self.step
        return (step.step if isinstance(step, GraphedStep) else step).scaler

    def release(self) -> None:
        """Release the memory of recorded steps."""
        if isinstance(self.step, GraphedStep):
            self.step.release()
