"""Companies and their members."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Companies, people and their roles."""

    name = "tenants"
    verbose_name = "Companies and people"
