"""The product's settings for the processes of the chaos suite: the engine and its tasks alone.

Workers are started again and again, so the apps that carry no job of the suite are left out. The
times are short (``timing.py``), and go by the environment where the product has variables for them.
"""

import os
from datetime import timedelta

from erp.settings import *  # noqa: F403
from tests.chaos import timing

INSTALLED_APPS = [
    "tenants.apps.TenantsConfig",
    "jobs.apps.JobsConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_celery_beat",
    "django_celery_results",
    "tests.chaos",
]
MIDDLEWARE = []
TEMPLATES = []
ROOT_URLCONF = "tests.chaos.urls"
#: PostgreSQL shows it, so that a killed process's last statement can be waited for.
_name = os.environ.get("CHAOS_NAME", "chaos")
DATABASES["default"]["OPTIONS"]["application_name"] = _name  # noqa: F405
JOBS |= {  # noqa: F405
    # The faults crash jobs more often than any job deserves; those that kill their own worker have
    # fewer attempts than this.
    "CRASH_LIMIT": 1_000,
    "LEASE_MARGIN": timedelta(seconds=timing.LEASE_MARGIN),
}
