"""Data to try skbert on: read your own CSV file, or make synthetic e-mails."""

from __future__ import annotations

import numbers
import os
import re
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state

from skbert import _email_phrases as phrases

__all__ = ["make_emails", "read_csv"]

# Cells of a label column, in lower case. "1.0" is what pandas writes for the 1 of a
# column that has unknown values.
_CELLS = {
    "0": 0.0,
    "1": 1.0,
    "0.0": 0.0,
    "1.0": 1.0,
    "false": 0.0,
    "true": 1.0,
    "": np.nan,
}


def read_csv(
    path: str | os.PathLike[str] | IO[str] | IO[bytes],
    *,
    text: str = "text",
    labels: Sequence[str] | None = None,
    sep: str = ",",
    encoding: str = "utf-8",
) -> Bunch:
    r"""Read texts and their 0/1 labels from a CSV file.

    The first row must hold the column names. A row that ends early is read as if its
    last cells were empty.

    Parameters
    ----------
    path : str, path-like or file
        The file; compressed if its name ends in ``.gz``, ``.bz2``, ``.zip`` or
        ``.xz``. It is opened by :func:`pandas.read_csv`.
    text : str, default="text"
        Name of the text column. Every cell of it is a text: neither an empty one nor
        one that says "NA" is taken for a missing value.
    labels : list of str, default=None
        Names of the label columns. By default every column but the text column; then
        all of them must be labels.
    sep : str, default=","
        What separates the cells.
    encoding : str, default="utf-8"
        Encoding of the file.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        With the attributes

        data : list of str, length n_samples
            The texts.
        target : DataFrame of shape (n_samples, n_labels)
            0 and 1 as int64; float64 with NaN for unknown if a label cell is empty.
        target_names : list of str, length n_labels
            The columns of `target`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, if a label cell is anything but 0, 1, true, false (in
        any case) or empty for unknown, or if the file is empty, not rectangular or
        not in the given encoding. The message names the file and what to do.

    See Also
    --------
    make_emails : Data without a file.

    Examples
    --------
    >>> import io
    >>> from skbert.datasets import read_csv
    >>> file = io.StringIO("text,joy,anger\nWhat a day!,1,0\nNA,0,\n")
    >>> bunch = read_csv(file)
    >>> bunch.data
    ['What a day!', 'NA']
    >>> bunch.target
       joy  anger
    0  1.0    0.0
    1  0.0    NaN
    """
    table = _read_cells(path, sep, encoding)
    names = list(table.columns)
    if text not in names:
        raise ValueError(
            f"{_name(path)} has no column {text!r}; its columns are {names}. Name the "
            "text column with text=... (and the separator with sep=..., if the "
            "columns look glued together)."
        )
    chosen = _label_columns(path, names, text, labels)
    target = pd.DataFrame(
        {name: _label_values(path, table[name], labels) for name in chosen}
    )
    if not target.isna().to_numpy().any():
        target = target.astype(np.int64)
    return Bunch(data=table[text].tolist(), target=target, target_names=chosen)


def _name(path: Any) -> str:
    if isinstance(path, (str, os.PathLike)):
        return os.fspath(path)
    return "the file"


def _read_cells(path: Any, sep: str, encoding: str) -> pd.DataFrame:
    """Return all cells as strings, with the first row as column names."""
    try:
        # The header is read as a row because pandas would rename duplicate columns
        # and take the first column of rows that are too long for an index.
        cells = pd.read_csv(
            path, sep=sep, encoding=encoding, header=None, dtype=str, na_filter=False
        )
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{_name(path)} is not encoded in {encoding} ({error}). Pass encoding=..., "
            'for instance "cp1252" for a file saved by a spreadsheet.'
        ) from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{_name(path)} is empty.") from error
    except pd.errors.ParserError as error:
        raise ValueError(
            f"{_name(path)} is not a table: {str(error).strip()}. Texts that hold the "
            f"separator {sep!r} or line breaks must be in double quotes."
        ) from error
    if len(cells) < 2:
        raise ValueError(f"{_name(path)} has column names but no rows.")
    names = pd.Index(cells.iloc[0])
    if names.has_duplicates:
        raise ValueError(
            f"{_name(path)} has two columns called "
            f"{names[names.duplicated()][0]!r}. Rename one of them."
        )
    return cells.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)


def _label_columns(
    path: Any, names: list[str], text: str, labels: Sequence[str] | None
) -> list[str]:
    if labels is None:
        chosen = [name for name in names if name != text]
    elif isinstance(labels, str):
        raise ValueError(f"labels must be a list of column names: labels=[{labels!r}].")
    else:
        chosen = list(labels)
    if not chosen:
        raise ValueError(f"{_name(path)}: no label columns; the columns are {names}.")
    for name in chosen:
        if labels is None and not name:
            raise ValueError(
                f"{_name(path)}: column {names.index(name)} has no name, so it may be "
                "an index rather than a label. Name the label columns with "
                "labels=[...], or write the file with index=False."
            )
        if name not in names:
            raise ValueError(
                f"{_name(path)} has no column {name!r}; its columns are {names}."
            )
        if name == text:
            raise ValueError(f"labels names {name!r}, which is the text column.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"labels names a column twice: {chosen}.")
    return chosen


def _label_values(
    path: Any, cells: pd.Series, labels: Sequence[str] | None
) -> np.ndarray:
    """Return the cells of a label column as 0, 1 and NaN, or name the first bad one."""
    normal = cells.str.strip().str.lower()
    wrong = ~normal.isin(list(_CELLS)).to_numpy(dtype=bool)
    if not wrong.any():
        return normal.map(_CELLS).to_numpy(dtype=np.float64)
    row = int(wrong.argmax())
    where = f"row {row} (from 0, without the header) holds {cells.iloc[row]!r}"
    if labels is None:
        raise ValueError(
            f"{_name(path)}: column {cells.name!r} is not made of 0/1 labels; {where}. "
            "Name the label columns with labels=[...], or leave this column out of the "
            "file."
        )
    raise ValueError(
        f"{_name(path)}: label column {cells.name!r}, {where}. Write 0 or 1, true or "
        "false, or leave the cell empty where the label is unknown."
    )


# --- synthetic e-mails ----------------------------------------------------------------

_ACTS = tuple(phrases.ACTS)
_REASONS = tuple(phrases.TOPICS)
_REPLIES = tuple(phrases.REPLIES)
_MAX_TASKS = 3

_EMAIL_LABELS = (
    *(f"act_{name}" for name in _ACTS),
    *(f"reason_{name}" for name in _REASONS),
    *(f"reply_{name}" for name in _REPLIES),
    *(f"tasks_{count}" for count in range(_MAX_TASKS + 1)),
)

_EMAILS_DESCR = """\
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
    pairs = [_email(_Writer(rng)) for _ in range(n_samples)]
    return Bunch(
        data=[body for body, _ in pairs],
        target=pd.DataFrame(
            [[int(name in marks) for name in _EMAIL_LABELS] for _, marks in pairs],
            columns=list(_EMAIL_LABELS),
            dtype=np.int64,
        ),
        target_names=list(_EMAIL_LABELS),
        DESCR=_EMAILS_DESCR.format(n_samples=n_samples),
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


def _email(write: _Writer) -> tuple[str, set[str]]:
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


def _reasons(write: _Writer) -> list[str]:
    first = write.weighted(phrases.REASON_WEIGHTS)
    if not write.chance(0.12):
        return [first]
    others = {name: p for name, p in phrases.REASON_WEIGHTS.items() if name != first}
    return [first, write.weighted(others)]


def _acts(write: _Writer, reason: str) -> list[str]:
    tilt = phrases.ACT_TILT.get(reason, {})
    weights = {act: p * tilt.get(act, 1.0) for act, p in phrases.ACT_WEIGHTS.items()}
    acts = []
    for _ in range(write.weighted(phrases.N_ACTS_WEIGHTS)):
        acts.append(write.weighted(weights))
        del weights[acts[-1]]
    return acts


def _message(
    write: _Writer, acts: list[str], reasons: list[str], tasks_of: dict[str, int]
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


def _chat(write: _Writer, topics: Sequence[Mapping[str, Sequence[str]]]) -> list[str]:
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
        header = write.fill(write.pick(phrases.SLOTS["quote_header"]))
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
        reasons = [write.weighted(phrases.REASON_WEIGHTS), *reasons[1:]]
    if write.chance(0.06):
        reply = write.pick(_REPLIES)
    if write.chance(0.06):
        n_tasks = min(max(n_tasks + write.pick((-1, 1)), 0), _MAX_TASKS)
    marks.update(f"reason_{reason}" for reason in reasons)
    return marks | {f"reply_{reply}", f"tasks_{n_tasks}"}
