"""Running a schedule by hand: trying what it would do, or doing it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminTextInputWidget

from jobs import selectors
from jobs.dashboard.pages import render, staff_view
from jobs.dry_run import Told
from jobs.errors import JobsError
from jobs.models import Schedule
from jobs.permissions import may_operate
from jobs.scheduled_date import date_argument
from jobs.schedules import by_hand
from jobs.schedules.by_hand import Run, Trial
from jobs.selectors import ScheduleView
from jobs.task import registry

#: Lines of each kind that the result of a dry run shows; the others are counted.
SHOWN = 50


class ByHandForm(forms.Form):
    """For which day, and for whom."""

    day = forms.DateField(
        required=False,
        input_formats=["%Y-%m-%d"],
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
    )
    tenant = forms.CharField(
        required=False,
        max_length=64,
        help_text="Its key; empty: all of them.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )

    def __init__(self, view: ScheduleView, data: Any = None) -> None:
        super().__init__(data)
        self.view = view
        self.fields["day"].help_text = f"Empty: today in {view.zone}."

    @property
    def taken(self) -> list[forms.BoundField]:
        """The fields that its task has a use for. What is sent besides is refused by the engine."""
        task = registry().get(self.view.task)
        if task is None:
            return []
        model = task.definition.arguments
        taken = {"day": date_argument(model) is not None, "tenant": "tenant" in model.model_fields}
        return [self[name] for name, is_taken in taken.items() if is_taken]

    def chosen(self) -> dict[str, Any]:
        """Return what was entered; call it on a valid form."""
        return {name: value or None for name, value in self.cleaned_data.items()}


@dataclass(kw_only=True)
class Recipient:
    """Someone who would get the very same thing, so many times."""

    to: str
    detail: dict[str, Any]
    error: str
    count: int


@dataclass(kw_only=True)
class Group:
    """Things of one kind that would happen for one tenant."""

    what: str
    tenant: str
    count: int = 0
    recipients: dict[tuple[str, str, str], Recipient] = field(default_factory=dict)

    def add(self, told: Told) -> None:
        """Count it."""
        detail = dict(told.detail)
        error = str(detail.pop("error", ""))
        # What is for nobody in particular is told one by one.
        key = (told.to or str(len(self.recipients)), error, repr(detail))
        self.count += told.count
        if key in self.recipients:
            self.recipients[key].count += told.count
        else:
            self.recipients[key] = Recipient(
                to=told.to, detail=detail, error=error, count=told.count
            )

    @property
    def shown(self) -> list[Recipient]:
        """The first of them; those that would fail before all others."""
        found = sorted(self.recipients.values(), key=lambda one: not one.error)
        return found[:SHOWN]

    @property
    def is_addressed(self) -> bool:
        """Whether somebody would get them."""
        return any(one.to for one in self.recipients.values())

    @property
    def left_out(self) -> int:
        """How many things are not shown."""
        return self.count - sum(one.count for one in self.shown)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a dry run found, for its page."""

    trial: Trial
    #: What its own body would return.
    result: Any
    groups: list[Group]

    @property
    def count(self) -> int:
        """How many things would happen, beside the run itself."""
        return sum(group.count for group in self.groups)


@require_POST
@staff_view(may_operate)
def run_by_hand(request: HttpRequest, schedule_id: int) -> HttpResponse:
    """Run a schedule at once; or, when ``try`` was pressed, show what that would do."""
    try:
        view = selectors.get_schedule(schedule_id)
    except Schedule.DoesNotExist as error:
        raise Http404(str(error)) from None
    form = ByHandForm(view, request.POST)
    outcomes: list[Outcome] = []
    if form.is_valid():
        try:
            if "try" not in request.POST:
                return _enqueued(request, by_hand.run(view.name, **form.chosen()))
            outcomes = [_outcome(trial) for trial in by_hand.try_out(view.name, **form.chosen())]
        except JobsError as error:
            form.add_error(None, str(error))
    context = {
        "title": f"Run {view.name} by hand",
        "view": view,
        "form": form,
        "outcomes": outcomes,
    }
    return render(request, "schedule_run", context, status=422 if form.errors else 200)


def _enqueued(request: HttpRequest, runs: Sequence[Run]) -> HttpResponse:
    for run in runs:
        if run.job.is_twin:
            text = f"{run.schedule}: a job like it was there already: {run.job.id}."
            messages.info(request, text)
        else:
            messages.success(request, f"{run.schedule} is enqueued: job {run.job.id}.")
    return redirect("queues:job", job_id=runs[0].job.id)


def _outcome(trial: Trial) -> Outcome:
    """Group what a dry run told; its first line is the run itself."""
    groups: dict[tuple[str, str], Group] = {}
    itself, *others = trial.told
    for told in others:
        key = (told.what, told.tenant)
        groups.setdefault(key, Group(what=told.what, tenant=told.tenant)).add(told)
    return Outcome(trial=trial, result=itself.detail.get("result"), groups=list(groups.values()))
