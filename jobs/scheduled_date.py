"""The day that a scheduled run is for.

A task that runs by a schedule takes it as an argument of this type, whatever it is called::

    @job_task(name="compliance.refresh_scores", queue="compliance", atomic=True)
    def refresh_scores(*, zone: ZoneName | None = None, as_of: ScheduledDate = None) -> None: ...

A firing gives it the date of its due instant, in the schedule's zone: a run that is late, or is
made by hand for a past date, does that day's work. None: the day on which it runs.
"""

from datetime import date
from typing import Annotated, Final

from pydantic import BaseModel


class _ForDate:
    """Marks the argument."""


FOR_DATE: Final = _ForDate()

ScheduledDate = Annotated[date | None, FOR_DATE]


def date_argument(arguments: type[BaseModel]) -> str | None:
    """Return the name of the argument that is a :data:`ScheduledDate`; None: there is none."""
    for name, field in arguments.model_fields.items():
        if FOR_DATE in field.metadata:
            return name
    return None
