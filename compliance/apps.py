"""Django's view of the compliance app."""

from django.apps import AppConfig


class ComplianceConfig(AppConfig):
    """Clients, documents, filings and compliance scores."""

    name = "compliance"
    verbose_name = "Compliance"
