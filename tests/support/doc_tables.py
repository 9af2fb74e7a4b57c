"""Tables of the docs, read so that tests can hold them to what the package does."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def read_table(page, title):
    """Read the rows of a ``list-table``, the header left out.

    Parameters
    ----------
    page : str
        A file of docs/.
    title : str
        What stands after ``.. list-table::``.

    Returns
    -------
    dict of str to list of str
        The first cell of each row -> its other cells, line breaks made spaces.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    pattern = rf"^\.\. list-table:: {re.escape(title)}\n(.*?)(?=^\S|\Z)"
    (body,) = re.findall(pattern, text, re.M | re.S)
    rows = [
        [" ".join(cell.split()) for cell in re.split(r"^ {5}- ", row, flags=re.M)]
        for row in re.split(r"^ {3}\* - ", body, flags=re.M)[1:]
    ]
    table = {first: others for first, *others in rows[1:]}
    assert len(table) == len(rows) - 1, f"{page}: a row of {title!r} is there twice"
    return table
