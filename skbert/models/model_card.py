"""Model card: what a saved model's README.md says of its labels and its origin."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["make_card", "renew_card"]

_CARD = """\
---
library_name: skbert
pipeline_tag: text-classification
tags: [multi-label, scikit-learn]
---

# Multi-label text classifier

Fine-tuned {origin}with skbert ({pooling} pooling). Load it with

```python
from skbert import TransformerMultiLabelClassifier

clf = TransformerMultiLabelClassifier.from_pretrained("path/to/this/folder")
clf.predict_labels(["a text"])
```

| label | threshold |
| --- | --- |
{rows}
"""

_HEADER = "---\nlibrary_name: skbert\n"

# What Markdown reads in a cell as more than itself; "_" only where a word ends there.
_MARKUP = re.compile(r"[\\|`*<\[&~]|(?<![^\W_])_|_(?![^\W_])")

# What changes with the model, where people may have written something around it.
_CHANGING = (
    re.compile(r"Fine-tuned (from `.*` )?with skbert \(\w+ pooling\)"),
    re.compile(r"\| *label *\| *threshold *\|\n\|[ :|-]*\n(\|.*(\n|\Z))*"),
)


def make_card(
    model: str | None, pooling: str, thresholds: Iterable[tuple[str, float]]
) -> str:
    """Describe a model, with a threshold of each label.

    Parameters
    ----------
    model : str or None
        What it was fine-tuned from, by its name on the hub; None if it has none.
    pooling : {"native", "mean"}
    thresholds : iterable of (str, float)
    """
    origin = "" if model is None else f"from `{model}` "
    rows = "\n".join(
        f"| {_as_cell(name)} | {threshold:.3f} |" for name, threshold in thresholds
    )
    return _CARD.format(origin=origin, pooling=pooling, rows=rows)


def _as_cell(name: str) -> str:
    """Return a name as a table's cell shows it literally: a line without markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(name.splitlines()))


def renew_card(path: Path, card: str) -> str | None:
    """Return what a README.md is to say now; None if it stays as it is.

    One that skbert began keeps what people wrote into it; its origin and its table
    of thresholds are those of the new card. One that others began stays.

    Parameters
    ----------
    path : Path
        Where the README.md is, if there is one.
    card : str
        Of `make_card`.
    """
    if not os.path.lexists(path):
        return card
    if not path.is_file():  # reading a pipe would wait for ever
        return None
    try:
        old = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if not old.startswith(_HEADER):
        return None
    for part in _CHANGING:
        old = _renew(part, old, card)
    return old


def _renew(part: re.Pattern, old: str, card: str) -> str:
    new = part.search(card)
    return old if new is None else part.sub(lambda _: new[0], old, count=1)
