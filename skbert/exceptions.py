"""Exceptions that skbert raises beside the usual TypeError and ValueError."""

__all__ = ["ModelFormatError"]


class ModelFormatError(ValueError):
    """A model folder that is damaged, incomplete or not safe to load.

    Examples
    --------
    >>> import tempfile
    >>> from skbert import ModelFormatError, TransformerMultiLabelClassifier
    >>> with tempfile.TemporaryDirectory() as empty:
    ...     try:
    ...         TransformerMultiLabelClassifier.from_pretrained(empty)
    ...     except ModelFormatError as error:
    ...         print(str(error).removeprefix(empty).strip())
    has no config.json: it is not a Hugging Face model folder.
    """
