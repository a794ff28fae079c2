"""The imports app."""

from django.apps import AppConfig


class ImportsConfig(AppConfig):
    """Importing files; what can be imported is registered by other apps."""

    name = "imports"
    verbose_name = "Imports"
