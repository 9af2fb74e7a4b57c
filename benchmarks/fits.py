"""Fits: one epoch of skbert and one of transformers' Trainer, timed alike.

Of both are timed the tokenization of all texts, and what lies between the callbacks
`on_train_begin` and `on_train_end`. Left out of both are the loading of the model, the
making of the optimizer and, of the Trainer, the sorting by length: those take the same
time however long the training is.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inputs import few_texts
from skorch.callbacks import Callback
from timing import Clock
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)

from skbert import TransformerMultiLabelClassifier
from skbert.models.checkpoint import open_checkpoint
from skbert.runtime.quiet import quiet_transformers
from skbert.tokens.tokenization import tokenize


@dataclass(frozen=True)
class Task:
    """What both sides learn, and by which clock."""

    folder: Path
    texts: list[str]
    y: np.ndarray
    max_length: int
    device: torch.device
    clock: Clock

    def n_updates(self, batch_size: int) -> int:
        """Return the optimizer steps of an epoch."""
        return -(-len(self.texts) // batch_size)


class Stopwatch(Callback):
    """Measures the training of a skorch net, and counts its batches."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seconds = 0.0
        self.n_updates = 0

    def __deepcopy__(self, memo):
        return self  # a fit copies its callbacks; this one is to tell

    def on_train_begin(self, net, **kwargs):
        self.start = self.clock()

    def on_batch_end(self, net, **kwargs):
        self.n_updates += 1

    def on_train_end(self, net, **kwargs):
        self.seconds = self.clock() - self.start


class TrainerStopwatch(TrainerCallback):
    """Measures the training of a Trainer."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seconds = 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        self.start = self.clock()

    def on_train_end(self, args, state, control, **kwargs):
        self.seconds = self.clock() - self.start


@dataclass
class SkbertFit:
    """An epoch of the classifier.

    Parameters
    ----------
    task : Task
    batch_size : int
    params : dict
        Further parameters of the classifier.
    """

    task: Task
    batch_size: int
    params: dict[str, Any] = field(default_factory=dict)

    def __call__(self) -> float:
        """Fit; return the seconds."""
        task, clock = self.task, self.task.clock
        tokenizer = open_checkpoint(task.folder).tokenizer
        start = clock()
        # As `fit` does it, once more and alone, because no callback sees it.
        tokenize(tokenizer, list(task.texts), max_length=task.max_length)
        seconds = clock() - start
        stopwatch = Stopwatch(clock)
        clf = TransformerMultiLabelClassifier(
            task.folder,
            max_length=task.max_length,
            max_epochs=1,
            batch_size=self.batch_size,
            device=task.device,
            random_state=0,
            net_callbacks=[stopwatch],
            **self.params,
        )
        with few_texts():
            clf.fit(task.texts, task.y)
        check_updates(stopwatch.n_updates, task.n_updates(self.batch_size))
        return seconds + stopwatch.seconds


@dataclass
class TrainerFit:
    """An epoch of the Trainer: no evaluation, nothing saved, nothing logged.

    Parameters
    ----------
    task : Task
    batch_size : int
    arguments : dict
        Further TrainingArguments.
    config : dict
        What is changed of the model's configuration.
    freeze_embeddings : bool
    pad_to_max_length : bool
        Pad every text to ``max_length``, and not a batch to its longest text.
    """

    task: Task
    batch_size: int
    arguments: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    freeze_embeddings: bool = False
    pad_to_max_length: bool = False

    def __call__(self) -> float:
        """Train; return the seconds."""
        clock = self.task.clock
        with quiet_transformers(), tempfile.TemporaryDirectory() as output:
            model = self._load()
            tokenizer = AutoTokenizer.from_pretrained(self.task.folder)
            start = clock()
            dataset = self._tokenize(tokenizer)
            seconds = clock() - start
            stopwatch = TrainerStopwatch(clock)
            trainer = Trainer(
                model,
                self._arguments(output),
                train_dataset=dataset,
                processing_class=tokenizer,
                data_collator=default_data_collator
                if self.pad_to_max_length
                else DataCollatorWithPadding(tokenizer),
                callbacks=[stopwatch],
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        expected = self.task.n_updates(self.batch_size)
        check_updates(trainer.state.global_step, expected)
        return seconds + stopwatch.seconds

    def _load(self):
        model = AutoModelForSequenceClassification.from_pretrained(
            self.task.folder,
            num_labels=self.task.y.shape[1],
            problem_type="multi_label_classification",
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            **self.config,
        )
        if self.freeze_embeddings:
            model.base_model.embeddings.requires_grad_(False)
        return model

    def _tokenize(self, tokenizer) -> list[dict]:
        encoded = tokenizer(
            self.task.texts,
            truncation=True,
            max_length=self.task.max_length,
            padding="max_length" if self.pad_to_max_length else False,
        )
        labels = self.task.y.astype(np.float32).tolist()
        keys = list(encoded)
        columns = zip(*encoded.values(), strict=True)
        return [
            dict(zip(keys, cells, strict=True)) | {"labels": row}
            for cells, row in zip(columns, labels, strict=True)
        ]

    def _arguments(self, output: str) -> TrainingArguments:
        return TrainingArguments(
            output,
            num_train_epochs=1,
            per_device_train_batch_size=self.batch_size,
            use_cpu=self.task.device.type == "cpu",
            eval_strategy="no",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **self.arguments,
        )


def check_updates(found: int, expected: int) -> None:
    """Make sure that both sides do the same number of updates."""
    if found != expected:
        raise RuntimeError(f"{found} updates were made, {expected} were to be timed")
