"""Documents as PDF."""

from django.apps import AppConfig


class DocumentsConfig(AppConfig):
    """Documents as PDF."""

    name = "documents"
    verbose_name = "Documents"

    def ready(self) -> None:
        """Register the checks, and what a starting worker loads."""
        from documents import checks, warmup  # noqa: F401 - registers them
