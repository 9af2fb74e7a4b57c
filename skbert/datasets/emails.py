"""The generator behind `skbert.datasets.make_emails`: phrases -> text and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skbert.datasets import phrases as phrases

__all__ = ["LABELS", "Writer", "write_email"]

_ACTS = tuple(phrases.ACTS)
_REASONS = tuple(phrases.TOPICS)
_REPLIES = tuple(phrases.REPLIES)
_MAX_TASKS = 3

LABELS = (
    *(f"act_{name}" for name in _ACTS),
    *(f"reason_{name}" for name in _REASONS),
    *(f"reply_{name}" for name in _REPLIES),
    *(f"tasks_{count}" for count in range(_MAX_TASKS + 1)),
)


class Writer:
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
        return self.fill(self.pick(phrases.SLOTS[slot]))

    # The slots that are not simply drawn from a pool:

    def _thing(self) -> str:
        own = self.chance(0.8)
        return self.fill(self.pick(self.topic["things"] if own else phrases.ANY_THINGS))

    def _task(self, form: int) -> str:
        verbs, objects = self.pick(phrases.TASKS)
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
        deadline = self.fill(self.pick(phrases.DEADLINES[self.reply]))
        return f" {deadline}" if deadline and self.chance(0.5) else ""

    def _first(self) -> str:
        return self.pick(phrases.FIRST_NAMES)

    def _surname(self) -> str:
        return self.pick(phrases.SURNAMES)

    def _n(self) -> str:
        return str(2 + self.below(60))

    def _clock(self) -> str:
        return f"{8 + self.below(11)}:{self.pick(('00', '30', '15', '45'))}"


def write_email(write: Writer) -> tuple[str, set[str]]:
    """Return the text of one e-mail and its labels."""
    reasons = _reasons(write)
    acts = _acts(write, reasons[0])
    tasks_of = {
        act: write.weighted(phrases.N_TASKS_WEIGHTS)
        for act in acts
        if act in ("request", "remind")
    }
    n_tasks = min(sum(tasks_of.values()), _MAX_TASKS)
    reply = write.weighted(phrases.REPLY_WEIGHTS[n_tasks > 0])
    write.reply = reply
    text = _message(write, acts, reasons, tasks_of) + _thread(write, reasons)
    return _mistype(write, text), _annotate(write, acts, reasons, reply, n_tasks)


def _reasons(write: Writer) -> list[str]:
    first = write.weighted(phrases.REASON_WEIGHTS)
    if not write.chance(0.12):
        return [first]
    others = {name: p for name, p in phrases.REASON_WEIGHTS.items() if name != first}
    return [first, write.weighted(others)]


def _acts(write: Writer, reason: str) -> list[str]:
    tilt = phrases.ACT_TILT.get(reason, {})
    weights = {act: p * tilt.get(act, 1.0) for act, p in phrases.ACT_WEIGHTS.items()}
    acts = []
    for _ in range(write.weighted(phrases.N_ACTS_WEIGHTS)):
        acts.append(write.weighted(weights))
        del weights[acts[-1]]
    return acts


def _message(
    write: Writer, acts: list[str], reasons: list[str], tasks_of: dict[str, int]
) -> str:
    """Return what the writer says: the part of the e-mail that counts."""
    topics = [phrases.TOPICS[reason] for reason in reasons]
    sentences = []
    for act in acts:
        write.topic = write.pick(topics)
        write.n_tasks = tasks_of.get(act, 0)
        sentences.append(write.sentence(phrases.ACTS[act]))
    sentences += _chat(write, topics)
    sentences = write.shuffled(sentences)
    if write.chance(0.8):
        place = len(sentences) if write.chance(0.8) else 0
        sentences.insert(place, write.sentence(phrases.REPLIES[write.reply]))
    if write.chance(0.3):
        sentences.insert(0, write.sentence(phrases.SLOTS["opener"]))
    parts = [" ".join(sentences)]
    if write.chance(0.7):
        parts.insert(0, write.sentence(phrases.SLOTS["hello"]))
    if write.chance(0.7):
        parts.append(write.fill("{bye}\n{first}"))
        if write.chance(0.4):
            parts.append(write.fill("{first} {surname}\n{role}"))
    return "\n".join(parts)


def _chat(write: Writer, topics: Sequence[Mapping[str, Sequence[str]]]) -> list[str]:
    """Return sentences that hold no act, but may look as if they did."""
    sentences = []
    for topic in topics:
        write.topic = topic
        for pool, probability in (
            (topic["chat"], 0.9),
            (topic["chat"], 0.4),
            (phrases.ANY_CHAT, 0.4 / len(topics)),
            (phrases.DISTRACTORS, 0.4 / len(topics)),
            (phrases.DISTRACTORS, 0.1 / len(topics)),
        ):
            if write.chance(probability):
                sentences.append(write.sentence(pool))
    return list(dict.fromkeys(sentences))  # nobody says the same thing twice


def _thread(write: Writer, reasons: list[str]) -> str:
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
        header = write.fill(write.pick(phrases.SLOTS["quote_header"]))
        mark = write.pick(("\n", "\n> "))
        lines = _message(write, acts, [reason], tasks_of).split("\n")
        quoted = mark.join(["\n\n" + header, *lines])
        thread += quoted
        n_words += len(quoted.split())
    return thread


def _mistype(write: Writer, text: str) -> str:
    """Return the text with typing errors, few or many, as people differ."""
    if write.chance(0.05):
        text = text.lower()
    rate = write.pick((0.0, 0.01, 0.05))
    return re.sub(
        r"[a-z]{4,}",
        lambda match: _typo(write, match[0]) if write.chance(rate) else match[0],
        text,
    )


def _typo(write: Writer, word: str) -> str:
    place = 1 + write.below(len(word) - 2)
    before, here, after = word[:place], word[place], word[place + 1 :]
    lost, swapped = before + after, before + after[0] + here + after[1:]
    return write.pick((lost, swapped, before + 2 * here + after))


def _annotate(
    write: Writer, acts: list[str], reasons: list[str], reply: str, n_tasks: int
) -> set[str]:
    """Return the labels as an annotator gives them who is sometimes wrong."""
    marks = {f"act_{act}" for act in acts if not write.chance(0.04)}
    if write.chance(0.05):
        marks.add(f"act_{write.pick(_ACTS)}")
    if write.chance(0.05):
        reasons = [write.weighted(phrases.REASON_WEIGHTS), *reasons[1:]]
    if write.chance(0.06):
        reply = write.pick(_REPLIES)
    if write.chance(0.06):
        n_tasks = min(max(n_tasks + write.pick((-1, 1)), 0), _MAX_TASKS)
    marks.update(f"reason_{reason}" for reason in reasons)
    return marks | {f"reply_{reply}", f"tasks_{n_tasks}"}
