"""Django's settings of :mod:`benchmarks.peers.celery_results`.

A project of the usual size, so that the memory of its workers can be compared with ours: the same
packages of other people's, without our apps.
"""

import os

import dj_database_url

TUNED = os.environ.get("BENCH_TUNED") == "1"
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "django_tasks",
    "ninja",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DATABASES = {
    "default": dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=None if TUNED else 0)
}
USE_TZ = True
SECRET_KEY = "benchmark"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
