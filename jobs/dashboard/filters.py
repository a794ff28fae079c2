"""The filters of the lists, as forms that never refuse: what does not fit is left out."""

from typing import Any

from django import forms
from django.utils import timezone

from jobs.models import DeadLetter
from jobs.queues import QUEUES
from jobs.selectors import DeadLetterFilter, JobFilter, ScheduleView
from jobs.states import State
from jobs.task import registry


def _queues() -> list[tuple[str, str]]:
    return [("", "any queue"), *((name, name) for name in QUEUES)]


def _tasks() -> list[tuple[str, str]]:
    return [("", "any task"), *((name, name) for name in sorted(registry()))]


class _Filter(forms.Form):
    """Fields of which none is required, and whose bad values count as not given."""

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        task = data.get("task", "")
        choices = self.fields["task"]
        assert isinstance(choices, forms.ChoiceField)
        if task and task not in registry():  # of a job whose task is no longer declared
            choices.choices = [*_tasks(), (task[:200], task[:200])]

    def given(self) -> dict[str, Any]:
        """Return the values that fit."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


def _moment(label: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    return forms.DateTimeField(label=label, required=False, widget=widget)


def _word(label: str, length: int = 64) -> forms.CharField:
    return forms.CharField(label=label, required=False, max_length=length)


class JobFilterForm(_Filter):
    """The filter of the job list."""

    q = forms.CharField(
        label="Id or correlation id",
        required=False,
        max_length=64,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "id, or how it begins"}),
    )
    queue = forms.ChoiceField(label="Queue", required=False, choices=_queues)
    task = forms.ChoiceField(label="Task", required=False, choices=_tasks)
    tenant = _word("Tenant")
    since = _moment("Enqueued since")
    until = _moment("until")
    state = forms.MultipleChoiceField(
        required=False, choices=State.choices, widget=forms.MultipleHiddenInput
    )

    def wanted(self) -> JobFilter:
        """Return the filter. Times are meant in the zone of the page (``TIME_ZONE``)."""
        given = self.given()
        return JobFilter(
            text=given.get("q", ""),
            states=tuple(given.get("state", ())),
            **{
                name: given[name]
                for name in ("queue", "task", "tenant", "since", "until")
                if name in given
            },
        )

    @property
    def zone(self) -> str:
        """The zone that times are entered in."""
        return timezone.get_current_timezone_name()


class DeadLetterFilterForm(_Filter):
    """The filter of the dead letters."""

    queue = forms.ChoiceField(label="Queue", required=False, choices=_queues)
    task = forms.ChoiceField(label="Task", required=False, choices=_tasks)
    tenant = _word("Tenant")
    reason = forms.ChoiceField(
        label="Reason",
        required=False,
        choices=[("", "any reason"), *DeadLetter.Reason.choices],
    )
    error_type = _word("Error", 200)
    died_after = _moment("Died since")
    died_before = _moment("until")
    decided = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def wanted(self) -> DeadLetterFilter:
        """Return the filter."""
        return DeadLetterFilter(**self.given())


class ScheduleFilterForm(forms.Form):
    """The filter of the schedules."""

    q = forms.CharField(
        label="Name or task",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "a part of it"}),
    )

    def fitting(self, views: list[ScheduleView]) -> list[ScheduleView]:
        """Return those whose name or task contains what was entered."""
        self.is_valid()
        part = self.cleaned_data.get("q", "").casefold()
        return [view for view in views if part in f"{view.name} {view.task}".casefold()]
