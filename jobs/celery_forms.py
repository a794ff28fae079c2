"""The forms of schedules in the admin: what could never run is refused where it is entered."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.validators import MaxValueValidator
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from unfold.widgets import UnfoldAdminSelectWidget

from jobs import payload
from jobs.errors import InvalidPayload, JobsError
from jobs.models import Priority, Schedule
from jobs.queues import QUEUES
from jobs.schedules.calendars import Days, check_country
from jobs.schedules.cron import FIELDS, HORIZON, BadTiming, Cron
from jobs.schedules.plan import timing_of
from jobs.task import get_task, registry

if TYPE_CHECKING:
    PeriodicTaskForm = forms.ModelForm[PeriodicTask]
    ScheduleRulesForm = forms.ModelForm[Schedule]
    CrontabScheduleForm = forms.ModelForm[CrontabSchedule]
    IntervalScheduleForm = forms.ModelForm[IntervalSchedule]
else:
    PeriodicTaskForm = ScheduleRulesForm = forms.ModelForm
    CrontabScheduleForm = IntervalScheduleForm = forms.ModelForm

#: The kinds of timing, of which one is chosen.
KINDS = ("crontab", "interval", "clocked", "solar")
#: The longest grace: what is late by more is of no use to anybody.
MOST_GRACE = timedelta(days=366)


class ScheduleForm(PeriodicTaskForm):
    """A schedule: a declared task, its arguments, and when."""

    task = forms.ChoiceField(
        choices=lambda: [(name, name) for name in sorted(registry())],
        widget=UnfoldAdminSelectWidget,
    )
    queue = forms.ChoiceField(
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Empty: the task's own.",
        choices=lambda: [("", "—"), *((name, name) for name in QUEUES)],
    )
    priority = forms.TypedChoiceField(
        required=False,
        coerce=int,
        empty_value=None,
        widget=UnfoldAdminSelectWidget,
        help_text="Empty: the task's own.",
        choices=[("", "—"), *Priority.choices],
    )

    #: What the row was when the form was opened; without it, that is not checked.
    version = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = PeriodicTask
        fields: ClassVar = [
            "name",
            "task",
            "enabled",
            "description",
            *KINDS,
            "start_time",
            "expires",
            "one_off",
            "args",
            "kwargs",
            "queue",
            "priority",
            "expire_seconds",
        ]
        labels: ClassVar = {"expires": "End", "expire_seconds": "Expiry in seconds"}
        help_texts: ClassVar = {
            "start_time": "In UTC: it is not due before.",
            "expires": "In UTC: from then on it is never due.",
            "one_off": "It runs once, and is switched off then.",
            "expire_seconds": "A job that has not begun so long after its instant is cancelled.",
            "args": "Must be empty: tasks take arguments by name.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["version"] = version_of(self.instance)

    def clean_version(self) -> str:
        """Refuse what was typed before somebody else, or a beat, changed the schedule."""
        given = str(self.cleaned_data["version"])
        if given and self.instance.pk and given != version_of(self.instance):
            raise forms.ValidationError(
                "The schedule has changed since this page was opened, by somebody or because it "
                "ran. Open it again, and enter your change there."
            )
        return given

    def clean_args(self) -> str:
        """Refuse positional arguments: no task takes them."""
        text = str(self.cleaned_data["args"] or "[]").strip()
        if text != "[]":
            raise forms.ValidationError(
                "args: tasks take arguments by name. Put them into the keyword arguments, and [] "
                "here."
            )
        return text

    def clean_kwargs(self) -> str:
        """Check the arguments as every caller's are."""
        text = str(self.cleaned_data["kwargs"])
        try:
            arguments = json.loads(text)
        except ValueError as error:
            raise forms.ValidationError(f"This is not JSON: {error}") from None
        if not isinstance(arguments, dict):
            raise forms.ValidationError('Expected a JSON object: {"argument": value}.')
        if name := self.cleaned_data.get("task"):
            try:
                payload.seal(
                    name, payload.check(get_task(name).definition.arguments, name, arguments)
                )
            except InvalidPayload as error:
                lines = [f"{field}: {problem}" for field, problem in error.problems.items()]
                raise forms.ValidationError(lines) from None
        return text

    def clean_expire_seconds(self) -> int | None:
        """Refuse an expiry that no job could keep."""
        seconds: int | None = self.cleaned_data["expire_seconds"]
        if seconds == 0:
            raise forms.ValidationError("expire_seconds: at least 1; empty: jobs do not expire.")
        return seconds

    def clean(self) -> dict[str, Any]:
        """Refuse what can never be due, at the field that says so."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if found.get("expires") and found.get("expire_seconds") is not None:
            self._refuse("expire_seconds", "an end is set already: only one of both can be kept.")
        if (start := found.get("start_time")) and start > timezone.now() + HORIZON:
            self._refuse("start_time", "this is more than 41 years from now.")
        chosen = [kind for kind in KINDS if found.get(kind)]
        if len(chosen) == 1 and not {"start_time", "expires"} & self.errors.keys():
            self._check_timing(chosen[0], found)
        return found

    def _check_timing(self, kind: str, found: dict[str, Any]) -> None:
        now = timezone.now()
        if kind == "clocked" and not found.get("one_off"):
            self._refuse("one_off", "what is due at one instant runs once: mark it as one-off.")
        # What is off, or was as it is when the instant passed, need not be due again.
        if not found.get("enabled") or not {*KINDS, "enabled", "expires"} & {*self.changed_data}:
            return
        own = {name: found[name] for name in ("start_time", kind) if name in found}
        with self._refused_at(kind):
            if not is_ever_due(PeriodicTask(**own), now):
                what = "this is in the past" if kind == "clocked" else "it is never due"
                self._refuse(kind, f"{what}: nothing would ever run.")
            elif not is_ever_due(PeriodicTask(**own, expires=found.get("expires")), now):
                self._refuse("expires", "it is not due before its end: nothing would ever run.")

    @contextmanager
    def _refused_at(self, kind: str) -> Iterator[None]:
        try:
            yield
        except JobsError as error:
            self.add_error(kind, str(error))
        except OverflowError:
            self._refuse(kind, "its instants lie beyond the year 9999.")

    def _refuse(self, name: str, why: str) -> None:
        self.add_error(name, f"{name}: {why}")


def version_of(row: PeriodicTask) -> str:
    """Return what tells this state of the schedule from others; a run alone changes nothing."""
    changed: datetime | None = row.date_changed
    return f"{changed.isoformat() if changed else ''} {int(row.enabled)}"


def is_ever_due(row: PeriodicTask, now: datetime, rules: Schedule | None = None) -> bool:
    """Whether a schedule that is saved now is due at some time.

    Raises:
        BadTiming, UnknownCountry: it cannot be planned.
        OverflowError: its instants cannot be told.
    """
    days, country = (rules.days, rules.country) if rules else (Days.ALL, "")
    schedule = Schedule(periodic_task=row, changed_at=now, days=days, country=country)
    return next(timing_of(schedule).after(now), None) is not None


class RulesForm(ScheduleRulesForm):
    """The rules of a schedule. Saved are those that were changed, and nothing else."""

    class Meta:
        model = Schedule
        fields: ClassVar = [
            "missed",
            "missed_limit",
            "grace",
            "overlap",
            "jitter",
            "days",
            "country",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["grace"].validators.append(MaxValueValidator(MOST_GRACE))

    def clean(self) -> dict[str, Any]:
        """Refuse business days of nowhere, and those on which it is never due."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if found.get("days", Days.ALL) == Days.ALL or "country" not in found:
            return found
        try:
            check_country(found["country"])
        except JobsError as error:
            self.add_error("country", str(error))
        else:
            self._check_days(found)
        return found

    def _check_days(self, found: dict[str, Any]) -> None:
        rules = Schedule(days=found["days"], country=found["country"])
        parent: Any = self.fields["periodic_task"]
        row: PeriodicTask = parent.parent_instance  # as it was entered, and is not saved yet
        try:
            if row.enabled and not is_ever_due(row, timezone.now(), rules):
                self.add_error("days", "days: it is never due on such a day.")
        except (JobsError, OverflowError):
            return  # which the form of the schedule says

    def save(self, commit: bool = True) -> Schedule:
        """Write what was changed: all other columns are the scheduler's, which may write now.

        The row of a new schedule is there already: a trigger made it.
        """
        rules = super().save(commit=False)
        if commit:
            rules.save(update_fields=self.changed_data)
        return rules


class CrontabForm(CrontabScheduleForm):
    """Minutes, hours and days in a zone."""

    class Meta:
        model = CrontabSchedule
        fields: ClassVar = [*FIELDS, "timezone"]

    def clean(self) -> dict[str, Any]:
        """Refuse what Celery cannot read, and what can never be due."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        words: dict[str, Any] = {name: str(found[name]) for name in FIELDS if name in found}
        for name, word in words.items():
            alone: dict[str, Any] = {name: word}
            try:
                Cron(**alone)
            except BadTiming as error:
                self.add_error(name, str(error))
        if not self.errors and next(Cron(**words).after(datetime.now(UTC)), None) is None:
            text = "day_of_month: no such day comes in these months; it would never be due."
            self.add_error("day_of_month", text)
        return found


class IntervalForm(IntervalScheduleForm):
    """A length of time."""

    class Meta:
        model = IntervalSchedule
        fields: ClassVar = ["every", "period"]

    def clean(self) -> dict[str, Any]:
        """Refuse what no beat can keep up with, and what does not come in a lifetime."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if {"every", "period"} <= found.keys():
            row = PeriodicTask(interval=IntervalSchedule(**found))
            try:
                is_ever_due(row, timezone.now())
            except (JobsError, OverflowError) as error:
                self.add_error("every", f"every: {error}")
        return found
