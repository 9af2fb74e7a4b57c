"""Data sets: tables of your own, synthetic e-mails, and GoEmotions.

Every function returns a :class:`sklearn.utils.Bunch` with the texts in `data` and a
frame of labels in `target`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skbert.runtime.lazy import lazy_exports

if TYPE_CHECKING:
    from skbert.datasets.csv import read_csv as read_csv
    from skbert.datasets.emails import make_emails as make_emails
    from skbert.datasets.goemotions import fetch_goemotions as fetch_goemotions

__all__ = [
    "fetch_goemotions",
    "make_emails",
    "read_csv",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "fetch_goemotions": "goemotions",
        "make_emails": "emails",
        "read_csv": "csv",
    },
)
