"""The web application for ASGI servers, such as ``uvicorn erp.asgi:application``.

Raises:
    ImproperlyConfigured: an environment variable has a value that cannot be used. A server does
        not start on defaults that nobody chose.
"""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "erp.settings")

if settings.ENVIRONMENT_PROBLEMS:
    raise ImproperlyConfigured("; ".join(settings.ENVIRONMENT_PROBLEMS))

application = get_asgi_application()
