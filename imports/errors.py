"""What can go wrong with an import. The docstring is the message."""

import difflib
from collections.abc import Iterable, Sequence


class ImportsError(Exception):
    """The import is not possible."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class UnknownKind(ImportsError):
    """There is nothing of this name to import."""

    def __init__(self, kind: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(kind, names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Expected one of {', '.join(names)}."
        super().__init__(f"Unknown kind of import {kind!r}. {hint}")


class UnusableFile(ImportsError):
    """The file as a whole cannot be imported; correcting single rows would not help."""


class WrongColumns(UnusableFile):
    """The header does not name the columns that are needed."""

    def __init__(self, missing: Sequence[str], found: Sequence[str], hint: str = "") -> None:
        noun = "Column" if len(missing) == 1 else "Columns"
        super().__init__(
            f"{noun} {', '.join(missing)} missing from the header. "
            f"Found: {', '.join(found) or 'nothing'}.{hint and ' ' + hint}"
        )
        #: The names that were expected and not found.
        self.missing = list(missing)
