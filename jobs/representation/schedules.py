"""Schedules as JSON: when they are due, what became of it, and whether they are fired."""

from jobs.models import Firing
from jobs.representation.rows import Id, Row, Time, fields_of
from jobs.selectors import CanaryView, Instant, ScheduleHealth, ScheduleView


class InstantRow(Row):
    """When something is due."""

    utc: Time
    #: The same instant in the schedule's zone.
    local: Time
    #: Of the local day: ``Mon`` to ``Sun``.
    weekday: str

    @classmethod
    def of(cls, instant: Instant) -> "InstantRow":
        """Represent an instant."""
        return cls(utc=instant.utc, local=instant.local, weekday=f"{instant.local:%a}")


class FiringRow(Row):
    """What became of an instant, or of several that share a row, this one the last."""

    id: int
    due_at: Time
    fired_at: Time
    late_seconds: float
    #: ``fired``, ``missed``, ``overlapped`` or ``failed``.
    outcome: str
    reason: str
    job_id: Id | None
    instants: int
    #: Who ran it; empty: it was due.
    by_hand: str

    @classmethod
    def of(cls, firing: Firing) -> "FiringRow":
        """Represent a firing."""
        return cls(
            id=firing.pk,
            due_at=firing.due_at,
            fired_at=firing.fired_at,
            late_seconds=firing.late_by.total_seconds(),
            outcome=firing.outcome,
            reason=firing.reason,
            job_id=firing.job_id,
            instants=firing.instants,
            by_hand=firing.by_hand,
        )


class ScheduleRow(Row):
    """A schedule in a list."""

    id: int
    name: str
    task: str
    #: A cron's five fields, or words such as ``every 10 minutes``.
    when: str
    zone: str
    #: ``on``, ``off``, ``overdue``, ``problem``, or ``changed`` by a person.
    state: str
    enabled: bool
    next: InstantRow | None
    last: FiringRow | None
    overdue: bool
    problem: str
    #: The declaration in the code; empty: an operator's own.
    declared_name: str
    #: What a person changed of what is declared.
    changed: list[str]

    @classmethod
    def of(cls, view: ScheduleView) -> "ScheduleRow":
        """Represent a schedule."""
        return cls(
            id=view.id,
            name=view.name,
            task=view.task,
            when=view.when,
            zone=view.zone,
            state=view.state,
            enabled=view.enabled,
            next=InstantRow.of(view.next) if view.next else None,
            last=FiringRow.of(view.last) if view.last else None,
            overdue=view.overdue,
            problem=view.problem,
            declared_name=view.declared_name,
            changed=list(view.changed),
        )


class ScheduleDetailRow(ScheduleRow):
    """A schedule with its rules, its next instants and its history."""

    description: str
    missed: str
    missed_limit: int
    grace_seconds: float
    overlap: str
    jitter_seconds: float
    days: str
    country: str
    next_instants: list[InstantRow]
    #: The latest first.
    firings: list[FiringRow]

    @classmethod
    def of(  # type: ignore[override] # more
        cls, view: ScheduleView, instants: list[Instant], firings: list[Firing]
    ) -> "ScheduleDetailRow":
        """Represent a schedule with what is due next and what became of it so far."""
        rules = view.rules
        return cls(
            **fields_of(ScheduleRow.of(view)),
            description=rules.periodic_task.description,
            missed=rules.missed,
            missed_limit=rules.missed_limit,
            grace_seconds=rules.grace.total_seconds(),
            overlap=rules.overlap,
            jitter_seconds=rules.jitter.total_seconds(),
            days=rules.days,
            country=rules.country,
            next_instants=[InstantRow.of(instant) for instant in instants],
            firings=[FiringRow.of(firing) for firing in firings],
        )


class CanaryRow(Row):
    """When a queue was last seen to be served."""

    queue: str
    ran_at: Time | None
    age_seconds: float | None
    #: From its enqueueing until a worker ran it.
    wait_seconds: float | None
    #: No canary came through for two minutes.
    silent: bool

    @classmethod
    def of(cls, view: CanaryView) -> "CanaryRow":
        """Represent a canary."""
        return cls(
            queue=view.queue,
            ran_at=view.ran_at,
            age_seconds=view.age.total_seconds() if view.age is not None else None,
            wait_seconds=view.wait.total_seconds() if view.wait is not None else None,
            silent=view.silent,
        )


class ScheduleHealthRow(Row):
    """Whether schedules are fired."""

    #: ``healthy``: a beat looks, and nothing is overdue; or ``unhealthy``.
    status: str
    beats: int
    #: Since the last look of any beat; null: there was none yet.
    tick_age_seconds: float | None
    #: Names of schedules that are due for more than a minute; 100 at most.
    overdue: list[str]
    #: Names of schedules that cannot be planned, or could not be run last; 100 at most.
    troubled: list[str]
    #: One for each queue; none when they are switched off.
    canaries: list[CanaryRow]

    @classmethod
    def of(cls, health: ScheduleHealth) -> "ScheduleHealthRow":
        """Represent the health of schedules."""
        age = health.tick_age
        return cls(
            status="healthy" if health.healthy else "unhealthy",
            beats=health.beats,
            tick_age_seconds=age.total_seconds() if age is not None else None,
            overdue=list(health.overdue),
            troubled=list(health.troubled),
            canaries=[CanaryRow.of(canary) for canary in health.canaries],
        )
