"""The composition: what runs where, and with which settings."""

from django.apps import AppConfig


class ErpConfig(AppConfig):
    """Puts the apps together; has no models of its own."""

    name = "erp"

    def ready(self) -> None:
        """Register the checks of the settings."""
        from erp import checks  # noqa: F401 - registers them
