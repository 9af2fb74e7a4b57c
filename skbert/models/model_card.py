"""The README.md of a saved model: its labels, thresholds and origin."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["make_card", "renew_card"]

# Saving a model renews what is between the markers. The rest belongs to people.
_BEGIN = "<!-- skbert begins: this part is renewed whenever a model is saved here -->\n"
_END = "<!-- skbert ends -->\n"

_CARD = f"""\
---
library_name: skbert
pipeline_tag: text-classification
tags: [multi-label, scikit-learn]
---

# Multi-label text classifier

{_BEGIN}
Fine-tuned {{origin}}with skbert ({{pooling}} pooling). Load it with

```python
from skbert import TransformerMultiLabelClassifier

clf = TransformerMultiLabelClassifier.from_pretrained("path/to/this/folder")
clf.predict_labels(["a text"])
```

| label | threshold |
| --- | --- |
{{rows}}

{_END}"""

# What Markdown reads in a cell as more than itself; "_" only at the end of a word.
_MARKUP = re.compile(r"[\\|`*<\[&~]|(?<![^\W_])_|_(?![^\W_])")


def make_card(
    model: str | None, pooling: str, thresholds: Iterable[tuple[str, float]]
) -> str:
    """Describe a model and the threshold of each label.

    Parameters
    ----------
    model : str or None
        Name on the hub of the model that was fine-tuned; None if it has none.
    pooling : {"native", "mean"}
    thresholds : iterable of (str, float)
    """
    origin = "" if model is None else f"from `{model}` "
    rows = "\n".join(
        f"| {_as_cell(name)} | {threshold:.3f} |" for name, threshold in thresholds
    )
    return _CARD.format(origin=origin, pooling=pooling, rows=rows)


def _as_cell(name: str) -> str:
    """Return a name as the cell of a table: one line, with all markup escaped."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(name.splitlines()))


def renew_card(path: Path, card: str) -> str | None:
    """Return the new content of a README.md; None if it stays as it is.

    If there are markers in it, only the part between them is replaced. Without markers
    the file belongs to people.

    Parameters
    ----------
    path : Path
        Path of the README.md, which need not exist.
    card : str
        Result of `make_card`.
    """
    if not os.path.lexists(path):
        return card
    if not path.is_file():  # reading a pipe would wait forever
        return None
    try:
        old = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    before, begin, rest = old.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        return None
    generated = card[card.index(_BEGIN) : card.index(_END)]
    return before + generated + end + after
