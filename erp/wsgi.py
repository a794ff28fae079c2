"""The web application for WSGI servers: ``gunicorn erp.wsgi``.

Raises:
    ImproperlyConfigured: an environment variable has a value that cannot be used. A server does
        not start on defaults that nobody chose.
"""

import os

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "erp.settings")

if settings.ENVIRONMENT_PROBLEMS:
    raise ImproperlyConfigured("; ".join(settings.ENVIRONMENT_PROBLEMS))

application = get_wsgi_application()
