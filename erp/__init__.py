"""The composition of the product: settings, addresses, schedules, the Celery application."""

from erp.celery import app as celery_app

__all__ = ["celery_app"]
