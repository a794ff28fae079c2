"""What can go wrong with compliance work. The docstring is the message."""

from datetime import date

from jobs.errors import PermanentError


class ComplianceError(Exception):
    """Something went wrong with compliance work."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class NoSuchDay(ComplianceError, PermanentError):
    """as_of: the calendar ends too near to this day."""

    def __init__(self, as_of: date) -> None:
        super().__init__(f"as_of: {as_of} is too near to an end of the calendar.")
