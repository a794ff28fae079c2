"""Tests tell here when something was changed: the database's clock cannot be set."""

from datetime import datetime
from typing import Any

from django.apps import apps
from django.contrib.postgres.functions import TransactionNow
from django.db.models import DateTimeField, Max

from tenants.history import Recorded, past_of


def happened(at: datetime) -> None:
    """Say that whatever came, changed or went in this test since the last call did so at ``at``.

    A test is one transaction, and its beginning is the database's time for all that it does. That a
    row says so itself (when an alert closed, say) is no change that is kept.
    """
    for model in apps.get_models():
        if issubclass(model, Recorded):
            past: Any = past_of(model)
            newest = past._base_manager.aggregate(newest=Max("pgh_id"))["newest"] or 0
            for each in (model, past):
                for name in [field.name for field in each._meta.fields if is_instant(field)]:
                    rows = each._base_manager.filter(**{name: TransactionNow()})
                    rows.update(**{name: at})
            past._base_manager.filter(pgh_id__gt=newest).delete()


def is_instant(field: Any) -> bool:
    """Whether a column holds an instant."""
    return isinstance(field, DateTimeField)
