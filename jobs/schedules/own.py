"""The engine's own schedules: maintenance, one after the other, and the canaries."""

from datetime import timedelta

from jobs.conf import jobs_settings
from jobs.schedules.declare import Declaration, Per, declare
from jobs.schedules.models import Missed, Overlap

# What was deleted is vacuumed last.
declare(
    Declaration(
        name="jobs.prune",
        task="jobs.prune",
        cron="0 3 * * *",
        per=Per.SERVICE,
        description="Deletes what is past its retention.",
    ),
    Declaration(
        name="audit.archive",
        task="audit.archive",
        cron="20 3 * * *",
        per=Per.SERVICE,
        description="Moves old audit entries to compressed files.",
    ),
    Declaration(
        name="sessions.clear",
        task="sessions.clear",
        cron="35 3 * * *",
        per=Per.SERVICE,
        description="Deletes sessions that have expired.",
    ),
    Declaration(
        name="database.analyze",
        task="database.analyze",
        cron="45 3 * * *",
        per=Per.SERVICE,
        description="Vacuums all tables, and refreshes their statistics.",
    ),
)

if jobs_settings().CANARY:
    declare(
        Declaration(
            name="jobs.canary",
            task="jobs.canary",
            cron="* * * * *",
            per=Per.QUEUE,
            missed=Missed.SKIP,
            overlap=Overlap.SKIP,
            expires=timedelta(minutes=1),
            description="Proves each minute that the queue is served.",
        )
    )
