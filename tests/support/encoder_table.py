"""The table of docs/encoders.rst: what `models/test_encoders.py` holds every family to.

Each cell is a test. Run this file to write the table after a change::

    python tests/support/encoder_table.py
"""

import re
from pathlib import Path

from checkpoints import FAMILIES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "encoders.rst"

COLUMNS = {
    "fit": "fit, predict",
    "load": "save, load",
    "pipeline": "as ``pipeline``",
    "layers": "``trainable_layers``",
    "mean": "mean pooling",
    "bf16": "bf16",
    "kept": "frozen layers once",
}

# Where the answer is not a plain yes: the answer, and why.
EXCEPTIONS = {
    ("albert", "layers"): (
        "None or 0",
        "ALBERT's layers share their weights, so that there is no top layer: another "
        "number is an error that says so. An ALBERT with a group of weights for each "
        "layer is like any other model.",
    ),
    ("albert", "kept"): (
        "mean, 0",
        "With ``pooling='mean'`` and ``trainable_layers=0``, as for every model.",
    ),
    ("canine", "pipeline"): (
        "yes, for fours",
        "CANINE merges four characters into one. skbert pads to whole fours, for "
        "otherwise a text's answer would depend on its neighbours in the batch. The "
        "answers are the pipeline's where a text's characters and the two special "
        "ones are whole fours; on texts of less than two the pipeline fails.",
    ),
    ("deberta", "bf16"): (
        "no",
        "DeBERTa v1 masks with the least number of float32. ``precision='auto'`` runs "
        "it in fp32, ``'bf16'`` is an error.",
    ),
    ("canine", "kept"): (
        "mean, 0",
        "CANINE has a state for four characters, not for each token. With "
        "``pooling='mean'`` and ``trainable_layers=0`` there is one per text.",
    ),
    ("xlnet", "kept"): (
        "mean, 0",
        "XLNet's layers hand on states in another order of axes. With "
        "``pooling='mean'`` and ``trainable_layers=0`` there is one state per text.",
    ),
    ("longformer", "kept"): (
        "mean",
        "With native pooling the first token of Longformer sees the whole text, which "
        "the model without its head does not do.",
    ),
}

NAMES = {
    "bert": "BERT",
    "roberta": "RoBERTa",
    "xlm-roberta": "XLM-RoBERTa",
    "longformer": "Longformer",
    "mpnet": "MPNet",
    "electra": "ELECTRA",
    "albert": "ALBERT",
    "deberta": "DeBERTa",
    "deberta-v2": "DeBERTa v2",
    "deberta-v3": "DeBERTa v3",
    "distilbert": "DistilBERT",
    "modernbert": "ModernBERT",
    "xlnet": "XLNet",
    "canine": "CANINE",
}


def answer(family, column):
    """Return what the table says: "yes", or what holds instead."""
    return EXCEPTIONS.get((family, column), ("yes", ""))[0]


def render():
    """Return the table and its notes as reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    lines += _row(["Family", *COLUMNS.values()])
    notes = []
    for family in FAMILIES:
        cells = [NAMES[family]]
        for column in COLUMNS:
            text, why = EXCEPTIONS.get((family, column), ("yes", ""))
            if why:
                notes.append(why)
                text += f" [{len(notes)}]_"
            cells.append(text)
        lines += _row(cells)
    lines.append("")
    lines += [f".. [{number}] {why}" for number, why in enumerate(notes, start=1)]
    return "\n".join(lines) + "\n"


def _row(cells):
    marks = ["   * -"] + ["     -"] * (len(cells) - 1)
    return [f"{mark} {cell}" for mark, cell in zip(marks, cells, strict=True)]


_TABLE = re.compile(
    r"(?<=\.\. begin: python tests/support/encoder_table\.py\n\n).*?(?=\n\.\. end\n)",
    re.DOTALL,
)


def with_table(page):
    """Return the page's text with the table of today."""
    text, n = _TABLE.subn(lambda _: render(), page)
    if n != 1:
        raise ValueError(f"{PAGE} has {n} places for the table; there must be one.")
    return text


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
