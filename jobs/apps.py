"""The engine: knows no domain."""

from celery.signals import celeryd_init
from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    """The job engine."""

    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        """Set logging up, register checks, teach Celery's canvas; find all tasks and schedules."""
        from jobs import checks, events, sessions, telemetry  # noqa: F401 - registers them
        from jobs.canvas import teach_celery

        connection_created.connect(sessions.set_up, dispatch_uid="jobs.sessions.set_up")
        telemetry.configure_logging()
        celeryd_init.connect(events.remember_node, dispatch_uid="jobs.events.remember_node")
        teach_celery()
        autodiscover_modules("tasks")
        from jobs.schedules import own  # noqa: F401 - declares them

        autodiscover_modules("schedules")
