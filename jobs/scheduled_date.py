"""The day that a scheduled run is for.

A task that runs by a schedule takes it as an argument of this type, whatever it is called::

    @job_task(name="compliance.refresh_scores", queue="compliance", atomic=True)
    def refresh_scores(*, zone: ZoneName | None = None, as_of: ScheduledDate = None) -> None: ...

A firing gives it the date of its due instant, in the schedule's zone: a run that is late, or is
made by hand for a past date, does that day's work. None: the day on which it runs.

A :data:`BegunDate` is one of these that a task has no use for before the day has begun: a run by
hand for a later one is refused.
"""

from datetime import date
from typing import Annotated, Any, Final

from pydantic import BaseModel


class _ForDate:
    """Marks the argument."""


class _Begun:
    """Marks the argument, when it cannot be a day to come."""


FOR_DATE: Final = _ForDate()
BEGUN: Final = _Begun()

ScheduledDate = Annotated[date | None, FOR_DATE]
BegunDate = Annotated[date | None, FOR_DATE, BEGUN]


def date_argument(arguments: type[BaseModel], mark: Any = FOR_DATE) -> str | None:
    """Return the name of the argument that is a :data:`ScheduledDate`; None: there is none.

    With the ``mark`` :data:`BEGUN`, of the one that is a :data:`BegunDate`.
    """
    for name, field in arguments.model_fields.items():
        if mark in field.metadata:
            return name
    return None
