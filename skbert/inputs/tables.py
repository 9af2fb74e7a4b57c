"""Tables: what frames of pandas, polars and pyarrow share, without importing them."""

from __future__ import annotations

__all__ = ["column_names", "first_column", "hint_to_collect", "shown"]

_LONGEST_SHOWN = 60


def column_names(table) -> list[str] | None:
    """Return the names of a table's columns as ``str``.

    Parameters
    ----------
    table : object
        A DataFrame of pandas or polars, a Table of pyarrow, or anything else.

    Returns
    -------
    list of str or None
        None if it is not a table.
    """
    # pyarrow has the columns themselves under `columns`.
    attribute = "column_names" if _has(table, "column_names") else "columns"
    names = getattr(table, attribute, None)
    return None if names is None else [str(name) for name in names]


def first_column(table):
    """Return the first column of a table or matrix, in the table's own type."""
    if hasattr(table, "iloc"):
        return table.iloc[:, 0]
    if _has(table, "column_names"):
        return table.column(0)
    return table[:, 0]


def hint_to_collect(data, name: str) -> str:
    """Return what to do about a lazy frame, empty for anything else."""
    if not _has(data, "collect"):
        return ""
    return f"It is a query that has not been run yet: pass {name}.collect()."


def shown(cell) -> str:
    """Return the ``repr`` of an entry for a message, cut where it is long."""
    try:
        text = repr(cell)
    except Exception:  # of an int with too many digits, of a class that is broken
        return "what cannot be shown"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _has(table, attribute: str) -> bool:
    # Of the class: a frame of pandas has its columns among its own attributes.
    return hasattr(type(table), attribute)
