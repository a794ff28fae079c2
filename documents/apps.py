"""Documents as PDF."""

from django.apps import AppConfig


class DocumentsConfig(AppConfig):
    """Documents as PDF."""

    name = "documents"
    verbose_name = "Documents"

    def ready(self) -> None:
        """Register the checks."""
        from documents import checks  # noqa: F401 - registers them
