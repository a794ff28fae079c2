"""Tests tell here when something was changed: the database's clock cannot be set."""

from datetime import datetime
from typing import Any

from django.apps import apps
from django.contrib.postgres.functions import TransactionNow

from tenants.history import Recorded, past_of


def happened(at: datetime) -> None:
    """Say that whatever came, changed or went in this test since the last call did so at ``at``.

    A test is one transaction, and its beginning is the database's time for all that it does.
    """
    for model in apps.get_models():
        if issubclass(model, Recorded):
            past: Any = past_of(model)
            for each in (model, past):
                rows = each._base_manager.filter(recorded_at=TransactionNow())
                rows.update(recorded_at=at)
            past._base_manager.filter(pgh_created_at=TransactionNow()).update(pgh_created_at=at)
