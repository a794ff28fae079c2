"""E-mail and in-app notices."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """E-mail and in-app notices."""

    name = "notifications"
    verbose_name = "Notifications"
