"""Training steps that are recorded as one CUDA graph for each shape of a batch.

See `skbert.runtime.cuda_graphs` for the reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from skbert.models.architecture import encoder_layers
from skbert.models.frozen_part import replaced
from skbert.runtime.cuda_graphs import (
    ONE_RECORDING,
    RecordedShapes,
    Recorder,
    RecordingError,
    first_paragraph,
)
from skbert.runtime.warn import warn_user
from skbert.tokens.batching import Batch
from skbert.training.step import TrainingStep

__all__ = [
    "MOST_LENGTHS",
    "STEPS_TO_COMPILE",
    "CompiledLayers",
    "GraphedStep",
    "with_graphs",
    "worth_compiling",
]

# Batches of one shape that run eagerly before the shape is recorded. Recording costs
# about as much as four steps: two warm-up runs, the recorded run and waits for the
# device. So the number is at most twice the best choice, whatever the length of a fit.
_EAGER_STEPS = 4

# On an H100, a recorded step of BERT-base with 32 texts takes 7.74 ms (4,135 texts/s),
# and 6.74 ms (4,745 texts/s) with compiled layers. Compilation takes 16 to 23 s, which
# pays after 16,000 to 23,000 steps of 32 texts, or 11,000 to 16,000 of 128 texts.
STEPS_TO_COMPILE = 25_000

# torch compiles one function for eight shapes at most, and warns about the ninth.
MOST_LENGTHS = 8


def with_graphs(
    step: TrainingStep,
    *,
    batch_size: int,
    record: Recorder,
    layers: Iterable[nn.Module] = (),
    windowed: bool = False,
) -> TrainingStep | GraphedStep:
    """Return a step that is recorded, or the step itself if it cannot be recorded.

    It cannot be recorded at fp16, because the scaler of the losses keeps part of its
    state in Python. It cannot if texts are read in windows, because their batches have
    any number of sequences. And it cannot, with a warning, if a callback looks at the
    gradients.

    Parameters
    ----------
    step : TrainingStep
    batch_size : int
    record : callable
    layers : iterable of Module, default=()
        See `GraphedStep`.
    windowed : bool, default=False
        Whether texts are read in windows.
    """
    if step.precision == "fp16" or windowed:
        return step
    if step.on_grad_computed is not None:
        warn_user(
            "A callback looks at the gradients, so that training does without CUDA "
            "graphs. The results are the same, but it is slower.",
        )
        return step
    return GraphedStep(step, batch_size=batch_size, record=record, layers=layers)


class GraphedStep:
    """A training step that is recorded once for each shape of a batch.

    The first batches of a shape run eagerly. They create the gradients and the
    optimizer's state, which recorded steps then change in place.

    Parameters
    ----------
    step : TrainingStep
        Without ``on_grad_computed``, because a replay shows its gradients to nobody.
    batch_size : int
        Rows of a recorded batch. A shorter batch is filled up with rows of weight 0.
    record : callable
        A `CudaRecorder`, or a replacement in tests.
    layers : iterable of Module, default=()
        Layers to compile while steps are recorded.
    """

    def __init__(
        self,
        step: TrainingStep,
        *,
        batch_size: int,
        record: Recorder,
        layers: Iterable[nn.Module] = (),
    ) -> None:
        self.step = step
        self.batch_size = batch_size
        self._recorder = record
        layers = list(layers)
        self._compiled = CompiledLayers(layers) if layers else None
        self._compiled_lengths: set[int] = set()
        self._shapes: RecordedShapes[_RecordedStep] = RecordedShapes(
            _EAGER_STEPS, "Training"
        )
        self._trainable = self._flags()
        step.keeps_gradients = True

    @property
    def n_shapes(self) -> int:
        """Number of recorded shapes."""
        return len(self._shapes)

    def __call__(self, batch: Batch) -> Tensor:
        """Train on one batch; return its loss, still on the device."""
        batch = batch.to(self.step.device)
        with ONE_RECORDING:
            self._follow_thawing()
            recorded = self._shapes.get(_shape(batch), partial(self._record, batch))
            if recorded is None:
                return self.step(batch)
            loss = recorded(batch)
        self.step.pass_on(batch)
        return loss

    def release(self) -> None:
        """Free the recordings and their memory."""
        self._shapes.clear()

    def _flags(self) -> list[bool]:
        return [parameter.requires_grad for parameter in self.step.parameters]

    def _follow_thawing(self) -> None:
        """Discard all recordings if a callback has frozen or unfrozen a parameter."""
        flags = self._flags()
        if flags == self._trainable:
            return
        self._trainable = flags
        self._shapes.clear()
        for parameter in self.step.parameters:
            if not parameter.requires_grad:
                parameter.grad = None  # so that the optimizer skips it

    def _record(self, batch: Batch) -> _RecordedStep:
        make = partial(_RecordedStep, self.step, batch, self.batch_size, self._recorder)
        length = batch.input_ids.shape[1]
        lengths = self._compiled_lengths | {length}
        if self._compiled is None or len(lengths) > MOST_LENGTHS:
            return make()
        try:
            with self._compiled.in_place():
                recorded = make()
        except RecordingError:  # it is not the compiler that failed
            raise
        except Exception as error:  # compilers fail in many ways
            self._compiled = None
            warn_user(
                f"The layers cannot be compiled here ({first_paragraph(error)}). "
                "Training continues without, with the same results but slower.",
            )
            return make()
        self._compiled_lengths = lengths
        return recorded


class _RecordedStep:
    """A training step of one shape, with the memory that it reads.

    Parameters
    ----------
    step : TrainingStep
    batch : Batch
        A batch of the shape. Its content is not used.
    n_rows : int
    record : callable
    """

    def __init__(
        self, step: TrainingStep, batch: Batch, n_rows: int, record: Recorder
    ) -> None:
        self._batch = buffers = _blank(batch, n_rows)
        self._loss = result = torch.zeros((), dtype=torch.float32, device=step.device)
        others = [step.device] if step.device.type == "cuda" else []

        def warm_up() -> None:
            # The rows have weight 0 and their gradients are zero, so that this changes
            # nothing. The masks are not all ones, because transformers would take
            # another path for those than while it is recorded.
            with torch.random.fork_rng(others):
                step.compute(replace(buffers, ends_step=False))

        self._replay = record(lambda: result.copy_(step.compute(buffers)), warm_up)
        # The recording holds their addresses, so that they must never be freed.
        self._gradients = [parameter.grad for parameter in step.parameters]

    def __call__(self, batch: Batch) -> Tensor:
        """Train on a batch; return its loss, still on the device."""
        _fill(self._batch, batch)
        self._replay()
        return self._loss.clone()  # the next replay writes to it


def _shape(batch: Batch) -> Hashable:
    states = (
        None if batch.states is None else (batch.states.shape[1:], batch.states.dtype)
    )
    return batch.input_ids.shape[1], batch.ends_step, states


def _tensors(batch: Batch) -> dict[str, Tensor]:
    found = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in found.items() if torch.is_tensor(value)}


def _blank(batch: Batch, n_rows: int) -> Batch:
    """Return a batch like another one, with ``n_rows`` rows of weight 0."""
    empty: dict[str, Any] = {
        name: tensor.new_empty((n_rows, *tensor.shape[1:]))
        for name, tensor in _tensors(batch).items()
    }
    blank = replace(batch, **empty)
    _blank_rows(blank, 0)
    return blank


def _fill(buffers: Batch, batch: Batch) -> None:
    """Copy a batch into the first rows; give all other rows weight 0."""
    sources = _tensors(batch)
    for name, buffer in _tensors(buffers).items():
        buffer[: len(batch)].copy_(sources[name], non_blocking=True)
    if len(batch) < len(buffers):
        _blank_rows(buffers, len(batch))


def _blank_rows(buffers: Batch, start: int) -> None:
    for buffer in _tensors(buffers).values():
        buffer[start:] = 0
    # Attention to no token, and the mean of no token, are not defined.
    buffers.attention_mask[start:, 0] = 1


def worth_compiling(encoder: PreTrainedModel, n_steps: int) -> list[nn.Module]:
    """Return the encoder's trainable layers if a fit is long enough, else none.

    Parameters
    ----------
    encoder : PreTrainedModel
    n_steps : int
        Number of batches of the whole fit.
    """
    if n_steps < STEPS_TO_COMPILE:
        return []
    return [
        layer
        for layer in encoder_layers(encoder)
        if any(parameter.requires_grad for parameter in layer.parameters())
    ]


class CompiledLayers:
    """Layers whose compiled forward methods can be put in place.

    They are in place within a context only. Whatever runs elsewhere, such as
    validation, other shapes or saving, meets the layers as they were.

    Parameters
    ----------
    layers : iterable of Module
        Layers with a forward method of their own instance are left alone.
    **options
        Options of ``torch.compile``.
    """

    def __init__(self, layers: Iterable[nn.Module], **options) -> None:
        self._compiled = [
            (layer, torch.compile(layer.forward, dynamic=False, **options))
            for layer in layers
            if "forward" not in vars(layer)
        ]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Run the compiled layers within the context."""
        with ExitStack() as stack:
            # Compilers warn about their own work.
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for layer, forward in self._compiled:
                stack.enter_context(replaced([layer], "forward", forward))
            yield
