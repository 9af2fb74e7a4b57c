"""Warnings that point to the user's call, however deep inside of skbert they arise."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_user"]

# Packages whose frames lie between the user's call and the warning. scikit-learn and
# skorch call skbert back, and contextlib runs its decorators.
_BETWEEN = {"contextlib", "joblib", "skbert", "sklearn", "skorch"}


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost frame outside of skbert and the packages that call it.

    Parameters
    ----------
    message : str
    category : type, default=UserWarning

    Examples
    --------
    >>> import warnings
    >>> from skbert.runtime.warn import warn_user
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_user("Something is odd.")
    >>> str(caught[0].message)
    'Something is odd.'
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        if frame.f_back is None:
            break
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
