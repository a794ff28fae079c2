"""The Celery application that carries the jobs: ``celery -A erp.celery …``."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "erp.settings")

app = Celery("erp")
app.config_from_object("erp.settings:CELERY")
