"""What can go wrong with a document. The docstring is the message."""

from jobs.errors import PermanentError


class DocumentsError(Exception):
    """Something went wrong with a document."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class AssetRefused(DocumentsError, PermanentError):
    """A document asked for a file that it may not have, or that does not exist."""


class FiguresDisagree(DocumentsError, PermanentError):
    """The amounts of a document do not add up; it is not rendered."""


class TooLong(DocumentsError, PermanentError):
    """The document has more lines than one document may have."""


class UnknownDocument(DocumentsError):
    """There is no such document (yet)."""
