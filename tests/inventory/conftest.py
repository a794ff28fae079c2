"""What the tests of this app share."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from notifications import transport


@pytest.fixture(autouse=True)
def real_mail(settings: Settings) -> Iterator[None]:
    """Send by SMTP: Django's test environment would keep the messages in memory."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    yield
    transport.close()
