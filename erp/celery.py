"""The Celery application that carries the jobs: ``celery -A erp.celery …``."""

import os

from jobs.carrier import JobsCelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "erp.settings")

app = JobsCelery("erp")
app.config_from_object("erp.settings:CELERY")
