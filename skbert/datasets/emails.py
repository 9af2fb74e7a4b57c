"""Synthetic e-mails, composed at random of invented phrases.

The phrases are in ``phrases.json``. A pool is a list of phrases. A ``{slot}`` in a
phrase stands for one of another pool, or for one that the writer makes itself:

- ``{thing}`` and ``{chat}`` depend on the topic, which carries the reason.
- ``{do}``, ``{doing}`` and ``{done}`` are a task in three verb forms.
- ``{tasks}`` are the tasks of a request, as many as the e-mail counts.
- ``{by_when}`` is a deadline that fits the expected reply.
- ``{first}``, ``{surname}``, ``{n}`` and ``{clock}`` are names and numbers.

Phrases early in a pool are drawn more often than late ones, so that the rare phrases of
a test set have not all been seen in training.
"""

from __future__ import annotations

import json
import numbers
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state

__all__ = ["make_emails"]

_PHRASES = files("skbert.datasets").joinpath("phrases.json")
phrases = SimpleNamespace(**json.loads(_PHRASES.read_text(encoding="utf-8")))

_ACT_WEIGHTS = {
    "amend": 0.09,
    "commit": 0.14,
    "deliver": 0.22,
    "greet": 0.11,
    "propose": 0.13,
    "refuse": 0.06,
    "remind": 0.08,
    "request": 0.40,
}
# How much likelier an act is than usual when the e-mail has this reason.
_ACT_TILT: dict[str, dict[str, float]] = {
    "administration": {"request": 1.4, "remind": 2.0},
    "employment": {"refuse": 2.0, "deliver": 1.3},
    "external": {"deliver": 1.5, "commit": 1.5},
    "legal": {"amend": 2.5, "deliver": 1.5},
    "logistics": {"propose": 1.8, "amend": 1.8},
    "personal": {"greet": 6.0, "propose": 1.5, "deliver": 0.5},
    "travel": {"commit": 1.5, "amend": 2.0},
}
_REASON_WEIGHTS = {
    "administration": 0.15,
    "employment": 0.06,
    "external": 0.14,
    "internal": 0.21,
    "legal": 0.09,
    "logistics": 0.18,
    "other": 0.02,
    "personal": 0.09,
    "travel": 0.06,
}
_N_ACTS_WEIGHTS = {1: 0.48, 2: 0.36, 3: 0.16}
_N_TASKS_WEIGHTS = {1: 0.60, 2: 0.26, 3: 0.14}
# Without and with a task for the reader.
_REPLY_WEIGHTS = (
    {"accountable": 0.27, "ignore": 0.53, "immediate": 0.10, "postponed": 0.10},
    {"accountable": 0.22, "ignore": 0.04, "immediate": 0.42, "postponed": 0.32},
)

_ACTS = tuple(phrases.acts)
_REASONS = tuple(phrases.topics)
_REPLIES = tuple(phrases.replies)
_MAX_TASKS = 3

_LABELS = (
    *(f"act_{name}" for name in _ACTS),
    *(f"reason_{name}" for name in _REASONS),
    *(f"reply_{name}" for name in _REPLIES),
    *(f"tasks_{count}" for count in range(_MAX_TASKS + 1)),
)


class _Writer:
    """Draws phrases and fills their slots.

    Parameters
    ----------
    rng : RandomState
        Source of all randomness. Only `random_sample` is used, once per draw: it is
        the fastest scalar draw there is.
    """

    _slot = re.compile(r"\{(\w+)\}")

    def __init__(self, rng: np.random.RandomState):
        self._uniform = rng.random_sample
        self.topic: Mapping[str, Sequence[str]] = {}
        self.reply = ""
        self.n_tasks = 0

    def chance(self, probability: float) -> bool:
        return self._uniform() < probability

    def below(self, bound: int) -> int:
        return int(bound * self._uniform())

    def pick(self, pool: Sequence[Any]) -> Any:
        """Draw from a pool, early phrases more often than late ones."""
        return pool[int(len(pool) * self._uniform() ** 1.7)]

    def weighted(self, weights: Mapping[Any, float]) -> Any:
        left = self._uniform() * sum(weights.values())
        *keys, last = weights
        for key in keys:
            left -= weights[key]
            if left < 0:
                return key
        return last

    def shuffled(self, items: Sequence[Any]) -> list[Any]:
        return sorted(items, key=lambda _: self._uniform())

    def sentence(self, pool: Sequence[str]) -> str:
        filled = self.fill(self.pick(pool))
        return filled[0].upper() + filled[1:]

    def fill(self, phrase: str) -> str:
        return self._slot.sub(lambda match: self._fill_slot(match[1]), phrase)

    def _fill_slot(self, slot: str) -> str:
        special = getattr(self, f"_{slot}", None)
        if special is not None:
            return special()
        return self.fill(self.pick(phrases.slots[slot]))

    # The slots that are not simply drawn from a pool:

    def _thing(self) -> str:
        own = self.chance(0.8)
        return self.fill(self.pick(self.topic["things"] if own else phrases.any_things))

    def _task(self, form: int) -> str:
        verbs, objects = self.pick(phrases.tasks)
        return f"{self.pick(verbs)[form]} {self.fill(self.pick(objects))}"

    def _do(self) -> str:
        return self._task(0)

    def _doing(self) -> str:
        return self._task(1)

    def _done(self) -> str:
        return self._task(2)

    def _tasks(self) -> str:
        *some, last = (self._do() for _ in range(self.n_tasks))
        return f"{', '.join(some)} and {last}" if some else last

    def _by_when(self) -> str:
        deadline = self.fill(self.pick(phrases.deadlines[self.reply]))
        return f" {deadline}" if deadline and self.chance(0.5) else ""

    def _first(self) -> str:
        return self.pick(phrases.first_names)

    def _surname(self) -> str:
        return self.pick(phrases.surnames)

    def _n(self) -> str:
        return str(2 + self.below(60))

    def _clock(self) -> str:
        return f"{8 + self.below(11)}:{self.pick(('00', '30', '15', '45'))}"


def _write_email(write: _Writer) -> tuple[str, set[str]]:
    """Return the text of one e-mail and its labels."""
    reasons = _reasons(write)
    acts = _acts(write, reasons[0])
    tasks_of = {
        act: write.weighted(_N_TASKS_WEIGHTS)
        for act in acts
        if act in ("request", "remind")
    }
    n_tasks = min(sum(tasks_of.values()), _MAX_TASKS)
    reply = write.weighted(_REPLY_WEIGHTS[n_tasks > 0])
    write.reply = reply
    text = _message(write, acts, reasons, tasks_of) + _thread(write, reasons)
    return _mistype(write, text), _annotate(write, acts, reasons, reply, n_tasks)


def _reasons(write: _Writer) -> list[str]:
    first = write.weighted(_REASON_WEIGHTS)
    if not write.chance(0.12):
        return [first]
    others = {name: p for name, p in _REASON_WEIGHTS.items() if name != first}
    return [first, write.weighted(others)]


def _acts(write: _Writer, reason: str) -> list[str]:
    tilt = _ACT_TILT.get(reason, {})
    weights = {act: p * tilt.get(act, 1.0) for act, p in _ACT_WEIGHTS.items()}
    acts = []
    for _ in range(write.weighted(_N_ACTS_WEIGHTS)):
        acts.append(write.weighted(weights))
        del weights[acts[-1]]
    return acts


def _message(
    write: _Writer, acts: list[str], reasons: list[str], tasks_of: dict[str, int]
) -> str:
    """Return what the writer says: the part of the e-mail that counts."""
    topics = [phrases.topics[reason] for reason in reasons]
    sentences = []
    for act in acts:
        write.topic = write.pick(topics)
        write.n_tasks = tasks_of.get(act, 0)
        sentences.append(write.sentence(phrases.acts[act]))
    sentences += _chat(write, topics)
    sentences = write.shuffled(sentences)
    if write.chance(0.8):
        place = len(sentences) if write.chance(0.8) else 0
        sentences.insert(place, write.sentence(phrases.replies[write.reply]))
    if write.chance(0.3):
        sentences.insert(0, write.sentence(phrases.slots["opener"]))
    parts = [" ".join(sentences)]
    if write.chance(0.7):
        parts.insert(0, write.sentence(phrases.slots["hello"]))
    if write.chance(0.7):
        parts.append(write.fill("{bye}\n{first}"))
        if write.chance(0.4):
            parts.append(write.fill("{first} {surname}\n{role}"))
    return "\n".join(parts)


def _chat(write: _Writer, topics: Sequence[Mapping[str, Sequence[str]]]) -> list[str]:
    """Return sentences that hold no act, but may look as if they did."""
    sentences = []
    for topic in topics:
        write.topic = topic
        for pool, probability in (
            (topic["chat"], 0.9),
            (topic["chat"], 0.4),
            (phrases.any_chat, 0.4 / len(topics)),
            (phrases.distractors, 0.4 / len(topics)),
            (phrases.distractors, 0.1 / len(topics)),
        ):
            if write.chance(probability):
                sentences.append(write.sentence(pool))
    return list(dict.fromkeys(sentences))  # nobody says the same thing twice


def _thread(write: _Writer, reasons: list[str]) -> str:
    """Return older messages quoted below, whose acts and replies do not count."""
    is_long = write.chance(0.11)
    if not is_long and not write.chance(0.15):
        return ""
    thread, n_words = "", 0
    while not n_words or (is_long and n_words < 290):
        reason = reasons[0] if write.chance(0.7) else write.pick(_REASONS)
        write.reply = write.pick(_REPLIES)
        acts = _acts(write, reason)
        tasks_of = dict.fromkeys(acts, 1 + write.chance(0.3))
        header = write.fill(write.pick(phrases.slots["quote_header"]))
        mark = write.pick(("\n", "\n> "))
        lines = _message(write, acts, [reason], tasks_of).split("\n")
        quoted = mark.join(["\n\n" + header, *lines])
        thread += quoted
        n_words += len(quoted.split())
    return thread


def _mistype(write: _Writer, text: str) -> str:
    """Return the text with typing errors, few or many, as people differ."""
    if write.chance(0.05):
        text = text.lower()
    rate = write.pick((0.0, 0.01, 0.05))
    return re.sub(
        r"[a-z]{4,}",
        lambda match: _typo(write, match[0]) if write.chance(rate) else match[0],
        text,
    )


def _typo(write: _Writer, word: str) -> str:
    place = 1 + write.below(len(word) - 2)
    before, here, after = word[:place], word[place], word[place + 1 :]
    lost, swapped = before + after, before + after[0] + here + after[1:]
    return write.pick((lost, swapped, before + 2 * here + after))


def _annotate(
    write: _Writer, acts: list[str], reasons: list[str], reply: str, n_tasks: int
) -> set[str]:
    """Return the labels as an annotator gives them who is sometimes wrong."""
    marks = {f"act_{act}" for act in acts if not write.chance(0.04)}
    if write.chance(0.05):
        marks.add(f"act_{write.pick(_ACTS)}")
    if write.chance(0.05):
        reasons = [write.weighted(_REASON_WEIGHTS), *reasons[1:]]
    if write.chance(0.06):
        reply = write.pick(_REPLIES)
    if write.chance(0.06):
        n_tasks = min(max(n_tasks + write.pick((-1, 1)), 0), _MAX_TASKS)
    marks.update(f"reason_{reason}" for reason in reasons)
    return marks | {f"reply_{reply}", f"tasks_{n_tasks}"}


_DESCR = """\
Synthetic e-mails
-----------------

{n_samples} SYNTHETIC e-mails composed at random from invented phrases by
skbert.datasets.make_emails. No real person wrote any of them, and scores on them say
nothing about scores on real e-mails.

25 labels in four families:

- act_*: what the writer does towards the reader (any number);
- reason_*: what the e-mail is about (one, sometimes two);
- reply_*: the answer that the writer expects (exactly one);
- tasks_*: how many tasks the reader gets, 3 for three or more (exactly one).

Acts in quoted threads, acts of other people and acts that are denied do not count. Some
labels are wrong on purpose, as an annotator's would be.
"""


def make_emails(
    n_samples: int = 1144,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Make synthetic work e-mails with 25 labels.

    The e-mails are SYNTHETIC: composed at random from invented phrases and names, so
    that examples and tests need neither a download nor private mail. What they share
    with an annotated mailbox is the shape: labels that are rare, correlated and
    partly wrong; many wordings for one thing; typing errors; quoted threads, a tenth
    of the e-mails longer than 300 words; acts that are denied or somebody else's and
    do not count. Scores on them say nothing about scores on real e-mails.

    Parameters
    ----------
    n_samples : int, default=1144
        Number of e-mails.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same e-mails at every call and in every process. None
        draws a fresh seed from the operating system; NumPy's global random state is
        neither read nor changed.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        With the attributes

        data : list of str, length n_samples
            The texts.
        target : DataFrame of shape (n_samples, 25), int64
            0 and 1 in the columns `target_names`.
        target_names : list of str, length 25
            8 acts (``act_*``, any number), 9 reasons (``reason_*``, one or two), 4
            expected replies (``reply_*``, one) and 4 numbers of tasks (``tasks_*``,
            one), the last standing for three or more.
        DESCR : str
            The description of the data.

    Raises
    ------
    ValueError
        If `n_samples` is not an integer of at least 1.

    See Also
    --------
    fetch_goemotions : Real data, downloaded.
    read_csv : Read data of your own.

    Examples
    --------
    >>> from skbert.datasets import make_emails
    >>> emails = make_emails(100, random_state=0)
    >>> len(emails.data), emails.target.shape
    (100, (100, 25))
    >>> emails.target_names[:4]
    ['act_amend', 'act_commit', 'act_deliver', 'act_greet']
    """
    if isinstance(n_samples, bool) or not isinstance(n_samples, numbers.Integral):
        raise ValueError(f"n_samples must be an integer; got {n_samples!r}.")
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1; got {n_samples}.")
    # check_random_state(None) would be the global random state.
    rng = (
        np.random.RandomState()
        if random_state is None
        else check_random_state(random_state)
    )
    pairs = [_write_email(_Writer(rng)) for _ in range(n_samples)]
    return Bunch(
        data=[body for body, _ in pairs],
        target=pd.DataFrame(
            [[int(name in marks) for name in _LABELS] for _, marks in pairs],
            columns=list(_LABELS),
            dtype=np.int64,
        ),
        target_names=list(_LABELS),
        DESCR=_DESCR.format(n_samples=n_samples),
    )
