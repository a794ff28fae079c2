"""Companies and their members."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Companies, people and their roles."""

    name = "tenants"
    verbose_name = "Companies and people"

    def ready(self) -> None:
        """Tell the engine where companies are: their schedules run at their local times."""
        from jobs.schedules.declare import places_come_from
        from tenants import selectors

        places_come_from(selectors.places_in_use, selectors.place_of)
