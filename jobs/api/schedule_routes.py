"""``/schedules``: when they are due, what became of it, and run one now."""

import re
from datetime import date
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError

from jobs import selectors
from jobs.api.auth import Operator, Viewer
from jobs.api.problems import REFUSALS, Unfit
from jobs.errors import DayToCome, EnqueueError, NotPossible
from jobs.representation import RunRow, ScheduleDetailRow, ScheduleRow, TrialRow
from jobs.schedules import by_hand

router = Router(tags=["schedules"])


def _day(value: Any) -> Any:
    """Let pass what is written as a date: no number, and no time of a day."""
    if value is None or (isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value)):
        return value
    raise PydanticCustomError("day", "expected a date, such as 2026-11-21")


Day = Annotated[date | None, BeforeValidator(_day)]


class RunOrder(BaseModel):
    """A run of a schedule, by hand."""

    model_config = ConfigDict(extra="forbid")

    #: Only this one's work.
    tenant: Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")] | None = None
    #: The local day to do the work of; otherwise today.
    date: Day = None
    #: Only tell what would happen, and undo it.
    dry_run: StrictBool = False


@router.get(
    "", auth=Viewer(), response={200: list[ScheduleRow], **REFUSALS}, summary="List schedules"
)
def list_schedules(request: HttpRequest) -> list[ScheduleRow]:
    """Return every schedule by name: when it is due next, and what became of it last."""
    return [ScheduleRow.of(view) for view in selectors.list_schedules()]


@router.get(
    "/{schedule_id}",
    auth=Viewer(),
    response={200: ScheduleDetailRow, **REFUSALS},
    summary="Show a schedule",
)
def show_schedule(request: HttpRequest, schedule_id: int) -> ScheduleDetailRow:
    """Return a schedule with its rules, its next 20 instants and its latest 50 firings."""
    view = selectors.get_schedule(schedule_id)
    return ScheduleDetailRow.of(
        view, selectors.next_instants(view), selectors.firings_of(schedule_id)
    )


@router.post(
    "/{schedule_id}/run",
    auth=Operator(),
    response={201: RunRow, 200: TrialRow, **REFUSALS},
    summary="Run a schedule",
)
def run_schedule(
    request: HttpRequest, schedule_id: int, order: RunOrder | None = None
) -> tuple[int, RunRow | TrialRow]:
    """Enqueue its job now; when it is due next does not change.

    200 instead of 201: a dry run, and who would get what.
    """
    name = selectors.get_schedule(schedule_id).name
    order = order or RunOrder()
    try:
        if order.dry_run:
            (trial,) = by_hand.try_out(name, tenant=order.tenant, day=order.date)
            return 200, TrialRow.of(trial)
        (run,) = by_hand.run(name, tenant=order.tenant, day=order.date)
    except by_hand.UnknownTenant as error:
        raise Unfit("tenant", str(error)) from None
    except DayToCome as error:
        raise Unfit("date", str(error)) from None
    except EnqueueError as error:  # it is the schedule that does not fit, not the request
        raise NotPossible(str(error)) from None
    return 201, RunRow.of(run)
