"""What can go wrong, one class each. The docstring is the message.

Errors at enqueue reach the caller and leave no row. Errors raised in a task say what becomes of
the job: :class:`RetryLater`, :class:`Discard`, :class:`PermanentError`; anything else is retried.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Self


class JobsError(Exception):
    """Something went wrong in the job engine."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])

    @classmethod
    def told(cls, message: str) -> Self:
        """Return an error by its message, which is all that a row keeps of it."""
        error = cls.__new__(cls)
        JobsError.__init__(error, message)
        return error


# --- at enqueue ----------------------------------------------------------------------------------


class EnqueueError(JobsError):
    """The job was refused; nothing was stored."""


class UnknownName(EnqueueError):
    """There is nothing of this name."""

    noun = "thing"
    name = ""

    def __init__(self, name: str, close: Sequence[str] = ()) -> None:
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"Unknown {self.noun} {name!r}.{hint}")
        self.name = name


class UnknownTask(UnknownName):
    """There is no task of this name."""

    noun = "task"


class UnknownQueue(UnknownName):
    """There is no queue of this name."""

    noun = "queue"


class UnknownLimit(UnknownName):
    """There is no limit of this name."""

    noun = "limit"


class InvalidPayload(EnqueueError):
    """The arguments do not fit the task."""

    def __init__(self, task: str, problems: dict[str, str]) -> None:
        listed = "; ".join(f"{field}: {problem}" for field, problem in problems.items())
        super().__init__(f"{task} cannot take these arguments: {listed}")
        self.task = task
        #: field -> what was expected
        self.problems = problems

    @classmethod
    def told(cls, message: str) -> Self:
        """Return an error by its message; its fields are only told there."""
        error = super().told(message)
        error.task, error.problems = "", {}
        return error


class PayloadTooLarge(InvalidPayload):
    """The arguments take more room than a job may."""


# --- raised by tasks -----------------------------------------------------------------------------


class RetryLater(JobsError):
    """Try again later, at no cost: the attempt does not count.

    Args:
        message: Why.
        after: How long from now.
        at: An aware instant.

    Raises:
        TypeError: ``after`` is no duration, or ``at`` no aware instant.
    """

    after: timedelta | None = None
    at: datetime | None = None

    def __init__(
        self, message: str = "", *, after: timedelta | None = None, at: datetime | None = None
    ) -> None:
        # Not every caller's types are checked.
        duration: Any = after
        instant: Any = at
        if not isinstance(duration, timedelta | None):
            raise TypeError(f"RetryLater: after: expected a timedelta, not {after!r}")
        if instant is not None and getattr(instant, "tzinfo", None) is None:
            raise TypeError(f"RetryLater: at: expected an aware datetime, not {at!r}")
        super().__init__(message)
        self.after = after
        self.at = at


class Discard(JobsError):
    """The job is no longer worth running; it ends as cancelled, without a dead letter."""


class PermanentError(JobsError):
    """Trying again would fail again; the job ends as a dead letter at once."""


class DayToCome(PermanentError):
    """The day has not begun."""

    def __init__(self, argument: str, day: date, today: date) -> None:
        super().__init__(
            f"{argument}: {day} is still to come, it is {today}; expected today or a past date."
        )


class OutcomeRefused(PermanentError):
    """PostgreSQL refused how an attempt ended; the job ends as a dead letter that tells why."""


# --- inside the engine ---------------------------------------------------------------------------


class LeaseLost(JobsError):
    """The job was taken back from this worker; nothing it does now counts."""


class Cancelled(JobsError):
    """A person asked for the job to be cancelled."""


class NotPossible(JobsError):
    """The job is in a state that does not allow this."""
