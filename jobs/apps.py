"""The engine: knows no domain."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    """The job engine."""

    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        """Set logging up, register the checks, and find every app's tasks."""
        from jobs import checks, telemetry  # noqa: F401 - registers them

        telemetry.configure_logging()
        autodiscover_modules("tasks")
